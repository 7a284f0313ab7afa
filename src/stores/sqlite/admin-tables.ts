import type { DatabaseSync } from "node:sqlite";
import type { Budget, ConfigVersion, KeyRecord, RequestLimit, Scopes, Switch } from "../../canon/index.ts";
import type { ReadTable, WriteTable } from "../backend.ts";
import { conflict, staleBase } from "../problems.ts";
import { openConfigText, sealConfigText } from "./sealed-config.ts";
import type { Sealer } from "./serving-key.ts";

interface KeyColumns {
  readonly id: string;
  readonly hash: string;
  readonly prefix: string;
  readonly name: string;
  readonly team: string | null;
  readonly project: string | null;
  readonly tags: string | null;
  readonly scopes: string;
  readonly limits: string;
  readonly created_at: number;
  readonly expires_at: number | null;
  readonly revoked_at: number | null;
  readonly budgets: string | null;
  readonly account: string | null;
}
interface ConfigColumns {
  readonly version: number;
  readonly created_at: number;
  readonly author: string;
  readonly text: string;
  readonly rollback_of: number | null;
}
interface InForceColumns {
  readonly first: number | null;
  readonly last: number | null;
  readonly processes: number;
}
interface SwitchColumns {
  readonly id: string;
  readonly kind: Switch["kind"];
  readonly scope: Switch["scope"];
  readonly value: string;
  readonly author: string;
  readonly reason: string | null;
  readonly created_at: number;
}

type AdminWrites = "createKey" | "rotateKey" | "revokeKey" | "appendConfig" | "configInForce" | "putSwitch" | "removeSwitch";
type AdminReads = "keyByHash" | "keys" | "config" | "configs" | "switches";

/** Each of these writes raises the generation: what other processes hold of these tables is then out of date. */
export const RAISES_GENERATION: ReadonlySet<string> = new Set<AdminWrites>([
  "createKey",
  "rotateKey",
  "revokeKey",
  "appendConfig",
  "putSwitch",
  "removeSwitch",
]);

export function adminWrites(database: DatabaseSync, sealer: Sealer): Pick<WriteTable, AdminWrites> {
  const taken = database.prepare("SELECT id FROM keys WHERE id = ? OR hash = ?");
  const create = database.prepare(
    `INSERT INTO keys (id, hash, prefix, name, team, project, tags, scopes, limits, created_at, expires_at, revoked_at, budgets, account)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const made = database.prepare("SELECT id FROM keys WHERE id = ? AND hash = ?");
  const end = database.prepare(
    `UPDATE keys SET expires_at = min(coalesce(expires_at, ?1), ?1)
     WHERE id = ?2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?3)`,
  );
  const revoke = database.prepare("UPDATE keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL");
  const bump = database.prepare("UPDATE key_generation SET generation = generation + 1");
  const newest = database.prepare("SELECT * FROM config_versions ORDER BY version DESC LIMIT 1");
  const append = database.prepare("INSERT INTO config_versions VALUES (?, ?, ?, ?, ?)");
  const markInForce = database.prepare("INSERT OR IGNORE INTO config_in_force VALUES (?, ?, ?)");
  const put = database.prepare("INSERT OR REPLACE INTO switches VALUES (?, ?, ?, ?, ?, ?, ?)");
  const remove = database.prepare("DELETE FROM switches WHERE id = ?");
  return {
    createKey: ([key]) => {
      if (taken.get(key.id, key.hash)) throw conflict(`A key with the id ${key.id} or the same secret exists already.`);
      create.run(...keyToValues(key));
      bump.run();
    },
    rotateKey: ([id, next, at, until]) => {
      // A write that is repeated after a crash finds what it wrote.
      if (made.get(next.id, next.hash)) return true;
      if (taken.get(next.id, next.hash)) throw conflict(`A key with the id ${next.id} or the same secret exists already.`);
      if (end.run(until, id, at).changes === 0) return false;
      create.run(...keyToValues(next));
      bump.run();
      return true;
    },
    revokeKey: ([id, at]) => {
      const revoked = revoke.run(at, id).changes > 0;
      if (revoked) bump.run();
      return revoked;
    },
    appendConfig: ([createdAt, author, text, rollbackOf, base]) => {
      const last = newest.get() as ConfigColumns | undefined;
      const known = last && configFrom(last, sealer);
      // Before the base is looked at: a write that is repeated after a crash finds what it wrote.
      if (known?.text === text) return known;
      if (base !== null && base !== (last?.version ?? 0)) throw staleBase(base, last?.version ?? 0);
      const version = (last?.version ?? 0) + 1;
      append.run(version, createdAt, author, sealConfigText(sealer, version, text), rollbackOf);
      bump.run();
      return { version, createdAt, author, text, ...(rollbackOf !== null && { rollbackOf }) };
    },
    configInForce: ([version, node, at]) => void markInForce.run(version, node, at),
    putSwitch: ([entry]) => {
      put.run(entry.id, entry.kind, entry.scope, entry.value, entry.author, entry.reason ?? null, entry.createdAt);
      bump.run();
    },
    removeSwitch: ([id]) => {
      const removed = remove.run(id).changes > 0;
      if (removed) bump.run();
      return removed;
    },
  };
}

export function keyGeneration(database: DatabaseSync): () => number {
  const read = database.prepare("SELECT generation FROM key_generation");
  return () => Number(read.get()?.["generation"]);
}

export function adminReads(database: DatabaseSync, sealer: Sealer): Pick<ReadTable, AdminReads> {
  const byHash = database.prepare("SELECT * FROM keys WHERE hash = ?");
  const keys = database.prepare("SELECT * FROM keys ORDER BY created_at, id");
  const config = database.prepare("SELECT * FROM config_versions WHERE version = ?");
  const configs = database.prepare("SELECT * FROM config_versions ORDER BY version DESC LIMIT ?");
  const switches = database.prepare("SELECT * FROM switches ORDER BY created_at, id");
  const inForce = database.prepare(
    "SELECT min(at) AS first, max(at) AS last, count(*) AS processes FROM config_in_force WHERE version = ?",
  );

  function withForce<T extends ConfigVersion | undefined>(entry: T): T {
    if (entry === undefined) return entry;
    const { first, last, processes } = inForce.get(entry.version) as unknown as InForceColumns;
    return first === null || last === null ? entry : { ...entry, inForce: { first, last, processes } };
  }
  return {
    keyByHash: ([hash]) => {
      const columns = byHash.get(hash) as KeyColumns | undefined;
      return columns && keyFrom(columns);
    },
    keys: () => (keys.all() as unknown as KeyColumns[]).map(keyFrom),
    config: ([version]) => {
      const columns = config.get(version) as ConfigColumns | undefined;
      return columns && withForce(configFrom(columns, sealer));
    },
    configs: ([limit]) =>
      (configs.all(limit) as unknown as ConfigColumns[]).map((columns) => withForce(configFrom(columns, sealer) ?? lost(columns))),
    switches: () => (switches.all() as unknown as SwitchColumns[]).map(switchFrom),
  };
}

function keyToValues(key: KeyRecord): (string | number | null)[] {
  return [
    key.id,
    key.hash,
    key.prefix,
    key.name,
    key.team ?? null,
    key.project ?? null,
    key.tags ? JSON.stringify(key.tags) : null,
    JSON.stringify(key.scopes),
    JSON.stringify(key.limits),
    key.createdAt,
    key.expiresAt ?? null,
    key.revokedAt ?? null,
    key.budgets ? JSON.stringify(key.budgets) : null,
    key.account ?? null,
  ];
}

function keyFrom(columns: KeyColumns): KeyRecord {
  return {
    id: columns.id,
    ...(columns.account !== null && { account: columns.account }),
    name: columns.name,
    hash: columns.hash,
    prefix: columns.prefix,
    ...(columns.team !== null && { team: columns.team }),
    ...(columns.project !== null && { project: columns.project }),
    ...(columns.tags !== null && { tags: JSON.parse(columns.tags) as string[] }),
    scopes: JSON.parse(columns.scopes) as Scopes,
    limits: JSON.parse(columns.limits) as RequestLimit[],
    ...(columns.budgets !== null && { budgets: JSON.parse(columns.budgets) as Budget[] }),
    createdAt: columns.created_at,
    ...(columns.expires_at !== null && { expiresAt: columns.expires_at }),
    ...(columns.revoked_at !== null && { revokedAt: columns.revoked_at }),
  };
}

/** Undefined when the key that sealed it is gone: such a version cannot be gone back to. */
function configFrom(columns: ConfigColumns, sealer: Sealer): ConfigVersion | undefined {
  const text = openConfigText(sealer, columns.version, columns.text);
  if (text === undefined) return undefined;
  const { version, created_at: createdAt, author, rollback_of: rollbackOf } = columns;
  return { version, createdAt, author, text, ...(rollbackOf !== null && { rollbackOf }) };
}

function switchFrom({ id, kind, scope, value, author, reason, created_at: createdAt }: SwitchColumns): Switch {
  return { id, kind, scope, value, author, createdAt, ...(reason !== null && { reason }) };
}

/** In the list it keeps its place, with a comment for its text. */
function lost({ version, created_at: createdAt, author }: ConfigColumns): ConfigVersion {
  return { version, createdAt, author, text: "# The key that sealed this version is gone.\n" };
}

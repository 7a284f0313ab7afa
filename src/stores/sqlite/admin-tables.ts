import type { DatabaseSync } from "node:sqlite";
import type { ConfigVersion } from "../../canon/index.ts";
import {
  type ConfigColumns,
  configFrom,
  type KeyColumns,
  keyFrom,
  keyToValues,
  lost,
  type SwitchColumns,
  switchFrom,
} from "../admin-columns.ts";
import { ACCESS_WRITES, type AccessWrites } from "../access-columns.ts";
import type { ReadTable, WriteTable } from "../backend.ts";
import { PIN_WRITES, type PinWrites } from "../pin-columns.ts";
import { conflict, staleBase } from "../problems.ts";
import { sealConfigText } from "../sealing/config-text.ts";
import type { Sealer } from "../sealing/sealer.ts";

interface InForceColumns {
  readonly first: number | null;
  readonly last: number | null;
  readonly processes: number;
}
type AdminWrites = "createKey" | "rotateKey" | "revokeKey" | "appendConfig" | "configInForce" | "putSwitch" | "removeSwitch";
type AdminReads = "keyByHash" | "keys" | "config" | "configs" | "switches";

/** Each of these writes raises the generation: what other processes hold of these tables is then out of date. */
export const RAISES_GENERATION: ReadonlySet<string> = new Set<AdminWrites | AccessWrites | PinWrites | "reseal">([
  "createKey",
  "rotateKey",
  "revokeKey",
  "appendConfig",
  "putSwitch",
  "removeSwitch",
  "reseal",
  ...ACCESS_WRITES,
  ...PIN_WRITES,
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

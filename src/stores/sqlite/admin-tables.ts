import type { DatabaseSync } from "node:sqlite";
import type { ConfigVersion, KeyRecord, RequestLimit, Scopes } from "../../canon/index.ts";
import type { ReadTable, WriteTable } from "../backend.ts";
import { conflict } from "../problems.ts";
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
}
interface ConfigColumns {
  readonly version: number;
  readonly created_at: number;
  readonly author: string;
  readonly text: string;
}

export function adminWrites(database: DatabaseSync, sealer: Sealer): Pick<WriteTable, "createKey" | "revokeKey" | "appendConfig"> {
  const taken = database.prepare("SELECT id FROM keys WHERE id = ? OR hash = ?");
  const create = database.prepare("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  const revoke = database.prepare("UPDATE keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL");
  const bump = database.prepare("UPDATE key_generation SET generation = generation + 1");
  const newest = database.prepare("SELECT * FROM config_versions ORDER BY version DESC LIMIT 1");
  const append = database.prepare("INSERT INTO config_versions VALUES (?, ?, ?, ?)");
  return {
    createKey: ([key]) => {
      if (taken.get(key.id, key.hash)) throw conflict(`A key with the id ${key.id} or the same secret exists already.`);
      create.run(...keyToValues(key));
      bump.run();
    },
    revokeKey: ([id, at]) => {
      const revoked = revoke.run(at, id).changes > 0;
      if (revoked) bump.run();
      return revoked;
    },
    appendConfig: ([createdAt, author, text]) => {
      const last = newest.get() as ConfigColumns | undefined;
      const known = last && configFrom(last, sealer);
      if (known?.text === text) return known;
      const version = (last?.version ?? 0) + 1;
      append.run(version, createdAt, author, sealConfigText(sealer, version, text));
      return { version, createdAt, author, text };
    },
  };
}

export function keyGeneration(database: DatabaseSync): () => number {
  const read = database.prepare("SELECT generation FROM key_generation");
  return () => Number(read.get()?.["generation"]);
}

export function adminReads(database: DatabaseSync, sealer: Sealer): Pick<ReadTable, "keyByHash" | "keys" | "config" | "configs"> {
  const byHash = database.prepare("SELECT * FROM keys WHERE hash = ?");
  const keys = database.prepare("SELECT * FROM keys ORDER BY created_at, id");
  const config = database.prepare("SELECT * FROM config_versions WHERE version = ?");
  const configs = database.prepare("SELECT * FROM config_versions ORDER BY version DESC LIMIT ?");
  return {
    keyByHash: ([hash]) => {
      const columns = byHash.get(hash) as KeyColumns | undefined;
      return columns && keyFrom(columns);
    },
    keys: () => (keys.all() as unknown as KeyColumns[]).map(keyFrom),
    config: ([version]) => {
      const columns = config.get(version) as ConfigColumns | undefined;
      return columns && configFrom(columns, sealer);
    },
    configs: ([limit]) => (configs.all(limit) as unknown as ConfigColumns[]).map((columns) => configFrom(columns, sealer) ?? lost(columns)),
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
  ];
}

function keyFrom(columns: KeyColumns): KeyRecord {
  return {
    id: columns.id,
    name: columns.name,
    hash: columns.hash,
    prefix: columns.prefix,
    ...(columns.team !== null && { team: columns.team }),
    ...(columns.project !== null && { project: columns.project }),
    ...(columns.tags !== null && { tags: JSON.parse(columns.tags) as string[] }),
    scopes: JSON.parse(columns.scopes) as Scopes,
    limits: JSON.parse(columns.limits) as RequestLimit[],
    createdAt: columns.created_at,
    ...(columns.expires_at !== null && { expiresAt: columns.expires_at }),
    ...(columns.revoked_at !== null && { revokedAt: columns.revoked_at }),
  };
}

/** Undefined when the key that sealed it is gone: such a version cannot be gone back to. */
function configFrom(columns: ConfigColumns, sealer: Sealer): ConfigVersion | undefined {
  const text = openConfigText(sealer, columns.version, columns.text);
  return text === undefined ? undefined : { version: columns.version, createdAt: columns.created_at, author: columns.author, text };
}

/** In the list it keeps its place, with a comment for its text. */
function lost({ version, created_at: createdAt, author }: ConfigColumns): ConfigVersion {
  return { version, createdAt, author, text: "# The key that sealed this version is gone.\n" };
}

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
import { conflict, staleBase } from "../problems.ts";
import { sealConfigText } from "../sealing/config-text.ts";
import { type Session, statement } from "./connections.ts";
import type { BatchContext, PostgresReads, PostgresWrites } from "./tables.ts";

interface GenerationColumns {
  readonly generation: number;
}

/** Whoever changes keys, configuration or switches does so alone: nobody else's change comes between a look and a write. */
export const HOLD = statement("admin.hold", "SELECT generation FROM key_generation FOR UPDATE");
const RAISE = statement("admin.raise", "UPDATE key_generation SET generation = generation + 1 RETURNING generation");
const GENERATION = statement("admin.generation", "SELECT generation FROM key_generation");
const TELL = statement("admin.tell", "SELECT pg_notify($1, $2)");

export async function readGeneration(session: Session): Promise<number> {
  return (await session.rows<GenerationColumns>(GENERATION))[0]?.generation ?? 0;
}

/** Other gateways hear of it as soon as this is committed. */
export async function raise(batch: BatchContext): Promise<void> {
  const [raised] = await batch.session.rows<GenerationColumns>(RAISE);
  if (!raised) return;
  batch.generation = raised.generation;
  await batch.session.rows(TELL, [batch.channel, JSON.stringify({ generation: raised.generation })]);
}

const TAKEN = statement("keys.taken", "SELECT id FROM keys WHERE id = $1 OR hash = $2");
const CREATE = statement("keys.create", "INSERT INTO keys VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)");
const MADE = statement("keys.made", "SELECT id FROM keys WHERE id = $1 AND hash = $2");
const END = statement(
  "keys.end",
  `UPDATE keys SET expires_at = least(coalesce(expires_at, $1), $1)
   WHERE id = $2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3)`,
);
const REVOKE = statement("keys.revoke", "UPDATE keys SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL");
const NEWEST_CONFIG = statement("config.newest", "SELECT * FROM config_versions ORDER BY version DESC LIMIT 1");
const APPEND = statement("config.append", "INSERT INTO config_versions VALUES ($1, $2, $3, $4, $5)");
const IN_FORCE = statement("config.in-force", "INSERT INTO config_in_force VALUES ($1, $2, $3) ON CONFLICT DO NOTHING");
const PUT = statement(
  "switches.put",
  `INSERT INTO switches VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, scope = excluded.scope,
     value = excluded.value, author = excluded.author, reason = excluded.reason, created_at = excluded.created_at`,
);
const REMOVE = statement("switches.remove", "DELETE FROM switches WHERE id = $1");

export const adminWrites = {
  createKey: async (batch, [key]) => {
    const { session } = batch;
    await session.rows(HOLD);
    if ((await session.rows(TAKEN, [key.id, key.hash])).length > 0)
      throw conflict(`A key with the id ${key.id} or the same secret exists already.`);
    await session.changes(CREATE, keyToValues(key));
    await raise(batch);
  },
  rotateKey: async (batch, [id, next, at, until]) => {
    const { session } = batch;
    await session.rows(HOLD);
    // A write that is repeated after a crash finds what it wrote.
    if ((await session.rows(MADE, [next.id, next.hash])).length > 0) return true;
    if ((await session.rows(TAKEN, [next.id, next.hash])).length > 0)
      throw conflict(`A key with the id ${next.id} or the same secret exists already.`);
    if ((await session.changes(END, [until, id, at])) === 0) return false;
    await session.changes(CREATE, keyToValues(next));
    await raise(batch);
    return true;
  },
  revokeKey: async (batch, [id, at]) => {
    const revoked = (await batch.session.changes(REVOKE, [at, id])) > 0;
    if (revoked) await raise(batch);
    return revoked;
  },
  appendConfig: async (batch, [createdAt, author, text, rollbackOf, base]) => {
    const { session, sealer } = batch;
    await session.rows(HOLD);
    const [last] = await session.rows<ConfigColumns>(NEWEST_CONFIG);
    const known = last && configFrom(last, sealer);
    // Before the base is looked at: a write that is repeated after a crash finds what it wrote.
    if (known?.text === text) return known;
    if (base !== null && base !== (last?.version ?? 0)) throw staleBase(base, last?.version ?? 0);
    const version = (last?.version ?? 0) + 1;
    await session.changes(APPEND, [version, createdAt, author, sealConfigText(sealer, version, text), rollbackOf]);
    await raise(batch);
    return { version, createdAt, author, text, ...(rollbackOf !== null && { rollbackOf }) };
  },
  configInForce: async ({ session }, args) => {
    await session.changes(IN_FORCE, args);
  },
  putSwitch: async (batch, [{ id, kind, scope, value, author, reason, createdAt }]) => {
    await batch.session.changes(PUT, [id, kind, scope, value, author, reason ?? null, createdAt]);
    await raise(batch);
  },
  removeSwitch: async (batch, [id]) => {
    const removed = (await batch.session.changes(REMOVE, [id])) > 0;
    if (removed) await raise(batch);
    return removed;
  },
} satisfies Partial<PostgresWrites>;

const KEY_BY_HASH = statement("keys.by-hash", "SELECT * FROM keys WHERE hash = $1");
const KEYS = statement("keys.list", 'SELECT * FROM keys ORDER BY created_at, id COLLATE "C"');
const WITH_FORCE = `SELECT versions.*, min(at) AS first, max(at) AS last, count(at)::int AS processes
  FROM config_versions AS versions LEFT JOIN config_in_force USING (version)`;
const CONFIG = statement("config.read", `${WITH_FORCE} WHERE version = $1 GROUP BY versions.version`);
const CONFIGS = statement("config.list", `${WITH_FORCE} GROUP BY versions.version ORDER BY versions.version DESC LIMIT $1`);
const SWITCHES = statement("switches.list", 'SELECT * FROM switches ORDER BY created_at, id COLLATE "C"');

export const adminReads = {
  keyByHash: async (session, [hash]) => {
    const [columns] = await session.rows<KeyColumns>(KEY_BY_HASH, [hash]);
    return columns && keyFrom(columns);
  },
  keys: async (session) => (await session.rows<KeyColumns>(KEYS)).map(keyFrom),
  config: async (session, [version], sealer) => {
    const [columns] = await session.rows<ConfigColumns>(CONFIG, [version]);
    return columns && configFrom(columns, sealer);
  },
  configs: async (session, [limit], sealer) =>
    (await session.rows<ConfigColumns>(CONFIGS, [limit])).map((columns) => configFrom(columns, sealer) ?? lost(columns)),
  switches: async (session) => (await session.rows<SwitchColumns>(SWITCHES)).map(switchFrom),
} satisfies Partial<PostgresReads>;

import type { CacheSelection } from "../../canon/index.ts";
import { type AnswerColumns, EVICTED, identity } from "../cache-columns.ts";
import { type Session, statement, type Statement, type Value } from "./connections.ts";
import type { BatchContext, PostgresReads, PostgresWrites } from "./tables.ts";
import { arrayOf } from "./values.ts";

/** Parts of the sum of bytes; see the migration. */
export const CACHE_PARTS = 16;

/** Whoever keeps an answer holds the generation still, together with others; whoever forgets waits for them and then finds their answers. */
const GENERATION_HELD = statement("cache.generation-held", "SELECT generation FROM cache_generation FOR SHARE");
const GENERATION = statement("cache.generation", "SELECT generation FROM cache_generation");
const BUMP = statement("cache.bump", "UPDATE cache_generation SET generation = generation + 1");
const BYTES = statement("cache.bytes", "SELECT sum(bytes)::bigint AS bytes FROM cache_bytes");
const INSERT = statement("cache.insert", "INSERT INTO cached_answers VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)");
const TAG = statement("cache.tag", "INSERT INTO cache_tags SELECT DISTINCT tag, $1, $2 FROM unnest($3::text[]) AS tag");
const GROW = statement("cache.grow", "UPDATE cache_bytes SET bytes = bytes + $1 WHERE part = $2");

/** Deletes what `where` finds and returns how many; the sum of bytes follows in the same statement. Its part is the last parameter. */
function drop(name: string, where: string, part: number): Statement {
  return statement(
    `cache.${name}`,
    `WITH gone AS (DELETE FROM cached_answers WHERE ${where} RETURNING bytes),
          shrunk AS (UPDATE cache_bytes SET bytes = bytes - (SELECT coalesce(sum(bytes), 0) FROM gone) WHERE part = $${part})
     SELECT count(*) AS rows FROM gone`,
  );
}
const some = (where: string): string =>
  `ctid = ANY (ARRAY (SELECT ctid FROM cached_answers WHERE ${where} LIMIT $2 FOR UPDATE SKIP LOCKED))`;

const REMOVE = drop("remove", "scope = $1 AND key = $2", 3);
const EVICT = drop("evict", "ctid = ANY (ARRAY (SELECT ctid FROM cached_answers ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED))", 2);
const EXPIRE = drop("expire", some("expires_at <= $1::bigint"), 3);
const FORGET: Readonly<Record<CacheSelection["kind"], Statement>> = {
  all: drop("forget-all", some("$1::text IS NOT NULL"), 3),
  tag: drop("forget-tag", some("(scope, key) IN (SELECT scope, key FROM cache_tags WHERE tag = $1)"), 3),
  model: drop("forget-model", some("model = $1"), 3),
  target: drop("forget-target", some("target = $1"), 3),
  scope: drop("forget-scope", some("scope = $1"), 3),
};

async function dropped(session: Session, what: Statement, values: readonly Value[]): Promise<number> {
  return (await session.rows<{ readonly rows: number }>(what, values))[0]?.rows ?? 0;
}

async function generationOf(session: Session, what: Statement): Promise<number> {
  return (await session.rows<{ readonly generation: number }>(what))[0]?.generation ?? 0;
}

async function makeRoom({ session, part }: BatchContext, bytes: number, maxBytes: number): Promise<void> {
  for (;;) {
    const held = (await session.rows<{ readonly bytes: number }>(BYTES))[0]?.bytes ?? 0;
    if (held + bytes <= maxBytes || (await dropped(session, EVICT, [EVICTED, part])) === 0) return;
  }
}

export const cacheWrites = {
  keepCached: async (batch, args) => {
    const [scope, key, model, target, tags, createdAt, freshUntil, expiresAt, generation, maxBytes, content] = args;
    const { session, sealer, part } = batch;
    if ((await generationOf(session, GENERATION_HELD)) !== generation) return false;
    const sealed = sealer.seal(content, identity(scope, key));
    const bytes = sealed.bytes.length;
    await dropped(session, REMOVE, [scope, key, part]);
    if (bytes > maxBytes) return false;
    await makeRoom(batch, bytes, maxBytes);
    const times = [createdAt, freshUntil, expiresAt];
    await session.changes(INSERT, [scope, key, model, target, ...times, tags, bytes, sealed.keyId, sealed.bytes]);
    const names = JSON.parse(tags) as readonly string[];
    if (names.length > 0) await session.changes(TAG, [scope, key, arrayOf(names)]);
    await session.changes(GROW, [bytes, part]);
    return true;
  },
  forgetCached: async ({ session, part }, [kind, value, limit]) => {
    await session.changes(BUMP);
    return dropped(session, FORGET[kind], [value, limit, part]);
  },
  expireCached: ({ session, part }, [now, limit]) => dropped(session, EXPIRE, [now, limit, part]),
} satisfies Partial<PostgresWrites>;

const READ = statement(
  "cache.read",
  `SELECT model, target, created_at, fresh_until, expires_at, tags, key_id, sealed FROM cached_answers
   WHERE scope = $1 AND key = $2 AND expires_at > $3`,
);

export const cacheReads = {
  cached: async (session, [scope, key, now], sealer) => {
    const [columns] = await session.rows<AnswerColumns>(READ, [scope, key, now]);
    const content = columns && sealer.open({ keyId: columns.key_id, bytes: columns.sealed }, identity(scope, key));
    if (columns === undefined || content === undefined) return undefined;
    return {
      scope,
      key,
      model: columns.model,
      target: columns.target,
      tags: JSON.parse(columns.tags) as readonly string[],
      createdAt: columns.created_at,
      freshUntil: columns.fresh_until,
      expiresAt: columns.expires_at,
      content,
    };
  },
  cacheGeneration: (session) => generationOf(session, GENERATION),
} satisfies Partial<PostgresReads>;

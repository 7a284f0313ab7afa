import type { DatabaseSync } from "node:sqlite";
import type { ReadTable, WriteTable } from "../backend.ts";
import { type AnswerColumns, EVICTED, identity } from "../cache-columns.ts";
import type { Sealer } from "../sealing/sealer.ts";

/** Deletions keep the sum of bytes and the tags in step by triggers; see the migration. */
export function cacheWrites(database: DatabaseSync, sealer: Sealer): Pick<WriteTable, "keepCached" | "forgetCached" | "expireCached"> {
  const state = database.prepare("SELECT generation, bytes FROM serving.cache_state");
  const bump = database.prepare("UPDATE serving.cache_state SET generation = generation + 1");
  const remove = database.prepare("DELETE FROM serving.cached_answers WHERE scope = ? AND key = ?");
  const insert = database.prepare("INSERT INTO serving.cached_answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  const tag = database.prepare("INSERT OR IGNORE INTO serving.cache_tags VALUES (?, ?, ?)");
  const grow = database.prepare("UPDATE serving.cache_state SET bytes = bytes + ?");
  const evict = database.prepare(
    "DELETE FROM serving.cached_answers WHERE rowid IN (SELECT rowid FROM serving.cached_answers ORDER BY expires_at LIMIT ?)",
  );
  const drop = (where: string) =>
    database.prepare(
      `DELETE FROM serving.cached_answers WHERE rowid IN (SELECT rowid FROM serving.cached_answers WHERE ${where} LIMIT ?2)`,
    );
  const forget = {
    all: drop("?1 = ?1"),
    tag: drop("(scope, key) IN (SELECT scope, key FROM serving.cache_tags WHERE tag = ?1)"),
    model: drop("model = ?1"),
    target: drop("target = ?1"),
    scope: drop("scope = ?1"),
  };
  const expire = drop("expires_at <= ?1");
  const stateNow = (): { readonly generation: number; readonly bytes: number } =>
    state.get() as unknown as { readonly generation: number; readonly bytes: number };
  return {
    keepCached: ([scope, key, model, target, tags, createdAt, freshUntil, expiresAt, generation, maxBytes, content]) => {
      if (stateNow().generation !== generation) return false;
      const sealed = sealer.seal(content, identity(scope, key));
      const bytes = sealed.bytes.length;
      remove.run(scope, key);
      if (bytes > maxBytes) return false;
      while (stateNow().bytes + bytes > maxBytes && evict.run(EVICTED).changes > 0);
      insert.run(scope, key, model, target, createdAt, freshUntil, expiresAt, tags, bytes, sealed.keyId, sealed.bytes);
      for (const name of JSON.parse(tags) as readonly string[]) tag.run(name, scope, key);
      grow.run(bytes);
      return true;
    },
    forgetCached: ([kind, value, limit]) => {
      bump.run();
      return Number(forget[kind].run(value, limit).changes);
    },
    expireCached: ([now, limit]) => Number(expire.run(now, limit).changes),
  };
}

export function cacheReads(database: DatabaseSync, sealer: Sealer): Pick<ReadTable, "cached" | "cacheGeneration"> {
  const read = database.prepare(
    "SELECT model, target, created_at, fresh_until, expires_at, tags, key_id, sealed FROM serving.cached_answers WHERE scope = ? AND key = ? AND expires_at > ?",
  );
  const generation = database.prepare("SELECT generation FROM serving.cache_state");
  return {
    cached: ([scope, key, now]) => {
      const columns = read.get(scope, key, now) as AnswerColumns | undefined;
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
    cacheGeneration: () => Number(generation.get()?.["generation"]),
  };
}

import { describe, expect, it } from "vitest";
import type { CachedAnswer, CacheStore, Stores } from "../../src/canon/index.ts";
import { START } from "../stores/rows.ts";

const LARGE = 1_000_000;

export function cachedAnswer(key: string, change: Partial<CachedAnswer> = {}): CachedAnswer {
  return {
    scope: "s1",
    key,
    model: "fast",
    target: "lab/small",
    tags: ["doc-1", "doc-2"],
    createdAt: START,
    freshUntil: START + 1000,
    expiresAt: START + 2000,
    content: `{"said":"twice – \u0000 ${key}"}`,
    ...change,
  };
}

/** What every store of kept answers promises. `open` gives empty stores, which the suite closes. */
export function cacheContract(name: string, open: () => Promise<Stores>): void {
  const withCache = (use: (cache: CacheStore) => Promise<void>) => async (): Promise<void> => {
    const stores = await open();
    try {
      await use(stores.cache);
    } finally {
      await stores.close();
    }
  };
  const keep = async (cache: CacheStore, ...answers: readonly CachedAnswer[]): Promise<void> => {
    for (const answer of answers) expect(await cache.keep(answer, await cache.generation(), LARGE)).toBe(true);
  };
  const left = async (cache: CacheStore, ...keys: readonly string[]): Promise<string[]> => {
    const found = await Promise.all(keys.map((key) => cache.read("s1", key, START)));
    return found.flatMap((answer) => answer?.key ?? []);
  };
  describe(`${name}: kept answers`, () => {
    it(
      "gives an answer back as it was, to its own scope, until it expires",
      withCache(async (cache) => {
        await keep(cache, cachedAnswer("k1"));
        expect(await cache.read("s1", "k1", START + 1999)).toEqual(cachedAnswer("k1"));
        expect(await cache.read("s1", "k1", START + 2000)).toBeUndefined();
        expect(await cache.read("s2", "k1", START)).toBeUndefined();
        expect(await cache.read("s1", "k2", START)).toBeUndefined();
      }),
    );
    it(
      "puts a new answer in place of the old one, tags included",
      withCache(async (cache) => {
        const next = cachedAnswer("k1", { tags: ["doc-3"], content: "new", expiresAt: START + 5000 });
        await keep(cache, cachedAnswer("k1"), next);
        expect(await cache.read("s1", "k1", START + 3000)).toEqual(next);
        expect(await cache.forget({ kind: "tag", value: "doc-1" })).toBe(0);
        expect(await cache.forget({ kind: "tag", value: "doc-3" })).toBe(1);
      }),
    );
    it(
      "forgets by tag, alias, target, scope, and everything",
      withCache(async (cache) => {
        const all = async (): Promise<void> =>
          keep(
            cache,
            cachedAnswer("k1", { tags: ["red"] }),
            cachedAnswer("k2", { model: "slow", tags: [] }),
            cachedAnswer("k3", { target: "lab/big", tags: ["red", "blue"] }),
            cachedAnswer("k4", { scope: "s2", tags: [] }),
          );
        await all();
        expect(await cache.forget({ kind: "tag", value: "red" })).toBe(2);
        expect(await left(cache, "k1", "k2", "k3")).toEqual(["k2"]);
        await all();
        expect(await cache.forget({ kind: "model", value: "slow" })).toBe(1);
        expect(await cache.forget({ kind: "target", value: "lab/big" })).toBe(1);
        expect(await cache.forget({ kind: "scope", value: "s2" })).toBe(1);
        expect(await left(cache, "k1", "k2", "k3")).toEqual(["k1"]);
        await all();
        expect(await cache.forget({ kind: "all" })).toBe(4);
        expect(await cache.forget({ kind: "all" })).toBe(0);
      }),
    );
    it(
      "keeps nothing that began before something was forgotten",
      withCache(async (cache) => {
        const before = await cache.generation();
        await cache.forget({ kind: "tag", value: "anything" });
        expect(await cache.generation()).toBeGreaterThan(before);
        expect(await cache.keep(cachedAnswer("k1"), before, LARGE)).toBe(false);
        expect(await left(cache, "k1")).toEqual([]);
      }),
    );
    it(
      "stays within its bound: what expires soonest gives way",
      withCache(async (cache) => {
        const content = "x".repeat(1000);
        const generation = await cache.generation();
        // One eviction may take a portion, so there are more answers than a portion holds.
        for (let number = 0; number < 60; number++)
          await cache.keep(cachedAnswer(`k${number}`, { content, expiresAt: START + 1000 + number }), generation, 50_000);
        const kept = await left(cache, ...Array.from({ length: 60 }, (_, number) => `k${number}`));
        expect(kept.length).toBeLessThanOrEqual(50);
        expect(kept.length).toBeGreaterThan(10);
        expect(kept).toContain("k59");
        expect(kept).not.toContain("k0");
        expect(await cache.keep(cachedAnswer("huge", { content: "x".repeat(60_000) }), generation, 50_000)).toBe(false);
      }),
    );
    it(
      "forgets what has expired",
      withCache(async (cache) => {
        await keep(cache, cachedAnswer("k1"), cachedAnswer("k2", { expiresAt: START + 9000 }));
        expect(await cache.expire(START + 2000)).toBe(1);
        expect(await cache.expire(START + 2000)).toBe(0);
        expect(await left(cache, "k1", "k2")).toEqual(["k2"]);
      }),
    );
  });
}

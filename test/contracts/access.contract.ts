import { describe, expect, it } from "vitest";
import type { Denial, Stores } from "../../src/canon/index.ts";
import { keyRecord, START } from "../stores/rows.ts";

const denial = (id: string, more: Partial<Denial> = {}): Denial => ({
  id,
  kind: "subject",
  issuer: "lab",
  value: `subject of ${id}`,
  author: "admin",
  createdAt: START,
  ...more,
});

/** What every `KeyStore` promises of what stands beside its keys: accounts that change, bounds of groups, denials. */
export function accessContract(name: string, open: () => Promise<Stores>): void {
  const withStores = (use: (stores: Stores) => Promise<void>) => async (): Promise<void> => {
    const stores = await open();
    try {
      await use(stores);
    } finally {
      await stores.close();
    }
  };

  describe(`${name}: what stands beside the keys`, () => {
    it(
      "changes every key of an account and no other, member by member",
      withStores(async ({ keys }) => {
        const scopes = { models: ["fast"], tier: 2 };
        const first = keyRecord("key_1", { team: "search", tags: ["a"], scopes, limits: [{ requests: 5, per: "minute" }] });
        const second = keyRecord("key_2", { ...first, id: "key_2", hash: "hash-key_2", account: "key_1", revokedAt: START + 3 });
        const other = keyRecord("key_3", { team: "search" });
        for (const key of [first, second, other]) await keys.create(key);
        const before = await keys.generation();
        const change = { name: "new", team: null, project: "site", scopes: { tier: null, tools: ["clock"] } } as const;
        expect(await keys.edit("key_1", change)).toBe(true);
        expect(await keys.generation()).toBeGreaterThan(before);
        const { team: _team, ...rest } = first;
        const after = { ...rest, name: "new", project: "site", scopes: { models: ["fast"], tools: ["clock"] } };
        expect(await keys.byHash("hash-key_1")).toEqual(after);
        expect(await keys.byHash("hash-key_2")).toEqual({
          ...after,
          id: "key_2",
          hash: "hash-key_2",
          prefix: second.prefix,
          account: "key_1",
          revokedAt: START + 3,
        });
        expect(await keys.byHash("hash-key_3")).toEqual(other);
        expect(await keys.edit("key_9", change)).toBe(false);
        expect(await keys.edit("key_1", { tags: null, limits: [], budgets: null })).toBe(true);
        const { tags: _tags, ...untagged } = after;
        expect(await keys.byHash("hash-key_1")).toEqual({ ...untagged, limits: [] });
      }),
    );

    it(
      "keeps what a team or project may do, and forgets it when nothing is left of it",
      withStores(async ({ keys }) => {
        expect(await keys.bounds()).toEqual([]);
        const before = await keys.generation();
        const metadata = { allow: { feature: ["a*"] }, force: { unit: "7" } };
        expect(await keys.bound("team", "search", { models: ["fast"], metadata })).toEqual({ models: ["fast"], metadata });
        expect(await keys.bound("team", "search", { tier: 1, models: null })).toEqual({ tier: 1, metadata });
        await keys.bound("project", "search", { tools: [] });
        expect(await keys.generation()).toBeGreaterThan(before);
        expect(await keys.bounds()).toEqual([
          { group: "project", name: "search", scopes: { tools: [] } },
          { group: "team", name: "search", scopes: { tier: 1, metadata } },
        ]);
        expect(await keys.bound("team", "search", { tier: null, metadata: null })).toEqual({});
        expect((await keys.bounds()).map(({ group }) => group)).toEqual(["project"]);
      }),
    );

    it(
      "loses no change when two come at once",
      withStores(async ({ keys }) => {
        await keys.create(keyRecord("key_1", { scopes: {} }));
        await Promise.all([
          ...[1, 2, 3].map((tier) => keys.bound("team", "search", { tier })),
          keys.bound("team", "search", { models: ["fast"] }),
          keys.edit("key_1", { scopes: { tools: ["clock"] } }),
          keys.edit("key_1", { scopes: { models: ["fast"] } }),
        ]);
        expect((await keys.bounds())[0]?.scopes).toMatchObject({ models: ["fast"], tier: expect.any(Number) });
        expect((await keys.byHash("hash-key_1"))?.scopes).toEqual({ models: ["fast"], tools: ["clock"] });
      }),
    );

    it(
      "denies until it is lifted or ends",
      withStores(async ({ keys }) => {
        const brief = denial("deny_1", { kind: "session", reason: "signed out", expiresAt: START + 10 });
        const lasting = denial("deny_2", { kind: "token", createdAt: START + 1 });
        const before = await keys.generation();
        await keys.deny(lasting);
        await keys.deny(brief);
        expect(await keys.generation()).toBeGreaterThan(before);
        expect(await keys.denials(START + 9)).toEqual([brief, lasting]);
        expect(await keys.denials(START + 10)).toEqual([lasting]);
        expect(await keys.allow("deny_2")).toBe(true);
        expect(await keys.allow("deny_2")).toBe(false);
        // What has ended is forgotten with the next one.
        await keys.deny(denial("deny_3", { createdAt: START + 10 }));
        expect((await keys.denials(START)).map(({ id }) => id)).toEqual(["deny_3"]);
      }),
    );

    it(
      "leaves a note with each of these changes, and none where nothing changed",
      withStores(async ({ keys, audit }) => {
        await keys.create(keyRecord("key_1"));
        const note = (id: string) => ({ id, at: START, actor: "admin", action: "test", subject: "x", outcome: "done" }) as const;
        await keys.edit("key_1", { name: "n" }, note("aud_1"));
        await keys.edit("key_9", { name: "n" }, note("aud_2"));
        await keys.bound("team", "t", { tier: 1 }, note("aud_3"));
        await keys.deny(denial("deny_1"), note("aud_4"));
        await keys.allow("deny_9", note("aud_5"));
        await keys.allow("deny_1", note("aud_6"));
        const ids = (await audit.read(0, 100)).map(({ text }) => (JSON.parse(text) as { id: string }).id);
        expect(ids).toEqual(["aud_1", "aud_3", "aud_4", "aud_6"]);
      }),
    );
  });
}

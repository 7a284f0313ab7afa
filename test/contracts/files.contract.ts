import { describe, expect, it } from "vitest";
import type { Batch, KeptFile, KeptLine, Stores } from "../../src/canon/index.ts";
import { START } from "../stores/rows.ts";

const file = (id: string, more: Partial<KeptFile> = {}): KeptFile => ({
  scope: "team",
  id,
  name: "../ä/etc/passwd",
  purpose: "batch",
  bytes: 6,
  createdAt: START,
  expiresAt: START + 1000,
  ...more,
});
const batch = (id: string, more: Partial<Batch> = {}): Batch => ({
  scope: "team",
  id,
  dialect: "d",
  createdAt: START,
  deadline: START + 500,
  expiresAt: START + 1000,
  caller: { id: "team", scope: "team", name: "t", scopes: {}, limits: [], anonymous: false },
  inputFile: "f",
  total: 3,
  ...more,
});
const line = (number: number, outcome: KeptLine["outcome"] = "ok"): KeptLine => ({ line: number, outcome, text: `{"n":${number}}` });
const bytes = (text: string): Uint8Array => Buffer.from(text);
const ids = (entries: readonly { readonly id: string }[]): readonly string[] => entries.map(({ id }) => id);

/** What every `FileStore` and `BatchStore` promises. */
export function fileContract(name: string, open: () => Promise<Stores>): void {
  const using = (work: (stores: Stores) => Promise<void>) => async (): Promise<void> => {
    const stores = await open();
    try {
      await work(stores);
    } finally {
      await stores.close();
    }
  };

  describe(`${name}: files`, () => {
    it(
      "keeps pieces in their places, for their owner, until they expire or are deleted",
      using(async ({ files }) => {
        await files.keepPiece("team", "f", 0, START + 1000, bytes("abc"));
        await files.keepPiece("team", "f", 1, START + 1000, bytes("xxx"));
        await files.keepPiece("team", "f", 1, START + 1000, bytes("def"));
        await files.keepPiece("team", "f1", 0, START + 1000, bytes("other"));
        expect(await files.read("team", "f", START)).toBeUndefined();
        expect(await files.keep(file("f"), 6)).toBe(true);
        expect(await files.read("team", "f", START)).toEqual(file("f"));
        expect(await files.read("others", "f", START)).toBeUndefined();
        expect(await files.readPiece("others", "f", 0)).toBeUndefined();
        expect(await files.read("team", "f", START + 1000)).toBeUndefined();
        expect(Buffer.from((await files.readPiece("team", "f", 0)) ?? "").toString()).toBe("abc");
        expect(Buffer.from((await files.readPiece("team", "f", 1)) ?? "").toString()).toBe("def");
        expect(await files.readPiece("team", "f", 2)).toBeUndefined();
        expect(await files.delete("others", "f")).toBe(false);
        expect(await files.delete("team", "f")).toBe(true);
        expect(await files.delete("team", "f")).toBe(false);
        expect(await files.readPiece("team", "f", 0)).toBeUndefined();
        expect(await files.readPiece("team", "f1", 0)).toBeDefined();
      }),
    );

    it(
      "holds each caller to its bytes, lists in pages, and forgets",
      using(async ({ files }) => {
        expect(await files.keep(file("a"), 12)).toBe(true);
        expect(await files.keep(file("b", { createdAt: START + 1, purpose: "user_data" }), 12)).toBe(true);
        expect(await files.keep(file("c", { createdAt: START + 2 }), 12)).toBe(false);
        expect(await files.keep(file("c", { scope: "others" }), 12)).toBe(true);
        expect(await files.keep(file("b", { createdAt: START + 1 }), 12)).toBe(true);
        expect(await files.keep(file("c", { createdAt: START + 2, expiresAt: START + 5000, purpose: "user_data" }), 100)).toBe(true);
        const first = await files.list("team", { limit: 2 }, START);
        expect([ids(first.entries), first.more]).toEqual([["c", "b"], true]);
        const next = await files.list("team", { limit: 2, after: "b" }, START);
        expect([ids(next.entries), next.more]).toEqual([["a"], false]);
        expect(ids((await files.list("team", { limit: 9, oldestFirst: true, after: "a" }, START)).entries)).toEqual(["b", "c"]);
        expect(ids((await files.list("team", { limit: 9, purpose: "user_data" }, START)).entries)).toEqual(["c"]);
        expect((await files.list("team", { limit: 9, after: "nothing" }, START)).entries).toEqual([]);
        expect(await files.expire(START + 1000)).toBe(3);
        expect(ids((await files.list("team", { limit: 9 }, START)).entries)).toEqual(["c"]);
      }),
    );
  });

  describe(`${name}: batches`, () => {
    it(
      "are held by one at a time, who alone writes",
      using(async ({ batches }) => {
        expect(await batches.create(batch("b1"), 2)).toBe(true);
        expect(await batches.create(batch("b2", { createdAt: START + 1 }), 2)).toBe(true);
        expect(await batches.create(batch("b3"), 2)).toBe(false);
        expect(await batches.keepLine("team", "b1", "one", START + 1000, line(1))).toBe(false);
        expect(ids(await batches.lease("one", START, START + 100, 1))).toEqual(["b1"]);
        expect(ids(await batches.lease("two", START, START + 100, 9))).toEqual(["b2"]);
        expect(ids(await batches.lease("one", START + 50, START + 150, 1))).toEqual(["b1"]);
        expect(await batches.keepLine("team", "b1", "one", START + 1000, line(2))).toBe(true);
        expect(await batches.keepLine("team", "b1", "one", START + 1000, { ...line(2, "failed"), text: "another" })).toBe(true);
        expect(await batches.keepLine("team", "b1", "two", START + 1000, line(1))).toBe(false);
        expect(await batches.update(batch("b1", { startedAt: START }), "two", false)).toBe(false);
        expect(await batches.lease("two", START + 149, START + 200, 9)).toHaveLength(1);
        expect(await batches.lease("two", START + 150, START + 300, 9)).toHaveLength(2);
        expect(await batches.keepLine("team", "b1", "one", START + 1000, line(1))).toBe(false);
        expect(await batches.keepLine("team", "b1", "two", START + 1000, line(10, "expired"))).toBe(true);
        expect(await batches.keepLine("team", "b1", "two", START + 1000, line(1, "failed"))).toBe(true);
        expect(await batches.linesDone("team", "b1")).toEqual([1, 2, 10]);
        expect(await batches.counts("team", "b1")).toEqual({ ok: 1, failed: 1, cancelled: 0, expired: 1 });
        expect(await batches.counts("others", "b1")).toEqual({ ok: 0, failed: 0, cancelled: 0, expired: 0 });
        expect(await batches.lines("team", "b1", 1, 1)).toEqual([line(2)]);
        expect(await batches.lines("team", "b1", 2, 9)).toEqual([line(10, "expired")]);
        await batches.release("two");
        expect(await batches.lease("one", START + 151, START + 300, 9)).toHaveLength(2);
        await batches.release(undefined);
        expect(await batches.lease("two", START + 152, START + 300, 9)).toHaveLength(2);
      }),
    );

    it(
      "are cancelled by anybody who may, end once, and go with their lines",
      using(async ({ batches, files }) => {
        await batches.create(batch("b1"), 9);
        expect(await batches.cancel("others", "b1", START + 7)).toBe(false);
        expect(await batches.cancel("team", "b1", START + 7)).toBe(true);
        expect(await batches.cancel("team", "b1", START + 8)).toBe(true);
        const [held] = await batches.lease("one", START, START + 100, 9);
        expect(held).toEqual(batch("b1", { cancelledAt: START + 7 }));
        await batches.keepLine("team", "b1", "one", START + 1000, line(1));
        expect(await batches.delete("team", "b1")).toBe(false);
        const ended = batch("b1", { ended: { at: START + 9, as: "cancelled" }, counts: { ok: 1, failed: 0, cancelled: 2, expired: 0 } });
        expect(await batches.update(ended, "one", false)).toBe(true);
        expect(await batches.update(ended, "one", false)).toBe(false);
        expect(await batches.cancel("team", "b1", START + 9)).toBe(false);
        expect(await batches.keepLine("team", "b1", "one", START + 1000, line(2))).toBe(false);
        expect(await batches.lease("one", START + 500, START + 600, 9)).toEqual([]);
        expect(await batches.read("team", "b1", START)).toEqual({ ...ended, cancelledAt: START + 7 });
        expect(await batches.read("others", "b1", START)).toBeUndefined();
        await batches.create(batch("b2", { createdAt: START + 1 }), 1);
        const page = await batches.list("team", "d", { limit: 1 }, START);
        expect([ids(page.entries), page.more]).toEqual([["b2"], true]);
        expect(ids((await batches.list("team", "d", { limit: 9, after: "b2" }, START)).entries)).toEqual(["b1"]);
        expect((await batches.list("team", "e", { limit: 9 }, START)).entries).toEqual([]);
        expect(await batches.delete("others", "b1")).toBe(false);
        expect(await batches.delete("team", "b1")).toBe(true);
        expect(await batches.linesDone("team", "b1")).toEqual([]);
        await batches.lease("one", START, START + 100, 9);
        await batches.keepLine("team", "b2", "one", START + 1000, line(1));
        expect(await batches.update(batch("b2", { ended: { at: START, as: "completed" } }), "one", true)).toBe(true);
        expect(await batches.linesDone("team", "b2")).toEqual([]);
        expect(await files.expire(START + 1000)).toBe(1);
        expect(await batches.read("team", "b2", START)).toBeUndefined();
      }),
    );
  });
}

import { describe, expect, it } from "vitest";
import type { PackedContent, Stores } from "../../src/canon/index.ts";
import { START } from "../stores/rows.ts";

const DAY = 86_400_000;

/** What a policy of so many days would hand over. */
export function packedContent(
  callId: string,
  days: number,
  change: { readonly caller?: string; readonly endUser?: string; readonly at?: number } = {},
): PackedContent {
  const at = change.at ?? START + 5;
  return [
    callId,
    change.caller ?? "key_1",
    change.endUser ?? null,
    at,
    at + days * DAY,
    JSON.stringify({ prompt: { of: callId, text: "ä\u0000\u{1f600}" } }),
  ];
}

/** What every store of prompts and answers promises. `open` gives empty stores, which the suite closes. */
export function contentContract(name: string, open: () => Promise<Stores>): void {
  describe(`${name}: stored prompts and answers`, () => {
    const withStores = async (work: (stores: Stores) => Promise<void>): Promise<void> => {
      const stores = await open();
      try {
        await work(stores);
      } finally {
        await stores.close();
      }
    };
    const keep = ({ content }: Stores, ...entries: readonly PackedContent[]): Promise<void> => content.keep(JSON.stringify(entries));

    it("are read by their call until they expire, and the first of a call stays", () =>
      withStores(async (stores) => {
        await keep(stores, packedContent("c1", 2), packedContent("c2", 30));
        await keep(stores, [...packedContent("c1", 2).slice(0, 5), '"other"'] as unknown as PackedContent);
        expect(await stores.content.read("c1", START + 5, START + 6)).toEqual({
          callId: "c1",
          callerId: "key_1",
          at: START + 5,
          expiresAt: START + 5 + 2 * DAY,
          content: { prompt: { of: "c1", text: "ä\u0000\u{1f600}" } },
        });
        expect(await stores.content.read("c1", START + 5, START + 5 + 2 * DAY - 1)).toBeDefined();
        expect(await stores.content.read("c1", START + 5, START + 5 + 2 * DAY)).toBeUndefined();
        expect(await stores.content.read("c9", START + 5, START)).toBeUndefined();
        expect((await stores.content.read("c2", START + 5, START + 5 + 2 * DAY))?.callId).toBe("c2");
      }));

    it("are dropped by days as a whole, when the day on which they expire is over", () =>
      withStores(async (stores) => {
        await keep(
          stores,
          packedContent("c1", 1),
          packedContent("c2", 2),
          packedContent("c3", 2),
          packedContent("c4", 1, { at: START + DAY }),
        );
        expect(await stores.content.partitions()).toEqual([
          { expires: "2026-01-02", calls: 1 },
          { expires: "2026-01-03", calls: 3 },
        ]);
        expect(await stores.content.drop(START + 2 * DAY - 1)).toBe(0);
        expect(await stores.content.drop(START + 2 * DAY)).toBe(1);
        expect(await stores.content.partitions()).toEqual([{ expires: "2026-01-03", calls: 3 }]);
        expect((await stores.content.drop(START + 3 * DAY)) > 0).toBe(true);
        expect(await stores.content.partitions()).toEqual([]);
        // The same day may come again where a clock stepped back.
        await keep(stores, packedContent("c5", 1));
        expect((await stores.content.read("c5", START + 5, START + 6))?.callId).toBe("c5");
      }));

    it("are erased by call, caller and end user, over all days", () =>
      withStores(async (stores) => {
        await keep(
          stores,
          packedContent("c1", 1, { endUser: "aa" }),
          packedContent("c2", 2, { endUser: "aa", caller: "key_2" }),
          packedContent("c3", 3, { caller: "key_2" }),
          packedContent("c4", 4),
          packedContent("c5", 5, { endUser: "bb" }),
        );
        const left = async (): Promise<string[]> => {
          const found = await Promise.all(["c1", "c2", "c3", "c4", "c5"].map((id) => stores.content.read(id, START + 5, START + 6)));
          return found.flatMap((one) => one?.callId ?? []);
        };
        expect(await stores.content.erase({ kind: "call", value: "c4" })).toBe(1);
        expect(await left()).toEqual(["c1", "c2", "c3", "c5"]);
        expect(await stores.content.erase({ kind: "endUser", value: "aa" })).toBe(2);
        expect(await left()).toEqual(["c3", "c5"]);
        expect(await stores.content.erase({ kind: "caller", value: "key_2" })).toBe(1);
        expect(await left()).toEqual(["c5"]);
        expect(await stores.content.erase({ kind: "caller", value: "c5" })).toBe(0);
      }));

    it("are kept by many at once, a new day among them", () =>
      withStores(async (stores) => {
        await Promise.all(Array.from({ length: 20 }, (_, place) => keep(stores, packedContent(`p${place}`, 1 + (place % 4)))));
        expect((await stores.content.partitions()).map(({ calls }) => calls)).toEqual([5, 5, 5, 5]);
      }));
  });

  describe(`${name}: lineage handed over packed`, () => {
    it("is found as if it had come one by one", async () => {
      const stores = await open();
      const record = (callId: string): string =>
        JSON.stringify({ callId, callerId: "key_1", at: START, prompt: "p", tools: [], calls: [], documents: [] });
      try {
        await stores.lineage.keepPacked(
          JSON.stringify([
            ["c1", START, ["in sha256:aa", "out sha256:bb"], record("c1")],
            ["c2", START + 1, ["in sha256:aa", "in sha256:aa"], record("c2")],
            ["c1", START + 2, ["in sha256:cc"], record("c9")],
          ]),
        );
        expect((await stores.lineage.read("c1"))?.callId).toBe("c1");
        expect((await stores.lineage.find("in", "sha256:aa", 9)).map(({ callId }) => callId)).toContain("c2");
        expect((await stores.lineage.find("out", "sha256:bb", 9)).map(({ callId }) => callId)).toEqual(["c1"]);
      } finally {
        await stores.close();
      }
    });
  });
}

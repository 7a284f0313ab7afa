import { describe, expect, it } from "vitest";
import type { LineageRecord, Stores } from "../../src/canon/index.ts";
import { START } from "../stores/rows.ts";

export function lineageRecord(callId: string, change: Partial<LineageRecord> = {}): LineageRecord {
  return {
    callId,
    callerId: "key_1",
    at: START,
    prompt: "sha256:aa",
    output: "sha256:bb",
    tools: [{ id: "t1", name: "search", result: "sha256:cc" }],
    calls: [],
    documents: [{ kind: "user", hash: "sha256:dd" }],
    ...change,
  };
}

/** What every store of lineage promises. `open` gives empty stores, which the suite closes. */
export function lineageContract(name: string, open: () => Promise<Stores>): void {
  describe(`${name}: lineage`, () => {
    it("finds records by call and by link, newest first, until they are old", async () => {
      const stores = await open();
      const { lineage } = stores;
      try {
        await lineage.keep(lineageRecord("c1"), [
          ["out", "sha256:bb"],
          ["in", "sha256:dd"],
          ["in", "sha256:dd"],
        ]);
        await lineage.keep(lineageRecord("c2", { at: START + 5 }), [["out", "sha256:bb"]]);
        await lineage.keep(lineageRecord("c3", { at: START + 9 }), [["in", "sha256:bb"]]);
        await lineage.keep(lineageRecord("c1", { prompt: "sha256:other" }), []);
        expect(await lineage.read("c1")).toEqual(lineageRecord("c1"));
        expect(await lineage.read("c9")).toBeUndefined();
        const ids = async (role: "in" | "out", hash: string, limit = 10): Promise<string[]> =>
          (await lineage.find(role, hash, limit)).map(({ callId }) => callId);
        expect(await ids("out", "sha256:bb")).toEqual(["c2", "c1"]);
        expect(await ids("out", "sha256:bb", 1)).toEqual(["c2"]);
        expect(await ids("in", "sha256:bb")).toEqual(["c3"]);
        expect(await ids("in", "sha256:dd")).toEqual(["c1"]);
        expect(await lineage.expire(START + 5)).toBe(1);
        expect(await ids("out", "sha256:bb")).toEqual(["c2"]);
        expect(await ids("in", "sha256:dd")).toEqual([]);
      } finally {
        await stores.close();
      }
    });
  });
}

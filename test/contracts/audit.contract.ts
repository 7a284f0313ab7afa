import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { AuditNote, AuditRecord, Stores } from "../../src/canon/index.ts";
import { keyRecord, START } from "../stores/rows.ts";

export function auditNote(id: string, change: Partial<AuditNote> = {}): AuditNote {
  return { id, at: START, actor: "admin", action: "key.create", subject: `key:${id}`, outcome: "done", ...change };
}
const actions = (records: readonly AuditRecord[]): unknown[] =>
  records.map(({ text }) => [(JSON.parse(text) as AuditNote).action, (JSON.parse(text) as AuditNote).subject]);

/** What every implementation of the audit store promises. `open` gives empty stores, which the suite closes. */
export function auditContract(name: string, open: () => Promise<Stores>): void {
  const withStores = (use: (stores: Stores) => Promise<void>) => async (): Promise<void> => {
    const stores = await open();
    try {
      await use(stores);
    } finally {
      await stores.close();
    }
  };
  describe(`${name}: audit`, () => {
    it(
      "chains entries by hash, without gaps, in canonical text",
      withStores(async ({ audit }) => {
        expect(await audit.head()).toBeUndefined();
        const links = await Promise.all(
          Array.from({ length: 30 }, (_, number) => audit.append(auditNote(`a${number}`, { details: { z: 1, a: "ü\u0000" } }))),
        );
        const records = await audit.read(0, 1000);
        expect(records.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 30 }, (_, number) => number + 1));
        expect(records.map(({ sequence, hash }) => ({ sequence, hash }))).toEqual(links);
        let previous = "0".repeat(64);
        for (const { text, hash, sequence } of records) {
          expect(JSON.parse(text)).toMatchObject({ sequence, previous });
          expect(hash).toBe(createHash("sha256").update(text).digest("hex"));
          previous = hash;
        }
        expect(records[0]?.text).toBe(
          `{"action":"key.create","actor":"admin","at":${START},"details":{"a":"ü\\u0000","z":1},"id":"a0","outcome":"done","previous":"${"0".repeat(64)}","sequence":1,"subject":"key:a0"}`,
        );
        expect(await audit.head()).toEqual(links.at(-1));
        expect((await audit.read(10, 3)).map(({ sequence }) => sequence)).toEqual([11, 12, 13]);
        expect(await audit.read(30, 10)).toEqual([]);
      }),
    );
    it(
      "keeps a note that comes twice once",
      withStores(async ({ audit }) => {
        const first = await audit.append(auditNote("a"));
        await audit.append(auditNote("b"));
        expect(await audit.append(auditNote("a"))).toEqual(first);
        expect((await audit.head())?.sequence).toBe(2);
      }),
    );
    it(
      "keeps a note with its change, and none where nothing changed",
      withStores(async (stores) => {
        const { audit, keys, config, switches, cache } = stores;
        await keys.create(keyRecord("k1"), auditNote("n1"));
        await expect(keys.create(keyRecord("k1"), auditNote("n2"))).rejects.toThrow("exists already");
        expect(await keys.revoke("k1", START, auditNote("n3", { action: "key.revoke" }))).toBe(true);
        expect(await keys.revoke("k1", START, auditNote("n4", { action: "key.revoke" }))).toBe(false);
        const entry = { createdAt: START, author: "admin", text: "version: 1" };
        const change = { action: "config.change", subject: "configuration" };
        expect((await config.append(entry, undefined, auditNote("n5", change))).version).toBe(1);
        expect((await config.append({ ...entry, createdAt: START + 5 }, undefined, auditNote("n6", change))).version).toBe(1);
        await expect(config.append({ ...entry, text: "x" }, 7, auditNote("n7", change))).rejects.toThrow("has changed meanwhile");
        const kill = { id: "kill_1", kind: "kill", scope: "all", value: "*", author: "admin", createdAt: START } as const;
        await switches.put(kill, auditNote("n8", { action: "switch.kill", subject: "all:*" }));
        expect(await switches.remove("none", auditNote("n9"))).toBe(false);
        expect(await switches.remove("kill_1", auditNote("n10", { action: "switch.lift", subject: "switch:kill_1" }))).toBe(true);
        await cache.forget({ kind: "all" }, auditNote("n11", { action: "cache.forget", subject: "all" }));
        expect(actions(await audit.read(0, 100))).toEqual([
          ["key.create", "key:n1"],
          ["key.revoke", "key:n3"],
          ["config.change", "configuration:1"],
          ["switch.kill", "all:*"],
          ["switch.lift", "switch:kill_1"],
          ["cache.forget", "all"],
        ]);
      }),
    );
    it(
      "tells other processes of a noted change as of any other",
      withStores(async ({ keys }) => {
        const before = await keys.generation();
        await keys.create(keyRecord("k1"), auditNote("n1"));
        expect(await keys.generation()).toBeGreaterThan(before);
      }),
    );
    it(
      "keeps the first checkpoint of a size, and gives them in order",
      withStores(async ({ audit }) => {
        expect(await audit.lastCheckpoint()).toBeUndefined();
        for (const size of [3, 1, 3, 2])
          await audit.keepCheckpoint({ size, at: START + size, note: `note ${size}\n`, frontier: size === 1 ? [] : ["aa", "bb"] });
        expect((await audit.checkpoints(0, 100)).map(({ size }) => size)).toEqual([1, 2, 3]);
        expect((await audit.checkpoints(1, 1))[0]).toEqual({ size: 2, at: START + 2, note: "note 2\n", frontier: ["aa", "bb"] });
        expect((await audit.lastCheckpoint())?.size).toBe(3);
      }),
    );
  });
}

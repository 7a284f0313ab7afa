import { describe, expect, it } from "vitest";
import type { AuditNote, Stores, ToolPin } from "../../src/canon/index.ts";
import { START } from "../stores/rows.ts";

const pin = (tool: string, hash: string, more: Partial<ToolPin> = {}): ToolPin => ({
  server: "files",
  tool,
  hash,
  author: "admin",
  createdAt: START,
  ...more,
});
const note = (id: string): AuditNote => ({ id, at: START, actor: "admin", action: "tool.pin", subject: "tool:x", outcome: "done" });

/** What every `ToolPinStore` promises. */
export function pinContract(name: string, open: () => Promise<Stores>): void {
  describe(`${name}: pins of tools`, () => {
    it("keeps one pin of a tool, the first where nobody may take its place, and audits what it did", async () => {
      const stores = await open();
      try {
        const { toolPins, audit, keys } = stores;
        const before = await keys.generation();
        expect(await toolPins.pin(pin("read", "a", { author: "first-use" }), true, note("n1"))).toMatchObject({ hash: "a" });
        expect(await toolPins.pin(pin("read", "b", { author: "first-use", createdAt: START + 1 }), true, note("n2"))).toMatchObject({
          hash: "a",
          createdAt: START,
        });
        expect(await toolPins.pin(pin("list", "c"), false)).toEqual(pin("list", "c"));
        expect(await toolPins.pin(pin("read", "d", { createdAt: START + 2 }), false, note("n3"))).toMatchObject({ hash: "d" });
        expect(await toolPins.list()).toEqual([pin("list", "c"), pin("read", "d", { createdAt: START + 2 })]);
        const kept = (await audit.read(0, 10)).map(({ text }) => (JSON.parse(text) as AuditNote).id);
        expect(kept).toEqual(["n1", "n3"]);
        expect(await toolPins.unpin("files", "read")).toBe(true);
        expect(await toolPins.unpin("files", "read")).toBe(false);
        expect(await toolPins.list()).toEqual([pin("list", "c")]);
        if (name !== "memory") expect(await keys.generation()).toBeGreaterThan(before);
      } finally {
        await stores.close();
      }
    });

    it("tells of changes", async () => {
      const stores = await open();
      try {
        const told = new Promise<void>((resolve) => void stores.toolPins.watch(resolve));
        await stores.toolPins.pin(pin("read", "a"), true);
        await told;
        expect(await stores.toolPins.list()).toHaveLength(1);
      } finally {
        await stores.close();
      }
    });
  });
}

import { describe, expect, it } from "vitest";
import { ManualClock } from "../../src/kit/index.ts";
import { collectEverything, Reclaimer, trim } from "../../src/wire/reclaim.ts";

/** Memory is returned where Node can call the C library, and that is glibc. */
const returns = canTrim();

function canTrim(): boolean {
  if (process.platform !== "linux" || !process.allowedNodeEnvironmentFlags.has("--experimental-ffi")) return false;
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  return header.glibcVersionRuntime !== undefined;
}

describe("memory after a crowd", () => {
  it("is reclaimed once when most of a crowd has left, and again only after another crowd", () => {
    const clock = new ManualClock();
    let collected = 0;
    const reclaimer = new Reclaimer(clock, () => collected++);
    const crowd = (size: number): void => {
      for (let open = 1; open <= size; open++) reclaimer.opened(open);
      for (let open = size - 1; open >= 0; open--) reclaimer.closed(open);
      clock.advance(5_000);
    };
    crowd(1_999);
    expect(collected).toBe(0);
    crowd(2_000);
    expect(collected).toBe(1);
    for (let nth = 0; nth < 5_000; nth++) {
      reclaimer.opened(1);
      reclaimer.closed(0);
    }
    clock.advance(5_000);
    expect(collected).toBe(1);
    crowd(9_000);
    expect(collected).toBe(2);
  });

  it("is returned without a word, and others' warnings are still told", async () => {
    const warned: unknown[] = [];
    const listener = (warning: unknown): void => void warned.push(warning);
    process.on("warning", listener);
    trim();
    process.emitWarning("still told");
    await new Promise<void>((resolve) => process.nextTick(resolve));
    process.off("warning", listener);
    expect(warned).toMatchObject([{ message: "still told" }]);
  });

  it.skipIf(!returns)("is returned to the system although what is still needed lies between", async () => {
    const blocks = Array.from({ length: 40_000 }, () => new ArrayBuffer(2_000));
    for (const block of blocks) new Uint8Array(block).fill(1);
    const kept = blocks.filter((_, place) => place % 100 === 0);
    blocks.length = 0;
    await collectEverything();
    const { rss } = process.memoryUsage();
    trim();
    expect(rss - process.memoryUsage().rss).toBeGreaterThan(20_000_000);
    expect(kept.every((block) => new Uint8Array(block).every((byte) => byte === 1))).toBe(true);
  });

  it("is collected for real without an error", () => {
    const clock = new ManualClock();
    const reclaimer = new Reclaimer(clock);
    reclaimer.opened(2_000);
    reclaimer.closed(0);
    expect(() => clock.advance(5_000)).not.toThrow();
  });
});

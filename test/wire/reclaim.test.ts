import { describe, expect, it } from "vitest";
import { ManualClock } from "../../src/kit/index.ts";
import { Reclaimer } from "../../src/wire/reclaim.ts";

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

  it("is collected for real without an error", () => {
    const clock = new ManualClock();
    const reclaimer = new Reclaimer(clock);
    reclaimer.opened(2_000);
    reclaimer.closed(0);
    expect(() => clock.advance(5_000)).not.toThrow();
  });
});

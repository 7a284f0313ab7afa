import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { systemClock } from "../../src/kit/index.ts";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => void vi.useRealTimers());

describe("long timers of the machine's clock", () => {
  it("ring once, never early and hardly late, each on its own", () => {
    const rang: string[] = [];
    const start = performance.now();
    systemClock.after(5000, () => rang.push("five"));
    vi.advanceTimersByTime(10);
    systemClock.after(5000, () => rang.push("later"));
    systemClock.after(60_000, () => rang.push("minute"));
    while (rang.length === 0) vi.advanceTimersByTime(1);
    expect(performance.now() - start).toBeGreaterThanOrEqual(5000);
    expect(performance.now() - start).toBeLessThan(5100);
    vi.advanceTimersByTime(100_000);
    // Those of one slot ring in no order.
    expect(rang.slice(0, 2).toSorted()).toEqual(["five", "later"]);
    expect(rang.slice(2)).toEqual(["minute"]);
  });

  it("do not ring when taken back, not even by another of the same moment", () => {
    const rang: string[] = [];
    const takeBack = systemClock.after(5000, () => rang.push("never"));
    const first = systemClock.after(5000, () => {
      rang.push("first");
      second();
    });
    const second = systemClock.after(5000, () => {
      rang.push("second");
      first();
    });
    takeBack();
    takeBack();
    vi.advanceTimersByTime(10_000);
    expect(rang).toHaveLength(1);
  });
});

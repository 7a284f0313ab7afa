import { describe, expect, it } from "vitest";
import { ManualClock, nearest, SeededRandomness, SystemRandomness } from "../../src/kit/index.ts";

describe("ids and randomness", () => {
  it("gives ids that are unique and sort by time", () => {
    const source = new SystemRandomness();
    const ids = Array.from({ length: 5000 }, () => source.id("call_"));
    expect(new Set(ids).size).toBe(5000);
    expect(ids[0]).toMatch(/^call_[0-9a-z]{22}$/);
    expect(ids.map((id) => id.slice(5, 15)).toSorted()).toEqual(ids.map((id) => id.slice(5, 15)));
  });

  it("repeats a seeded run exactly and stays in [0, 1)", () => {
    const draw = (seed: number): number[] => {
      const source = new SeededRandomness(seed);
      return Array.from({ length: 1000 }, () => source.number());
    };
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
    expect(Math.min(...draw(7))).toBeGreaterThanOrEqual(0);
    expect(Math.max(...draw(7))).toBeLessThan(1);
    expect(draw(7).reduce((sum, value) => sum + value, 0) / 1000).toBeCloseTo(0.5, 1);
  });
});

describe("the manual clock", () => {
  it("calls timers in order, also those set on the way, and none that were cancelled", () => {
    const clock = new ManualClock(0);
    const calls: string[] = [];
    clock.after(20, () => calls.push(`b${clock.now()}`));
    clock.after(10, () => {
      calls.push(`a${clock.now()}`);
      clock.after(5, () => calls.push(`c${clock.now()}`));
    });
    clock.after(12, () => calls.push("never"))();
    clock.advance(30);
    expect(calls).toEqual(["a10", "c15", "b20"]);
    expect(clock.monotonic()).toBe(30);
  });
});

describe("nearest", () => {
  it("names what was probably meant, and nothing when nothing is like it", () => {
    expect(nearest("provders", ["models", "providers", "sim"])).toBe("providers");
    expect(nearest("gpt-5-minni", ["gpt-5", "gpt-5-mini"])).toBe("gpt-5-mini");
    expect(nearest("zzzzzzzz", ["models", "providers"])).toBeUndefined();
  });
});

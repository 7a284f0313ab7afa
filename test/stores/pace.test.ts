import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DEFAULT_STORAGE } from "../../src/stores/options.ts";
import { Pace } from "../../src/stores/pace.ts";

describe("the pace of commits", () => {
  let left = 0;
  const pace = (): Pace => new Pace({ ...DEFAULT_STORAGE, flushMs: 2, busyRows: 32, busyMs: 8 }, () => left++);
  beforeEach(() => {
    vi.useFakeTimers();
    left = 0;
  });
  afterEach(() => void vi.useRealTimers());

  /** After how many milliseconds what was just added leaves. */
  function waited(): number {
    const before = left;
    for (let ms = 0; ms < 20; ms++) {
      if (left > before) return ms;
      vi.advanceTimersByTime(1);
    }
    return Number.NaN;
  }

  it("is quick for a row alone, slower where rows share commits, slowest in a busy gateway, and quick again after", () => {
    const paced = pace();
    const wait = (rows: number): number => {
      paced.left(rows);
      paced.wait(true);
      return waited();
    };
    paced.wait(true);
    expect(waited()).toBe(2);
    expect([1, 2, 31, 32, 500, 31, 1, 0].map(wait)).toEqual([2, 4, 4, 8, 8, 4, 2, 2]);
  });

  it("never keeps somebody waiting longer than rows alone would wait", () => {
    for (const rows of [1, 2, 500]) {
      const paced = pace();
      paced.left(rows);
      paced.wait(true);
      paced.wait(false);
      expect(waited()).toBe(2);
      paced.wait(false);
      paced.wait(true);
      expect(waited()).toBe(2);
    }
  });

  it("does not make rows wait where waiting is switched off", () => {
    const paced = new Pace({ ...DEFAULT_STORAGE, flushMs: 0, busyMs: 0 }, () => left++);
    paced.left(500);
    paced.wait(true);
    expect(waited()).toBeLessThanOrEqual(1);
    const even = new Pace({ ...DEFAULT_STORAGE, flushMs: 2, busyMs: 0 }, () => left++);
    even.left(5);
    even.wait(true);
    expect(waited()).toBe(2);
  });
});

import { describe, expect, it } from "vitest";
import { Hedges } from "../../src/routing/hedge.ts";

const TARGET = { provider: "lab", model: "m" };
const HEDGE = { afterPercentile: 95, maxShare: 0.1 };

describe("hedges", () => {
  it("wait as long as the wanted share of the newest beginnings took", () => {
    const hedges = new Hedges();
    for (let ms = 1; ms <= 9; ms++) hedges.began(TARGET, ms);
    expect(hedges.waitMs(TARGET, HEDGE)).toBeUndefined();
    for (let ms = 10; ms <= 100; ms++) hedges.began(TARGET, ms);
    expect(hedges.waitMs(TARGET, HEDGE)).toBe(95);
    expect(hedges.waitMs(TARGET, { ...HEDGE, afterPercentile: 50 })).toBe(50);
    expect(hedges.waitMs({ ...TARGET, model: "other" }, HEDGE)).toBeUndefined();
    // The newest count: what was slow once is forgotten.
    for (let turn = 0; turn < 128; turn++) hedges.began(TARGET, 3);
    expect(hedges.waitMs(TARGET, HEDGE)).toBe(3);
  });

  it("wait as long as is written, whatever was measured", () => {
    expect(new Hedges().waitMs(TARGET, { ...HEDGE, afterMs: 40 })).toBe(40);
  });

  it("are no more than their share of the calls, and a few saved up", () => {
    const hedges = new Hedges();
    let spent = 0;
    for (let call = 0; call < 1000; call++) {
      hedges.earn("alias", HEDGE);
      if (hedges.spend("alias")) spent++;
    }
    expect(spent).toBeGreaterThanOrEqual(100);
    expect(spent).toBeLessThanOrEqual(102);
    for (let call = 0; call < 1000; call++) hedges.earn("alias", HEDGE);
    let atOnce = 0;
    while (hedges.spend("alias")) atOnce++;
    expect(atOnce).toBe(2);
    hedges.earn("none", { ...HEDGE, maxShare: 0 });
    expect(hedges.spend("none")).toBe(false);
  });
});

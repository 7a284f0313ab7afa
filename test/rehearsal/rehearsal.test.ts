import { describe, expect, it } from "vitest";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { CONFIG, play } from "./support.ts";

const MIX = { model: "fast", promptTokens: [50, 500], outputTokens: [20, 200] };
const LOAD = { callsPerSecond: 4, mix: [MIX] };
const AT = { at: "20s", for: "20s" };
const BASE = { duration: "1m", load: LOAD };

describe("a rehearsal without incidents", () => {
  it("answers everything, of the first target, at the price of one attempt", async () => {
    const { calls, targets, phases, health } = await play(BASE);
    expect(calls.calls).toBeGreaterThan(150);
    expect(calls).toMatchObject({ successShare: 1, damaged: 0, retries: 0, failovers: 0, addedNanodollars: 0, unpriced: 0 });
    expect(targets.map(({ target, attempts }) => [target, attempts])).toEqual([["lab/small", calls.calls]]);
    expect(phases).toHaveLength(1);
    expect(health).toEqual([]);
    expect(calls.ttftMs?.p50).toBeGreaterThan(400);
    expect(calls.ttftMs?.p50).toBeLessThan(600);
    expect(calls.costNanodollars).toBeGreaterThan(0);
  });

  it("repeats exactly, and not with another seed", async () => {
    const scenario = { ...BASE, incidents: [{ ...AT, target: "lab", kind: "cut", share: 0.5 }] };
    const first = JSON.stringify(await play(scenario));
    expect(JSON.stringify(await play(scenario))).toBe(first);
    expect(JSON.stringify(await play(scenario, { seed: 2 }))).not.toBe(first);
  });

  it("reads whole answers and streams in every language, also of a provider of another one", async () => {
    for (const dialect of dialects.keys()) {
      for (const model of ["alone", "other"]) {
        const mix = [{ ...MIX, model, dialect, stream: 0.5 }];
        const { calls } = await play({ duration: "20s", load: { callsPerSecond: 3, mix } });
        expect([dialect, model, calls.successShare, calls.addedNanodollars]).toEqual([dialect, model, 1, 0]);
      }
    }
  });

  it("lets callers who wait for their answer call again", async () => {
    const { calls } = await play({ duration: "1m", load: { concurrency: 3, mix: [{ ...MIX, model: "alone" }] } });
    expect(calls.successShare).toBe(1);
    // Each call takes about two seconds.
    expect(calls.calls).toBeGreaterThan(40);
    expect(calls.calls).toBeLessThan(300);
  });

  it("books what the gateway asks on its own beside what callers cost", async () => {
    const config = CONFIG.replace("continue: always", "continue: always, shadow: { target: labclaude/large, share: 1 }");
    const { calls, besideNanodollars, targets } = await play(BASE, { config });
    expect(calls).toMatchObject({ successShare: 1, addedNanodollars: 0 });
    expect(targets.map(({ target }) => target)).toEqual(["lab/small"]);
    // At twice the price, less those beyond the shadow's concurrency.
    expect(besideNanodollars / calls.costNanodollars).toBeGreaterThan(1.2);
    expect(besideNanodollars / calls.costNanodollars).toBeLessThan(2);
  });

  it("repeats prompts as caches like it", async () => {
    const { calls } = await play({ duration: "1m", load: { callsPerSecond: 4, mix: [{ ...MIX, model: "kept", repeatShare: 0.5 }] } });
    expect(calls.cacheHits).toBeGreaterThan(calls.calls * 0.3);
    expect(calls.successShare).toBe(1);
  });
});

describe("an incident", () => {
  it("that takes the only target down is what callers are told, and the phases show when", async () => {
    const incidents = [{ ...AT, target: "lab", kind: "down" }];
    const { phases, targets } = await play({ duration: "1m", load: { callsPerSecond: 4, mix: [{ ...MIX, model: "alone" }] }, incidents });
    const [before, during] = phases;
    expect(phases.map(({ fromMs, untilMs, incidents: names }) => [fromMs, untilMs, names])).toEqual([
      [0, 20_000, []],
      [20_000, 40_000, ["down lab"]],
      [40_000, 60_000, []],
    ]);
    // Streams that run when it goes down break.
    expect(before?.figures.problems).toHaveProperty("upstream_broken");
    expect(during?.figures.complete).toBe(0);
    expect(during?.figures.problems).toHaveProperty("upstream_unavailable");
    expect(targets[0]?.problems).toHaveProperty("upstream_unavailable");
  });

  it("of a kind that fails before any output is seen by no caller of an alias with a second target", async () => {
    for (const kind of ["server-error", "overloaded", "rate-limit", "out-of-credit"]) {
      const { calls, targets } = await play({ ...BASE, incidents: [{ ...AT, target: "lab", kind }] });
      expect([kind, calls.complete]).toEqual([kind, calls.calls]);
      expect(targets.map(({ target }) => target)).toEqual(["lab/small", "labclaude/large"]);
    }
  });

  it("of one key is limited to that key", async () => {
    const incidents = [{ at: "0s", target: "lab", key: "lab#2", kind: "out-of-credit" }];
    const { calls } = await play({ duration: "30s", load: { callsPerSecond: 4, mix: [{ ...MIX, model: "alone" }] }, incidents });
    expect(calls.complete).toBeGreaterThan(0);
  });

  it("that slows a target down shows in the times", async () => {
    const incidents = [{ ...AT, target: "lab", kind: "slow", factor: 5 }];
    const { phases } = await play({ duration: "1m", load: { callsPerSecond: 4, mix: [{ ...MIX, model: "alone" }] }, incidents });
    const [before, during] = phases;
    expect((during?.figures.latencyMs?.p50 ?? 0) / (before?.figures.latencyMs?.p50 ?? 1)).toBeGreaterThan(3);
  });

  it("that breaks streams in the middle fails calls of an alias that does not continue", async () => {
    for (const kind of ["cut", "garble", "stall"]) {
      const load = { callsPerSecond: 4, patience: "30s", mix: [{ ...MIX, model: "alone" }] };
      const { calls } = await play({ duration: "20s", load, incidents: [{ at: "0s", target: "lab", kind, share: 0.5 }] });
      const share = 1 - calls.successShare;
      expect([kind, share > 0.3 && share < 0.7]).toEqual([kind, true]);
      expect([kind, calls.damaged]).toEqual([kind, 0]);
    }
  });

  it("of prices sends an alias that minds the cost elsewhere", async () => {
    const load = { callsPerSecond: 4, mix: [{ ...MIX, model: "cheap" }] };
    const { phases } = await play({ duration: "1m", load, incidents: [{ ...AT, target: "lab/small", kind: "price", factor: 10 }] });
    expect(phases.map(({ targets }) => targets.map(({ target }) => target))).toEqual([["lab/small"], ["labclaude/large"], ["lab/small"]]);
  });
});

describe("a plan that survives", () => {
  it("continues broken streams in every language, with no text lost or repeated", async () => {
    for (const dialect of dialects.keys()) {
      const mix = [{ ...MIX, dialect }];
      const incidents = ["cut", "garble"].map((kind) => ({ at: "0s", target: "lab", kind, share: 0.2 }));
      const { calls } = await play({ duration: "30s", load: { callsPerSecond: 4, mix }, incidents });
      expect([dialect, calls.successShare, calls.damaged]).toEqual([dialect, 1, 0]);
      expect(calls.continuations).toBeGreaterThan(5);
      expect(calls.addedNanodollars).toBeGreaterThan(0);
    }
  });

  it("goes on for everybody who shares a stream that breaks, however many", async () => {
    const config = CONFIG.replace(
      /kept: .*/,
      "kept: { targets: [lab/small, labclaude/large], continue: always, cache: { ttlSeconds: 1 } }",
    );
    const load = { callsPerSecond: 20, mix: [{ model: "kept", repeatShare: 0.9, promptTokens: 50, outputTokens: 200 }] };
    const { calls } = await play({ duration: "30s", load, incidents: [{ at: "0s", target: "lab", kind: "cut", share: 0.3 }] }, { config });
    expect(calls).toMatchObject({ successShare: 1, damaged: 0 });
    expect(calls.cacheHits).toBeGreaterThan(100);
  });

  it("gives a slow target a rival, and counts that as neither retry nor failover", async () => {
    const config = CONFIG.replace("continue: always", "continue: always, hedge: { afterMs: 1500, maxShare: 1 }");
    const { calls } = await play({ ...BASE, incidents: [{ ...AT, target: "lab", kind: "slow", factor: 20 }] }, { config });
    expect(calls).toMatchObject({ successShare: 1, retries: 0, failovers: 0 });
    expect(calls.hedges).toBeGreaterThan(20);
    expect(calls.ttftMs?.p99).toBeLessThan(4000);
  });

  it("leaves a target alone that is down, and comes back to it", async () => {
    const { health, targets } = await play({ duration: "2m", load: LOAD, incidents: [{ ...AT, target: "lab", kind: "down" }] });
    const times = (what: string): readonly number[] => health.filter((event) => event.what === what).map(({ atMs }) => atMs);
    expect(times("breaker opened")[0]).toBeGreaterThanOrEqual(20_000);
    expect(times("breaker opened")[0]).toBeLessThan(23_000);
    expect(times("breaker closed")).toHaveLength(1);
    expect(targets.find(({ target }) => target === "lab/small")?.problems["upstream_unavailable"] ?? 0).toBeLessThan(20);
  });
});

describe("what is expected", () => {
  it("is judged over the run and during an incident", async () => {
    const incidents = [{ ...AT, target: "lab", kind: "down", expect: { successShare: 1 } }];
    const load = { callsPerSecond: 4, mix: [{ ...MIX, model: "alone" }] };
    const { met, verdicts } = await play({
      duration: "1m",
      load,
      incidents,
      expect: { successShare: 0.4, damaged: 0, p95: "30s", costUsd: 100 },
    });
    expect(met).toBe(false);
    expect(verdicts.map(({ where, what, met: one }) => [where, what, one])).toEqual([
      ["the whole run", "successShare", true],
      ["the whole run", "p95", true],
      ["the whole run", "costUsd", true],
      ["the whole run", "damaged", true],
      ["during down lab", "successShare", false],
    ]);
  });
});

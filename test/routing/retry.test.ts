import { describe, expect, it } from "vitest";
import { PROBLEM_KINDS, type Problem, type ProblemKind } from "../../src/canon/index.ts";
import { ManualClock, SeededRandomness } from "../../src/kit/index.ts";
import { backoffMs, classOf, isKeysFault, Retries, RetryBudget, type Situation } from "../../src/routing/retry.ts";
import { retryOptions } from "../../src/routing/retry-options.ts";

const problem = (kind: ProblemKind, status?: number, more: Partial<Problem> = {}): Problem => ({
  kind,
  message: "m",
  ...(status !== undefined && { upstream: { status, dialect: "d", provider: "p" } }),
  ...more,
});

const FIRST: Situation = { repeats: 0, retries: 2, another: false, anotherKey: false, keyChanges: 0 };
const retries = (options: object = {}): Retries => new Retries(retryOptions.parse(options), new ManualClock(), new SeededRandomness(3));

describe("what a failure means", () => {
  it.each<[Problem, string]>([
    [problem("upstream_unavailable", 500), "repeat here"],
    [problem("upstream_broken"), "repeat here"],
    [problem("upstream_unavailable", 503), "move on"],
    [problem("upstream_unavailable", 529), "move on"],
    [problem("upstream_unavailable"), "move on"],
    [problem("upstream_unavailable", 500, { retryAfterMs: 10 }), "move on"],
    [problem("upstream_timeout"), "move on"],
    [problem("rate_limited", 429), "move on"],
    [problem("upstream_rejected", 401, { fault: "credentials" }), "move on"],
    [problem("upstream_rejected", 404), "move on"],
    [problem("overloaded"), "move on"],
    [problem("upstream_rejected", 400), "give up"],
    [problem("upstream_rejected", 422), "give up"],
    [problem("invalid_request"), "give up"],
    [problem("cancelled"), "give up"],
    [problem("killed"), "give up"],
    [problem("internal"), "give up"],
  ])("%j: %s", (failure, expected) => expect(classOf(failure)).toBe(expected));

  it("is never a repeat of what the table of problems calls final", () => {
    const every = retries();
    for (const kind of Object.keys(PROBLEM_KINDS) as ProblemKind[]) {
      if (PROBLEM_KINDS[kind].retryable) continue;
      for (const status of [undefined, 400, 401, 404, 500]) expect(every.next(problem(kind, status), FIRST).do).toBe("give up");
    }
  });
});

describe("what comes next", () => {
  it("repeats with a wait, then moves on, then gives up", () => {
    const failed = problem("upstream_unavailable", 500);
    expect(retries().next(failed, FIRST)).toMatchObject({ do: "repeat", countsAs: "repeat" });
    expect(retries().next(failed, { ...FIRST, repeats: 2, another: true })).toEqual({ do: "move on" });
    expect(retries().next(failed, { ...FIRST, repeats: 2 })).toEqual({ do: "give up" });
  });
  it("moves on at once when the target is busy or gone and there is another, and repeats when there is none", () => {
    for (const failed of [problem("upstream_unavailable", 503), problem("upstream_unavailable"), problem("rate_limited", 429)]) {
      expect(retries().next(failed, { ...FIRST, another: true })).toEqual({ do: "move on" });
      expect(retries().next(failed, FIRST).do).toBe("repeat");
    }
  });
  it("takes the next key at once, for nothing, so long as there are keys", () => {
    for (const failed of [problem("rate_limited", 429), problem("upstream_rejected", 401, { fault: "credentials" })]) {
      const step = retries({ budget: { share: 0, perSecond: 0 } }).next(failed, { ...FIRST, retries: 0, another: true, anotherKey: true });
      expect(step).toEqual({ do: "repeat", waitMs: 0, countsAs: "key change" });
      expect(retries().next(failed, { ...FIRST, anotherKey: true, keyChanges: 10, another: true })).toEqual({ do: "move on" });
    }
    expect(isKeysFault(problem("upstream_rejected", 403, { fault: "credentials" }))).toBe(false);
    expect(retries().next(problem("upstream_rejected", 401, { fault: "credentials" }), FIRST)).toEqual({ do: "give up" });
  });
  it("never waits longer than it may, and leaves who asks for longer", () => {
    const asked = (retryAfterMs: number): Problem => problem("rate_limited", 429, { retryAfterMs });
    expect(retries().next(asked(10_001), FIRST)).toEqual({ do: "give up" });
    const step = retries().next(asked(4000), FIRST);
    expect(step.do === "repeat" && step.waitMs).toBeGreaterThanOrEqual(4000);
    expect(step.do === "repeat" && step.waitMs).toBeLessThanOrEqual(4400);
  });
  it("does not ask a target that was shut, nor queue again behind a full queue", () => {
    for (const failed of [problem("upstream_unavailable", undefined, { code: "forced_shut" }), problem("overloaded")]) {
      expect(retries().next(failed, FIRST)).toEqual({ do: "give up" });
      expect(retries().next(failed, { ...FIRST, another: true })).toEqual({ do: "move on" });
    }
  });
  it("moves on or gives up when the budget is spent", () => {
    const poor = retries({ budget: { share: 0.5, perSecond: 0 } });
    const failed = problem("upstream_broken");
    expect(poor.next(failed, FIRST).do).toBe("give up");
    poor.begin();
    poor.begin();
    expect(poor.next(failed, FIRST).do).toBe("repeat");
    expect(poor.next(failed, { ...FIRST, another: true }).do).toBe("move on");
    expect(poor.mayHedge()).toBe(false);
    poor.configure(retryOptions.parse({}));
    expect(poor.mayHedge()).toBe(true);
  });
});

describe("full jitter", () => {
  it("draws anywhere below a bound that doubles up to its limit", () => {
    const bounds = { firstBackoffMs: 100, maxBackoffMs: 1000 };
    const random = new SeededRandomness(5);
    for (let repeat = 0; repeat < 12; repeat++) {
      const bound = Math.min(1000, 100 * 2 ** repeat);
      const waits = Array.from({ length: 300 }, () => backoffMs(repeat, undefined, random.number(), bounds) ?? -1);
      expect(Math.min(...waits)).toBeLessThan(bound * 0.05);
      expect(Math.max(...waits)).toBeGreaterThan(bound * 0.95);
      expect(Math.max(...waits)).toBeLessThan(bound);
    }
  });
});

describe("the retry budget", () => {
  it("never grants more than its share and its seconds", () => {
    for (let seed = 1; seed <= 30; seed++) {
      const random = new SeededRandomness(seed);
      const clock = new ManualClock();
      const share = random.number();
      const perSecond = Math.floor(random.number() * 20);
      const budget = new RetryBudget({ share, perSecond }, clock);
      let calls = 0;
      let granted = 0;
      for (let step = 0; step < 3000; step++) {
        const draw = random.number();
        if (draw < 0.4) {
          budget.earn();
          calls++;
        } else if (draw < 0.95) granted += budget.spend() ? 1 : 0;
        else clock.advance(random.number() * 200);
        expect(granted).toBeLessThanOrEqual(share * calls + perSecond * (1 + clock.monotonic() / 1000) + 1e-6);
      }
      expect(granted).toBeGreaterThan(0);
    }
  });
  it("does not let a long peace pay for a storm", () => {
    const clock = new ManualClock();
    const budget = new RetryBudget({ share: 0.2, perSecond: 10 }, clock);
    for (let call = 0; call < 1_000_00; call++) budget.earn();
    clock.advance(3_600_000);
    let granted = 0;
    while (budget.spend()) granted++;
    expect(granted).toBe(110);
  });
});

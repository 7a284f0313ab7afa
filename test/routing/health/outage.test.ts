import { describe, expect, it } from "vitest";
import type { Problem } from "../../../src/canon/index.ts";
import { SeededRandomness } from "../../../src/kit/index.ts";
import { Retries } from "../../../src/routing/retry.ts";
import { retryOptions } from "../../../src/routing/retry-options.ts";
import { answered, DOWN, setting, type Setting } from "./support.ts";

interface Target {
  readonly provider: string;
  readonly model: string;
}
const FIRST: Target = { provider: "lab", model: "first" };
const SECOND: Target = { provider: "lab", model: "second" };
const RETRIES = 2;

/** What a target answers at a time, with the key it was asked with. */
type World = (target: Target, now: number, key: string | undefined) => Problem | undefined;

/** One call as the pipeline makes it: targets in order, the blocked ones last, each attempt between enter and leave. Returns the attempts made. */
function call(
  { health, clock }: Setting,
  retries: Retries,
  world: World,
): { readonly ok: boolean; readonly asked: readonly string[]; readonly waitedMs: number } {
  retries.begin();
  const targets = [FIRST, SECOND].toSorted((a, b) => Number(isBlocked(a)) - Number(isBlocked(b)));
  function isBlocked({ provider, model }: Target): boolean {
    return health.blocked(provider, model) !== undefined;
  }
  const asked: string[] = [];
  let waitedMs = 0;
  for (const [place, target] of targets.entries()) {
    let repeats = 0;
    let keyChanges = 0;
    for (;;) {
      const entered = health.enter(target);
      let problem: Problem | undefined;
      if (entered.state === "in") {
        asked.push(target.model);
        problem = world(target, clock.monotonic(), entered.credential);
        entered.leave(problem);
        if (!problem) return { ok: true, asked, waitedMs };
      } else if (entered.state === "refused") problem = entered.problem;
      else throw new Error("nothing is limited here");
      const anotherKey = health.anotherKey(target.provider);
      const step = retries.next(problem, { repeats, retries: RETRIES, another: place === 0, anotherKey, keyChanges });
      if (step.do === "give up") return { ok: false, asked, waitedMs };
      if (step.do === "move on") break;
      if (step.countsAs === "repeat") repeats++;
      else keyChanges++;
      waitedMs += step.waitMs;
      clock.advance(step.waitMs);
    }
  }
  return { ok: false, asked, waitedMs };
}

const retriesOf = ({ clock }: Setting): Retries => new Retries(retryOptions.parse({}), clock, new SeededRandomness(1));

describe("an outage of the first target", () => {
  it("costs no caller anything but a few attempts, and ends with one probe", () => {
    const place = setting();
    const retries = retriesOf(place);
    const OUT_FROM = 10_000;
    const OUT_UNTIL = 130_000;
    const world: World = (target, now) => (target === FIRST && now >= OUT_FROM && now < OUT_UNTIL ? DOWN : undefined);
    let failedAttempts = 0;
    let firstGoodAfter: number | undefined;
    for (let turn = 0; turn < 2000; turn++) {
      place.clock.advance(100);
      const now = place.clock.monotonic();
      const { ok, asked, waitedMs } = call(place, retries, world);
      expect([ok, waitedMs]).toEqual([true, 0]);
      failedAttempts += asked.length - 1;
      if (now >= OUT_UNTIL && asked[0] === "first") firstGoodAfter ??= now;
    }
    // Five open it; then one probe after about 1, 2, 4, 8, 16 s, and every half minute.
    expect(failedAttempts).toBeGreaterThanOrEqual(5);
    expect(failedAttempts).toBeLessThanOrEqual(5 + 9);
    expect((firstGoodAfter ?? Number.POSITIVE_INFINITY) - OUT_UNTIL).toBeLessThanOrEqual(30_100);
    expect(place.changes.filter(({ what }) => what === "breaker closed")).toHaveLength(1);
    expect(place.health.describe().targets.map((one) => [one.target, one.state])).toEqual([
      ["lab/first", "closed"],
      ["lab/second", "closed"],
    ]);
  });

  it("of every target fails calls fast, and repeats stay within their budget", () => {
    const place = setting();
    const retries = retriesOf(place);
    let attempts = 0;
    const CALLS = 500;
    for (let turn = 0; turn < CALLS; turn++) {
      const { ok, asked } = call(place, retries, () => answered(500));
      expect(ok).toBe(false);
      attempts += asked.length;
    }
    expect(attempts).toBeLessThan(CALLS);
  });
});

describe("a storm of rate limits on one of two keys", () => {
  it("is seen by no caller", () => {
    const place = setting({}, { providers: new Map([["lab", { credentials: [1, 2].map((at) => ({ id: `lab#${at}`, weight: 1 })) }]]) });
    const retries = retriesOf(place);
    const world: World = (_target, _now, key) => (key === "lab#1" ? answered(429, { retryAfterMs: 5000 }) : undefined);
    let limited = 0;
    for (let turn = 0; turn < 600; turn++) {
      place.clock.advance(100);
      const { ok, asked, waitedMs } = call(place, retries, world);
      expect([ok, waitedMs, asked.at(-1)]).toEqual([true, 0, "first"]);
      limited += asked.length - 1;
    }
    expect(limited).toBeGreaterThanOrEqual(11);
    expect(limited).toBeLessThanOrEqual(13);
  });
});

import { describe, expect, it } from "vitest";
import { answered, attempt, DOWN, permit, refusal, setting, TARGET } from "./support.ts";

const A = { provider: "lab", model: "a" };
const B = { provider: "lab", model: "b" };
const C = { provider: "lab", model: "c" };

const alias = (...targets: readonly { readonly provider: string; readonly model: string }[]): ReadonlyMap<string, { targets: never }> =>
  new Map([["fast", { targets: targets.map((target) => ({ ...target, weight: 1 })) as never }]]);

describe("rate limits of a target", () => {
  it("let it rest as long as it asks, and everybody at once", () => {
    const { health, clock } = setting();
    const running = [permit(health.enter(TARGET)), permit(health.enter(TARGET))];
    running[0]?.leave(answered(429, { retryAfterMs: 3000 }));
    running[1]?.leave(answered(429, { retryAfterMs: 4000 }));
    expect(health.blocked("lab", "small")).toBe("it limits the rate of calls for 4000 ms");
    expect(refusal(health.enter(TARGET))).toMatchObject({ kind: "rate_limited", code: "cooling_down", retryAfterMs: 4000 });
    clock.advance(4000);
    expect(permit(health.enter(TARGET)).state).toBe("in");
  });

  it("that say no time cost concurrency first, then a rest that doubles", () => {
    const { health, clock } = setting();
    const rest = (): number => health.describe().targets[0]?.restMs ?? 0;
    attempt(health, answered(429));
    expect(health.blocked("lab", "small")).toBeUndefined();
    const rests: number[] = [];
    for (let turn = 0; turn < 3; turn++) {
      clock.advance(1);
      attempt(health, answered(429));
      rests.push(rest());
      clock.advance(rest());
    }
    for (const [turn, ms] of rests.entries()) {
      expect(ms).toBeGreaterThanOrEqual(1000 * 2 ** turn);
      expect(ms).toBeLessThanOrEqual(2000 * 2 ** turn);
    }
    clock.advance(1);
    attempt(health);
    attempt(health, answered(429));
    expect(health.blocked("lab", "small")).toBeUndefined();
  });

  it("are believed up to a limit, and never open the breaker", () => {
    const { health, clock } = setting({ cooldown: { longestAskedMs: 10_000 } });
    for (let turn = 0; turn < 20; turn++) {
      attempt(health, answered(429, { retryAfterMs: 86_400_000 }));
      expect(health.describe().targets[0]?.restMs).toBe(10_000);
      clock.advance(10_000);
    }
    expect(health.describe().targets[0]?.state).toBe("closed");
  });
});

describe("how fast a target is", () => {
  it("is a moving average of first events and of tokens a second", () => {
    const { health, clock } = setting();
    const stream = (ttftMs: number, tokens: number, ms: number): void => {
      const one = permit(health.enter(TARGET));
      clock.advance(ttftMs);
      one.started();
      one.started();
      clock.advance(ms);
      one.leave(undefined, tokens);
    };
    expect(health.latency("lab", "small")).toBeUndefined();
    stream(100, 200, 1000);
    expect(health.latency("lab", "small")).toMatchObject({ ttftMs: 100, tokensPerSecond: 200, samples: 1 });
    stream(200, 3, 10);
    expect(health.latency("lab", "small")).toMatchObject({ ttftMs: 120, tokensPerSecond: 200, samples: 2 });
    stream(120, 400, 1000);
    expect(health.latency("lab", "small")).toMatchObject({ ttftMs: 120, tokensPerSecond: 240, samples: 3 });
  });

  it("is taken from whole answers only until there is a stream", () => {
    const { health, clock } = setting();
    const whole = permit(health.enter(TARGET));
    clock.advance(2000);
    whole.leave(undefined, 100);
    expect(health.latency("lab", "small")).toMatchObject({ ttftMs: 2000, tokensPerSecond: 50, samples: 1 });
    const stream = permit(health.enter(TARGET));
    clock.advance(50);
    stream.started();
    stream.leave();
    expect(health.latency("lab", "small")).toMatchObject({ ttftMs: 50, samples: 1 });
  });

  it("says nothing of attempts that failed", () => {
    const { health, clock } = setting();
    const one = permit(health.enter(TARGET));
    clock.advance(9000);
    one.leave(DOWN);
    expect(health.latency("lab", "small")).toBeUndefined();
  });
});

describe("a target far worse than the others of its alias", () => {
  const options = { breaker: { share: 0, failures: 1000 }, ejection: { calls: 10, everyMs: 1000, ejectMs: 5000 } };

  it("is set aside for its failures, and comes back", () => {
    const { health, clock, changes } = setting(options, { aliases: alias(A, B) });
    for (let turn = 0; turn < 20; turn++) {
      attempt(health, turn % 2 ? DOWN : undefined, A);
      attempt(health, undefined, B);
    }
    clock.advance(1000);
    attempt(health, undefined, B);
    expect(health.blocked("lab", "a")).toBe("set aside: 50% of its attempts fail, 0% elsewhere");
    expect(health.setAside("lab", "a")).toBe(true);
    expect(health.blocked("lab", "b")).toBeUndefined();
    expect(changes).toEqual([{ subject: "lab/a", what: "set aside", reason: "50% of its attempts fail, 0% elsewhere" }]);
    // Who has no other target is still served.
    expect(permit(health.enter(A)).state).toBe("in");
    clock.advance(5000);
    expect(health.blocked("lab", "a")).toBeUndefined();
  });

  it("is set aside for being slow", () => {
    const { health, clock } = setting({ ...options, ejection: { ...options.ejection, ejectMs: 60_000 } }, { aliases: alias(A, B, C) });
    for (let turn = 0; turn < 12; turn++) {
      for (const target of [A, B, C]) {
        const one = permit(health.enter(target));
        clock.advance(target === B ? 9000 : 100);
        one.started();
        one.leave();
      }
    }
    expect(health.describe().targets.map((one) => one.state)).toEqual(["closed", "ejected", "closed"]);
    expect(health.latency("lab", "b")?.samples ?? 0).toBeLessThan(3);
  });

  it("is never one of more than half of them", () => {
    const targets = Array.from({ length: 6 }, (_, at) => ({ provider: "lab", model: `m${at}` }));
    const { health, clock } = setting({ ...options, ejection: { ...options.ejection, ejectMs: 60_000 } }, { aliases: alias(...targets) });
    for (let round = 0; round < 40; round++) {
      for (const [at, target] of targets.entries()) attempt(health, at < 2 ? undefined : DOWN, target);
      clock.advance(300);
    }
    const ejected = health.describe().targets.filter((one) => one.state === "ejected").length;
    expect(ejected).toBeGreaterThan(0);
    expect(ejected).toBeLessThanOrEqual(3);
  });

  it("is kept when all are alike, and when it is alone", () => {
    const alike = setting(options, { aliases: alias(A, B) });
    for (let turn = 0; turn < 50; turn++) {
      attempt(alike.health, turn % 2 ? DOWN : undefined, A);
      attempt(alike.health, turn % 2 ? undefined : DOWN, B);
      alike.clock.advance(100);
    }
    expect(alike.health.describe().targets.map((one) => one.state)).toEqual(["closed", "closed"]);
  });
});

describe("a person's word", () => {
  it("goes before health, a target's before its provider's", () => {
    const { health, changes } = setting();
    for (let turn = 0; turn < 5; turn++) attempt(health, DOWN);
    expect(health.force("lab", "small", "open")).toBe(true);
    expect(health.blocked("lab", "small")).toBeUndefined();
    expect(permit(health.enter(TARGET)).state).toBe("in");
    health.force("lab", undefined, "shut");
    expect(health.blocked("lab", "small")).toBeUndefined();
    expect(health.blocked("lab", "other")).toBe("shut by an administrator");
    expect(health.forcedShut("lab", "other")).toBe(true);
    expect(refusal(health.enter(A)).code).toBe("forced_shut");
    health.force("lab", "small", "auto");
    expect(health.forcedShut("lab", "small")).toBe(true);
    health.force("lab", undefined, "auto");
    expect(health.blocked("lab", "small")).toMatch(/breaker/);
    expect(changes.filter(({ what }) => what === "forced")).toHaveLength(4);
  });

  it("comes by switches too, stays through a new configuration, and goes with its switch", () => {
    const { health } = setting();
    const entry = { author: "a", createdAt: 1 };
    health.applySwitches([
      { ...entry, id: "1", kind: "shut", scope: "target", value: "lab/a/b" },
      { ...entry, id: "2", kind: "open", scope: "provider", value: "later" },
      { ...entry, id: "3", kind: "kill", scope: "target", value: "lab/c" },
      { ...entry, id: "4", kind: "shut", scope: "tag", value: "lab" },
    ]);
    expect(health.forcedShut("lab", "a/b")).toBe(true);
    expect(health.blocked("lab", "c")).toBeUndefined();
    health.configure({
      providers: new Map([
        ["later", {}],
        ["lab", {}],
      ]),
      aliases: new Map(),
    });
    expect(health.forcedShut("lab", "a/b")).toBe(true);
    expect(health.describe().providers.map((one) => one.force)).toEqual(["auto", "open"]);
    health.applySwitches([]);
    expect(health.forcedShut("lab", "a/b")).toBe(false);
    expect(health.describe().providers.map((one) => one.force)).toEqual(["auto", "auto"]);
  });

  it("about an unknown provider changes nothing", () => {
    const { health } = setting();
    expect(health.force("nowhere", "x", "shut")).toBe(false);
  });
});

describe("memory", () => {
  it("is bounded: the longest unused targets are forgotten, those in use are not", () => {
    const { health, clock } = setting({ targets: 50 });
    const kept = permit(health.enter(TARGET));
    health.force("lab", "shut", "shut");
    for (let turn = 0; turn < 5000; turn++) {
      clock.advance(1);
      attempt(health, undefined, { provider: "lab", model: `made-up-${turn}` });
    }
    const names = health.describe().targets.map((one) => one.target);
    expect(names.length).toBeLessThanOrEqual(50);
    expect(names).toContain("lab/small");
    expect(names).toContain("lab/shut");
    kept.leave();
  });

  it("of a provider that is gone goes with it", () => {
    const { health } = setting();
    attempt(health);
    health.configure({ providers: new Map([["other", {}]]), aliases: new Map() });
    expect(health.describe().targets).toEqual([]);
    expect(health.describe().providers.map((one) => one.provider)).toEqual(["other"]);
  });

  it("holds a permit that leaves twice only once", () => {
    const { health } = setting();
    const one = permit(health.enter(TARGET));
    one.leave();
    one.leave(DOWN);
    one.started();
    expect(health.describe().targets[0]).toMatchObject({ inFlight: 0, attempts: 1, failures: 0 });
  });
});

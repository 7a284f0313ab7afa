import { describe, expect, it } from "vitest";
import { SeededRandomness } from "../../../src/kit/index.ts";
import type { Permit } from "../../../src/routing/health/index.ts";
import { Window } from "../../../src/routing/health/window.ts";
import { answered, attempt, BROKEN, DOWN, permit, refusal, setting, TARGET } from "./support.ts";

const REST_MS = 2000;

describe("the breaker", () => {
  it("opens after failures in a row, and within ten", () => {
    const { health, changes } = setting();
    let failures = 0;
    while (health.blocked("lab", "small") === undefined) {
      attempt(health, DOWN);
      failures++;
    }
    expect(failures).toBe(5);
    expect(refusal(health.enter(TARGET))).toMatchObject({ kind: "upstream_unavailable", code: "breaker_open" });
    expect(changes.map(({ what, subject }) => [what, subject])).toEqual([["breaker opened", "lab/small"]]);
  });

  it("opens within ten failures when others go well between", () => {
    const { health } = setting();
    let failures = 0;
    for (let turn = 0; health.blocked("lab", "small") === undefined; turn++) {
      if (turn % 2 === 0) attempt(health);
      else {
        attempt(health, BROKEN);
        failures++;
      }
    }
    expect(failures).toBe(10);
  });

  it("lets one probe through after its rest, and closes with it", () => {
    const { health, clock, changes } = setting();
    for (let turn = 0; turn < 5; turn++) attempt(health, DOWN);
    clock.advance(REST_MS);
    expect(health.blocked("lab", "small")).toBeUndefined();
    const probe = permit(health.enter(TARGET));
    expect(health.blocked("lab", "small")).toBe("its probe is under way");
    expect(refusal(health.enter(TARGET)).code).toBe("breaker_open");
    probe.leave();
    expect(health.blocked("lab", "small")).toBeUndefined();
    expect(changes.at(-1)?.what).toBe("breaker closed");
    for (let turn = 0; turn < 4; turn++) attempt(health, DOWN);
    expect(health.blocked("lab", "small")).toBeUndefined();
  });

  it("closes when a stream begins, on parole until it ends", () => {
    const { health, clock } = setting();
    for (let turn = 0; turn < 5; turn++) attempt(health, BROKEN);
    clock.advance(REST_MS);
    const probe = permit(health.enter(TARGET));
    probe.started();
    const second = permit(health.enter(TARGET));
    probe.leave(BROKEN);
    expect(health.blocked("lab", "small")).toMatch(/^its breaker is open/);
    second.leave();
    expect(health.blocked("lab", "small")).toMatch(/^its breaker is open/);
  });

  it("rests longer each time, to a limit, and forgets that after a good end", () => {
    const { health, clock } = setting({ breaker: { openMs: 1000, maxOpenMs: 8000 } });
    const rests: number[] = [];
    const restNow = (): number => health.describe().targets[0]?.restMs ?? 0;
    for (let turn = 0; turn < 5; turn++) attempt(health, DOWN);
    for (let turn = 0; turn < 6; turn++) {
      rests.push(restNow());
      clock.advance(restNow());
      attempt(health, DOWN);
    }
    for (const [times, rest] of rests.entries()) {
      const plain = 1000 * 2 ** times;
      expect(rest).toBeGreaterThanOrEqual(Math.min(8000, plain * 0.8));
      expect(rest).toBeLessThanOrEqual(Math.min(8000, plain * 1.2) + 1);
    }
    clock.advance(restNow());
    attempt(health);
    for (let turn = 0; turn < 5; turn++) attempt(health, DOWN);
    expect(restNow()).toBeLessThanOrEqual(1201);
  });

  it("does not count what began before it opened, nor what says nothing of the target", () => {
    const { health, clock } = setting();
    const early = Array.from({ length: 20 }, () => permit(health.enter(TARGET)));
    for (const one of early.slice(0, 5)) one.leave(DOWN);
    for (const one of early.slice(5)) one.leave(DOWN);
    expect(health.describe().targets[0]?.restMs).toBeLessThanOrEqual(1200);
    clock.advance(REST_MS);
    permit(health.enter(TARGET)).leave({ kind: "cancelled", message: "left" });
    expect(health.blocked("lab", "small")).toBeUndefined();
    permit(health.enter(TARGET)).leave(answered(400));
    expect(health.describe().targets[0]?.state).toBe("closed");
  });

  it("takes a silent probe for a failed one, and its late good end for good news", () => {
    const { health, clock } = setting({ breaker: { probeMs: 5000 } });
    for (let turn = 0; turn < 5; turn++) attempt(health, DOWN);
    clock.advance(REST_MS);
    const probe = permit(health.enter(TARGET));
    clock.advance(5000);
    expect(health.blocked("lab", "small")).toBeUndefined();
    refusal(health.enter(TARGET));
    expect(health.describe().targets[0]?.state).toBe("open");
    probe.leave();
    expect(health.describe().targets[0]?.state).toBe("closed");
  });

  it("is not moved by bad requests and refused callers", () => {
    const { health } = setting();
    for (let turn = 0; turn < 50; turn++) attempt(health, answered(turn % 2 ? 400 : 403));
    expect(health.blocked("lab", "small")).toBeUndefined();
  });

  it("lets no second probe in, whatever happens in whichever order", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = new SeededRandomness(seed);
      const { health, clock } = setting({ breaker: { probeMs: 86_400_000 }, adaptive: { enabled: false } }, {}, seed);
      const running: Permit[] = [];
      let probe: Permit | undefined;
      for (let step = 0; step < 800; step++) {
        const draw = random.number();
        if (draw < 0.4) {
          const before = health.describe().targets[0]?.state ?? "closed";
          const entered = health.enter(TARGET);
          if (before === "half-open") expect([entered.state, probe !== undefined]).not.toEqual(["in", true]);
          if (entered.state === "in") {
            running.push(entered);
            if (before !== "closed") {
              expect(probe).toBeUndefined();
              probe = entered;
            }
          }
        } else if (draw < 0.5) clock.advance(random.number() * 3000);
        else {
          const place = Math.floor(random.number() * running.length);
          const one = running[place];
          if (!one) continue;
          const end = random.number();
          if (end < 0.2) one.started();
          else {
            running.splice(place, 1);
            one.leave(end < 0.6 ? DOWN : end < 0.9 ? undefined : { kind: "cancelled", message: "left" });
          }
          // A probe is one until it ends or its answer begins.
          if (one === probe) probe = undefined;
        }
      }
      for (const one of running) one.leave();
      expect(health.describe().targets[0]?.inFlight).toBe(0);
    }
  });
});

describe("the window", () => {
  it("counts exactly what a list of times would, to a bucket", () => {
    const random = new SeededRandomness(7);
    const window = new Window(1000, 0);
    const seen: { at: number; failed: boolean }[] = [];
    let now = 0;
    for (let step = 0; step < 2000; step++) {
      now += random.number() < 0.02 ? random.number() * 3000 : random.number() * 30;
      const failed = random.number() < 0.3;
      window.add(now, failed);
      seen.push({ at: now, failed });
      const within = (ms: number): number => seen.filter(({ at }) => at > now - ms).length;
      expect(window.calls(now)).toBeGreaterThanOrEqual(within(900));
      expect(window.calls(now)).toBeLessThanOrEqual(within(1000) + 1);
      expect(window.failures(now)).toBeLessThanOrEqual(window.calls(now));
    }
  });
});

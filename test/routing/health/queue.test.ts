import { describe, expect, it } from "vitest";
import { SeededRandomness } from "../../../src/kit/index.ts";
import { priorityOf, type Permit, type Refusal, type Waiting } from "../../../src/routing/health/index.ts";
import { DOWN, permit, refusal, setting, TARGET, waiting, whenDecided, type Setting } from "./support.ts";

function limited(concurrency: number, options: object = {}, ofProvider?: number): Setting {
  const capacity = { models: new Map([["small", concurrency]]), ...(ofProvider !== undefined && { concurrency: ofProvider }) };
  return setting(options, { providers: new Map([["lab", { capacity }]]) });
}

describe("places at a target", () => {
  it("are as many as configured; who comes later waits and gets the next", async () => {
    const { health } = limited(2);
    const first = permit(health.enter(TARGET));
    permit(health.enter(TARGET));
    const third = waiting(health.enter(TARGET));
    first.leave();
    const entered = await third.entered;
    expect(entered.state).toBe("in");
    first.leave();
    expect(health.describe().targets[0]).toMatchObject({ inFlight: 2, queued: 0, concurrency: 2 });
  });

  it("go by priority, then by turn; a second of waiting counts as one step", async () => {
    const { health, clock } = limited(1);
    let running = permit(health.enter(TARGET));
    const order: string[] = [];
    const wait = (name: string, priority: number): void => {
      whenDecided(waiting(health.enter(TARGET, priority)), (entered) => {
        order.push(name);
        if (entered.state === "in") running = entered;
      });
    };
    wait("old and low", 2);
    clock.advance(4000);
    wait("middle, first", 5);
    wait("middle, second", 5);
    wait("high", 9);
    for (let turn = 0; turn < 4; turn++) {
      running.leave();
      await Promise.resolve();
      await Promise.resolve();
    }
    expect(order).toEqual(["high", "old and low", "middle, first", "middle, second"]);
  });

  it("are shared by the provider's targets, highest first", async () => {
    const { health } = limited(10, {}, 1);
    const running = permit(health.enter(TARGET));
    const low = waiting(health.enter({ provider: "lab", model: "a" }, 1));
    const high = waiting(health.enter({ provider: "lab", model: "b" }, 8));
    running.leave();
    const entered = await high.entered;
    expect(low.isOver).toBe(false);
    if (entered.state === "in") entered.leave();
    expect((await low.entered).state).toBe("in");
  });

  it("are refused when too many wait, the lowest first", async () => {
    const { health } = limited(1, { queue: { length: 2 } });
    permit(health.enter(TARGET));
    waiting(health.enter(TARGET, 5));
    const low = waiting(health.enter(TARGET, 3));
    expect(refusal(health.enter(TARGET, 3))).toMatchObject({ kind: "overloaded", code: "queue_full" });
    waiting(health.enter(TARGET, 6));
    expect(await low.entered).toMatchObject({ state: "refused", problem: { code: "queue_full" } });
    expect(health.describe().targets[0]?.queued).toBe(2);
  });

  it("come in time or not at all", async () => {
    const { health, clock } = limited(1, { queue: { timeoutMs: 1000 } });
    permit(health.enter(TARGET));
    const patient = waiting(health.enter(TARGET));
    const hasty = waiting(health.enter(TARGET, 5, 200));
    clock.advance(200);
    expect(await hasty.entered).toMatchObject({ problem: { kind: "overloaded", code: "queue_timeout" } });
    clock.advance(800);
    expect(await patient.entered).toMatchObject({ problem: { code: "queue_timeout" } });
  });

  it("are not waited for at a target that fails or was shut", async () => {
    const { health } = limited(5);
    const running = Array.from({ length: 5 }, () => permit(health.enter(TARGET)));
    const queued = waiting(health.enter(TARGET));
    for (const one of running) one.leave(DOWN);
    expect((await queued.entered).state).toBe("in");

    const other = limited(1);
    permit(other.health.enter(TARGET));
    const stuck = waiting(other.health.enter(TARGET));
    other.health.force("lab", "small", "shut");
    expect(await stuck.entered).toMatchObject({ problem: { code: "forced_shut" } });
  });

  it("refuse at once everybody who waits when the breaker opens", async () => {
    const { health } = limited(1);
    for (let turn = 0; turn < 4; turn++) permit(health.enter(TARGET)).leave(DOWN);
    const running = permit(health.enter(TARGET));
    const queued = [waiting(health.enter(TARGET)), waiting(health.enter(TARGET))];
    running.leave(DOWN);
    for (const one of queued) expect(await one.entered).toMatchObject({ problem: { code: "breaker_open" } });
  });

  it("grow with the configuration", async () => {
    const { health } = limited(1);
    permit(health.enter(TARGET));
    const queued = waiting(health.enter(TARGET));
    health.configure({ providers: new Map([["lab", {}]]), aliases: new Map() });
    expect((await queued.entered).state).toBe("in");
  });

  it("never leak and never exceed their number, whoever leaves, waits, gives up or is late", async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = new SeededRandomness(seed);
      const { health, clock } = limited(3, { queue: { length: 5, timeoutMs: 500 }, breaker: { failures: 1000, share: 0 } }, 4);
      const running: Permit[] = [];
      const queued = new Set<Waiting>();
      const take = (entered: Permit | Refusal): void => {
        if (entered.state === "in") running.push(entered);
      };
      for (let step = 0; step < 400; step++) {
        const draw = random.number();
        if (draw < 0.45) {
          const target = random.number() < 0.6 ? TARGET : { provider: "lab", model: "other" };
          const entered = health.enter(target, Math.floor(random.number() * 10));
          if (entered.state === "waiting") {
            queued.add(entered);
            whenDecided(entered, (outcome) => {
              queued.delete(entered);
              take(outcome);
            });
          } else take(entered);
        } else if (draw < 0.75)
          running.splice(Math.floor(random.number() * running.length), 1)[0]?.leave(random.number() < 0.3 ? DOWN : undefined);
        else if (draw < 0.9) [...queued][Math.floor(random.number() * queued.size)]?.cancel();
        else clock.advance(random.number() * 400);
        await Promise.resolve();
        await Promise.resolve();
        const { targets, providers } = health.describe();
        for (const { target, inFlight, queued: waits } of targets) {
          expect(inFlight).toBeLessThanOrEqual(target === "lab/small" ? 3 : 4);
          expect(waits).toBeLessThanOrEqual(5);
        }
        expect(providers[0]?.inFlight).toBe(running.length);
        expect(running.length).toBeLessThanOrEqual(4);
        expect(targets.reduce((sum, one) => sum + one.queued, 0)).toBe(queued.size);
      }
      for (const one of queued) one.cancel();
      for (const one of running) one.leave();
      await Promise.resolve();
      await Promise.resolve();
      expect(health.describe().providers[0]?.inFlight).toBe(0);
      expect(permit(health.enter(TARGET)).state).toBe("in");
    }
  });
});

describe("adaptive concurrency", () => {
  const overload = { kind: "upstream_unavailable", message: "busy", upstream: { status: 503, dialect: "d", provider: "lab" } } as const;

  it("is cut once for a burst of overloads, and grows by one for each round that goes well", () => {
    const { health } = setting({ breaker: { failures: 1000, share: 0 } });
    const burst = Array.from({ length: 100 }, () => permit(health.enter(TARGET)));
    for (const one of burst) one.leave(overload);
    expect(health.describe().targets[0]?.adaptiveConcurrency).toBe(70);
    const running: Permit[] = [];
    const fill = (): void => {
      for (;;) {
        const entered = health.enter(TARGET);
        if (entered.state === "in") running.push(entered);
        else return waiting(entered).cancel();
      }
    };
    fill();
    expect(running).toHaveLength(70);
    for (let rounds = 1; rounds <= 3; rounds++) {
      // Every place is taken again as soon as it is free: the limit is used up all the time.
      for (let left = running.length; left > 0; left--) {
        running.shift()?.leave();
        fill();
      }
      expect(Math.abs(running.length - 70 - rounds)).toBeLessThanOrEqual(1);
    }
  });

  it("never falls below its least, and is lifted when all was quiet", () => {
    const { health, clock } = setting({ breaker: { failures: 1000, share: 0 }, adaptive: { quietMs: 1000, least: 3 } });
    for (let turn = 0; turn < 20; turn++) {
      clock.advance(1);
      permit(health.enter(TARGET)).leave(overload);
    }
    expect(health.describe().targets[0]?.adaptiveConcurrency).toBe(3);
    clock.advance(1001);
    permit(health.enter(TARGET)).leave();
    expect(health.describe().targets[0]?.adaptiveConcurrency).toBeUndefined();
  });

  it("can be switched off", () => {
    const { health } = setting({ adaptive: { enabled: false } });
    permit(health.enter(TARGET)).leave(overload);
    expect(health.describe().targets[0]?.adaptiveConcurrency).toBeUndefined();
  });
});

describe("priority", () => {
  it.each([
    [undefined, undefined, 5],
    ["2", undefined, 2],
    ["9", undefined, 5],
    ["9", 9, 9],
    ["0", 9, 0],
    ["10", 7, 7],
    ["high", 7, 7],
    ["-1", undefined, 5],
  ])("asked %s with a key of %s is %s", (asked, ofKey, expected) => expect(priorityOf(asked, ofKey)).toBe(expected));
});

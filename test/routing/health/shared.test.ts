import { describe, expect, it } from "vitest";
import type { Credential, Signal, Signals } from "../../../src/canon/index.ts";
import { ManualClock, SeededRandomness } from "../../../src/kit/index.ts";
import { Health, type HealthChange } from "../../../src/routing/health/index.ts";
import { healthOptions } from "../../../src/routing/health/options.ts";
import { RetryBudget, Retries } from "../../../src/routing/retry.ts";
import { retryOptions } from "../../../src/routing/retry-options.ts";
import { SteppingClock } from "../../support/clocks.ts";
import { answered, attempt, BROKEN, DOWN, permit, refusal, TARGET } from "./support.ts";

/** A channel between processes that delivers when the test says so. */
class Wires {
  readonly #listeners: ((signal: Signal) => void)[] = [];
  #underWay: (() => void)[] = [];
  readonly said: Signal[] = [];

  end(): Signals {
    const heard: ((signal: Signal) => void)[] = [];
    const mine = (signal: Signal): void => heard.forEach((listener) => listener(signal));
    this.#listeners.push(mine);
    return {
      tell: (signal) => {
        this.said.push(signal);
        // As between processes: a copy.
        const copy = structuredClone(signal);
        this.#underWay.push(() => this.#listeners.forEach((other) => other !== mine && other(copy)));
      },
      hear: (listener) => {
        heard.push(listener);
        return () => {};
      },
    };
  }

  /** Everything said so far arrives, and what is said upon it. */
  deliver(): void {
    for (let some = this.#underWay.splice(0); some.length > 0; some = this.#underWay.splice(0)) some.forEach((arrive) => arrive());
  }
}

interface Process {
  readonly health: Health;
  readonly changes: HealthChange[];
}

const KEYS: readonly Credential[] = [
  { id: "lab#1", weight: 1 },
  { id: "lab#2", weight: 1 },
];

class Machine {
  readonly clock = new SteppingClock();
  readonly wires = new Wires();
  #seed = 0;

  process(keys: readonly Credential[] = [], options: object = {}): Process {
    const changes: HealthChange[] = [];
    const health = new Health({
      clock: this.clock,
      randomness: new SeededRandomness(++this.#seed),
      options: healthOptions.parse(options),
      signals: this.wires.end(),
      onChange: (change) => changes.push(change),
    });
    health.configure({ providers: new Map([["lab", keys.length > 0 ? { credentials: keys } : {}]]), aliases: new Map() });
    return { health, changes };
  }
}

const stateOf = ({ health }: Process): string | undefined => health.describe().targets[0]?.state;
const open = ({ health }: Process): void => {
  for (let failure = 0; failure < 5; failure++) attempt(health, BROKEN);
};
/** Until the next probe may begin anywhere: a rest of about 1 s, and the others' grace. */
const REST_MS = 1600;

describe("breakers of several processes", () => {
  it("are open in all as soon as one of them has opened, without an attempt of their own", () => {
    const machine = new Machine();
    const [a, b, c] = [machine.process(), machine.process(), machine.process()];
    machine.wires.deliver();
    open(a);
    expect([stateOf(a), stateOf(b)]).toEqual(["open", undefined]);
    machine.wires.deliver();
    for (const other of [b, c]) {
      expect(stateOf(other)).toBe("open");
      expect(refusal(other.health.enter(TARGET)).code).toBe("breaker_open");
      expect(other.changes).toEqual([{ subject: "lab/small", what: "breaker opened", reason: "upstream_broken; another process says so" }]);
    }
  });

  it("make one probe together, the first of whoever opened, and close all by its good end", () => {
    const machine = new Machine();
    const [a, b, c] = [machine.process(), machine.process(), machine.process()];
    open(a);
    machine.wires.deliver();
    let probe;
    for (let waited = 0; !probe && waited < 2000; waited += 10) {
      machine.clock.advance(10);
      for (const { health } of [b, c]) expect(health.enter(TARGET).state).toBe("refused");
      const entered = a.health.enter(TARGET);
      if (entered.state === "in") probe = entered;
    }
    machine.wires.deliver();
    machine.clock.advance(REST_MS);
    for (const one of [a, b, c]) expect(refusal(one.health.enter(TARGET)).code).toBe("breaker_open");
    probe?.leave();
    machine.wires.deliver();
    expect([a, b, c].map(stateOf)).toEqual(["closed", "closed", "closed"]);
    // On parole: one failure opens it again in a process that has not seen it work itself.
    attempt(b.health, BROKEN);
    machine.wires.deliver();
    expect([a, b, c].map(stateOf)).toEqual(["open", "open", "open"]);
  });

  it("rest twice as long after a failed probe, in all of them, whoever made it", () => {
    const machine = new Machine();
    const [a, b] = [machine.process(), machine.process()];
    open(a);
    machine.wires.deliver();
    machine.clock.advance(REST_MS);
    permit(b.health.enter(TARGET)).leave(DOWN);
    machine.wires.deliver();
    for (const one of [a, b]) {
      const rest = one.health.describe().targets[0]?.restMs ?? 0;
      expect(rest).toBeGreaterThanOrEqual(1600);
      expect(rest).toBeLessThanOrEqual(2700);
    }
  });

  it("let somebody else probe when the process that probes is killed, or its probe told nothing", () => {
    const machine = new Machine();
    const [a, b] = [machine.process([], { breaker: { probeMs: 5000 } }), machine.process([], { breaker: { probeMs: 5000 } })];
    open(a);
    machine.wires.deliver();
    machine.clock.advance(REST_MS);
    const probe = permit(a.health.enter(TARGET));
    machine.wires.deliver();
    probe.leave({ kind: "cancelled", message: "gone" });
    expect(b.health.enter(TARGET).state).toBe("refused");
    machine.wires.deliver();
    // The next one is never heard of again.
    permit(b.health.enter(TARGET));
    machine.wires.deliver();
    machine.clock.advance(4999);
    expect(a.health.enter(TARGET).state).toBe("refused");
    machine.clock.advance(5000);
    expect(a.health.enter(TARGET).state).toBe("refused");
    machine.clock.advance(4000);
    permit(a.health.enter(TARGET)).leave();
    expect(stateOf(a)).toBe("closed");
  });

  it("agree when words cross: the newest holds, and of two at one time the opening", () => {
    const machine = new Machine();
    const [a, b, c] = [machine.process(), machine.process(), machine.process()];
    open(a);
    machine.wires.deliver();
    machine.clock.advance(REST_MS);
    // Two probes at once, because neither has heard of the other's.
    const [good, bad] = [permit(a.health.enter(TARGET)), permit(b.health.enter(TARGET))];
    good.leave();
    bad.leave(DOWN);
    expect([stateOf(a), stateOf(b)]).toEqual(["closed", "open"]);
    machine.wires.deliver();
    const states = [a, b, c].map(stateOf);
    expect(new Set(states).size).toBe(1);
    expect(states[0]).toBe("open");
  });

  it("agree also where one machine's clock is an hour ahead, or steps back", () => {
    const machine = new Machine();
    const ahead = new Machine();
    ahead.clock.advance(3_600_000);
    const a = machine.process();
    const other = new Health({
      clock: ahead.clock,
      randomness: new SeededRandomness(9),
      options: healthOptions.parse({}),
      signals: machine.wires.end(),
    });
    other.configure({ providers: new Map([["lab", {}]]), aliases: new Map() });
    const b: Process = { health: other, changes: [] };
    open(b);
    machine.wires.deliver();
    expect(stateOf(a)).toBe("open");
    machine.clock.advance(REST_MS);
    permit(a.health.enter(TARGET)).leave();
    machine.wires.deliver();
    expect([stateOf(a), stateOf(b)]).toEqual(["closed", "closed"]);
    machine.clock.step(-7_200_000);
    open(a);
    machine.wires.deliver();
    expect([stateOf(a), stateOf(b)]).toEqual(["open", "open"]);
  });

  it("tell a process that begins later what they know, and a forgotten provider nothing", () => {
    const machine = new Machine();
    const a = machine.process(KEYS);
    open(a);
    attempt(a.health, answered(401), { provider: "lab", model: "other" });
    machine.wires.deliver();
    const late = machine.process(KEYS);
    expect(stateOf(late)).toBeUndefined();
    machine.wires.deliver();
    expect(stateOf(late)).toBe("open");
    expect(late.health.describe().providers[0]?.keys.map(({ state }) => state)).toContain("refused");
    const stranger = new Health({
      clock: machine.clock,
      randomness: new SeededRandomness(5),
      options: healthOptions.parse({}),
      signals: machine.wires.end(),
    });
    stranger.configure({ providers: new Map([["elsewhere", {}]]), aliases: new Map() });
    machine.wires.deliver();
    expect(stranger.describe().targets).toEqual([]);
  });
});

describe("rests and keys of several processes", () => {
  it("a wait that a provider asks for is kept by all, and the longest holds", () => {
    const machine = new Machine();
    const [a, b] = [machine.process(), machine.process()];
    machine.wires.deliver();
    attempt(a.health, answered(429, { retryAfterMs: 5000 }));
    attempt(b.health, answered(429, { retryAfterMs: 20_000 }));
    machine.wires.deliver();
    for (const one of [a, b]) expect(refusal(one.health.enter(TARGET))).toMatchObject({ code: "cooling_down", retryAfterMs: 20_000 });
    machine.clock.advance(20_001);
    for (const one of [a, b]) permit(one.health.enter(TARGET)).leave();
  });

  it("says a burst of the same limit once", () => {
    const machine = new Machine();
    const [a] = [machine.process(), machine.process()];
    const many = Array.from({ length: 50 }, () => permit(a.health.enter(TARGET)));
    machine.wires.said.length = 0;
    for (const one of many) one.leave(answered(429, { retryAfterMs: 5000 }));
    expect(machine.wires.said).toHaveLength(1);
  });

  it("a refused key rests in all, is tried by one of them, and is back in all when it is taken", () => {
    const machine = new Machine();
    const [a, b] = [machine.process(KEYS), machine.process(KEYS)];
    machine.wires.deliver();
    const first = permit(a.health.enter(TARGET));
    const refused = first.credential;
    first.leave(answered(401));
    machine.wires.deliver();
    for (let call = 0; call < 4; call++) expect(permit(b.health.enter(TARGET)).credential).not.toBe(refused);
    machine.clock.advance(10_001);
    const tries = [a, b, b, a].map(({ health }) => {
      const one = permit(health.enter(TARGET));
      machine.wires.deliver();
      return one;
    });
    const trials = tries.filter(({ probesKey }) => probesKey);
    expect(trials).toHaveLength(1);
    expect(tries.filter(({ credential }) => credential === refused)).toHaveLength(1);
    trials[0]?.leave();
    machine.wires.deliver();
    const states = [a, b].flatMap(({ health }) => health.describe().providers[0]?.keys.map(({ state }) => state) ?? []);
    expect(states).toEqual(["ready", "ready", "ready", "ready"]);
  });
});

describe("the retry budget of several processes", () => {
  it("grants no more repeats a second to all of them than to one", () => {
    const clock = new ManualClock();
    const wires = new Wires();
    const options = retryOptions.parse({ budget: { share: 0, perSecond: 10 } });
    const three = Array.from({ length: 3 }, (_, seed) => new Retries(options, clock, new SeededRandomness(seed), wires.end()));
    let granted = 0;
    for (let second = 0; second < 20; second++) {
      for (let turn = 0; turn < 30; turn++)
        for (const one of three) {
          if (one.mayHedge()) granted++;
          wires.deliver();
        }
      clock.advance(1000);
    }
    expect(granted).toBeGreaterThanOrEqual(180);
    expect(granted).toBeLessThanOrEqual(220);
  });

  it("is never owed more than a second's worth", () => {
    const clock = new ManualClock();
    const budget = new RetryBudget({ share: 0, perSecond: 10 }, clock);
    for (let spent = 0; spent < 1000; spent++) budget.spentElsewhere();
    clock.advance(1101);
    expect(budget.spend()).toBe(true);
  });
});

import { describe, expect, it } from "vitest";
import type { Budget, BudgetStore, Caller, CounterHold, Signal, Signals } from "../../../src/canon/index.ts";
import { ManualClock, SeededRandomness } from "../../../src/kit/index.ts";
import { Coverage, Hold, reserve, Walls, type Cover, type Refusal } from "../../../src/ledger/budgets/index.ts";
import { MemoryCounters } from "../../../src/stores/memory-counters.ts";

const START = Date.UTC(2026, 0, 31, 23, 59, 0);
const caller: Caller = { id: "k", scope: "k", name: "k", team: "t", scopes: {}, limits: [], anonymous: false };
const subject = { caller, model: "m", session: undefined, agent: undefined, turn: undefined };

function budget(spec: Partial<Budget> = {}): Budget {
  return { id: "b", match: {}, nanodollars: 1000, per: "lifetime", timeZone: "UTC", hard: true, ...spec };
}

/** Several nodes in one process, which hear each other at once. */
function cluster(store: BudgetStore, clock: ManualClock): (name: string) => { walls: Walls; coverage: Coverage } {
  const listeners = new Set<(signal: Signal) => void>();
  return (name) => {
    let own: ((signal: Signal) => void) | undefined;
    const signals: Signals = {
      tell: (signal) => {
        for (const listener of listeners) if (listener !== own) listener(signal);
      },
      hear: (listener) => {
        own = listener;
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    };
    const walls = new Walls({ store, signals, clock, node: name });
    return { walls, coverage: new Coverage(walls) };
  };
}

async function settled(clock: ManualClock, turns = 40): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await Promise.resolve();
  clock.advance(0);
}

/** Turns the clock on while it waits: recalls wait for other nodes. */
async function waited<T>(clock: ManualClock, work: T | Promise<T>): Promise<T> {
  const ended = Promise.resolve(work);
  const state = { done: false };
  void ended.finally(() => (state.done = true));
  for (let turn = 0; turn < 200 && !state.done; turn++) {
    await settled(clock);
    if (!state.done) clock.advance(10);
  }
  return ended;
}

const room = (outcome: Hold | Refusal): boolean => outcome instanceof Hold;

describe("walls", () => {
  it("take from a lease without asking anybody, and ask before it is empty", async () => {
    const clock = new ManualClock(START);
    const counters = new MemoryCounters();
    let asked = 0;
    const store: BudgetStore = {
      lease: (...args) => {
        asked++;
        return counters.lease(...args);
      },
      list: (...args) => counters.list(...args),
      expire: (...args) => counters.expire(...args),
    };
    const { coverage } = cluster(store, clock)("a");
    const covers = coverage.of([budget({ nanodollars: 1_000_000 })], subject);
    await reserve(covers, { nanodollars: 1, tokens: 0 }, START, 0);
    asked = 0;
    let late = 0;
    for (let call = 0; call < 1000; call++) {
      const outcome = reserve(covers, { nanodollars: 1, tokens: 0 }, START, 0);
      if (outcome instanceof Promise) late++;
      await outcome;
    }
    expect(late).toBe(0);
    expect(asked).toBe(0);
  });

  it("give what lies unused on another node to a call that needs it", async () => {
    const clock = new ManualClock(START);
    const join = cluster(new MemoryCounters(), clock);
    const [a, b] = [join("a"), join("b")];
    const budgets = [budget()];
    const first = a.coverage.of(budgets, subject);
    expect(room(await waited(clock, reserve(first, { nanodollars: 1, tokens: 0 }, START, clock.monotonic())))).toBe(true);
    const rest = reserve(b.coverage.of(budgets, subject), { nanodollars: 999, tokens: 0 }, START, clock.monotonic());
    expect(room(await waited(clock, rest))).toBe(true);
    const none = reserve(first, { nanodollars: 1, tokens: 0 }, START, clock.monotonic());
    expect(room(await waited(clock, none))).toBe(false);
  });

  it("fail closed where the store cannot be reached, and open where they are told to", async () => {
    const clock = new ManualClock(START);
    const store: BudgetStore = { lease: () => Promise.reject(new Error("gone")), list: async () => [], expire: async () => 0 };
    const { coverage } = cluster(store, clock)("a");
    const ask = async (spec: Partial<Budget>): Promise<Hold | Refusal> =>
      reserve(coverage.of([budget(spec)], subject), { nanodollars: 1, tokens: 0 }, START, 0);
    expect(await ask({ id: "x" })).toMatchObject({ why: "unavailable" });
    expect(room(await ask({ id: "y", failOpen: true }))).toBe(true);
  });

  it("begin a new window where one ends, and the old one again where the clock steps back", async () => {
    const clock = new ManualClock(START);
    const { coverage } = cluster(new MemoryCounters(), clock)("a");
    const covers = coverage.of([budget({ per: "month" })], subject);
    const spend = async (now: number, amount: number): Promise<boolean> => {
      const outcome = await waited(clock, reserve(covers, { nanodollars: amount, tokens: 0 }, now, clock.monotonic()));
      return room(outcome);
    };
    expect(await spend(START, 700)).toBe(true);
    expect(await spend(START + 120_000, 700)).toBe(true);
    expect(await spend(START, 400)).toBe(false);
    expect(await spend(START, 300)).toBe(true);
    expect(await spend(START + 120_000, 400)).toBe(false);
    expect(await spend(START + 120_000, 300)).toBe(true);
  });

  it("return what was leased under an old limit when it is cut", async () => {
    const clock = new ManualClock(START);
    const { coverage } = cluster(new MemoryCounters(), clock)("a");
    const of = (nanodollars: number): readonly Cover[] => coverage.of([budget({ nanodollars })], subject);
    expect(room(await reserve(of(1000), { nanodollars: 10, tokens: 0 }, START, 0))).toBe(true);
    const cut = await waited(clock, reserve(of(12), { nanodollars: 10, tokens: 0 }, START, 0));
    expect(room(cut)).toBe(false);
    const raised = await waited(clock, reserve(of(30), { nanodollars: 10, tokens: 0 }, START, 0));
    expect(room(raised)).toBe(true);
  });
});

interface Running {
  readonly hold: Hold;
  readonly holds: readonly CounterHold[];
  readonly node: string;
  readonly amount: number;
}

describe("a budget under anything that may happen", () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])("is never passed where reservations are exact (seed %i)", async (seed) => {
    const randomness = new SeededRandomness(seed);
    const pick = <T>(some: readonly T[]): T | undefined => some[Math.floor(randomness.number() * some.length)];
    const clock = new ManualClock(START);
    const counters = new MemoryCounters();
    const join = cluster(counters, clock);
    let born = 0;
    const begin = (): { name: string; coverage: Coverage } => {
      const name = `n${++born}`;
      return { name, ...join(name) };
    };
    const nodes = [begin(), begin(), begin()];
    const budgets = [
      budget({ nanodollars: 500 }),
      budget({ id: "tight", nanodollars: 300, match: { team: "t" } }),
      budget({ id: "monthly", per: "month" }),
    ];
    let running: Running[] = [];
    let spent = 0;
    let offset = 0;
    const outcomes = new Set<boolean>();
    for (let step = 0; step < 250; step++) {
      const dice = randomness.number();
      if (dice < 0.5) {
        const node = pick(nodes);
        if (!node) continue;
        const amount = 1 + Math.floor(randomness.number() * 19);
        const covers = node.coverage.of(budgets, subject);
        const hold = await waited(clock, reserve(covers, { nanodollars: amount, tokens: 0 }, clock.now() + offset, clock.monotonic()));
        outcomes.add(hold instanceof Hold);
        if (hold instanceof Hold) running.push({ hold, holds: hold.held(), node: node.name, amount });
      } else if (dice < 0.9) {
        const call = pick(running);
        if (!call) continue;
        running = running.filter((other) => other !== call);
        const used = randomness.number() < 0.3 ? 0 : Math.ceil(call.amount * randomness.number());
        spent += used;
        counters.spend(call.node, call.hold.settle({ nanodollars: used, tokens: 0 }));
      } else if (dice < 0.93) {
        // A node dies: its running calls are booked for what they had reserved.
        const dead = nodes.shift();
        nodes.push(begin());
        for (const { holds, amount } of running.filter(({ node }) => node === dead?.name)) {
          counters.bookHolds(holds);
          spent += amount;
        }
        running = running.filter(({ node }) => node !== dead?.name);
        counters.takeBack(dead?.name);
      } else if (dice < 0.96) offset = Math.floor((randomness.number() - 0.5) * 120_000);
      else clock.advance(Math.floor(randomness.number() * 3000));
      await settled(clock);
      const held = running.reduce((sum, { amount }) => sum + amount, 0);
      expect(spent + held).toBeLessThanOrEqual(300);
    }
    expect(outcomes.size).toBe(2);
    // And all of it can be spent: nothing stays behind on a node.
    for (const call of running) {
      spent += call.amount;
      counters.spend(call.node, call.hold.settle({ nanodollars: call.amount, tokens: 0 }));
    }
    await settled(clock);
    const last = nodes[0]?.coverage.of(budgets.slice(1, 2), subject) ?? [];
    const rest = 300 - spent;
    if (rest > 0)
      expect(room(await waited(clock, reserve(last, { nanodollars: rest, tokens: 0 }, clock.now(), clock.monotonic())))).toBe(true);
  });
});

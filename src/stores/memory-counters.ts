import type { BudgetStore, CounterHold, CounterSpend, CounterState, LeaseAnswer, LeaseAsk } from "../canon/index.ts";
import { answerAsk, type Counter, type Lease, newCounter, NO_LEASE } from "./counters.ts";

interface Kept extends Counter {
  readonly key: string;
  readonly begins: number;
  readonly ends: number;
  readonly refillMs: number;
  readonly leases: Map<string, Lease>;
}

/** Counters that forget everything with the process. */
export class MemoryCounters implements BudgetStore {
  readonly #kept = new Map<string, Kept>();

  async lease(node: string, asks: readonly LeaseAsk[], now: number): Promise<readonly LeaseAnswer[]> {
    return asks.map((ask) => this.#answer(node, ask, now));
  }

  #answer(node: string, ask: LeaseAsk, now: number): LeaseAnswer {
    const counter = this.#find(ask.key, ask.begins) ?? this.#make(ask, now);
    const lease = counter.leases.get(node) ?? { ...NO_LEASE };
    counter.leases.set(node, lease);
    const granted = answerAsk(counter, lease, ask, now);
    let pending = 0;
    for (const [other, its] of counter.leases) {
      if (other === node) continue;
      if (ask.recall && its.leased > 0) its.asked = 1;
      pending += its.asked;
    }
    return { granted, spent: counter.spent, leased: counter.leased, pending, recalled: lease.asked === 1 };
  }

  #find(key: string, begins: number): Kept | undefined {
    return this.#kept.get(`${begins}\0${key}`);
  }
  #make({ key, begins, ends, refillMs }: LeaseAsk, now: number): Kept {
    const counter: Kept = { ...newCounter(now), key, begins, ends, refillMs, leases: new Map() };
    this.#kept.set(`${begins}\0${key}`, counter);
    return counter;
  }

  spend(node: string, spends: readonly CounterSpend[]): void {
    for (const [key, begins, spent, released] of spends) {
      const counter = this.#find(key, begins);
      if (!counter) continue;
      const lease = counter.leases.get(node);
      const back = Math.min(released, lease?.leased ?? 0);
      counter.spent += spent;
      counter.leased -= back;
      if (lease) lease.leased -= back;
    }
  }

  bookHolds(holds: readonly CounterHold[]): void {
    for (const [key, begins, amount] of holds) {
      const counter = this.#find(key, begins);
      if (counter) counter.spent += amount;
    }
  }

  takeBack(node: string | undefined): void {
    for (const counter of this.#kept.values()) {
      for (const [name, { leased }] of counter.leases) {
        if (node !== undefined && name !== node) continue;
        counter.leased -= leased;
        // Of what refills nobody knows how much was used: it is little, and soon forgotten.
        if (counter.refillMs > 0) counter.spent += leased;
        counter.leases.delete(name);
      }
    }
  }

  async list(since: number, limit: number): Promise<readonly CounterState[]> {
    return [...this.#kept.values()]
      .filter(({ ends, refillMs }) => ends > since && refillMs === 0)
      .toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.begins - b.begins))
      .slice(0, limit)
      .map(({ key, begins, ends, spent, leased }) => ({ key, begins, ends, spent, leased }));
  }

  async expire(before: number): Promise<number> {
    const over = [...this.#kept].filter(([, { ends }]) => ends < before);
    for (const [id] of over) this.#kept.delete(id);
    return over.length;
  }
}

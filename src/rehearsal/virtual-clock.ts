import type { Clock } from "../canon/index.ts";

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
  cancelled: boolean;
}

/**
 * A clock that jumps from timer to timer instead of waiting: an hour takes as long as its work. Between two times everything that was
 * set off gets its turn, so that a run in which nothing comes from outside repeats exactly.
 */
export class VirtualClock implements Clock {
  readonly #start: number;
  #now: number;
  #order = 0;
  /** A binary heap: the first is due first. */
  readonly #heap: Timer[] = [];

  constructor(start: number) {
    this.#start = start;
    this.#now = start;
  }

  now(): number {
    return Math.floor(this.#now);
  }
  monotonic(): number {
    return this.#now - this.#start;
  }
  after(ms: number, callback: () => void): () => void {
    const timer: Timer = { at: this.#now + Math.max(0, ms), order: this.#order++, callback, cancelled: false };
    this.#push(timer);
    return () => {
      timer.cancelled = true;
    };
  }

  /** Runs until `isOver` says so, or until `untilMs` of this clock have passed. @param rest lets everything that is ready run */
  async run(untilMs: number, isOver: () => boolean, rest: () => Promise<void>): Promise<void> {
    await rest();
    while (!isOver()) {
      const next = this.#heap[0];
      if (!next || next.at - this.#start > untilMs) return;
      this.#now = Math.max(this.#now, next.at);
      let rang = false;
      // Everything due at the same time rings together: what it sets off is one turn.
      for (let due = this.#heap[0]; due && due.at <= this.#now; due = this.#heap[0]) {
        this.#pop();
        if (due.cancelled) continue;
        rang = true;
        due.callback();
      }
      if (rang) await rest();
    }
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above];
      if (!parent || !before(timer, parent)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (!last || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const one = heap[left];
      if (!one) break;
      const other = heap[left + 1];
      const below = other && before(other, one) ? left + 1 : left;
      const child = heap[below];
      if (!child || !before(child, last)) break;
      heap[at] = child;
      at = below;
    }
    heap[at] = last;
  }
}

function before(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

import { CoarseTimers, unref } from "./coarse-timers.ts";

/** From here on nobody minds a few hundredths of a second. */
const COARSE_MS = 2000;
const coarse = new CoarseTimers();

/** The machine's own clock. Timers never keep the process alive. */
export const systemClock = {
  now: (): number => Date.now(),
  monotonic: (): number => performance.now(),
  after(ms: number, callback: () => void): () => void {
    if (ms >= COARSE_MS) return coarse.after(ms, callback);
    const timer = setTimeout(callback, ms);
    unref(timer);
    return () => clearTimeout(timer);
  },
};

/** A clock that stands still until it is told to move: for tests. */
export class ManualClock {
  #now: number;
  readonly #start: number;
  #timers: { at: number; callback: () => void }[] = [];

  constructor(now = Date.UTC(2026, 0, 1)) {
    this.#now = now;
    this.#start = now;
  }
  now(): number {
    return this.#now;
  }
  monotonic(): number {
    return this.#now - this.#start;
  }
  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#now + ms, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }
  /** Moves on by `ms`, calling every timer due on the way, in order. */
  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const due = this.#timers.filter((timer) => timer.at <= until).toSorted((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.#now = due.at;
      due.callback();
    }
    this.#now = until;
  }
}

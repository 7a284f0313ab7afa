import type { Clock, Limits, Problem } from "../canon/index.ts";
import { Bag } from "../kit/index.ts";
import type { Spiller } from "./journal.ts";
import type { LiveCall } from "./live.ts";

type JournalLimits = Pick<Limits, "journalBytes" | "journalTotalBytes" | "journalMs">;

/** Running calls, and finished ones for as long as they may be read again. Bounded in bytes and time. */
export class LiveCalls {
  readonly #running = new Bag<LiveCall>();
  readonly #finished = new Map<string, { call: LiveCall; until: number; bytes: number }>();
  #finishedBytes = 0;
  readonly #limits: () => JournalLimits;
  readonly #clock: Clock;
  #idle: (() => void)[] = [];

  readonly #spiller: Spiller | undefined;

  constructor(clock: Clock, limits: () => JournalLimits, spiller?: Spiller) {
    this.#clock = clock;
    this.#limits = limits;
    this.#spiller = spiller;
  }

  get running(): number {
    return this.#running.size;
  }

  add(call: LiveCall): void {
    if (!call.unread) call.spiller = this.#spiller;
    this.#running.add(call);
  }

  /** The call is settled. Streams stay readable for a while: here, until the journal has them; a plain answer is not worth its memory. */
  finish(call: LiveCall): void {
    this.#running.remove(call);
    if ((call.streamed || call.durable) && !call.isSafe && !call.unread) {
      const { journalMs, journalBytes } = this.#limits();
      // What a slow reader still owes goes when it has caught up: only the journal itself stays.
      const bytes = Math.min(call.bytes, journalBytes);
      this.#finished.set(call.id, { call, until: this.#clock.now() + journalMs, bytes });
      this.#finishedBytes += bytes;
      this.#evict();
    }
    if (this.#running.size === 0) for (const callback of this.#idle.splice(0)) callback();
  }

  /** The journal has all of it. */
  release(call: LiveCall): void {
    const finished = this.#finished.get(call.id);
    if (!finished) return;
    this.#finished.delete(call.id);
    this.#finishedBytes -= finished.bytes;
  }

  find(id: string): LiveCall | undefined {
    const finished = this.#finished.get(id);
    if (finished && finished.until > this.#clock.now()) return finished.call;
    return this.findRunning((call) => call.id === id);
  }
  findRunning(test: (call: LiveCall) => boolean): LiveCall | undefined {
    return this.#running.find(test);
  }

  /** Running calls that an administrator has switched off stop. */
  reviewAll(): void {
    this.#running.find((call) => {
      call.review();
      return false;
    });
  }

  /** Stops every running call. */
  stopAll(problem: Problem): void {
    this.#running.find((call) => {
      call.stop(problem);
      return false;
    });
  }

  /** Resolves when no call is running. */
  whenIdle(): Promise<void> {
    return this.#running.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }

  #evict(): void {
    const { journalTotalBytes } = this.#limits();
    for (const [id, { until, bytes }] of this.#finished) {
      if (this.#finishedBytes <= journalTotalBytes && until > this.#clock.now()) return;
      this.#finished.delete(id);
      this.#finishedBytes -= bytes;
    }
  }
}

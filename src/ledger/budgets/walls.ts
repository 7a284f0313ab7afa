import type { BudgetStore, Clock, LeaseAnswer, Period, Signals } from "../../canon/index.ts";
import { Wall, type Lessor, type WallAsk } from "./wall.ts";
import { NEVER, windowOf, type Window } from "./window.ts";

/** How often what was used is told and what lies unused is given back. After a crash a limit has forgotten no more than this. */
const SWEEP_MS = 1000;
/** A counter that no call took from for so long is forgotten here; the store has it. */
const FORGET_MS = 60_000;
/** A counter that refills is forgotten by the store after so many times what it takes to refill; one that only holds places after a week. */
const KEPT_REFILLS = 2;
const KEPT_PLACES_MS = 7 * 86_400_000;

export interface WallsOptions {
  readonly store: BudgetStore;
  readonly signals: Signals;
  readonly clock: Clock;
  /** This running gateway. */
  readonly node: string;
}

/** How a counter goes through time. */
export type Pace =
  /** In windows of the calendar. */
  | { readonly per: Period; readonly timeZone: string }
  /** Always the same; what was used is forgotten evenly over so long. 0: nothing is used for good. */
  | { readonly refillMs: number };

/** One counter over its windows. */
export class Series {
  readonly key: string;
  readonly pace: Pace;
  readonly #walls: Walls;
  #wall: Wall | undefined;

  constructor(walls: Walls, key: string, pace: Pace) {
    this.#walls = walls;
    this.key = key;
    this.pace = pace;
  }

  /** Its wall in the window that holds `now`. A clock that steps back comes into the earlier window again, with what was spent in it. */
  at(now: number): Wall {
    const wall = this.#wall;
    if (wall && now >= wall.begins && now < wall.ends) return wall;
    if (wall) this.#walls.retire(wall);
    const { pace } = this;
    const window: Window = "per" in pace ? windowOf(pace.per, pace.timeZone, now) : { begins: 0, ends: NEVER };
    return (this.#wall = this.#walls.open(this, window, "per" in pace ? 0 : pace.refillMs));
  }

  forget(wall: Wall): void {
    if (this.#wall === wall) this.#wall = undefined;
  }
}

/** All counters that this node has a part in. */
export class Walls implements Lessor {
  readonly #options: WallsOptions;
  readonly #series = new Map<string, Series>();
  readonly #open = new Map<Wall, Series>();
  #turn = 0;
  #cancelSweep: (() => void) | undefined;
  readonly #unhear: () => void;

  constructor(options: WallsOptions) {
    this.#options = options;
    this.#unhear = options.signals.hear((signal) => {
      if (signal.type !== "recall") return;
      for (const wall of this.#open.keys()) if (wall.key === signal.counter) wall.contend();
    });
  }

  series(key: string, pace: Pace): Series {
    const known = this.#series.get(key);
    if (known) return known;
    const series = new Series(this, key, pace);
    this.#series.set(key, series);
    return series;
  }

  open(series: Series, { begins, ends }: Window, refillMs: number): Wall {
    const wall = new Wall({ key: series.key, begins, ends, refillMs, lessor: this });
    wall.usedAt = this.monotonic();
    this.#series.set(series.key, series);
    this.#open.set(wall, series);
    this.#sweepLater();
    return wall;
  }

  /** Its window is over: what is unused goes back, what runs still settles there. */
  retire(wall: Wall): void {
    wall.usedAt = Number.NEGATIVE_INFINITY;
    void wall.giveBack();
  }

  monotonic(): number {
    return this.#options.clock.monotonic();
  }
  after(ms: number, callback: () => void): () => void {
    return this.#options.clock.after(ms, callback);
  }
  recall(key: string): void {
    this.#options.signals.tell({ type: "recall", counter: key });
  }

  async ask(ask: WallAsk): Promise<LeaseAnswer> {
    const { store, node, clock } = this.#options;
    const now = clock.now();
    const kept = ask.refillMs > 0 ? ask.refillMs * KEPT_REFILLS : KEPT_PLACES_MS;
    const ends = ask.ends === NEVER && !ask.key.startsWith(BUDGET) ? Math.round(now + kept) : ask.ends;
    const [answer] = await store.lease(node, [{ ...ask, ends, turn: ++this.#turn }], now);
    if (!answer) throw new Error("The store did not answer.");
    return answer;
  }

  /** Gives everything back: nothing is asked of it any more. */
  async close(): Promise<void> {
    this.#cancelSweep?.();
    this.#unhear();
    await Promise.all([...this.#open.keys()].map((wall) => wall.giveBack()));
  }

  #sweepLater(): void {
    this.#cancelSweep ??= this.#options.clock.after(SWEEP_MS, () => {
      this.#cancelSweep = undefined;
      this.#sweep();
      if (this.#open.size > 0) this.#sweepLater();
    });
  }

  #sweep(): void {
    const now = this.monotonic();
    for (const [wall, series] of this.#open) {
      const restedMs = now - wall.usedAt;
      if (restedMs >= FORGET_MS && wall.idle) {
        this.#open.delete(wall);
        series.forget(wall);
        if (this.#series.get(series.key) === series) this.#series.delete(series.key);
      } else if (restedMs >= SWEEP_MS) void wall.giveBack();
      else void wall.tell();
    }
  }
}

/** Keys of budgets begin so: they are kept as long as their window lasts. */
export const BUDGET = "budget\n";

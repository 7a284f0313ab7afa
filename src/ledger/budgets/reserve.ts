import type { CounterHold, CounterSpend } from "../../canon/index.ts";
import type { Cover, Measure } from "./covers.ts";
import type { Taken, Wall } from "./wall.ts";

/** Of one call: the most it may use, or what it did use. Nanodollars, and tokens of input and output together. */
export type Amounts = Readonly<Record<Measure, number>>;

interface Part {
  readonly cover: Cover;
  readonly wall: Wall;
  taken: number;
}

/** Why a call was not let in. */
export interface Refusal {
  readonly cover: Cover;
  readonly wall: Wall;
  readonly amount: number;
  /** `unavailable`: the store cannot be reached, so nobody knows. */
  readonly why: Exclude<Taken, "taken">;
}

/** How old may be what is known of a counter of which nothing is leased. */
const LOOK_MS = 1000;

/** What a call has reserved of its budgets, until it is settled. */
export class Hold {
  readonly #parts: Part[];

  constructor(parts: Part[]) {
    this.#parts = parts;
  }

  /** Budgets that are used to the share from which it is told. */
  *soft(): Generator<{ readonly cover: Cover; readonly wall: Wall }> {
    for (const part of this.#parts) if (isSoft(part.cover, part.wall)) yield part;
  }

  /** For the open record. */
  held(): readonly CounterHold[] {
    return this.#parts.flatMap(({ wall, taken }) => (taken === 0 ? [] : [[wall.key, wall.begins, taken] as const]));
  }

  /** Reserves more, so that the call has at least these amounts; undefined when it has them. What it had it keeps. */
  raise(to: Amounts): Refusal | undefined | Promise<Refusal | undefined> {
    let work: Promise<Refusal | undefined> | undefined;
    for (const part of this.#parts) {
      if (!part.cover.budget.hard) continue;
      const more = to[part.cover.measure] - part.taken;
      if (more <= 0) continue;
      if (work) work = work.then((refusal) => refusal ?? raisePart(part, more));
      else {
        const outcome = raisePart(part, more);
        if (outcome instanceof Promise) work = outcome;
        else if (outcome) return outcome;
      }
    }
    return work;
  }

  /** There will be no row: everything goes back. */
  release(): void {
    for (const { wall, taken } of this.#parts.splice(0)) wall.putBack(taken);
  }

  /** The call is over: what its row is to book. Once. */
  settle(used: Readonly<Record<Measure, number | undefined>>): readonly CounterSpend[] {
    const spends: CounterSpend[] = [];
    for (const { cover, wall, taken } of this.#parts) {
      // Where nobody can say what it cost, it cost what it was taken for.
      const spent = used[cover.measure] ?? taken;
      const released = wall.settle(taken, spent);
      if (spent > 0 || released > 0) spends.push([wall.key, wall.begins, spent, released]);
    }
    this.#parts.length = 0;
    return spends;
  }
}

function raisePart(part: Part, more: number): Refusal | undefined | Promise<Refusal | undefined> {
  const { cover, wall } = part;
  const outcome = (taken: Taken): Refusal | undefined => {
    if (taken === "taken") {
      part.taken += more;
      return undefined;
    }
    if (taken === "unavailable" && cover.budget.failOpen) return undefined;
    return { cover, wall, amount: part.taken + more, why: taken };
  };
  const taken = wall.obtain(more);
  return taken instanceof Promise ? taken.then(outcome) : outcome(taken);
}

export function isSoft({ budget, limit }: Cover, wall: Wall): boolean {
  const share = budget.soft ?? (budget.hard ? undefined : 1);
  return share !== undefined && wall.spent >= limit * share;
}

/** Reserves from all of them or from none. `now`: milliseconds since 1970; `monotonic`: of the clock that never steps. */
export function reserve(
  covers: readonly Cover[],
  amounts: Amounts,
  now: number,
  monotonic: number,
): Hold | Refusal | Promise<Hold | Refusal> {
  const parts: Part[] = [];
  for (const [place, cover] of covers.entries()) {
    const wall = wallOf(cover, now, monotonic);
    const amount = cover.budget.hard ? amounts[cover.measure] : 0;
    if (!wall.take(amount)) return reserveRest(parts, covers.slice(place), amounts, now, monotonic);
    parts.push({ cover, wall, taken: amount });
  }
  return new Hold(parts);
}

/** Waiting for the store, never for another call: whoever holds something while it waits keeps nobody waiting for ever. */
async function reserveRest(
  parts: Part[],
  rest: readonly Cover[],
  amounts: Amounts,
  now: number,
  monotonic: number,
): Promise<Hold | Refusal> {
  for (const cover of rest) {
    const wall = wallOf(cover, now, monotonic);
    const amount = cover.budget.hard ? amounts[cover.measure] : 0;
    const taken = amount === 0 ? "taken" : await wall.obtain(amount);
    if (taken === "taken") parts.push({ cover, wall, taken: amount });
    else if (taken === "unavailable" && cover.budget.failOpen) parts.push({ cover, wall, taken: 0 });
    else {
      for (const part of parts) part.wall.putBack(part.taken);
      return { cover, wall, amount, why: taken };
    }
  }
  return new Hold(parts);
}

function wallOf({ series, limit, budget }: Cover, now: number, monotonic: number): Wall {
  const wall = series.at(now);
  if (wall.limit !== limit) wall.changeLimit(limit);
  wall.usedAt = monotonic;
  const { answeredAt } = wall;
  if (answeredAt === undefined ? !budget.hard : (budget.soft !== undefined || !budget.hard) && monotonic - answeredAt > LOOK_MS)
    void wall.look();
  return wall;
}

import type { AliasHedge, Target } from "../canon/index.ts";

/** Beginnings remembered of a target; older ones are forgotten. */
const SAMPLES = 128;
/** Fewer say nothing of a percentile. */
const LEAST_SAMPLES = 10;
/** Targets and aliases remembered; beyond it the memory begins anew. */
const REMEMBERED = 5000;
/** Calls an alias may save up for: a long peace must not pay for a storm. */
const MOST_EARNED = 20;

/** How long one target's newest answers took to begin. */
class Beginnings {
  readonly #ms: number[] = [];
  #next = 0;
  #sorted: readonly number[] | undefined;

  add(ms: number): void {
    this.#ms[this.#next] = ms;
    this.#next = (this.#next + 1) % SAMPLES;
    this.#sorted = undefined;
  }

  /** Nearest rank; undefined while too little is known. */
  percentile(percent: number): number | undefined {
    if (this.#ms.length < LEAST_SAMPLES) return undefined;
    this.#sorted ??= this.#ms.toSorted((a, b) => a - b);
    return this.#sorted[Math.min(this.#sorted.length - 1, Math.ceil((percent / 100) * this.#sorted.length) - 1)];
  }
}

/** When a second target is asked beside the first (Dean and Barroso, "The Tail at Scale", 2013), and how often. One object for a process. */
export class Hedges {
  #beginnings = new Map<string, Beginnings>();
  /** Hedges that an alias has earned and not yet used. */
  #earned = new Map<string, number>();

  /** A target's answer began, this long after it was asked. */
  began(target: Pick<Target, "provider" | "model">, ms: number): void {
    const name = `${target.provider}/${target.model}`;
    let known = this.#beginnings.get(name);
    if (!known) {
      if (this.#beginnings.size >= REMEMBERED) this.#beginnings = new Map();
      this.#beginnings.set(name, (known = new Beginnings()));
    }
    known.add(ms);
  }

  /** A call of the alias begins: it earns its share of a hedge. */
  earn(alias: string, { maxShare }: AliasHedge): void {
    if (this.#earned.size >= REMEMBERED) this.#earned = new Map();
    // Whoever allows hedges at all may have the first one at once.
    const before = this.#earned.get(alias) ?? (maxShare > 0 ? 1 : 0);
    this.#earned.set(alias, Math.min(Math.max(1, MOST_EARNED * maxShare), before + maxShare));
  }

  /** False: the alias has used up its share. */
  spend(alias: string): boolean {
    const earned = this.#earned.get(alias) ?? 0;
    if (earned < 1) return false;
    this.#earned.set(alias, earned - 1);
    return true;
  }

  /** Milliseconds to wait for the first target before another is asked; undefined: for ever, because nothing is known. */
  waitMs(target: Pick<Target, "provider" | "model">, hedge: AliasHedge): number | undefined {
    if (hedge.afterMs !== undefined) return hedge.afterMs;
    return this.#beginnings.get(`${target.provider}/${target.model}`)?.percentile(hedge.afterPercentile);
  }
}

import type { HealthOptions } from "./options.ts";

/**
 * Concurrency that follows what a target can take: additive increase, multiplicative decrease (Chiu and Jain, 1989). Without overload
 * there is no limit; the first overload sets one below what was running.
 */
export class Adaptive {
  #limit = Number.POSITIVE_INFINITY;
  #cutAt = Number.NEGATIVE_INFINITY;
  #overloadAt = Number.NEGATIVE_INFINITY;

  /** Attempts that may run at once; infinite where nothing is known against it. */
  get limit(): number {
    return this.#limit === Number.POSITIVE_INFINITY ? this.#limit : Math.floor(this.#limit);
  }

  /**
   * An attempt met an overload.
   *
   * @param begunAt when it began: what was sent before the last cut says nothing of the load after it
   * @param inFlight attempts that ran, this one included
   */
  overloaded(now: number, begunAt: number, inFlight: number, options: HealthOptions["adaptive"]): void {
    this.#overloadAt = now;
    if (!options.enabled || begunAt <= this.#cutAt) return;
    this.#limit = Math.max(options.least, Math.floor(Math.min(this.#limit, inFlight) * options.cut));
    this.#cutAt = now;
  }

  /** An attempt ended well. `inFlight` counts it too: only a limit that is used up has proved that it is too low. */
  good(now: number, inFlight: number, options: HealthOptions["adaptive"]): void {
    if (this.#limit === Number.POSITIVE_INFINITY) return;
    if (!options.enabled || now - this.#overloadAt > options.quietMs) this.#limit = Number.POSITIVE_INFINITY;
    else if (inFlight >= this.limit) this.#limit += 1 / this.#limit;
  }

  lift(): void {
    this.#limit = Number.POSITIVE_INFINITY;
  }
}

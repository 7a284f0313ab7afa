/** Rests are doubled no more often than this: beyond, only the cap counts. */
const MOST_DOUBLINGS = 20;

/** A rest that grows while the same thing goes wrong again and again. Times are milliseconds of one monotonic clock. */
export class Cooldown {
  #until = Number.NEGATIVE_INFINITY;
  #strikes = 0;
  #restedAt = Number.NEGATIVE_INFINITY;

  /** In a row, without an attempt that went well between. */
  get strikes(): number {
    return this.#strikes;
  }

  isOver(now: number): boolean {
    return now >= this.#until;
  }

  restMs(now: number): number {
    return Math.max(0, Math.ceil(this.#until - now));
  }

  /** Was an attempt that began then sent before the newest rest? Many fail together; they are one strike. */
  isOldNews(begunAt: number): boolean {
    return begunAt <= this.#restedAt;
  }

  /** Rests for `ms`; a longer rest under way stays. */
  rest(now: number, ms: number): void {
    this.#strikes++;
    this.#restedAt = now;
    this.extend(now, ms);
  }

  /** Rests for `ms` at least, without another strike. */
  extend(now: number, ms: number): void {
    this.#until = Math.max(this.#until, now + ms);
  }

  /** Another process was told to rest for `ms`: one strike for all of them, however many met it. */
  hear(now: number, ms: number): void {
    if (this.isOver(now)) this.rest(now, ms);
    else this.extend(now, ms);
  }

  /** The rest that doubles with each strike, drawn from its upper half so that not all come back at once. */
  growing(baseMs: number, longestMs: number, random: number): number {
    return Math.min(longestMs, baseMs * 2 ** Math.min(this.#strikes, MOST_DOUBLINGS)) * (0.5 + 0.5 * random);
  }

  /** A strike that is not worth a rest yet. */
  warn(): void {
    this.#strikes++;
  }

  /** An attempt went well. A rest that was asked for goes on all the same. */
  good(): void {
    this.#strikes = 0;
  }

  clear(): void {
    this.#strikes = 0;
    this.#until = Number.NEGATIVE_INFINITY;
  }
}

const BUCKETS = 10;

/** Attempts and failures of the last while, counted in ten buckets: constant memory, constant time. */
export class Window {
  readonly #bucketMs: number;
  readonly #calls = new Uint32Array(BUCKETS);
  readonly #failures = new Uint32Array(BUCKETS);
  #at = 0;
  /** When the newest bucket is over. */
  #until: number;
  #totalCalls = 0;
  #totalFailures = 0;

  constructor(windowMs: number, now: number) {
    this.#bucketMs = windowMs / BUCKETS;
    this.#until = now + this.#bucketMs;
  }

  add(now: number, failed: boolean): void {
    if (now >= this.#until) this.#advance(now);
    this.#calls[this.#at] = (this.#calls[this.#at] ?? 0) + 1;
    this.#totalCalls++;
    if (!failed) return;
    this.#failures[this.#at] = (this.#failures[this.#at] ?? 0) + 1;
    this.#totalFailures++;
  }

  calls(now: number): number {
    if (now >= this.#until) this.#advance(now);
    return this.#totalCalls;
  }
  failures(now: number): number {
    if (now >= this.#until) this.#advance(now);
    return this.#totalFailures;
  }

  clear(): void {
    this.#calls.fill(0);
    this.#failures.fill(0);
    this.#totalCalls = 0;
    this.#totalFailures = 0;
  }

  #advance(now: number): void {
    const steps = Math.floor((now - this.#until) / this.#bucketMs) + 1;
    this.#until += steps * this.#bucketMs;
    if (steps >= BUCKETS) return this.clear();
    for (let step = 0; step < steps; step++) {
      this.#at = (this.#at + 1) % BUCKETS;
      this.#totalCalls -= this.#calls[this.#at] ?? 0;
      this.#totalFailures -= this.#failures[this.#at] ?? 0;
      this.#calls[this.#at] = 0;
      this.#failures[this.#at] = 0;
    }
  }
}

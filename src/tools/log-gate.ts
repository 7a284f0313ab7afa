import type { Clock } from "../canon/index.ts";

/** Lines of one server within one window; more are counted only. */
const LINES = 100;
const WINDOW_MS = 10_000;

/** Lets so many lines through in a while: what a server writes must not drown what the operator reads. */
export class LogGate {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #log: (line: string) => void;
  #began = Number.NEGATIVE_INFINITY;
  #written = 0;
  #dropped = 0;

  constructor(clock: Pick<Clock, "monotonic">, log: (line: string) => void) {
    this.#clock = clock;
    this.#log = log;
  }

  /** `whose` stands before the line. */
  write(whose: string, line: string): void {
    const now = this.#clock.monotonic();
    if (now - this.#began >= WINDOW_MS) {
      if (this.#dropped > 0) this.#log(`${whose}: ${this.#dropped} lines more were dropped`);
      this.#began = now;
      this.#written = 0;
      this.#dropped = 0;
    }
    if (this.#written >= LINES) this.#dropped++;
    else {
      this.#written++;
      this.#log(`${whose}: ${line}`);
    }
  }
}

import type { StorageOptions } from "./options.ts";

/** A batch of so many writes was worth its wait. */
const SHARED_ROWS = 2;

/**
 * When a gathered batch leaves: `flushMs` after its first write; twice that where writes shared the last batch, and in a busy gateway
 * `busyMs`, unless somebody waits for one of its writes. A commit costs some 170 µs of CPU whatever its size, and at middling rates that
 * is most of a row and keeps the core from calls: at 15,000 rows a second, leaving every 2 ms doubled the cost of a row, and at 1,000
 * it was 110 µs of it. What waits so long is not lost for that: of a call that began this recently a crash leaves no trace anyway.
 *
 * The pace belongs to the disk, not to the gateway's notion of time, hence no `Clock`: under one that stands still, writes still land.
 */
export class Pace {
  readonly #options: StorageOptions;
  readonly #leave: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Does the timer wait for longer than somebody who waits should? */
  #patient = false;
  #patientMs: number;

  constructor(options: StorageOptions, leave: () => void) {
    this.#options = options;
    this.#leave = leave;
    this.#patientMs = options.flushMs;
  }

  /** A write was added. `patient`: nobody waits for it. */
  wait(patient: boolean): void {
    if (this.#timer !== undefined) {
      if (patient || !this.#patient) return;
      clearTimeout(this.#timer);
    }
    const { flushMs } = this.#options;
    const waitMs = patient ? this.#patientMs : flushMs;
    this.#patient = waitMs > flushMs;
    this.#timer = setTimeout(this.#fire, waitMs);
  }

  /** A batch of so many writes has left. */
  left(rows: number): void {
    const { flushMs, busyRows, busyMs } = this.#options;
    if (rows >= busyRows) this.#patientMs = busyMs;
    else this.#patientMs = rows >= SHARED_ROWS ? Math.min(2 * flushMs, Math.max(busyMs, flushMs)) : flushMs;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  readonly #fire = (): void => {
    this.#timer = undefined;
    this.#leave();
  };
}

import type { StorageOptions } from "./options.ts";

/**
 * When a gathered batch leaves: `flushMs` after its first write, or, in a busy gateway, `busyMs`, unless somebody waits for one of its
 * writes. A commit costs some 170 µs of CPU whatever its size; at 15,000 rows a second, leaving every 2 ms doubled the cost of a row.
 *
 * The pace belongs to the disk, not to the gateway's notion of time, hence no `Clock`: under one that stands still, writes still land.
 */
export class Pace {
  readonly #options: StorageOptions;
  readonly #leave: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #patient = false;
  #busy = false;

  constructor(options: StorageOptions, leave: () => void) {
    this.#options = options;
    this.#leave = leave;
  }

  /** A write was added. `patient`: nobody waits for it. */
  wait(patient: boolean): void {
    if (this.#timer !== undefined) {
      if (patient || !this.#patient) return;
      clearTimeout(this.#timer);
    }
    this.#patient = patient && this.#busy;
    this.#timer = setTimeout(this.#fire, this.#patient ? this.#options.busyMs : this.#options.flushMs);
  }

  /** A batch of so many writes has left. */
  left(rows: number): void {
    this.#busy = rows >= this.#options.busyRows;
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

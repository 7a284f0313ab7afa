import type { Writes } from "./backend.ts";

type OpenArgs = Writes["open"]["args"];

/**
 * Holds the records of calls just begun for a moment: a call that ends meanwhile needs none, which spares an insert and a delete.
 * Two generations instead of a time per record: a record leaves after one to two periods, and adding one reads no clock.
 */
export class OpenHold {
  readonly #holdMs: number;
  readonly #due: (args: OpenArgs) => void;
  #young = new Map<string, OpenArgs>();
  #old = new Map<string, OpenArgs>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(holdMs: number, due: (args: OpenArgs) => void) {
    this.#holdMs = holdMs;
    this.#due = due;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  add(args: OpenArgs): void {
    this.#young.set(args[0], args);
    this.#timer ??= setTimeout(this.#tick, this.#holdMs);
  }

  /** True when the record was still held, and is now forgotten. */
  drop(callId: string): boolean {
    return this.#young.delete(callId) || this.#old.delete(callId);
  }

  /** Hands everything on at once, oldest first. */
  release(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#handOn();
    this.#handOn();
  }

  readonly #tick = (): void => {
    this.#timer = undefined;
    this.#handOn();
    if (this.#old.size > 0) this.#timer = setTimeout(this.#tick, this.#holdMs);
  };

  #handOn(): void {
    const due = this.#old;
    this.#old = this.#young;
    this.#young = due;
    if (due.size === 0) return;
    this.#young = new Map();
    for (const args of due.values()) this.#due(args);
  }
}

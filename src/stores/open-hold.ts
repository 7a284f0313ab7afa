import type { Writes } from "./backend.ts";

type OpenArgs = Writes["open"]["args"];

/** Places of one generation, a power of two: several times what a busy gateway begins within a period. */
const PLACES = 2048;

/**
 * Records by the end of their call's id, which is its random part. Two with one place are rare, and the second stands in a map: putting
 * every record into a map that empties itself all the time was the dearest step of a row's way to the disk (1.6 µs of 4).
 */
class Generation {
  readonly #places: (OpenArgs | undefined)[] = Array.from({ length: PLACES }, () => undefined);
  readonly #others = new Map<string, OpenArgs>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(args: OpenArgs): void {
    const [callId] = args;
    const place = placeOf(callId);
    const there = this.#places[place];
    if (there === undefined || there[0] === callId) {
      if (there === undefined) this.#size++;
      this.#places[place] = args;
    } else if (!this.#others.has(callId)) {
      this.#others.set(callId, args);
      this.#size++;
    }
  }

  drop(callId: string): boolean {
    if (this.#size === 0) return false;
    const place = placeOf(callId);
    if (this.#places[place]?.[0] === callId) this.#places[place] = undefined;
    else if (!this.#others.delete(callId)) return false;
    this.#size--;
    return true;
  }

  empty(use: (args: OpenArgs) => void): void {
    if (this.#size === 0) return;
    for (let place = 0; place < PLACES; place++) {
      const args = this.#places[place];
      if (!args) continue;
      this.#places[place] = undefined;
      use(args);
    }
    for (const args of this.#others.values()) use(args);
    this.#others.clear();
    this.#size = 0;
  }
}

function placeOf(callId: string): number {
  const end = callId.length;
  return ((callId.charCodeAt(end - 1) * 31 + callId.charCodeAt(end - 2)) * 31 + callId.charCodeAt(end - 3)) & (PLACES - 1);
}

/**
 * Holds the records of calls just begun for a moment: a call that ends meanwhile needs none, which spares an insert and a delete.
 * Two generations instead of a time per record: a record leaves after one to two periods, and adding one reads no clock.
 */
export class OpenHold {
  readonly #holdMs: number;
  readonly #due: (args: OpenArgs) => void;
  #young = new Generation();
  #old = new Generation();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(holdMs: number, due: (args: OpenArgs) => void) {
    this.#holdMs = holdMs;
    this.#due = due;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  add(args: OpenArgs): void {
    this.#young.add(args);
    this.#timer ??= setTimeout(this.#tick, this.#holdMs);
  }

  /** True when the record was still held, and is now forgotten. */
  drop(callId: string): boolean {
    return this.#young.drop(callId) || this.#old.drop(callId);
  }

  /** Hands everything on at once, the older ones first. */
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
    due.empty(this.#due);
  }
}

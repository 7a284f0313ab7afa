import { Bag, type Bagged } from "./bag.ts";

/** Timers due within the same slot are one timer of the platform's; each may be late by as much. */
const SLOT_MS = 64;

interface Entry extends Bagged {
  readonly callback: () => void;
}

/**
 * Timers that hardly ever ring: a busy gateway sets two for every call and takes them back. An entry in a slot's bag costs less than
 * setting one of the platform's own, telling it not to keep the process alive, and clearing it.
 */
export class CoarseTimers {
  readonly #slots = new Map<number, Bag<Entry>>();

  /** Calls back after at least `ms`, unless the function returned is called before. */
  after(ms: number, callback: () => void): () => void {
    const bag = this.#slot(Math.ceil((performance.now() + ms) / SLOT_MS));
    const entry: Entry = { callback, place: -1 };
    bag.add(entry);
    return () => bag.remove(entry);
  }

  #slot(slot: number): Bag<Entry> {
    const known = this.#slots.get(slot);
    if (known) return known;
    const bag = new Bag<Entry>();
    this.#slots.set(slot, bag);
    unref(setTimeout(() => this.#ring(slot, bag), Math.ceil(slot * SLOT_MS - performance.now())));
    return bag;
  }

  #ring(slot: number, bag: Bag<Entry>): void {
    this.#slots.delete(slot);
    // One that rings may take back another.
    for (let entry = bag.any(); entry; entry = bag.any()) {
      bag.remove(entry);
      entry.callback();
    }
  }
}

/** Lets the process end although the timer runs; browsers know no such thing. */
export function unref(timer: unknown): void {
  if (typeof timer === "object" && timer !== null && "unref" in timer && typeof timer.unref === "function") timer.unref();
}

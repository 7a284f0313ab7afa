/** Priorities run from 0 to 9; higher goes first. */
export const HIGHEST_PRIORITY = 9;
/** Of a call that says nothing and whose key says nothing. */
export const DEFAULT_PRIORITY = 5;
/** Waiting this long is worth one step of priority, so that nobody waits for ever. */
const AGE_MS = 1000;

/**
 * The priority that a call gets: as it asks, but never above its key's own. `asked` is the request header's text; anything but a whole
 * number from 0 to 9 is no wish.
 */
export function priorityOf(asked: string | undefined, ofKey: number = DEFAULT_PRIORITY): number {
  return asked !== undefined && /^\d$/.test(asked) ? Math.min(Number(asked), ofKey) : ofKey;
}

/** Somebody who waits; a member of at most one queue. */
export interface Queued {
  readonly priority: number;
  /** When the wait began, in milliseconds of a monotonic clock. */
  readonly since: number;
  /** Links of the queue; written by it alone. */
  before: Queued | undefined;
  after: Queued | undefined;
}

/** First come, first served within each priority; everything but the choice among ten heads takes constant time. */
export class PriorityQueue<T extends Queued> {
  readonly #heads: (T | undefined)[] = Array.from({ length: HIGHEST_PRIORITY + 1 });
  readonly #tails: (T | undefined)[] = Array.from({ length: HIGHEST_PRIORITY + 1 });
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(one: T): void {
    const tail = this.#tails[one.priority];
    one.before = tail;
    one.after = undefined;
    if (tail) tail.after = one;
    else this.#heads[one.priority] = one;
    this.#tails[one.priority] = one;
    this.#size++;
  }

  /** It must be in this queue. */
  remove(one: T): void {
    const { before, after, priority } = one;
    if (before) before.after = after;
    else this.#heads[priority] = after as T | undefined;
    if (after) after.before = before;
    else this.#tails[priority] = before as T | undefined;
    one.before = undefined;
    one.after = undefined;
    this.#size--;
  }

  /** Who goes next: the highest of priority and age together, and of equals the higher priority. */
  first(now: number): T | undefined {
    let best: T | undefined;
    for (let priority = HIGHEST_PRIORITY; priority >= 0; priority--) {
      const head = this.#heads[priority];
      if (head && (!best || rankOf(head, now) > rankOf(best, now))) best = head;
    }
    return best;
  }

  /** The newest of the lowest priority below `priority`: who gives way when the queue is full. */
  lastBelow(priority: number): T | undefined {
    for (let lower = 0; lower < priority; lower++) if (this.#tails[lower]) return this.#tails[lower];
    return undefined;
  }
}

/** Priority and age together, comparable between queues. */
export function rankOf(one: Queued, now: number): number {
  return one.priority + (now - one.since) / AGE_MS;
}

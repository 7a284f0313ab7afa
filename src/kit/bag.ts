/** Where a thing lies in its bag; -1: in none. Written by the bag alone. */
export interface Bagged {
  place: number;
}

/**
 * Things that come and go by the thousand. A `Map` under such traffic is rebuilt every few hundred entries, and the table it leaves
 * behind still points at everything that was in it: once such a table has grown old, the collector of young objects must take all that
 * for alive and move it to the old space. Measured: 5 kB a call. Here a thing knows its place, the last one fills a gap, and nothing
 * stale points anywhere. Finding one by anything but itself means looking at all.
 */
export class Bag<T extends Bagged> {
  readonly #things: T[] = [];

  get size(): number {
    return this.#things.length;
  }

  add(thing: T): void {
    thing.place = this.#things.push(thing) - 1;
  }

  /** Does nothing when it is not in the bag. */
  remove(thing: T): void {
    const { place } = thing;
    const last = this.#things.at(-1);
    if (this.#things[place] !== thing || !last) return;
    this.#things[place] = last;
    last.place = place;
    this.#things.pop();
    thing.place = -1;
  }

  any(): T | undefined {
    return this.#things.at(-1);
  }

  find(test: (thing: T) => boolean): T | undefined {
    return this.#things.find(test);
  }
}

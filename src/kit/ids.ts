const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const POOL_BYTES = 4096;
const RANDOM_LETTERS = 12;

/** Ids and random numbers from the platform's generator; bytes are drawn in pools because each draw costs a system call. */
export class SystemRandomness {
  readonly #pool = new Uint8Array(POOL_BYTES);
  #at = POOL_BYTES;

  /** `prefix` + 10 letters of time (ms, sortable) + 12 random letters (60 bits). */
  id(prefix: string): string {
    let time = Date.now();
    let letters = "";
    for (let place = 0; place < 10; place++) {
      letters = ALPHABET.charAt(time % 32) + letters;
      time = Math.floor(time / 32);
    }
    if (this.#at + RANDOM_LETTERS > POOL_BYTES) this.#refill();
    for (let place = 0; place < RANDOM_LETTERS; place++) letters += ALPHABET.charAt((this.#pool[this.#at++] ?? 0) & 31);
    return prefix + letters;
  }

  number(): number {
    if (this.#at + 4 > POOL_BYTES) this.#refill();
    const pool = this.#pool;
    const at = (this.#at += 4) - 4;
    return ((((pool[at] ?? 0) << 24) | ((pool[at + 1] ?? 0) << 16) | ((pool[at + 2] ?? 0) << 8) | (pool[at + 3] ?? 0)) >>> 0) / 2 ** 32;
  }

  #refill(): void {
    crypto.getRandomValues(this.#pool);
    this.#at = 0;
  }
}

/** Repeats exactly from a seed: for the simulator and for tests. Mulberry32, after Tommy Ettinger's public-domain design. */
export class SeededRandomness {
  #state: number;
  #count = 0;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  id(prefix: string): string {
    return prefix + (++this.#count).toString(32).padStart(12, "0");
  }
  number(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
}

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const POOL_BYTES = 4096;
const TIME_LETTERS = 10;
const RANDOM_LETTERS = 12;

/** Ids and random numbers from the platform's generator; bytes are drawn in pools because each draw costs a system call. */
export class SystemRandomness {
  readonly #pool = new Uint8Array(POOL_BYTES);
  #at = POOL_BYTES;
  #millisecond = -1;
  #time = "";

  /** `prefix` + 10 letters of time (ms, sortable) + 12 random letters (60 bits). */
  id(prefix: string): string {
    return prefix + this.#timeLetters() + this.#randomLetters();
  }

  /** Spelled once a millisecond: a busy gateway makes a dozen ids in one. */
  #timeLetters(): string {
    const now = Date.now();
    if (now === this.#millisecond) return this.#time;
    let time = now;
    let letters = "";
    for (let place = 0; place < TIME_LETTERS; place++) {
      letters = ALPHABET.charAt(time % 32) + letters;
      time = Math.floor(time / 32);
    }
    this.#millisecond = now;
    this.#time = letters;
    return letters;
  }

  /** In one piece: grown letter by letter, a text is a chain of a dozen objects that somebody has to flatten later. */
  #randomLetters(): string {
    if (this.#at + RANDOM_LETTERS > POOL_BYTES) this.#refill();
    const at = this.#at;
    this.#at += RANDOM_LETTERS;
    return String.fromCharCode(
      this.#letter(at),
      this.#letter(at + 1),
      this.#letter(at + 2),
      this.#letter(at + 3),
      this.#letter(at + 4),
      this.#letter(at + 5),
      this.#letter(at + 6),
      this.#letter(at + 7),
      this.#letter(at + 8),
      this.#letter(at + 9),
      this.#letter(at + 10),
      this.#letter(at + 11),
    );
  }

  #letter(at: number): number {
    return ALPHABET.charCodeAt((this.#pool[at] ?? 0) & 31);
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

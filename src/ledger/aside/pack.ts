import type { Remnant, RemnantHead } from "./remnant.ts";

/** Bytes of a batch, where none of its calls has more. */
export const BATCH_BYTES = 256 * 1024;
const BATCH_CALLS = 64;
/** UTF-8 bytes that a letter of UTF-16 takes at most. */
const MOST_BYTES_A_LETTER = 3;

/** A remnant without its bytes, and where they stand: of the text from `start`, of the answer from `middle` to `end`. */
type Head = readonly [start: number, middle: number, end: number, ...rest: RemnantHead];

/** What is handed to the thread: the memory itself changes hands, nothing is copied. */
export interface Packed {
  readonly bytes: ArrayBuffer;
  readonly heads: readonly Head[];
}

/** Calls that leave together. Their bytes are copied once, into memory of their own: what they came in belongs to connections. */
export class Batch {
  readonly #bytes: Buffer;
  readonly #heads: Head[] = [];
  readonly policies = new Set<number>();
  #used = 0;

  /** Large enough for one call at least. @param spare memory of a batch before: what was never touched has to be fetched page by page */
  constructor(first: Remnant, spare?: ArrayBuffer) {
    const bytes = exactBytes(first);
    this.#bytes = spare && bytes <= spare.byteLength ? Buffer.from(spare) : Buffer.allocUnsafeSlow(Math.max(BATCH_BYTES, bytes));
  }

  get calls(): number {
    return this.#heads.length;
  }
  /** Bytes of memory. */
  get size(): number {
    return this.#bytes.length;
  }
  get isFull(): boolean {
    return this.#heads.length >= BATCH_CALLS;
  }

  /** False: it has no room. */
  add(remnant: Remnant): boolean {
    if (this.isFull) return false;
    const room = this.#bytes.length - this.#used;
    // Measuring a text costs as much as writing it: only where the worst of it might not fit.
    if (mostBytes(remnant) > room && exactBytes(remnant) > room) return false;
    const { text, answer, head } = remnant;
    const start = this.#used;
    const middle = start + this.#put(text, start);
    let end = middle;
    for (const piece of answer) end += this.#put(piece, end);
    this.#used = end;
    this.#heads.push([start, middle, end, ...head]);
    if (remnant.policy !== 0) this.policies.add(remnant.policy);
    return true;
  }

  /** Returns how many bytes it took. */
  #put(piece: string | Uint8Array, at: number): number {
    if (typeof piece === "string") return this.#bytes.write(piece, at);
    this.#bytes.set(piece, at);
    return piece.length;
  }

  pack(): Packed {
    return { bytes: this.#bytes.buffer as ArrayBuffer, heads: this.#heads };
  }
}

function mostBytes(remnant: Remnant): number {
  return bytesBy(remnant, (text) => text.length * MOST_BYTES_A_LETTER);
}

function exactBytes(remnant: Remnant): number {
  return bytesBy(remnant, (text) => Buffer.byteLength(text));
}

function bytesBy({ text, answer }: Remnant, of: (text: string) => number): number {
  let bytes = typeof text === "string" ? of(text) : text.length;
  for (const piece of answer) bytes += typeof piece === "string" ? of(piece) : piece.length;
  return bytes;
}

/** The other side: the calls of a batch, their bytes still in its memory. */
export function unpack({ bytes, heads }: Packed): readonly Unpacked[] {
  const all = Buffer.from(bytes);
  return heads.map(([start, middle, end, ...head]) => ({
    body: all.subarray(start, middle),
    answer: all.subarray(middle, end),
    head,
  }));
}

export interface Unpacked {
  readonly body: Buffer;
  readonly answer: Buffer;
  readonly head: RemnantHead;
}

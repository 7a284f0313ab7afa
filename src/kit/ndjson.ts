const LF = 10;
const NOTHING = new Uint8Array(0);

/** Cuts a byte stream of lines into frames: each everything up to and including its LF. The bytes are not copied unless a line spans chunks. */
export class LineSplitter {
  /** The pieces of a line that is not whole yet. */
  #pending: Uint8Array[] = [];
  #bytes = 0;
  readonly #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Calls `emit` for each complete line. Returns false when a line grew beyond the limit; the stream is then unusable. */
  push(chunk: Uint8Array, emit: (frame: Uint8Array) => void): boolean {
    let start = 0;
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, start)) {
      const line = start === 0 && end === chunk.length - 1 ? chunk : chunk.subarray(start, end + 1);
      start = end + 1;
      emit(this.#pending.length === 0 ? line : this.#joined(line));
    }
    if (start < chunk.length) {
      this.#pending.push(start === 0 ? chunk : chunk.subarray(start));
      this.#bytes += chunk.length - start;
    }
    return this.#bytes <= this.#maxBytes;
  }

  /** What came after the last line end; empty when the stream ended with one. */
  rest(): Uint8Array {
    if (this.#pending.length === 0) return NOTHING;
    const rest = this.#joined(NOTHING);
    this.#pending = [rest];
    this.#bytes = rest.length;
    return rest;
  }

  #joined(last: Uint8Array): Uint8Array {
    const whole = new Uint8Array(this.#bytes + last.length);
    let at = 0;
    for (const piece of this.#pending) {
      whole.set(piece, at);
      at += piece.length;
    }
    whole.set(last, at);
    this.#pending = [];
    this.#bytes = 0;
    return whole;
  }
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** One JSON text a line. Frames have no names; an empty line says nothing. Source: github.com/ndjson/ndjson-spec. */
export const jsonLines = {
  contentType: "application/x-ndjson",
  cutter: (maxBytes: number): LineSplitter => new LineSplitter(maxBytes),
  parse: (frame: Uint8Array): { event: string | undefined; data: string } | undefined => {
    const data = decoder.decode(frame).trim();
    return data === "" ? undefined : { event: undefined, data };
  },
  format: (_event: string | undefined, data: string): Uint8Array => encoder.encode(`${data}\n`),
};

const LF = 10;
const CR = 13;

/**
 * Cuts a byte stream of server-sent events into frames. A frame is everything up to and including its blank line; the bytes are not
 * copied unless a frame spans chunks. Source: WHATWG HTML, section 9.2 (line ends LF and CRLF; a lone CR is not a line end here: no
 * provider sends it, and accepting it would delay every frame that ends in CR by one chunk).
 */
export class FrameSplitter {
  #pending: Uint8Array | undefined;
  readonly #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Calls `emit` for each complete frame. Returns false when a frame grew beyond the limit; the stream is then unusable. */
  push(chunk: Uint8Array, emit: (frame: Uint8Array) => void): boolean {
    const bytes = this.#pending ? concat(this.#pending, chunk) : chunk;
    // Bytes seen before hold no blank line; only a line end that straddles the seam needs another look.
    let search = this.#pending ? Math.max(0, this.#pending.length - 3) : 0;
    this.#pending = undefined;
    let start = 0;
    for (;;) {
      const end = blankLineEnd(bytes, search);
      if (end < 0) break;
      // Most pieces of a stream are just one frame.
      emit(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end));
      start = end;
      search = end;
    }
    if (start < bytes.length) this.#pending = start === 0 ? bytes : bytes.subarray(start);
    return (this.#pending?.length ?? 0) <= this.#maxBytes;
  }

  /** What came after the last blank line; empty when the stream ended cleanly. */
  rest(): Uint8Array {
    return this.#pending ?? new Uint8Array(0);
  }
}

/** The index just behind the first blank line at or after `from`, or -1. */
function blankLineEnd(bytes: Uint8Array, from: number): number {
  let at = bytes.indexOf(LF, from);
  while (at >= 0) {
    const next = bytes[at + 1];
    if (next === LF) return at + 2;
    if (next === CR && bytes[at + 2] === LF) return at + 3;
    at = bytes.indexOf(LF, at + 1);
  }
  return -1;
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

const decoder = new TextDecoder();

/** Event name and data of one frame; undefined when it holds no data (a comment, a keep-alive). Several data lines are joined by LF. */
export function parseFrame(frame: Uint8Array | string): { event: string | undefined; data: string } | undefined {
  const text = typeof frame === "string" ? frame : decoder.decode(frame);
  let event: string | undefined;
  let data: string | undefined;
  let start = 0;
  while (start < text.length) {
    let end = text.indexOf("\n", start);
    if (end < 0) end = text.length;
    const line = text.slice(start, text.charCodeAt(end - 1) === CR ? end - 1 : end);
    start = end + 1;
    if (line.startsWith("data:")) {
      const value = fieldValue(line, 5);
      data = data === undefined ? value : `${data}\n${value}`;
    } else if (line.startsWith("event:")) event = fieldValue(line, 6);
  }
  return data === undefined ? undefined : { event, data };
}

function fieldValue(line: string, at: number): string {
  return line.slice(line.charCodeAt(at) === 32 ? at + 1 : at);
}

/** A frame on the wire. `data` must be one line, as JSON is. */
export function formatFrame(event: string | undefined, data: string): string {
  return event === undefined ? `data: ${data}\n\n` : `event: ${event}\ndata: ${data}\n\n`;
}

const encoder = new TextEncoder();

/** How server-sent events travel: what a language frames its streams with that says nothing else. */
export const eventStream = {
  contentType: "text/event-stream; charset=utf-8",
  cutter: (maxBytes: number): FrameSplitter => new FrameSplitter(maxBytes),
  parse: (frame: Uint8Array): { event: string | undefined; data: string } | undefined => parseFrame(frame),
  format: (event: string | undefined, data: string): Uint8Array => encoder.encode(formatFrame(event, data)),
};

/** A content type without its parameters, in lower case. */
export function mediaType(contentType: string): string {
  const end = contentType.indexOf(";");
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}

import type { Dialect, EmitFrame, EventEncoder, FrameCutter, Framing } from "../../canon/index.ts";
import { mediaType } from "../../kit/index.ts";

const OPENING = "[";
const SEPARATOR = ",\r\n";
const CLOSING = "]";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * A stream as one JSON array that grows: what the API sends to whom does not ask for events (`alt=sse`). Each frame is an element with the
 * bracket or comma before it; the last one closes the array.
 */
const ARRAY: Framing = {
  contentType: "application/json; charset=utf-8",
  cutter: (maxBytes) => new ElementCutter(maxBytes),
  parse(frame) {
    const data = decoder
      .decode(frame)
      .replace(/^[[,]\s*/, "")
      .replace(/\]$/, "");
    return data === "" ? undefined : { data };
  },
  format: (_event, data) => encoder.encode(data),
};

const [QUOTE, ESCAPE] = [0x22, 0x5c];
const OPENERS: ReadonlySet<number> = new Set([0x5b, 0x7b]);
const CLOSERS: ReadonlySet<number> = new Set([0x5d, 0x7d]);
/** Inside the array, and outside its elements. */
const BETWEEN = 1;

/**
 * Cuts the array into its elements, for whoever reads again what a client was told: providers are asked for events. Works on bytes, because
 * no byte of a longer UTF-8 character looks like a bracket or a quote.
 */
class ElementCutter implements FrameCutter {
  readonly #maxBytes: number;
  #element: number[] = [];
  #depth = 0;
  #quoted = false;
  #escaped = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  push(chunk: Uint8Array, emit: (frame: Uint8Array) => void): boolean {
    for (const byte of chunk) {
      const before = this.#depth;
      this.#read(byte);
      if (before <= BETWEEN && this.#depth <= BETWEEN) continue;
      this.#element.push(byte);
      if (this.#element.length > this.#maxBytes) return false;
      if (this.#depth !== BETWEEN) continue;
      emit(Uint8Array.from(this.#element));
      this.#element = [];
    }
    return true;
  }
  rest(): Uint8Array {
    return Uint8Array.from(this.#element);
  }

  #read(byte: number): void {
    if (this.#escaped) this.#escaped = false;
    else if (byte === ESCAPE) this.#escaped = this.#quoted;
    else if (byte === QUOTE) this.#quoted = !this.#quoted;
    else if (this.#quoted) return;
    else if (OPENERS.has(byte)) this.#depth++;
    else if (CLOSERS.has(byte)) this.#depth--;
  }
}

/** Is a stream of this content type such an array? */
export function isArrayStream(contentType: string): boolean {
  return mediaType(contentType) === mediaType(ARRAY.contentType);
}

/** The language with its streams as arrays. */
export function asArrayStream(language: Dialect): Dialect {
  return {
    ...language,
    framing: ARRAY,
    encodeEvents(emit, context) {
      const elements = new Elements(emit);
      const inner = language.encodeEvents((_event, data) => elements.add(data), context);
      const outer: EventEncoder = {
        event(event) {
          inner.event(event);
          elements.tell(event.type === "done");
        },
        goOnFrom: (frames) => elements.goOnFrom(frames),
      };
      return outer;
    },
    encodeProblemFrames(problem, callId, emit, begun) {
      language.encodeProblemFrames(
        problem,
        callId,
        (_event, data) => emit(undefined, `${(begun?.frames ?? 0) > 0 ? SEPARATOR : OPENING}${data}${CLOSING}`),
        begun,
      );
    },
  };
}

/** Elements of the array; the last of them is known once the answer is over. */
class Elements {
  readonly #emit: EmitFrame;
  #told = 0;
  #waiting: string[] = [];

  constructor(emit: EmitFrame) {
    this.#emit = emit;
  }

  add(data: string): void {
    this.#waiting.push(`${this.#told++ === 0 ? OPENING : SEPARATOR}${data}`);
  }

  tell(isLast: boolean): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const [place, data] of waiting.entries()) this.#emit(undefined, isLast && place === waiting.length - 1 ? data + CLOSING : data);
  }

  goOnFrom(frames: number): void {
    this.#told = frames;
  }
}

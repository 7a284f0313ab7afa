import type { Dialect, EmitFrame, EventEncoder, FrameCutter, Framing } from "../../canon/index.ts";

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
  cutter: () => new WholeCutter(),
  parse(frame) {
    const data = decoder
      .decode(frame)
      .replace(/^[[,]\s*/, "")
      .replace(/\]$/, "");
    return data === "" ? undefined : { data };
  },
  format: (_event, data) => encoder.encode(data),
};

/** Nobody reads such a stream but its client: providers are asked for events. What was written is a frame already. */
class WholeCutter implements FrameCutter {
  push(chunk: Uint8Array, emit: (frame: Uint8Array) => void): boolean {
    emit(chunk);
    return true;
  }
  rest(): Uint8Array {
    return new Uint8Array(0);
  }
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

import { EventStreamCodec } from "@smithy/eventstream-codec";
import type { FrameCutter, Framing, WireFrame } from "../../canon/index.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const codec = new EventStreamCodec(
  (bytes) => (typeof bytes === "string" ? bytes : decoder.decode(bytes)),
  (text) => encoder.encode(text),
);

/** The shortest message: its two lengths and their checksum, no headers, no payload, and the checksum of all. */
const LEAST_BYTES = 16;
const LENGTH_BYTES = 4;
const JSON_TYPE = "application/json";
const NOTHING = new Uint8Array(0);

/** Events of this name tell of a failure: that is what the service's own are called. */
const EXCEPTION = /Exception$/;

export function isException(event: string | undefined): boolean {
  return event !== undefined && EXCEPTION.test(event);
}

/** Cuts a stream of messages, each of which begins with its own length in bytes (four of them, most significant first). */
class MessageCutter implements FrameCutter {
  readonly #maxBytes: number;
  #pending: Uint8Array = NOTHING;
  /** Of `#pending`, which may have room for the rest of its message. */
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  push(chunk: Uint8Array, emit: (frame: Uint8Array) => void): boolean {
    let from = 0;
    while (from < chunk.length) {
      if (this.#bytes > 0) {
        const taken = this.#fill(chunk.subarray(from));
        if (taken < 0) return false;
        from += taken;
        if (this.#bytes < LENGTH_BYTES || this.#bytes < lengthOf(this.#pending, 0)) return true;
        const whole = this.#pending;
        this.#pending = NOTHING;
        this.#bytes = 0;
        emit(whole);
        continue;
      }
      const left = chunk.length - from;
      const length = left < LENGTH_BYTES ? LEAST_BYTES : lengthOf(chunk, from);
      if (!this.#fits(length)) return false;
      if (left < length) {
        this.#pending = new Uint8Array(length);
        this.#pending.set(chunk.subarray(from));
        this.#bytes = left;
        return true;
      }
      emit(from === 0 && left === length ? chunk : chunk.subarray(from, from + length));
      from += length;
    }
    return true;
  }

  rest(): Uint8Array {
    return this.#pending.subarray(0, this.#bytes);
  }

  #fits(length: number): boolean {
    return length >= LEAST_BYTES && length <= this.#maxBytes;
  }

  /** Goes on with the message that is not whole yet; returns the bytes taken, -1 for a length that cannot be. */
  #fill(more: Uint8Array): number {
    let taken = 0;
    if (this.#bytes < LENGTH_BYTES) {
      taken = Math.min(LENGTH_BYTES - this.#bytes, more.length);
      this.#pending.set(more.subarray(0, taken), this.#bytes);
      this.#bytes += taken;
      if (this.#bytes < LENGTH_BYTES) return taken;
      const length = lengthOf(this.#pending, 0);
      if (!this.#fits(length)) return -1;
      const whole = new Uint8Array(length);
      whole.set(this.#pending.subarray(0, this.#bytes));
      this.#pending = whole;
    }
    const piece = more.subarray(taken, taken + this.#pending.length - this.#bytes);
    this.#pending.set(piece, this.#bytes);
    this.#bytes += piece.length;
    return taken + piece.length;
  }
}

function lengthOf(bytes: Uint8Array, at: number): number {
  return (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0;
}

/** A message whose checksums are wrong, or which is cut short, has data that is no JSON. */
function parse(frame: Uint8Array): WireFrame | undefined {
  if (frame.length === 0) return undefined;
  try {
    const { headers, body } = codec.decode(frame);
    const header = (name: string): string | undefined => {
      const found = headers[name];
      return found?.type === "string" ? found.value : undefined;
    };
    const data = decoder.decode(body);
    switch (header(":message-type")) {
      case "exception":
        return { event: exceptionName(header(":exception-type")), data: data === "" ? "{}" : data };
      case "error":
        return { event: exceptionName(header(":error-code")), data: JSON.stringify({ message: header(":error-message") ?? "" }) };
      default:
        return { event: header(":event-type"), data };
    }
  } catch {
    return { event: undefined, data: "" };
  }
}

function exceptionName(type: string | undefined): string {
  const name = type ?? "internalServer";
  return isException(name) ? name : `${name}Exception`;
}

/** What stands before the payload and is the same for all events of one name. */
const HEADERS = new Map<string, Parameters<typeof codec.encode>[0]["headers"]>();

function headersOf(event: string): Parameters<typeof codec.encode>[0]["headers"] {
  let headers = HEADERS.get(event);
  if (!headers) {
    const kind = isException(event) ? "exception" : "event";
    headers = {
      [`:${kind}-type`]: { type: "string", value: event },
      ":content-type": { type: "string", value: JSON_TYPE },
      ":message-type": { type: "string", value: kind },
    };
    // An upstream's own names come through here, too, and there is no end of them.
    if (HEADERS.size < MAX_NAMES) HEADERS.set(event, headers);
  }
  return headers;
}
const MAX_NAMES = 64;

/** Binary messages with headers and checksums. Source: "Amazon Event Stream Specification", smithy.io. */
export const eventMessages: Framing = {
  contentType: "application/vnd.amazon.eventstream",
  cutter: (maxBytes) => new MessageCutter(maxBytes),
  parse,
  format: (event, data) => codec.encode({ headers: headersOf(event ?? "event"), body: encoder.encode(data) }),
};

import type { FrameCutter, Framing, WireFrame } from "../../canon/index.ts";
import { headerBytes, headersIn, LEAST_BYTES, payloadUnder, readMessage, writeMessage } from "./event-message.ts";

const LENGTH_BYTES = 4;
const JSON_TYPE = "application/json";
const NOTHING = Buffer.alloc(0);

/** Events of this name tell of a failure: that is what the service's own are called. */
const EXCEPTION = /Exception$/;

export function isException(event: string | undefined): boolean {
  return event !== undefined && EXCEPTION.test(event);
}

/** Cuts a stream of messages, each of which begins with its own length in bytes (four of them, most significant first). */
class MessageCutter implements FrameCutter {
  readonly #maxBytes: number;
  #pending: Buffer = NOTHING;
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
        this.#pending = Buffer.allocUnsafe(length);
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
      const whole = Buffer.allocUnsafe(length);
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
  const message = readMessage(frame);
  if (!message) return { event: undefined, data: "" };
  const { type, named } = message.head;
  const data = message.payload.toString("utf8");
  switch (type) {
    case "exception":
      return { event: exceptionName(named[":exception-type"]), data: data === "" ? "{}" : data };
    case "error":
      return { event: exceptionName(named[":error-code"]), data: JSON.stringify({ message: named[":error-message"] ?? "" }) };
    default:
      return { event: named[":event-type"], data };
  }
}

const DELTA = "contentBlockDelta";

/** Headers of deltas as they were met: services write them in one way, so the first that fits is nearly always the first. */
const DELTA_HEADERS: Buffer[] = [];
const MOST_DELTA_HEADERS = 4;

function payload(frame: Uint8Array): Uint8Array | undefined {
  for (const headers of DELTA_HEADERS) {
    const found = payloadUnder(headers, frame);
    if (found) return found;
  }
  const message = readMessage(frame);
  if (message?.head.type !== "event" || message.head.named[":event-type"] !== DELTA) return undefined;
  if (DELTA_HEADERS.length < MOST_DELTA_HEADERS) DELTA_HEADERS.push(headersIn(frame));
  return message.payload;
}

function exceptionName(type: string | undefined): string {
  const name = type ?? "internalServer";
  return isException(name) ? name : `${name}Exception`;
}

/** What stands before the payload and is the same for all events of one name. */
const HEADERS = new Map<string, Buffer>();

export function headersOf(event: string): Buffer {
  let headers = HEADERS.get(event);
  if (!headers) {
    const kind = isException(event) ? "exception" : "event";
    headers = headerBytes({ [`:${kind}-type`]: event, ":content-type": JSON_TYPE, ":message-type": kind });
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
  payload,
  format: (event, data) =>
    writeMessage(headersOf(event ?? "event"), Buffer.byteLength(data), (bytes, at) => void bytes.write(data, at, "utf8")),
};

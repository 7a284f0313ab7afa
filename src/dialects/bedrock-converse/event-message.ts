import { crc32 } from "node:zlib";

/** What a message says besides its payload. */
export interface MessageHead {
  /** `event`, `exception` or `error`; undefined: it does not say. */
  readonly type: string | undefined;
  /** Names that go with it, by header: `:event-type`, `:exception-type`, `:error-code`, `:error-message`. */
  readonly named: Readonly<Record<string, string>>;
}

export interface EventMessage {
  readonly head: MessageHead;
  readonly payload: Buffer;
}

/** Two lengths and their checksum stand before the headers, the checksum of all behind the payload: four bytes each, most significant first. */
const PRELUDE_BYTES = 12;
const CHECKSUM_BYTES = 4;
/** The shortest message has neither headers nor payload. */
export const LEAST_BYTES = PRELUDE_BYTES + CHECKSUM_BYTES;

/** Bytes of a header's value by its type; undefined: the value begins with its own length. */
const VALUE_BYTES: readonly (number | undefined)[] = [0, 0, 1, 2, 4, 8, undefined, undefined, 8, 16];
const STRING = 7;
const LENGTH_BYTES = 2;

/** Heads seen before, by their bytes: a stream says a handful of them over and over. An upstream's own have no end, so few are kept. */
const SEEN = new Map<string, MessageHead>();
const MOST_SEEN = 64;

/** CRC-32 by table, for the eight bytes before each checksum of lengths: a call out of the language costs more than these take. */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte;
  for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  return sum;
});
const LENGTHS_BYTES = 8;

function lengthsSum(bytes: Uint8Array): number {
  let sum = -1;
  for (let at = 0; at < LENGTHS_BYTES; at++) sum = (TABLE[(sum ^ (bytes[at] ?? 0)) & 0xff] ?? 0) ^ (sum >>> 8);
  return (sum ^ -1) >>> 0;
}

export function bufferOver(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * One whole message; undefined when it is cut short or a checksum is wrong. Our own and not the SDK's codec, which takes 2 µs to read a
 * message and 10 to write one. Source: "Amazon Event Stream Specification", smithy.io.
 */
export function readMessage(frame: Uint8Array): EventMessage | undefined {
  const bytes = bufferOver(frame);
  const behind = headersEnd(bytes);
  if (behind === 0) return undefined;
  const head = headOf(bytes, behind);
  return head && { head, payload: bytes.subarray(behind, bytes.length - CHECKSUM_BYTES) };
}

/** The payload of a whole message that has these headers, byte for byte; undefined for any other. */
export function payloadUnder(headers: Buffer, frame: Uint8Array): Buffer | undefined {
  const bytes = bufferOver(frame);
  const start = PRELUDE_BYTES + headers.length;
  // Compared first: it costs least.
  if (bytes.length < start || bytes.compare(headers, 0, headers.length, PRELUDE_BYTES, start) !== 0) return undefined;
  return headersEnd(bytes) === start ? bytes.subarray(start, bytes.length - CHECKSUM_BYTES) : undefined;
}

/** The headers' bytes of a whole message. */
export function headersIn(frame: Uint8Array): Buffer {
  const bytes = bufferOver(frame);
  return Buffer.from(bytes.subarray(PRELUDE_BYTES, headersEnd(bytes)));
}

/** Where the headers end; 0 for what is no whole message, or has a wrong checksum. */
function headersEnd(bytes: Buffer): number {
  const { length } = bytes;
  if (length < LEAST_BYTES || bytes.readUInt32BE(0) !== length) return 0;
  const behind = PRELUDE_BYTES + bytes.readUInt32BE(4);
  const end = length - CHECKSUM_BYTES;
  if (behind > end || lengthsSum(bytes) !== bytes.readUInt32BE(LENGTHS_BYTES)) return 0;
  return crc32(bytes.subarray(0, end)) === bytes.readUInt32BE(end) ? behind : 0;
}

function headOf(bytes: Buffer, end: number): MessageHead | undefined {
  const known = bytes.toString("latin1", PRELUDE_BYTES, end);
  const seen = SEEN.get(known);
  if (seen) return seen;
  const named: Record<string, string> = {};
  for (let at = PRELUDE_BYTES; at < end;) {
    const nameEnd = at + 1 + (bytes[at] ?? 0);
    const type = nameEnd < end ? (bytes[nameEnd] ?? -1) : -1;
    if (type < 0 || type >= VALUE_BYTES.length) return undefined;
    let from = nameEnd + 1;
    let size = VALUE_BYTES[type];
    if (size === undefined) {
      if (from + LENGTH_BYTES > end) return undefined;
      size = bytes.readUInt16BE(from);
      from += LENGTH_BYTES;
    }
    if (from + size > end) return undefined;
    if (type === STRING) named[bytes.toString("utf8", at + 1, nameEnd)] = bytes.toString("utf8", from, from + size);
    at = from + size;
  }
  const head = { type: named[":message-type"], named };
  if (SEEN.size < MOST_SEEN) SEEN.set(known, head);
  return head;
}

/** What stands before the payload of messages with the same headers. */
export function headerBytes(headers: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(
    Object.entries(headers).flatMap(([name, value]) => {
      const [told, said] = [Buffer.from(name), Buffer.from(value)];
      return [Buffer.from([told.length]), told, Buffer.from([STRING, said.length >> 8, said.length & 0xff]), said];
    }),
  );
}

/** A message of these headers, whose payload `write` puts into `bytes` from `at`: `payloadBytes` of them. */
export function writeMessage(headers: Uint8Array, payloadBytes: number, write: (bytes: Buffer, at: number) => void): Buffer {
  const start = payloadStart(headers);
  const bytes = Buffer.allocUnsafe(start + payloadBytes + CHECKSUM_BYTES);
  write(bytes, start);
  finish(bytes, headers);
  return bytes;
}

/** Where a message's payload begins, and how many bytes stand behind it. */
export function payloadStart(headers: Uint8Array): number {
  return PRELUDE_BYTES + headers.length;
}
export const PAYLOAD_BEHIND = CHECKSUM_BYTES;

/** A message of these headers in memory of the caller's choice, around a payload that `fill` writes; undefined when it wrote none. */
export function aroundPayload<Bytes extends Uint8Array>(
  headers: Uint8Array,
  allocate: (length: number) => Bytes,
  fill: (payload: (length: number) => Uint8Array) => unknown,
): Bytes | undefined {
  const start = payloadStart(headers);
  let whole: Bytes | undefined;
  const written = fill((length) => {
    whole = allocate(start + length + CHECKSUM_BYTES);
    return whole.subarray(start, start + length);
  });
  if (!written || !whole) return undefined;
  finish(bufferOver(whole), headers);
  return whole;
}

/** Writes everything but the payload. */
function finish(bytes: Buffer, headers: Uint8Array): void {
  const end = bytes.length - CHECKSUM_BYTES;
  bytes.writeUInt32BE(bytes.length, 0);
  bytes.writeUInt32BE(headers.length, 4);
  bytes.writeUInt32BE(lengthsSum(bytes), LENGTHS_BYTES);
  bytes.set(headers, PRELUDE_BYTES);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, end)), end);
}

import { parseJson } from "./json.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

const QUOTE = 34;
const ZERO = 48;
const BACKSLASH = 92;
const SPACE = 32;
const LAST_ASCII = 127;
/** A longer text is worth the way through strings. */
const MAX_LETTERS = 64;
/** Beyond this a number is written by way of a string. */
const MAX_NUMBER = 1e9;

/** What stands around a frame's data: a server-sent event's lines, the end of a line, or nothing. */
export type Surroundings = "event" | "line" | "none";
const CLOSINGS: Readonly<Record<Surroundings, string>> = { event: "\n\n", line: "\n", none: "" };

/**
 * A frame whose copies differ in nothing but one JSON string, and perhaps a number behind it: made once, filled in for every
 * piece of a stream. Filling in bytes costs less than half of what putting strings together and encoding them does.
 */
export class TextFrame {
  readonly event: string | undefined;
  readonly #before: string;
  readonly #after: string;
  readonly #end: string | undefined;
  readonly #within: Surroundings;
  #head: Uint8Array | undefined;
  #middle: Uint8Array | undefined;
  #tail: Uint8Array | undefined;

  /** `before` and `after` surround the JSON string in the event's data; with `end`, a number stands between `after` and that. */
  constructor(event: string | undefined, before: string, after: string, end?: string, within: Surroundings = "event") {
    this.event = event;
    this.#within = within;
    this.#before = before;
    this.#after = after;
    this.#end = end;
  }

  /** The event's data with this text. */
  data(text: string, number = 0): string {
    const data = this.#before + JSON.stringify(text) + this.#after;
    return this.#end === undefined ? data : data + number + this.#end;
  }

  /** The whole frame, in memory of the caller's choice; undefined for a text that is long or beyond ASCII, which goes through `data`. */
  bytes<Bytes extends Uint8Array>(text: string, allocate: (length: number) => Bytes, number = 0): Bytes | undefined {
    const letters = lettersOf(text);
    if (letters < 0 || number > MAX_NUMBER) return undefined;
    const bytes = this.#surround(letters, allocate, number);
    write(bytes, this.#headBytes().length, text);
    return bytes;
  }

  /**
   * The whole frame with the JSON string that stands in other bytes from `start` to `end`, without its quotes; undefined when it is not
   * written there as this frame would write it.
   */
  around<Bytes extends Uint8Array>(
    other: Uint8Array,
    start: number,
    end: number,
    allocate: (length: number) => Bytes,
    number = 0,
  ): Bytes | undefined {
    if (number > MAX_NUMBER || !isAsWritten(other, start, end)) return undefined;
    const bytes = this.#surround(end - start, allocate, number);
    let to = this.#headBytes().length;
    if (end - start > MAX_LETTERS) bytes.set(other.subarray(start, end), to);
    else for (let at = start; at < end; at++) bytes[to++] = other[at] ?? 0;
    return bytes;
  }

  /** The text of several frames that this one was filled in for, one behind the other; the first of them has this number. */
  textOf(frames: readonly Uint8Array[], number = 0): string {
    const head = this.#headBytes().length;
    let length = 0;
    const letters = frames.map((frame, place) => {
      const digits = this.#end === undefined ? 0 : digitsOf(number + place);
      const string = frame.subarray(head, frame.length - this.#middleBytes().length - digits - this.#tailBytes().length);
      length += string.length;
      return string;
    });
    const whole = new Uint8Array(length);
    let at = 0;
    for (const string of letters) {
      whole.set(string, at);
      at += string.length;
    }
    const literal = decoder.decode(whole);
    const value = literal.includes("\\") ? parseJson(`"${literal}"`) : literal;
    return typeof value === "string" ? value : "";
  }

  /** The frame without its text, for so many bytes of it. */
  #surround<Bytes extends Uint8Array>(letters: number, allocate: (length: number) => Bytes, number: number): Bytes {
    const head = this.#headBytes();
    const middle = this.#middleBytes();
    const behind = head.length + letters;
    if (this.#end === undefined) {
      const bytes = allocate(behind + middle.length);
      bytes.set(head);
      bytes.set(middle, behind);
      return bytes;
    }
    const tail = this.#tailBytes();
    const digits = digitsOf(number);
    let at = behind + middle.length + digits;
    const bytes = allocate(at + tail.length);
    bytes.set(head);
    bytes.set(middle, behind);
    bytes.set(tail, at);
    for (let rest = number, digit = 0; digit < digits; digit++, rest = Math.floor(rest / 10)) bytes[--at] = ZERO + (rest % 10);
    return bytes;
  }

  #headBytes(): Uint8Array {
    const name = this.event === undefined ? "" : `event: ${this.event}\n`;
    return (this.#head ??= encoder.encode(`${this.#within === "event" ? `${name}data: ` : ""}${this.#before}"`));
  }
  #middleBytes(): Uint8Array {
    return (this.#middle ??= encoder.encode(`"${this.#after}${this.#end === undefined ? CLOSINGS[this.#within] : ""}`));
  }
  #tailBytes(): Uint8Array {
    return (this.#tail ??= encoder.encode(this.#end === undefined ? "" : this.#end + CLOSINGS[this.#within]));
  }
}

/**
 * Is a JSON string written as `JSON.stringify` writes it? Then its bytes can be copied: nothing is escaped that need not be, and every
 * character beyond ASCII is well-formed UTF-8.
 */
function isAsWritten(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end;) {
    const byte = bytes[at] ?? 0;
    if (byte > LAST_ASCII) {
      const length = characterAt(bytes, at, end);
      if (length === 0) return false;
      at += length;
    } else if (byte === BACKSLASH) {
      if (at + 1 >= end || !isShortEscape(bytes[at + 1] ?? 0)) return false;
      at += 2;
    } else {
      if (byte < SPACE || byte === QUOTE) return false;
      at++;
    }
  }
  return true;
}

/** May this letter stand behind a backslash in what `JSON.stringify` writes? */
function isShortEscape(letter: number): boolean {
  return letter === QUOTE || letter === BACKSLASH || letter === 98 || letter === 102 || letter === 110 || letter === 114 || letter === 116;
}

/** Bytes of the character beyond ASCII that begins here; 0 when it is not well-formed. Source: The Unicode Standard, table 3-7. */
function characterAt(bytes: Uint8Array, at: number, end: number): number {
  const first = bytes[at] ?? 0;
  if (first < 0xc2 || first > 0xf4) return 0;
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (at + length > end) return 0;
  const second = bytes[at + 1] ?? 0;
  // No longer form than needed, no surrogates, nothing beyond the last plane.
  const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < least || second > most) return 0;
  for (let next = at + 2; next < at + length; next++) if (((bytes[next] ?? 0) & 0xc0) !== 0x80) return 0;
  return length;
}

/** Bytes of the text within a JSON string; -1 when it is not worth counting them. */
function lettersOf(text: string): number {
  const { length } = text;
  if (length > MAX_LETTERS) return -1;
  let letters = length;
  for (let at = 0; at < length; at++) {
    const code = text.charCodeAt(at);
    if (code > LAST_ASCII) return -1;
    if (code >= SPACE && code !== QUOTE && code !== BACKSLASH) continue;
    if (escapeOf(code) === 0) return -1;
    letters++;
  }
  return letters;
}

function write(bytes: Uint8Array, start: number, text: string): void {
  let to = start;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    const escape = code >= SPACE && code !== QUOTE && code !== BACKSLASH ? 0 : escapeOf(code);
    if (escape > 0) bytes[to++] = BACKSLASH;
    bytes[to++] = escape > 0 ? escape : code;
  }
}

/** The letter behind the backslash by which JSON writes this one; 0 for those that it writes as numbers. */
function escapeOf(code: number): number {
  switch (code) {
    case QUOTE:
    case BACKSLASH:
      return code;
    case 8:
      return 98;
    case 9:
      return 116;
    case 10:
      return 110;
    case 12:
      return 102;
    case 13:
      return 114;
    default:
      return 0;
  }
}

function digitsOf(number: number): number {
  let digits = 1;
  for (let rest = number; rest >= 10; rest /= 10) digits++;
  return digits;
}

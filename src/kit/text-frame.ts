const encoder = new TextEncoder();

const QUOTE = 34;
const ZERO = 48;
const BACKSLASH = 92;
const SPACE = 32;
const LAST_ASCII = 127;
/** A longer text is worth the way through strings. */
const MAX_LETTERS = 64;
/** Beyond this a number is written by way of a string. */
const MAX_NUMBER = 1e9;

/**
 * A server-sent event whose copies differ in nothing but one JSON string, and perhaps a number behind it: made once, filled in for every
 * piece of a stream. Filling in bytes costs less than half of what putting strings together and encoding them does.
 */
export class TextFrame {
  readonly event: string | undefined;
  readonly #before: string;
  readonly #after: string;
  readonly #end: string | undefined;
  #head: Uint8Array | undefined;
  #middle: Uint8Array | undefined;
  #tail: Uint8Array | undefined;

  /** `before` and `after` surround the JSON string in the event's data; with `end`, a number stands between `after` and that. */
  constructor(event: string | undefined, before: string, after: string, end?: string) {
    this.event = event;
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
    const head = (this.#head ??= encoder.encode(`${this.event === undefined ? "" : `event: ${this.event}\n`}data: ${this.#before}"`));
    const middle = (this.#middle ??= encoder.encode(`"${this.#after}${this.#end === undefined ? "\n\n" : ""}`));
    const tail = (this.#tail ??= encoder.encode(this.#end === undefined ? "" : `${this.#end}\n\n`));
    const digits = this.#end === undefined ? 0 : digitsOf(number);
    const behind = head.length + letters;
    const bytes = allocate(behind + middle.length + digits + tail.length);
    bytes.set(head);
    write(bytes, head.length, text);
    bytes.set(middle, behind);
    if (digits === 0) return bytes;
    let at = behind + middle.length + digits;
    bytes.set(tail, at);
    for (let rest = number, digit = 0; digit < digits; digit++, rest = Math.floor(rest / 10)) bytes[--at] = ZERO + (rest % 10);
    return bytes;
  }
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

import { parseJson } from "./json.ts";

/** A place in the frame whose bytes may differ: the string that is told, another string, a whole number, spaces before the last brace. */
type Hole = "text" | "padding" | "number" | "spaces";

/** Larger frames are no deltas, and not worth a copy. */
const MAX_TEMPLATE_BYTES = 4096;
/** Up to here a string is put together letter by letter; a longer one is worth the way through the decoder. */
const MAX_LETTERS = 48;

const QUOTE = 34;
const SLASH = 47;
const ZERO = 48;
const NINE = 57;
const BACKSLASH = 92;
const SPACE = 32;
const LAST_ASCII = 127;
/** The first byte of a character of four, which is two to JavaScript. */
const FOUR_BYTES = 0xf0;
const LETTER_U = 117;
/** Digits behind `\u`. */
const ESCAPE_DIGITS = 4;

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * What a frame looks like that does nothing but tell one string: another frame that fits differs from it in that string alone, and in
 * members that mean nothing. Everything else is compared byte by byte and the string is checked, so that what fits is well-formed JSON.
 */
export class FrameTemplate {
  /** The bytes between the holes, without them: thousands of streams take turns, and what lies in one place is fetched at once. */
  readonly #fixed: Uint8Array;
  /** Where in them the holes are, in order. */
  readonly #stops: readonly number[];
  readonly #holes: readonly Hole[];
  /** Where the string that is told stands in the frame that fitted last, without its quotes. */
  start = 0;
  end = 0;

  private constructor(fixed: Uint8Array, stops: readonly number[], holes: readonly Hole[]) {
    this.#fixed = fixed;
    this.#stops = stops;
    this.#holes = holes;
  }

  /**
   * Undefined when it cannot be said for sure where the frame has the string. `ignored` names members whose value, a string or a whole
   * number, means nothing.
   */
  static of(bytes: Uint8Array, text: string, ignored: readonly string[]): FrameTemplate | undefined {
    if (text === "" || bytes.length > MAX_TEMPLATE_BYTES) return undefined;
    const raw = decoder.decode(bytes);
    const place = placeOf(text, raw);
    if (!place) return undefined;
    const found: { hole: Hole; start: number; end: number }[] = [{ hole: "text", ...place }];
    for (const name of ignored) {
      const match = new RegExp(`"${name}": ?(?:"([^"]*)"|\\d+(?=[,}]))`, "d").exec(raw);
      const [whole, inner] = match?.indices ?? [];
      if (!whole || !match) continue;
      if (inner) found.push({ hole: "padding", start: inner[0], end: inner[1] });
      else found.push({ hole: "number", start: whole[1] - (/\d+$/.exec(match[0])?.[0].length ?? 0), end: whole[1] });
    }
    // Some vendors pad their frames with spaces, of which JSON makes nothing.
    const spaces = /\ndata:[^\n]*?( *)\}\s*$/d.exec(`\n${raw}`)?.indices?.[1];
    if (spaces) found.push({ hole: "spaces", start: spaces[0] - 1, end: spaces[1] - 1 });
    found.sort((a, b) => a.start - b.start);
    const stops: number[] = [];
    let fixed = "";
    let from = 0;
    for (const { start, end } of found) {
      fixed += raw.slice(from, start);
      stops.push(encoder.encode(fixed).length);
      from = end;
    }
    return new FrameTemplate(
      encoder.encode(fixed + raw.slice(from)),
      stops,
      found.map(({ hole }) => hole),
    );
  }

  /** The string that the frame tells; empty when the frame does not fit, or tells nothing. */
  text(frame: Uint8Array): string {
    return this.fits(frame) ? stringOf(frame, this.start, this.end) : "";
  }

  /** Characters of the string that the frame tells, as JavaScript counts them; 0 when the frame does not fit, or tells nothing. */
  characters(frame: Uint8Array): number {
    return this.fits(frame) ? charactersIn(frame, this.start, this.end) : 0;
  }

  /** Does the frame differ in the holes alone? What its string means is not looked at: an escape in it may be none that JSON knows. */
  fits(frame: Uint8Array): boolean {
    const fixed = this.#fixed;
    const stops = this.#stops;
    let at = 0;
    let from = 0;
    for (let hole = 0; hole < stops.length; hole++) {
      const stop = stops[hole] ?? 0;
      if (!standsAt(frame, at, fixed, from, stop)) return false;
      at += stop - from;
      from = stop;
      const kind = this.#holes[hole] ?? "text";
      const end = endOf(kind, frame, at);
      if (end < 0) return false;
      if (kind === "text") {
        this.start = at;
        this.end = end;
      }
      at = end;
    }
    return standsAt(frame, at, fixed, from, fixed.length) && at + fixed.length - from === frame.length;
  }
}

/** Does the frame have, at this place, the bytes that `fixed` has between `from` and `to`? */
function standsAt(frame: Uint8Array, at: number, fixed: Uint8Array, from: number, to: number): boolean {
  const shift = at - from;
  if (to + shift > frame.length) return false;
  for (let place = from; place < to; place++) if (frame[place + shift] !== fixed[place]) return false;
  return true;
}

/** The index behind what may stand in the hole; -1 for anything else. */
function endOf(hole: Hole, frame: Uint8Array, from: number): number {
  if (hole === "number") return endOfNumber(frame, from);
  if (hole !== "spaces") return endOfString(frame, from, hole === "text");
  let at = from;
  while (frame[at] === SPACE) at++;
  return at;
}

/** The index of the quote that ends the string; -1 for what JSON allows in no string, an escape nobody checks, or when it does not end. */
function endOfString(frame: Uint8Array, from: number, mayEscape: boolean): number {
  for (let at = from; at < frame.length; at++) {
    const byte = frame[at] ?? 0;
    if (byte === QUOTE) return at;
    if (byte < SPACE || (byte === BACKSLASH && !mayEscape)) return -1;
    if (byte === BACKSLASH) at++;
  }
  return -1;
}

/** The index behind the digits; -1 when there are none, or a zero leads them. */
function endOfNumber(frame: Uint8Array, from: number): number {
  let at = from;
  while (at < frame.length && (frame[at] ?? 0) >= ZERO && (frame[at] ?? 0) <= NINE) at++;
  return at === from || (frame[from] === ZERO && at > from + 1) ? -1 : at;
}

/** The JSON string between two quotes; empty when its escapes are not well-formed. */
function stringOf(frame: Uint8Array, start: number, end: number): string {
  if (end - start > MAX_LETTERS) return decodedString(frame, start, end);
  let text = "";
  for (let at = start; at < end; at++) {
    let byte = frame[at] ?? 0;
    if (byte === BACKSLASH) byte = escapedBy(frame[++at] ?? 0);
    if (byte > LAST_ASCII) return decodedString(frame, start, end);
    text += String.fromCharCode(byte);
  }
  return text;
}

function decodedString(frame: Uint8Array, start: number, end: number): string {
  const literal = decoder.decode(frame.subarray(start, end));
  if (!literal.includes("\\")) return literal;
  const value = parseJson(`"${literal}"`);
  return typeof value === "string" ? value : "";
}

/** The length of the JSON string between two quotes; 0 when its escapes are not well-formed. */
function charactersIn(frame: Uint8Array, start: number, end: number): number {
  let characters = 0;
  for (let at = start; at < end; at++) {
    const byte = frame[at] ?? 0;
    if (byte === BACKSLASH) {
      const letters = escapeAt(frame, at + 1);
      if (letters === 0) return 0;
      at += letters;
    }
    // A byte that goes on with a character counts for none.
    if ((byte & 0xc0) !== 0x80) characters += byte >= FOUR_BYTES ? 2 : 1;
  }
  return characters;
}

/** Letters of a well-formed escape behind its backslash; 0 for any other. */
function escapeAt(frame: Uint8Array, at: number): number {
  const letter = frame[at] ?? 0;
  if (letter !== LETTER_U) return escapedBy(letter) > LAST_ASCII ? 0 : 1;
  for (let digit = 1; digit <= ESCAPE_DIGITS; digit++) if (!isHexadecimal(frame[at + digit] ?? 0)) return 0;
  return 1 + ESCAPE_DIGITS;
}

/** What JSON writes as a backslash and this letter; beyond ASCII for `u` and for letters that it knows no such escape of. */
function escapedBy(letter: number): number {
  switch (letter) {
    case QUOTE:
    case BACKSLASH:
    case SLASH:
      return letter;
    case 98:
      return 8;
    case 102:
      return 12;
    case 110:
      return 10;
    case 114:
      return 13;
    case 116:
      return 9;
    default:
      return LAST_ASCII + 1;
  }
}

function isHexadecimal(letter: number): boolean {
  const lower = letter | SPACE;
  return (letter >= ZERO && letter <= NINE) || (lower >= 97 && lower <= 102);
}

/** Where the frame has this string, without its quotes. Some vendors write every letter beyond ASCII as an escape. */
function placeOf(text: string, raw: string): { readonly start: number; readonly end: number } | undefined {
  const literal = JSON.stringify(text);
  const escaped = literal.replaceAll(
    /[\u0080-\uffff]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(ESCAPE_DIGITS, "0")}`,
  );
  for (const written of literal === escaped ? [literal] : [literal, escaped]) {
    const at = onlyPlaceOf(written, raw);
    if (at >= 0) return { start: at + 1, end: at + written.length - 1 };
  }
  return undefined;
}

/**
 * Where the frame writes this JSON string; -1 when that is not certain. Outside of it there may be no backslash, so that every quote there
 * begins or ends a string and every string is written word for word: what begins behind whole strings and stands there just once is it.
 */
function onlyPlaceOf(literal: string, raw: string): number {
  const at = raw.indexOf(literal);
  if (at < 0 || raw.indexOf(literal, at + 1) >= 0) return -1;
  const before = raw.slice(0, at);
  if (before.includes("\\") || raw.includes("\\", at + literal.length)) return -1;
  const [lines = "", ...strings] = before.split('"');
  // A message of a WebSocket is its data, without a line before it.
  const isData = lines.includes("data:") || lines.startsWith("{");
  return isData && strings.length % 2 === 0 ? at : -1;
}

/** Remembered at once: text, reasoning and the arguments of two tool calls are what streams alternate between. */
const MAX_TEMPLATES = 4;
/** After so many templates in a row that no frame fitted, the stream is one whose every frame differs, and learning stops. */
const MAX_UNUSED = 16;

/** Templates of the frames that a stream alternates between. */
export class FrameTemplates {
  readonly #known: FrameTemplate[] = [];
  /** Templates made since a frame fitted one. */
  #unused = 0;

  /** Characters of the string that the frame tells; 0 when it fits no template, or tells nothing. */
  characters(frame: Uint8Array): number {
    for (const template of this.#known) {
      const characters = template.characters(frame);
      if (characters === 0) continue;
      this.#unused = 0;
      return characters;
    }
    return 0;
  }

  /** Remembers a frame that does nothing but tell this string. */
  learn(frame: Uint8Array, text: string, ignored: readonly string[]): void {
    if (this.#unused >= MAX_UNUSED) return;
    this.#unused++;
    const template = FrameTemplate.of(frame, text, ignored);
    if (!template) return;
    this.#known.unshift(template);
    if (this.#known.length > MAX_TEMPLATES) this.#known.pop();
  }
}

import { parseJson } from "./json.ts";
import { parseFrame } from "./sse.ts";

/** A frame that did nothing but tell one string, as whoever read it describes it. */
export interface RepeatableFrame {
  /** The string it told, which stands in the frame as a JSON string, word for word. */
  readonly text: string;
  /** Names of members whose value, a string or a whole number, means nothing to the reader: padding, counters. */
  readonly ignored: readonly string[];
  /** Does what the frame would do if it came once more, at once, with this string in place of its own. */
  readonly tell: (text: string) => void;
}

/** Whoever reads the frames. */
export interface FrameReader {
  frame(frame: { readonly event: string | undefined; readonly data: string }): void;
  /** The frame read last, when it can be repeated. */
  readonly repeatable?: RepeatableFrame | undefined;
}

/** A place in the frame whose bytes may differ: the string that is told, another string, a whole number, spaces before the last brace. */
type Hole = "text" | "padding" | "number" | "spaces";

interface Template {
  /** The bytes between the holes; one more than there are holes. */
  readonly fixed: readonly Uint8Array[];
  readonly holes: readonly Hole[];
  readonly tell: (text: string) => void;
}

/** Larger frames are no deltas, and not worth a copy. */
const MAX_TEMPLATE_BYTES = 4096;
/** After so many templates in a row that no frame fitted, the stream is one whose every frame differs, and learning stops. */
const MAX_UNUSED = 16;
/** Up to here a string is put together letter by letter; a longer one is worth the way through the decoder. */
const MAX_LETTERS = 48;

const QUOTE = 34;
const ZERO = 48;
const NINE = 57;
const BACKSLASH = 92;
const SPACE = 32;
const LAST_ASCII = 127;

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * Hands the frames of a stream to their reader. Most frames of a stream equal the one before but for a piece of text: such a frame is
 * compared byte by byte, its string is cut out, and nothing is parsed. Only the frame read last is compared with, so that what its other
 * members told is still the newest that is known; whatever does not fit in every byte is parsed like any frame.
 */
export class FrameFeed {
  readonly #reader: FrameReader;
  #template: Template | undefined;
  #unused = 0;

  constructor(reader: FrameReader) {
    this.#reader = reader;
  }

  /** `bytes` is one frame; its blank line may be missing at the end of a stream. */
  frame(bytes: Uint8Array): void {
    if (this.#template) {
      const text = textIn(bytes, this.#template);
      if (text !== "") {
        this.#unused = 0;
        return this.#template.tell(text);
      }
    }
    const frame = parseFrame(bytes);
    if (!frame) return;
    this.#reader.frame(frame);
    const { repeatable } = this.#reader;
    this.#template = undefined;
    if (!repeatable || this.#unused >= MAX_UNUSED || bytes.length > MAX_TEMPLATE_BYTES) return;
    this.#template = templateOf(bytes, repeatable);
    this.#unused++;
  }
}

/** The string in the template's hole; empty when the frame does not fit, or tells nothing. */
function textIn(frame: Uint8Array, { fixed, holes }: Template): string {
  let at = 0;
  let text = "";
  for (let piece = 0; piece < fixed.length; piece++) {
    const bytes = fixed[piece];
    if (bytes === undefined || !standsAt(frame, at, bytes)) return "";
    at += bytes.length;
    const hole = holes[piece];
    if (hole === undefined) break;
    const end = endOf(hole, frame, at);
    if (end < 0) return "";
    if (hole === "text" && (text = stringOf(frame, at, end)) === "") return "";
    at = end;
  }
  return at === frame.length ? text : "";
}

function standsAt(frame: Uint8Array, at: number, bytes: Uint8Array): boolean {
  const { length } = bytes;
  if (at + length > frame.length) return false;
  for (let offset = 0; offset < length; offset++) if (frame[at + offset] !== bytes[offset]) return false;
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
    const byte = frame[at] ?? 0;
    if (byte > LAST_ASCII || byte === BACKSLASH) return decodedString(frame, start, end);
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

/** Undefined when it cannot be said for sure where the string stands. */
function templateOf(bytes: Uint8Array, { text, ignored, tell }: RepeatableFrame): Template | undefined {
  const raw = decoder.decode(bytes);
  const literal = JSON.stringify(text);
  const at = text === "" ? -1 : onlyPlaceOf(literal, raw);
  if (at < 0) return undefined;
  const found = [{ hole: "text" as Hole, start: at + 1, end: at + literal.length - 1 }];
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
  const fixed: Uint8Array[] = [];
  let from = 0;
  for (const { start, end } of found) {
    fixed.push(encoder.encode(raw.slice(from, start)));
    from = end;
  }
  fixed.push(encoder.encode(raw.slice(from)));
  return { fixed, holes: found.map(({ hole }) => hole), tell };
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
  return lines.includes("data:") && strings.length % 2 === 0 ? at : -1;
}

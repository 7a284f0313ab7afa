/** A JSON object as it came over the wire: parsed, and with its text so that it can be sent on byte for byte. */
export interface JsonDocument {
  readonly value: { readonly [key: string]: JsonValue | undefined };
  readonly text: string;
  /** Where the top-level members stand in the text; see `MEMBER_PLACES`. */
  readonly places: readonly number[];
}

/**
 * Four numbers a member, in the order of the text: where its key's opening quote is, its closing one, where its value begins and ends
 * (exclusive). Most calls need one member of many: a list of numbers is cheaper to make than objects under names.
 */
const MEMBER_PLACES = 4;

type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue | undefined };

export interface JsonLimits {
  /** Deepest nesting of arrays and objects. */
  readonly depth: number;
}

export type JsonOutcome = { readonly ok: true; readonly document: JsonDocument } | { readonly ok: false; readonly message: string };

const decoder = new TextDecoder("utf-8", { fatal: true });

const QUOTE = 34;
const COMMA = 44;
const COLON = 58;
const OPEN_BRACKET = 91;
const BACKSLASH = 92;
const CLOSE_BRACKET = 93;
const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;

/**
 * The one door by which JSON enters. Refuses invalid UTF-8, malformed JSON, anything but an object at the top, nesting beyond the
 * limit, and duplicate top-level keys: a second `model` hides behind the first, and readers disagree which one counts.
 */
export function openJson(bytes: Uint8Array, limits: JsonLimits): JsonOutcome {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    return { ok: false, message: "The body is not valid UTF-8." };
  }
  return openJsonText(text, limits);
}

export function openJsonText(text: string, limits: JsonLimits): JsonOutcome {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { ok: false, message: `The body is not valid JSON: ${reasonOf(error)}.` };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { ok: false, message: "The body must be a JSON object." };
  }
  const places: number[] = [];
  if (!scanMembers(text, limits.depth, places)) return { ok: false, message: `The body is nested deeper than ${limits.depth} levels.` };
  const document: JsonDocument = { value: value as JsonDocument["value"], text, places };
  // Of two members of one name the parser keeps one: then there are fewer in the value than in the text.
  if (Object.keys(value).length * MEMBER_PLACES === places.length) return { ok: true, document };
  return { ok: false, message: `The body has the key "${repeatedKey(document).slice(0, 64)}" twice.` };
}

/** V8 quotes a piece of the text in its message; a caller's content must not travel into logs that way. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : "";
  const position = /position \d+(?: \(line \d+ column \d+\))?/.exec(message)?.[0];
  return position ? `unexpected input at ${position}` : "it ends too early or is empty";
}

/** Walks text that is known to be valid JSON; fills `places`. Strings are skipped natively, so long ones cost little. False: too deep. */
function scanMembers(text: string, maxDepth: number, places: number[]): boolean {
  let depth = 0;
  let keyStart = 0;
  let keyEnd = 0;
  let valueStart = -1;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE: {
        const end = endOfString(text, at);
        if (depth === 1 && valueStart < 0) {
          keyStart = at;
          keyEnd = end;
        }
        at = end;
        break;
      }
      case COLON:
        if (depth === 1) valueStart = at + 1;
        break;
      case OPEN_BRACE:
      case OPEN_BRACKET:
        if (++depth > maxDepth) return false;
        break;
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        if (--depth > 0) break;
      // The top object's end closes its last member as a comma would.
      // falls through
      case COMMA:
        if (depth > 1 || valueStart < 0) break;
        places.push(keyStart, keyEnd, valueStart, at);
        valueStart = -1;
        break;
    }
  }
  return true;
}

function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (text.charCodeAt(end - 1) === BACKSLASH && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end;
}

function isEscaped(text: string, quote: number): boolean {
  let backslashes = 0;
  while (text.charCodeAt(quote - 1 - backslashes) === BACKSLASH) backslashes++;
  return backslashes % 2 === 1;
}

function keyOf(text: string, start: number, end: number): string {
  const plain = text.slice(start + 1, end);
  return plain.includes("\\") ? (JSON.parse(text.slice(start, end + 1)) as string) : plain;
}

/** Where a top-level member's value stands in the text, `end` exclusive, and its key's opening quote, for removal. */
interface Span {
  readonly keyStart: number;
  readonly start: number;
  readonly end: number;
}

function keyAt({ text, places }: JsonDocument, member: number): string {
  return keyOf(text, places[member] ?? 0, places[member + 1] ?? 0);
}

function spanOf(document: JsonDocument, key: string): Span | undefined {
  const { places } = document;
  for (let member = 0; member < places.length; member += MEMBER_PLACES) {
    if (keyAt(document, member) !== key) continue;
    return { keyStart: places[member] ?? 0, start: places[member + 2] ?? 0, end: places[member + 3] ?? 0 };
  }
  return undefined;
}

function repeatedKey(document: JsonDocument): string {
  const seen = new Set<string>();
  for (let member = 0; member < document.places.length; member += MEMBER_PLACES) {
    const key = keyAt(document, member);
    if (seen.has(key)) return key;
    seen.add(key);
  }
  return "";
}

/** The document's text with some top-level members replaced (a value), added, or removed (undefined); every other byte stays. */
export function replaceMembers(document: JsonDocument, replace: Readonly<Record<string, unknown>>): string {
  const { text } = document;
  const edits: { start: number; end: number; text: string }[] = [];
  let added = "";
  for (const key in replace) {
    const value = replace[key];
    const span = spanOf(document, key);
    if (span && value !== undefined) edits.push({ start: span.start, end: span.end, text: JSON.stringify(value) });
    else if (span) edits.push({ ...removalOf(text, span), text: "" });
    else if (value !== undefined) added += `,${JSON.stringify(key)}:${JSON.stringify(value)}`;
  }
  if (edits.length > 1) edits.sort((a, b) => a.start - b.start);
  let out = "";
  let from = 0;
  for (const edit of edits) {
    // The last goes with the comma before it, which has gone already with the member before it: then the one before that must go.
    if (edit.start < from) out = out.replace(LAST_COMMA, "");
    out += text.slice(from, Math.max(edit.start, from)) + edit.text;
    from = Math.max(from, edit.end);
  }
  out += text.slice(from);
  return added ? appendMembers(out, added) : out;
}

const LAST_COMMA = /,\s*$/;

/** A member goes with the comma behind it, or, being the last, with the one before it. */
function removalOf(text: string, span: Span): { start: number; end: number } {
  if (text[span.end] === ",") return { start: span.keyStart, end: span.end + 1 };
  let start = span.keyStart - 1;
  while (start > 0 && text[start] !== "," && text[start] !== "{") start--;
  return { start: text[start] === "," ? start : span.keyStart, end: span.end };
}

function appendMembers(text: string, added: string): string {
  const close = text.lastIndexOf("}");
  const empty = text.slice(0, close).trimEnd().endsWith("{");
  return text.slice(0, close) + (empty ? added.slice(1) : added) + text.slice(close);
}

/** Parses one JSON text from a trusted side; `undefined` when it is none. */
export function parseJson(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return undefined;
  }
}

/** One part of a form (RFC 7578), with where its content stands in the body. */
export interface FormPart {
  readonly name: string;
  readonly fileName: string | undefined;
  readonly contentType: string | undefined;
  /** In bytes from the body's beginning, `end` exclusive. */
  readonly start: number;
  readonly end: number;
}

export type FormOutcome = { readonly ok: true; readonly parts: readonly FormPart[] } | { readonly ok: false; readonly message: string };

/** Parts of one form, and bytes of the headers of one part. */
const MOST_PARTS = 256;
const HEADER_BYTES = 8 * 1024;
/** RFC 2046, section 5.1.1: up to 70 characters, none of which ends a header. */
const BOUNDARY = /^[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]$/;

const utf8 = new TextDecoder("utf-8", { fatal: true });
const encoder = new TextEncoder();
const CRLF = "\r\n";

/** The boundary that a content type names; undefined when it is no form or the boundary is none. */
export function boundaryOf(contentType: string): string | undefined {
  const match = /^multipart\/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"]*)"|([^\s;"]+))\s*(?:;.*)?$/i.exec(contentType.trim());
  const boundary = match?.[1] ?? match?.[2];
  return boundary !== undefined && BOUNDARY.test(boundary) ? boundary : undefined;
}

/**
 * Finds the parts of a form. Strict, because the same bytes are read again by somebody else: what two readers could take for two different
 * forms is refused (text before the first part, lines without CR, headers that are folded, repeated or unknown, a name given twice or in
 * two ways, control characters in a name).
 */
export function readForm(body: Uint8Array, boundary: string): FormOutcome {
  const opening = encoder.encode(`--${boundary}`);
  const delimiter = encoder.encode(`${CRLF}--${boundary}`);
  const parts: FormPart[] = [];
  if (!startsWith(body, opening, 0)) return refuse("it does not begin with its boundary");
  let at = opening.length;
  for (;;) {
    if (startsWith(body, DASHES, at)) return endsAt(body, at + DASHES.length) ? { ok: true, parts } : refuse("something follows its end");
    if (!startsWith(body, LINE_END, at)) return refuse("a boundary is followed by something else than a line's end");
    if (parts.length === MOST_PARTS) return refuse(`it has more than ${MOST_PARTS} parts`);
    const headersAt = at + LINE_END.length;
    const headersEnd = indexOf(body, HEADERS_END, headersAt);
    if (headersEnd < 0 || headersEnd - headersAt > HEADER_BYTES) return refuse(`the headers of part ${parts.length + 1} do not end`);
    const read = readHeaders(body.subarray(headersAt, headersEnd));
    if (typeof read === "string") return refuse(`part ${parts.length + 1} ${read}`);
    const start = headersEnd + HEADERS_END.length;
    const end = indexOf(body, delimiter, start);
    if (end < 0) return refuse(`part ${parts.length + 1} is cut short`);
    parts.push({ ...read, start, end });
    at = end + delimiter.length;
  }
}

/** The body with the content of some parts replaced; every other byte stays. */
export function replaceParts(body: Uint8Array, edits: readonly { readonly part: FormPart; readonly text: string }[]): Uint8Array {
  const pieces: Uint8Array[] = [];
  let from = 0;
  for (const { part, text } of edits.toSorted((a, b) => a.part.start - b.part.start)) {
    pieces.push(body.subarray(from, part.start), encoder.encode(text));
    from = part.end;
  }
  pieces.push(body.subarray(from));
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

const LINE_END = encoder.encode(CRLF);
const HEADERS_END = encoder.encode(CRLF + CRLF);
const DASHES = encoder.encode("--");

function refuse(why: string): FormOutcome {
  return { ok: false, message: `The form cannot be read: ${why}.` };
}

/** Nothing but the last line's end may follow. */
function endsAt(body: Uint8Array, at: number): boolean {
  return at === body.length || (startsWith(body, LINE_END, at) && at + LINE_END.length === body.length);
}

type Headers = Pick<FormPart, "name" | "fileName" | "contentType">;

/** What a part's headers say; a text: what is wrong with them. */
function readHeaders(bytes: Uint8Array): Headers | string {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return "has headers that are no UTF-8";
  }
  let disposition: string | undefined;
  let contentType: string | undefined;
  for (const line of text.split(CRLF)) {
    const colon = line.indexOf(":");
    if (hasControl(line) || colon < 1) return "has a header line that is none";
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (name === "content-disposition" && disposition === undefined) disposition = value;
    else if (name === "content-type" && contentType === undefined) contentType = value;
    else if (name !== "content-length" && !(name === "content-transfer-encoding" && /^(?:binary|8bit|7bit)$/i.test(value)))
      return `has the header "${name.slice(0, 40)}", twice or not allowed here`;
  }
  if (disposition === undefined) return "has no content-disposition";
  const named = readDisposition(disposition);
  return typeof named === "string" ? named : { ...named, contentType };
}

const PARAMETER = /;\s*([a-z-]+\*?)=(?:"((?:[^"\\]|\\["\\])*)"|([^\s";,\\]+))\s*/giy;

function readDisposition(value: string): Pick<FormPart, "name" | "fileName"> | string {
  const type = /^form-data\s*/i.exec(value);
  if (!type) return "is no form-data";
  const found = new Map<string, string>();
  let at = type[0].length;
  while (at < value.length) {
    PARAMETER.lastIndex = at;
    const match = PARAMETER.exec(value);
    if (!match) return "has a content-disposition that cannot be read";
    const key = (match[1] ?? "").toLowerCase();
    if (found.has(key) || key === "name*") return "is named twice or in a way that others may read differently";
    found.set(key, (match[2] ?? match[3] ?? "").replaceAll(/\\(["\\])/g, "$1"));
    at = PARAMETER.lastIndex;
  }
  const name = found.get("name");
  if (name === undefined || name === "" || /%0[ad]/i.test(name)) return "has no name, or one with a line's end in it";
  return { name, fileName: found.get("filename") ?? (found.has("filename*") ? "file" : undefined) };
}

function hasControl(line: string): boolean {
  for (let at = 0; at < line.length; at++) {
    const code = line.charCodeAt(at);
    if ((code < 32 && code !== 9) || code === 127) return true;
  }
  return line.startsWith(" ") || line.startsWith("\t");
}

function startsWith(body: Uint8Array, piece: Uint8Array, at: number): boolean {
  if (at + piece.length > body.length) return false;
  for (let place = 0; place < piece.length; place++) if (body[at + place] !== piece[place]) return false;
  return true;
}

function indexOf(body: Uint8Array, piece: Uint8Array, from: number): number {
  const first = piece[0] ?? 0;
  for (let at = body.indexOf(first, from); at >= 0; at = body.indexOf(first, at + 1)) if (startsWith(body, piece, at)) return at;
  return -1;
}

/** A part's content as text. Undefined: it is no UTF-8. */
export function partText(body: Uint8Array, part: FormPart): string | undefined {
  try {
    return utf8.decode(body.subarray(part.start, part.end));
  } catch {
    return undefined;
  }
}

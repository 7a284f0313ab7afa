/** Header fields as both ends of the wire read and write them: RFC 9110, section 5, and RFC 9112, section 5, with none of their leniencies. */

/** Names remembered with their lower case; clients and upstreams use the same few again and again. */
const MAX_KNOWN_NAMES = 1_024;
/** A head with more lines than this is no ordinary one. */
const MAX_FIELDS = 128;

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NOT_IN_VALUE = /[^\t\x20-\x7e\x80-\xff]/;
const SPACE = 32;
const TAB = 9;

const known = new Map<string, string>();

/** The name in lower case; undefined when it is not a token. */
export function fieldName(name: string): string | undefined {
  const before = known.get(name);
  if (before !== undefined) return before;
  if (!TOKEN.test(name)) return undefined;
  const lower = name.toLowerCase();
  if (known.size < MAX_KNOWN_NAMES) known.set(name, lower);
  return lower;
}

/** May this be a field's value? Line breaks, NUL, other controls and what is not Latin-1 may not. */
export function isFieldValue(value: string): boolean {
  return !NOT_IN_VALUE.test(value);
}

/** `repeated`: valid, but some name came twice; its values are joined with commas. */
export type Reading = "valid" | "repeated" | "invalid";

/**
 * Reads the lines of a head from `from` to its end into `record`, names in lower case. `text` is Latin-1 and ends with the line break of
 * its last line. Only CRLF ends a line, a line continues no other, and nothing stands between name and colon.
 */
export function readFields(text: string, from: number, record: Record<string, string | undefined>): Reading {
  let reading: Reading = "valid";
  let fields = 0;
  for (let at = from; at < text.length;) {
    const end = text.indexOf("\r\n", at);
    const colon = text.indexOf(":", at);
    if (end < 0 || colon < 0 || colon > end || ++fields > MAX_FIELDS) return "invalid";
    const name = fieldName(text.slice(at, colon));
    const value = trimmed(text, colon + 1, end);
    if (name === undefined || !isFieldValue(value)) return "invalid";
    // Names such as `constructor` find something on every object.
    const before: unknown = record[name];
    if (typeof before === "string") {
      record[name] = `${before}, ${value}`;
      reading = "repeated";
    } else record[name] = value;
    at = end + 2;
  }
  return reading;
}

function trimmed(text: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

/** A length in digits and nothing else (no sign, space, list or leading zero), short enough to be exact; otherwise undefined. */
export function contentLength(value: string): number | undefined {
  return /^(?:0|[1-9][0-9]{0,14})$/.test(value) ? Number(value) : undefined;
}

/** Fields that frame a message or govern its connection (RFC 9110, section 7.6.1): the wire writes them, whoever uses it does not. */
export function isFraming(name: string): boolean {
  switch (name.length) {
    case 6: // expect
    case 7: // trailer, upgrade
    case 10: // connection, keep-alive
    case 14: // content-length
    case 17: // transfer-encoding
      return /^(?:expect|trailer|upgrade|connection|keep-alive|content-length|transfer-encoding)$/i.test(name);
    default:
      return false;
  }
}

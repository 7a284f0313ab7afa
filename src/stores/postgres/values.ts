/** PostgreSQL's texts have no U+0000, which JSON from clients may hold; it becomes the replacement character, on the way in and in questions. */
export function storable(text: string): string {
  return text.includes("\u0000") ? text.replaceAll("\u0000", "\uFFFD") : text;
}

const QUOTED = /[\\"]/g;
const NEEDS_QUOTING = /[\\"]/;

function element(value: string | number | null): string {
  if (value === null) return "NULL";
  if (typeof value === "number") return String(value);
  const text = storable(value);
  return `"${NEEDS_QUOTING.test(text) ? text.replace(QUOTED, "\\$&") : text}"`;
}

/**
 * A list as PostgreSQL writes arrays (manual, 8.15.2), so that a whole batch travels as one parameter a column. The driver's own way costs
 * several times as much, because it looks at every value for nested lists, dates and buffers.
 */
export function arrayOf(values: readonly (string | number | null)[]): string {
  let text = "{";
  for (let place = 0; place < values.length; place++) text += (place === 0 ? "" : ",") + element(values[place] ?? null);
  return `${text}}`;
}

/** The same of texts that are JSON: they hold no control characters, so JSON's own quoting is the array's, and native. */
export function arrayOfJson(values: readonly string[]): string {
  let text = "{";
  for (let place = 0; place < values.length; place++) text += (place === 0 ? "" : ",") + JSON.stringify(values[place]);
  return `${text}}`;
}

/** The same of bytes: `bytea` in its hex form, whose backslash the array escapes. */
export function arrayOfBytes(values: readonly Uint8Array[]): string {
  return `{${values.map((bytes) => `"\\\\x${bytesOf(bytes).toString("hex")}"`).join(",")}}`;
}

export function bytesOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

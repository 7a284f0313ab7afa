/**
 * The one text of a JSON value: members sorted by UTF-16 code units, no white space, numbers and strings as JSON.stringify writes them
 * (RFC 8785). Members that are undefined vanish, as in JSON. Equal values have equal text, so that it can be hashed.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const members: string[] = [];
  for (const key of Object.keys(value).toSorted()) {
    const member = (value as Record<string, unknown>)[key];
    if (member !== undefined) members.push(`${JSON.stringify(key)}:${canonicalJson(member)}`);
  }
  return `{${members.join(",")}}`;
}

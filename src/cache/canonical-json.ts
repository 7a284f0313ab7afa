import type { Json, JsonObject } from "../canon/index.ts";

export function isRecord(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A copy whose objects have their members in one order, so that equal values have equal text. What is undefined becomes null or vanishes. */
export function sorted(value: unknown): Json {
  if (typeof value !== "object" || value === null) return primitive(value);
  if (Array.isArray(value)) return value.map(sorted);
  const copy: Record<string, Json> = {};
  for (const key of Object.keys(value).toSorted()) {
    const member = (value as Record<string, unknown>)[key];
    // A member of this name would set the copy's prototype and leave no trace in its text.
    if (member !== undefined) copy[key === "__proto__" ? "\u0000__proto__" : key] = sorted(member);
  }
  return copy;
}

function primitive(value: unknown): Json {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? value : null;
}

/** Says nothing to a model: a place for the provider's prompt cache. */
const SILENT: ReadonlySet<string> = new Set(["cache_control"]);
/** Members that hold free JSON, which the canonical form has whole. */
const FREE: ReadonlySet<string> = new Set(["input", "arguments", "parameters", "input_schema", "format"]);

/**
 * What a verbatim fragment says beyond members whose meaning is in the canonical form; null when nothing. Known members are looked into,
 * because what is unknown may lie within them.
 */
export function unspokenIn(raw: Json | undefined, known: ReadonlySet<string>): Json {
  if (typeof raw !== "object" || raw === null) return null;
  if (isList(raw)) {
    const inner = raw.map((one) => unspokenIn(one, known));
    return inner.some((one) => one !== null) ? inner : null;
  }
  let found: [string, Json][] | undefined;
  for (const [key, value] of Object.entries(raw)) {
    if (value === undefined || value === null || SILENT.has(key)) continue;
    const inner = !known.has(key) ? sorted(value) : FREE.has(key) ? null : unspokenIn(value, known);
    if (inner !== null) (found ??= []).push([key, inner]);
  }
  return found ? found.toSorted(([a], [b]) => (a < b ? -1 : 1)) : null;
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}

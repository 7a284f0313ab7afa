import type { Call, Diagnostic, Json, JsonObject } from "../canon/index.ts";

/** Lost fields that one call names, and letters of each: a client chooses their names. */
const MAX_FIELDS = 50;
const MAX_LETTERS = 80;

/**
 * What becomes of a request's top-level fields in the canonical form: `true`, all of it is said there; a list, only these members are;
 * a function, whether this value says nothing that could be lost (it asks for what every language does, or for what the gateway does
 * itself). A field that is not named is known to its own language alone.
 */
export type FieldTable = Readonly<Record<string, true | readonly string[] | ((value: Json) => boolean)>>;

/** Paths of what the canonical form does not say of a request. Null counts as absent. */
export function unspokenFields(body: JsonObject, table: FieldTable): readonly string[] {
  const lost: string[] = [];
  for (const [field, value] of Object.entries(body)) {
    if (value === undefined || value === null) continue;
    const rule = Object.hasOwn(table, field) ? table[field] : undefined;
    if (rule === true || (typeof rule === "function" && rule(value))) continue;
    if (typeof rule !== "object") lost.push(field);
    else lost.push(...unspokenMembers(field, value, rule));
  }
  return lost;
}

function unspokenMembers(field: string, value: Json, known: readonly string[]): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
  return Object.entries(value)
    .filter(([member, inner]) => inner !== null && inner !== undefined && !known.includes(member))
    .map(([member]) => `${field}.${member}`);
}

/** The end user has one place in the canonical form: of two different ids the older field's is not said there. */
export function unspokenUser(body: JsonObject): readonly string[] {
  const { user, safety_identifier: identifier } = body;
  return typeof user === "string" && typeof identifier === "string" && user !== identifier ? ["user"] : [];
}

/** Tells what a call loses in any language but its own. */
export function noteUnspoken(call: Pick<Call, "unspoken">, note: (diagnostic: Diagnostic) => void): void {
  const { unspoken = [] } = call;
  for (const field of unspoken.slice(0, MAX_FIELDS))
    note({ field: field.slice(0, MAX_LETTERS), action: "dropped", reason: "Only the caller's own language has this field." });
  if (unspoken.length > MAX_FIELDS)
    note({
      field: "*",
      action: "dropped",
      reason: `${unspoken.length - MAX_FIELDS} more fields are known to the caller's language alone.`,
    });
}

import type { Json, JsonObject } from "../../canon/index.ts";
import { at, isList, isObject } from "./wire.ts";

/** A schema is not followed deeper than this. */
const MAX_DEPTH = 64;

/** Members of the API's `Schema` that have the same meaning under the same name in JSON Schema. */
const SAME: ReadonlySet<string> = new Set([
  "title",
  "description",
  "format",
  "pattern",
  "default",
  "minimum",
  "maximum",
  "required",
  "enum",
]);
/** Whole numbers that travel as strings here, as 64-bit numbers do in protocol buffers' JSON. */
const COUNTS: readonly string[] = ["maxItems", "minItems", "maxLength", "minLength", "maxProperties", "minProperties"];

/**
 * The API's own `Schema` (a piece of OpenAPI 3.0: types in capitals, `nullable`) as JSON Schema. What is written as JSON Schema already
 * stays as it is.
 */
export function jsonSchemaOf(schema: JsonObject, depth = 0): JsonObject {
  if (depth > MAX_DEPTH) return {};
  const result: Record<string, Json | undefined> = {};
  for (const [name, value] of Object.entries(schema)) if (SAME.has(name)) result[name] = value;
  const type = schema["type"];
  const lower = typeof type === "string" && type !== "TYPE_UNSPECIFIED" ? type.toLowerCase() : undefined;
  if (lower !== undefined) result["type"] = schema["nullable"] === true ? [lower, "null"] : lower;
  else if (isList(type)) result["type"] = type;
  for (const name of COUNTS) {
    const value = at(schema, name);
    if (value !== undefined && value !== null) result[name] = typeof value === "string" ? Number(value) : value;
  }
  const { properties, items } = schema;
  const anyOf = at(schema, "anyOf");
  if (isObject(properties)) result["properties"] = mapped(properties, (value) => inner(value, depth));
  if (isObject(items)) result["items"] = jsonSchemaOf(items, depth + 1);
  if (isList(anyOf)) result["anyOf"] = anyOf.map((value) => inner(value, depth));
  // Not in the API's list, and yet sent: clients write JSON Schema here, too.
  const additional = at(schema, "additionalProperties");
  if (additional !== undefined) result["additionalProperties"] = inner(additional, depth);
  for (const name of ["$ref", "$defs", "const", "oneOf", "allOf", "prefixItems"])
    if (schema[name] !== undefined) result[name] = schema[name];
  return result;
}

function inner(value: Json, depth: number): Json {
  return isObject(value) ? jsonSchemaOf(value, depth + 1) : value;
}

function mapped(object: JsonObject, change: (value: Json) => Json): JsonObject {
  return Object.fromEntries(Object.entries(object).flatMap(([name, value]) => (value === undefined ? [] : [[name, change(value)]])));
}

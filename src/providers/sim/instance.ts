import type { Json, JsonObject } from "../../canon/index.ts";

/** Deepest nesting of a made-up value; a schema that refers to itself ends here. */
const DEPTH = 12;
const FORMATS: Readonly<Record<string, string>> = {
  "date-time": "2026-01-01T00:00:00Z",
  date: "2026-01-01",
  time: "00:00:00Z",
  duration: "PT1M",
  email: "someone@example.com",
  hostname: "example.com",
  uri: "https://example.com/",
  url: "https://example.com/",
  uuid: "00000000-0000-4000-8000-000000000000",
  ipv4: "192.0.2.1",
  ipv6: "2001:db8::1",
};
const FILLER = "abcdefghijklmnopqrstuvwxyz";
/** Longest string, and most elements, that a schema's minimum can ask for. */
const MOST_CHARACTERS = 10_000;
const MOST_ELEMENTS = 100;

/**
 * The smallest plain value that a JSON Schema allows, always the same one: required members only, the first of alternatives, numbers
 * nearest to 0 within their bounds. `pattern`, `not` and conditions are not read. Source: JSON Schema 2020-12.
 */
export function instanceOf(schema: Json | undefined): Json {
  return make(schema, { root: isObject(schema) ? schema : {}, depth: 0, name: "text" });
}

interface Place {
  readonly root: JsonObject;
  readonly depth: number;
  /** The member's name: a string is filled with it, so that values can be told apart. */
  readonly name: string;
}

function make(schema: Json | undefined, place: Place): Json {
  if (!isObject(schema) || place.depth > DEPTH) return schema === undefined || schema === true ? place.name : null;
  const { $ref: ref } = schema;
  if (typeof ref === "string") return make(resolve(ref, place.root), { ...place, depth: place.depth + 1 });
  if ("const" in schema) return schema["const"] ?? null;
  const first = listOf(schema, "enum")[0];
  if (first !== undefined) return first;
  if ("default" in schema && schema["default"] !== null) return schema["default"] ?? null;
  const parts = listOf(schema, "allOf");
  if (parts.length > 0) return make(merged(schema, parts, place), { ...place, depth: place.depth + 1 });
  const choice = [...listOf(schema, "anyOf"), ...listOf(schema, "oneOf")];
  if (choice.length > 0) return make(simplest(choice), { ...place, depth: place.depth + 1 });
  return ofType(typeOf(schema), schema, place);
}

function ofType(type: string | undefined, schema: JsonObject, place: Place): Json {
  switch (type) {
    case "object":
      return objectOf(schema, place);
    case "array": {
      const tuple = listOf(schema, "prefixItems");
      const length = Math.min(numberOf(schema, "minItems") ?? tuple.length, MOST_ELEMENTS);
      return Array.from({ length }, (_, at) => make(tuple[at] ?? schema["items"], { ...place, depth: place.depth + 1 }));
    }
    case "integer":
    case "number":
      return numberWithin(schema, type === "integer");
    case "boolean":
      return true;
    case "null":
      return null;
    default:
      return stringOf(schema, place.name);
  }
}

function objectOf(schema: JsonObject, place: Place): JsonObject {
  const properties = isObject(schema["properties"]) ? schema["properties"] : {};
  const value: Record<string, Json> = {};
  for (const name of listOf(schema, "required")) {
    if (typeof name === "string")
      value[name] = make(Object.hasOwn(properties, name) ? properties[name] : undefined, { ...place, depth: place.depth + 1, name });
  }
  return value;
}

function numberWithin(schema: JsonObject, whole: boolean): number {
  const step = numberOf(schema, "multipleOf") ?? (whole ? 1 : 0);
  const gap = step > 0 ? step : 0.5;
  const exclusiveLow = numberOf(schema, "exclusiveMinimum");
  const exclusiveHigh = numberOf(schema, "exclusiveMaximum");
  const low = Math.max(numberOf(schema, "minimum") ?? -Infinity, exclusiveLow === undefined ? -Infinity : exclusiveLow + gap);
  const high = Math.min(numberOf(schema, "maximum") ?? Infinity, exclusiveHigh === undefined ? Infinity : exclusiveHigh - gap);
  const near = low > 0 ? low : Math.min(high, 0);
  if (step === 0) return near;
  return (low > 0 ? Math.ceil(near / step) : Math.floor(near / step)) * step;
}

function stringOf(schema: JsonObject, name: string): string {
  const format = schema["format"];
  const text = (typeof format === "string" ? FORMATS[format] : undefined) ?? name;
  const longest = numberOf(schema, "maxLength") ?? Infinity;
  const shortest = Math.min(numberOf(schema, "minLength") ?? 0, MOST_CHARACTERS);
  return text.padEnd(shortest, FILLER).slice(0, longest);
}

function typeOf(schema: JsonObject): string | undefined {
  const { type } = schema;
  if (typeof type === "string") return type;
  if (Array.isArray(type)) return (type as readonly Json[]).find((one): one is string => typeof one === "string" && one !== "null");
  if ("properties" in schema || "required" in schema) return "object";
  return "items" in schema || "prefixItems" in schema ? "array" : undefined;
}

/** An alternative that does not refer on ends sooner, and `null` says the least. */
function simplest(choice: readonly Json[]): Json | undefined {
  const real = choice.filter((one) => !isObject(one) || one["type"] !== "null");
  return real.find((one) => isObject(one) && !("$ref" in one)) ?? real[0] ?? choice[0];
}

function merged(schema: JsonObject, parts: readonly Json[], place: Place): JsonObject {
  const { allOf: _allOf, ...rest } = schema;
  let result: JsonObject = rest;
  for (const part of parts) {
    const own = isObject(part) && typeof part["$ref"] === "string" ? resolve(part["$ref"], place.root) : part;
    if (!isObject(own)) continue;
    const properties = { ...asObject(result["properties"]), ...asObject(own["properties"]) };
    result = { ...result, ...own, properties, required: [...new Set([...listOf(result, "required"), ...listOf(own, "required")])] };
  }
  return result;
}

/** `#/$defs/Name`, RFC 6901. Anything outside the schema is unknown. */
function resolve(ref: string, root: JsonObject): Json | undefined {
  if (ref === "#") return root;
  if (!ref.startsWith("#/")) return undefined;
  let value: Json | undefined = root;
  for (const step of ref.slice(2).split("/")) {
    const key = step.replaceAll("~1", "/").replaceAll("~0", "~");
    value = isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
  }
  return value;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function asObject(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {};
}

function listOf(schema: JsonObject, key: string): readonly Json[] {
  const value = schema[key];
  return Array.isArray(value) ? (value as readonly Json[]) : [];
}

function numberOf(schema: JsonObject, key: string): number | undefined {
  const value = schema[key];
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

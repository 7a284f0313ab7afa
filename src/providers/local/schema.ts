import type { Json, JsonObject } from "../../canon/index.ts";
import { EngineError } from "./protocol.ts";

/** Names of the types, for a value of which the schema says nothing. */
const ANYTHING: Json = {
  oneOf: [
    { type: "string" },
    { type: "number" },
    { type: "boolean" },
    { type: "null" },
    { type: "object", additionalProperties: true },
    { type: "array" },
  ],
};
/** The whole schema, under this name among its own definitions. */
const ROOT = "_whole";
const DEPTH = 64;
/** What says nothing of which values are right. */
const SAYS_NOTHING = new Set([
  "$schema",
  "$id",
  "$comment",
  "title",
  "description",
  "default",
  "examples",
  "deprecated",
  "readOnly",
  "writeOnly",
]);
/** What becomes part of the grammar. `required`: everything is always written, so it holds by itself. */
const HELD = new Set([
  "type", "properties", "required", "additionalProperties", "minProperties", "maxProperties", "items", "prefixItems", "minItems", "maxItems",
  "minLength", "maxLength", "enum", "const", "anyOf", "oneOf", "$ref", "$defs", "definitions", "format", "allOf",
]); // prettier-ignore
const FORMATS = new Set(["date-time", "date", "time"]);

/**
 * A JSON Schema as the engine's grammars take it. Every property is always written, also one that may be left out.
 *
 * @throws EngineError unsupported, where `strict` asks for what no grammar can hold; without it such bounds are left out
 */
export function grammarSchema(schema: JsonObject, strict: boolean): JsonObject {
  const definitions = { ...asObject(schema["definitions"]), ...asObject(schema["$defs"]) };
  const refersToWhole = JSON.stringify(schema).includes('"$ref":"#"');
  const { $defs: _defs, definitions: _definitions, ...rest } = schema;
  const whole = converted(rest, { strict, path: "$", depth: 0 });
  const named = Object.entries(definitions).map(
    ([name, value]) => [name, converted(value, { strict, path: `$defs.${name}`, depth: 0 })] as const,
  );
  if (named.length === 0 && !refersToWhole) return asObject(whole);
  return { ...asObject(whole), $defs: { ...Object.fromEntries(named), ...(refersToWhole && { [ROOT]: whole }) } };
}

interface Place {
  readonly strict: boolean;
  readonly path: string;
  readonly depth: number;
}

function converted(schema: Json | undefined, place: Place): Json {
  if (schema === undefined || schema === true) return ANYTHING;
  if (!isObject(schema)) throw refused(place.path, "a schema that nothing fits");
  if (place.depth > DEPTH) throw refused(place.path, `more than ${DEPTH} levels`);
  for (const [keyword, value] of Object.entries(schema)) {
    const isHeld =
      SAYS_NOTHING.has(keyword) || (HELD.has(keyword) && (keyword !== "format" || (typeof value === "string" && FORMATS.has(value))));
    if (!isHeld && place.strict) throw refused(place.path, `\`${keyword}\``);
  }
  const below = (value: Json | undefined, name: string): Json =>
    converted(value, { ...place, path: `${place.path}.${name}`, depth: place.depth + 1 });
  const ref = schema["$ref"];
  if (typeof ref === "string") return { $ref: referenceOf(ref, place.path) };
  if ("const" in schema) return scalarsOnly([schema["const"] ?? null], place);
  if (Array.isArray(schema["enum"])) return scalarsOnly(schema["enum"] as readonly Json[], place);
  const all = listOf(schema["allOf"]);
  if (all.length > 0) return below(merged(schema, all, place), "allOf");
  const choices = listOf(schema["anyOf"] ?? schema["oneOf"]);
  if (choices.length > 0) return { oneOf: choices.map((choice, at) => below(choice, `anyOf[${at}]`)) };
  const { type } = schema;
  if (Array.isArray(type)) return { oneOf: (type as readonly Json[]).map((one, at) => below({ ...schema, type: one }, `type[${at}]`)) };
  return ofType(typeof type === "string" ? type : impliedType(schema), schema, below, place);
}

function ofType(type: string | undefined, schema: JsonObject, below: (value: Json | undefined, name: string) => Json, place: Place): Json {
  switch (type) {
    case "object": {
      const properties = Object.entries(asObject(schema["properties"])).map(([name, value]) => [name, below(value, name)] as const);
      const more = schema["additionalProperties"];
      // Without properties of its own an object that says nothing else may hold anything; with them only a map goes on.
      const open = more === undefined ? properties.length === 0 : more;
      return {
        type: "object",
        properties: Object.fromEntries(properties),
        ...(open !== false && { additionalProperties: open === true ? true : below(open, "additionalProperties") }),
        ...picked(schema, ["minProperties", "maxProperties"]),
      };
    }
    case "array": {
      const tuple = listOf(schema["prefixItems"]);
      return {
        type: "array",
        ...(tuple.length > 0 && { prefixItems: tuple.map((one, at) => below(one, `prefixItems[${at}]`)) }),
        ...(schema["items"] !== undefined && schema["items"] !== false && { items: below(schema["items"], "items") }),
        ...picked(schema, ["minItems", "maxItems"]),
        ...(schema["items"] === false && { maxItems: tuple.length }),
      };
    }
    case "string":
      return typeof schema["format"] === "string" && FORMATS.has(schema["format"])
        ? { type, format: schema["format"] }
        : { type, ...picked(schema, ["minLength", "maxLength"]) };
    case "number":
    case "integer":
    case "boolean":
    case "null":
      return { type };
    case undefined:
      return ANYTHING;
    default:
      throw refused(place.path, `the type "${type}"`);
  }
}

function impliedType(schema: JsonObject): string | undefined {
  if ("properties" in schema || "required" in schema) return "object";
  return "items" in schema || "prefixItems" in schema ? "array" : undefined;
}

/** Objects that must all hold are one object with the properties of all. */
function merged(schema: JsonObject, parts: readonly Json[], place: Place): JsonObject {
  const { allOf: _allOf, ...rest } = schema;
  let whole: JsonObject = rest;
  for (const part of parts) {
    if (!isObject(part) || "$ref" in part) {
      if (parts.length === 1 && isObject(part) && Object.keys(rest).every((key) => SAYS_NOTHING.has(key))) return part;
      throw refused(place.path, "`allOf` of references");
    }
    whole = { ...whole, ...part, properties: { ...asObject(whole["properties"]), ...asObject(part["properties"]) } };
  }
  return Object.keys(asObject(whole["properties"])).length === 0 ? withoutProperties(whole) : whole;
}

function withoutProperties({ properties: _properties, ...rest }: JsonObject): JsonObject {
  return rest;
}

function referenceOf(ref: string, path: string): string {
  if (ref === "#") return `#/$defs/${ROOT}`;
  const name = /^#\/(?:\$defs|definitions)\/([^/]+)$/.exec(ref)?.[1];
  if (name === undefined) throw refused(path, `a reference to ${ref.slice(0, 100)}`);
  return `#/$defs/${name.replaceAll("~1", "/").replaceAll("~0", "~")}`;
}

function scalarsOnly(values: readonly Json[], { path }: Place): Json {
  if (values.some((value) => typeof value === "object" && value !== null)) throw refused(path, "`enum` or `const` of objects and lists");
  return values.length === 1 ? { const: values[0] ?? null } : { enum: values };
}

function picked(schema: JsonObject, keys: readonly string[]): JsonObject {
  return Object.fromEntries(keys.flatMap((key) => (typeof schema[key] === "number" ? [[key, schema[key]] as const] : [])));
}

function refused(path: string, what: string): EngineError {
  return new EngineError({ kind: "unsupported", message: `Models in process cannot be held to ${what} at ${path} of the JSON Schema.` });
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function asObject(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {};
}

function listOf(value: Json | undefined): readonly Json[] {
  return Array.isArray(value) ? (value as readonly Json[]) : [];
}

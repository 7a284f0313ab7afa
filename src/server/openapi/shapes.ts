import { z } from "zod";
import type { Json, JsonObject } from "../../canon/index.ts";

/** One way to reach something, as OpenAPI 3.1 describes it. */
export interface Described {
  readonly summary: string;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  /** What a request that is well answered gets: a schema, or texts of other types by their media type. */
  readonly answer: JsonObject | { readonly media: readonly string[] };
  readonly status?: number;
}

export const text: JsonObject = { type: "string" };
export const whole: JsonObject = { type: "integer" };
export const flag: JsonObject = { type: "boolean" };
/** Milliseconds since 1970. */
export const moment: JsonObject = { type: "integer", description: "Milliseconds since 1970." };
/** Further members may come with any version. */
export const some: JsonObject = { type: "object" };
export const orNull = (schema: JsonObject): JsonObject => ({ anyOf: [schema, { type: "null" }] });
export const list = (items: JsonObject): JsonObject => ({ type: "array", items });
export const mapOf = (values: JsonObject): JsonObject => ({ type: "object", additionalProperties: values });
export const oneOf = (...values: readonly string[]): JsonObject => ({ type: "string", enum: [...values] });
export const ref = (name: string): JsonObject => ({ $ref: `#/components/schemas/${name}` });
export const media = (...types: readonly string[]): { readonly media: readonly string[] } => ({ media: types });

/** Members that are always there, and such that may be. */
export function shape(always: JsonObject, perhaps: JsonObject = {}): JsonObject {
  return { type: "object", properties: { ...always, ...perhaps }, required: Object.keys(always) };
}

/** What a schema takes, before it makes anything else of it. Source: JSON Schema 2020-12, which OpenAPI 3.1 means. */
export function schemaOf(schema: z.ZodType): JsonObject {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonObject;
  return rest;
}

/** The parameters of a query, each by its name. */
export function parametersOf(schema: z.ZodType): readonly JsonObject[] {
  const { properties = {}, required = [], additionalProperties } = schemaOf(schema);
  const named = Object.entries(properties as JsonObject).map(([name, property]) => parameter("query", name, property ?? {}, required));
  // What else is named has any name: OpenAPI says that by a parameter that is spread out.
  return typeof additionalProperties === "object"
    ? [...named, { name: "filters", in: "query", style: "form", explode: true, schema: { type: "object", additionalProperties } }]
    : named;
}

function parameter(place: string, name: string, schema: Json, required: Json): JsonObject {
  return { name, in: place, required: Array.isArray(required) && required.includes(name), schema };
}

import { invalid, type Json, type JsonObject, type Origin } from "../../canon/index.ts";

/** The dialect's id. */
export const ID = "openai-responses";
/** Origin of what a client sent: no provider stands behind it. */
export const CLIENT_ORIGIN: Origin = { dialect: ID };

/** A JSON object under construction. */
export type Draft = Record<string, Json | undefined>;

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** A string that says something; everything else is undefined. */
export function textIn(value: Json | undefined): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** Any string, also an empty one; everything else is "". */
export function stringIn(value: Json | undefined): string {
  return typeof value === "string" ? value : "";
}

/** A count from an upstream; null and nonsense count as 0. */
export function countIn(value: Json | undefined): number {
  return typeof value === "number" && Number.isFinite(value) && value > 0 ? value : 0;
}

interface Kinds {
  readonly string: string;
  readonly number: number;
  readonly boolean: boolean;
  readonly object: JsonObject;
  readonly list: readonly Json[];
}
const ARTICLES: Readonly<Record<keyof Kinds, string>> = {
  string: "a string",
  number: "a number",
  boolean: "a boolean",
  object: "an object",
  list: "a list",
};

function isKind(value: Json, kind: keyof Kinds): boolean {
  if (kind === "list") return Array.isArray(value);
  if (kind === "object") return isObject(value);
  return typeof value === kind;
}

/** An optional field of a request; null counts as absent, as it does upstream. @throws ProblemError naming the field */
export function optional<K extends keyof Kinds>(holder: JsonObject, key: string, kind: K, path = ""): Kinds[K] | undefined {
  const value = holder[key];
  if (value === undefined || value === null) return undefined;
  if (!isKind(value, kind)) throw invalid(`\`${path}${key}\` must be ${ARTICLES[kind]}.`, path + key);
  return value as Kinds[K];
}

/** A field that must be there; a string must also say something. @throws ProblemError naming the field */
export function required<K extends keyof Kinds>(holder: JsonObject, key: string, kind: K, path = ""): Kinds[K] {
  const value = optional(holder, key, kind, path);
  if (value === undefined || (value === "" && key !== "text" && key !== "arguments" && key !== "input")) {
    throw invalid(`\`${path}${key}\` is missing: it must be ${ARTICLES[kind]}.`, path + key);
  }
  return value;
}

/** The object without some of its members. */
export function without(holder: JsonObject, ...keys: readonly string[]): Draft {
  const rest: Draft = {};
  for (const key of Object.keys(holder)) if (!keys.includes(key)) rest[key] = holder[key];
  return rest;
}

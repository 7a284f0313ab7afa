import { invalid, type Json, type JsonObject } from "../canon/index.ts";

/** A JSON object under construction. */
export type Draft = Record<string, Json | undefined>;

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** A string that says something; everything else is undefined. */
export function text(value: Json | undefined): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

export function object(value: Json | undefined): JsonObject | undefined {
  return isObject(value) ? value : undefined;
}

/** A finite number from an upstream, else 0: vendors send null where they count nothing. */
export function count(value: Json | undefined): number {
  return typeof value === "number" && Number.isFinite(value) && value > 0 ? value : 0;
}

type Kind = "string" | "number" | "boolean" | "object" | "list";
interface KindTypes {
  string: string;
  number: number;
  boolean: boolean;
  object: JsonObject;
  list: readonly Json[];
}

function isKind(value: Json, kind: Kind): boolean {
  if (kind === "list") return Array.isArray(value);
  if (kind === "object") return isObject(value);
  return typeof value === kind;
}

/** Reads an optional field of a request; null counts as absent, as it does upstream. @throws ProblemError */
export function read<K extends Kind>(holder: JsonObject, key: string, kind: K, path = ""): KindTypes[K] | undefined {
  const value = holder[key];
  if (value === undefined || value === null) return undefined;
  if (!isKind(value, kind)) throw invalid(`\`${path}${key}\` must be ${kind === "object" ? "an object" : `a ${kind}`}.`, path + key);
  return value as KindTypes[K];
}

/** Reads a field that must be there and, as a string, must say something. @throws ProblemError */
export function demand<K extends Kind>(holder: JsonObject, key: string, kind: K, path = ""): KindTypes[K] {
  const value = read(holder, key, kind, path);
  if (value === undefined || value === "")
    throw invalid(`\`${path}${key}\` is missing: it must be ${kind === "object" ? "an object" : `a ${kind}`}.`, path + key);
  return value;
}

import { invalid, type Json, type JsonObject } from "../../canon/index.ts";

/** The dialect's id, also in the `origin` of everything decoded here. */
export const DIALECT = "anthropic-messages";

/** A field's path as this language's own errors write it: `messages.0.content.1.source`. */
export type Path = string;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isList(value: unknown): value is readonly Json[] {
  return Array.isArray(value);
}

/** @throws ProblemError invalid_request */
export function needObject(value: Json | undefined, path: Path): JsonObject {
  if (isObject(value)) return value;
  throw invalid(`${path}: ${describe(value, "an object")}`, path);
}

/** @throws ProblemError invalid_request */
export function needList(value: Json | undefined, path: Path): readonly Json[] {
  if (isList(value)) return value;
  throw invalid(`${path}: ${describe(value, "a list")}`, path);
}

/** @throws ProblemError invalid_request */
export function needString(value: Json | undefined, path: Path): string {
  if (typeof value === "string") return value;
  throw invalid(`${path}: ${describe(value, "a string")}`, path);
}

/** Like `needString`, and not empty. @throws ProblemError invalid_request */
export function needName(value: Json | undefined, path: Path): string {
  const name = needString(value, path);
  if (name !== "") return name;
  throw invalid(`${path}: must not be empty.`, path);
}

/** Absent and null count as undefined. @throws ProblemError invalid_request */
export function readString(value: Json | undefined, path: Path): string | undefined {
  return value === undefined || value === null ? undefined : needString(value, path);
}

/** @throws ProblemError invalid_request */
export function readBoolean(value: Json | undefined, path: Path): boolean | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "boolean") return value;
  throw invalid(`${path}: ${describe(value, "true or false")}`, path);
}

/** @throws ProblemError invalid_request */
export function readNumber(value: Json | undefined, path: Path): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "number") return value;
  throw invalid(`${path}: ${describe(value, "a number")}`, path);
}

/** A whole number that is not negative. @throws ProblemError invalid_request */
export function readCount(value: Json | undefined, path: Path): number | undefined {
  const number = readNumber(value, path);
  if (number === undefined || (Number.isSafeInteger(number) && number >= 0)) return number;
  throw invalid(`${path}: must be a whole number that is not negative.`, path);
}

/** @throws ProblemError invalid_request */
export function readObject(value: Json | undefined, path: Path): JsonObject | undefined {
  return value === undefined || value === null ? undefined : needObject(value, path);
}

function describe(value: Json | undefined, wanted: string): string {
  if (value === undefined) return `field required, as ${wanted}.`;
  const found = value === null ? "null" : isList(value) ? "a list" : typeof value === "object" ? "an object" : `a ${typeof value}`;
  return `must be ${wanted}, not ${found}.`;
}

/** Seconds of a `cache_control` marker; undefined when there is none. A marker without a lifetime means five minutes. */
export function cacheTtlOf(block: JsonObject): number | undefined {
  const control = block["cache_control"];
  if (!isObject(control)) return undefined;
  return control["ttl"] === "1h" ? 3600 : 300;
}

/** The `cache_control` member for a lifetime in seconds, to be spread into a block. */
export function cacheControl(ttlSeconds: number | undefined): JsonObject {
  if (ttlSeconds === undefined) return {};
  return { cache_control: ttlSeconds > 300 ? { type: "ephemeral", ttl: "1h" } : { type: "ephemeral" } };
}

/** A member that is a string, and "" for any other. */
export function textAt(object: JsonObject, key: string): string {
  const value = object[key];
  return typeof value === "string" ? value : "";
}

/** The object without some members. */
export function without(object: JsonObject, ...keys: readonly string[]): JsonObject {
  const rest: Record<string, Json | undefined> = { ...object };
  for (const key of keys) delete rest[key];
  return rest;
}

/** Has the object a member besides these? Then only its verbatim form tells it whole. */
export function hasMore(object: JsonObject, known: ReadonlySet<string>): boolean {
  for (const key in object) if (!known.has(key)) return true;
  return false;
}

import { invalid, type Json, type JsonObject } from "../../canon/index.ts";

/** The dialect's id, also in the `origin` of everything decoded here. */
export const DIALECT = "gemini";

/** A field's path as this language's own errors write it: `contents[0].parts[1].inlineData`. */
export type Path = string;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isList(value: unknown): value is readonly Json[] {
  return Array.isArray(value);
}

const SNAKES = new Map<string, string>();

function snakeOf(name: string): string {
  let snake = SNAKES.get(name);
  if (snake === undefined) SNAKES.set(name, (snake = name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)));
  return snake;
}

/** A member by its name, which may also be written in snake case: the API reads protocol buffers' JSON, which knows both spellings. */
export function at(object: JsonObject, name: string): Json | undefined {
  const value = object[name];
  return value === undefined ? object[snakeOf(name)] : value;
}

/** The object without some members, in either spelling. */
export function without(object: JsonObject, ...names: readonly string[]): JsonObject {
  const rest: Record<string, Json | undefined> = { ...object };
  for (const name of names) {
    delete rest[name];
    delete rest[snakeOf(name)];
  }
  return rest;
}

/** The object with members replaced (a value) or removed (undefined), whichever way they were spelled. */
export function patched(object: JsonObject, patch: JsonObject): JsonObject {
  const result: Record<string, Json | undefined> = { ...without(object, ...Object.keys(patch)) };
  for (const [name, value] of Object.entries(patch)) if (value !== undefined) result[name] = value;
  return result;
}

/** Top-level names in camel case. */
export function camelCased(object: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(object).map(([name, value]) => [name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()), value]),
  );
}

/** Has the object a member besides these? Then only its verbatim form tells it whole. */
export function hasMore(object: JsonObject, known: ReadonlySet<string>): boolean {
  for (const key in object) if (!known.has(key)) return true;
  return false;
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

/** Absent and null count as an empty list. @throws ProblemError invalid_request */
export function readList(value: Json | undefined, path: Path): readonly Json[] {
  return value === undefined || value === null ? [] : needList(value, path);
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
export function readObject(value: Json | undefined, path: Path): JsonObject | undefined {
  return value === undefined || value === null ? undefined : needObject(value, path);
}

/** @throws ProblemError invalid_request */
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

function describe(value: Json | undefined, wanted: string): string {
  if (value === undefined) return `field required, as ${wanted}.`;
  const found = value === null ? "null" : isList(value) ? "a list" : typeof value === "object" ? "an object" : `a ${typeof value}`;
  return `must be ${wanted}, not ${found}.`;
}

/** A member that is a string, and "" for any other. */
export function textAt(object: JsonObject, name: string): string {
  const value = at(object, name);
  return typeof value === "string" ? value : "";
}

import { invalid, type Json, type JsonObject } from "../canon/index.ts";

/** A field's path, as the language's own errors write it. */
type Path = string;

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

/** Has the object a member besides these? Then only its verbatim form tells it whole. */
export function hasMore(object: JsonObject, known: ReadonlySet<string>): boolean {
  for (const key in object) if (!known.has(key)) return true;
  return false;
}

function describe(value: Json | undefined, wanted: string): string {
  if (value === undefined) return `field required, as ${wanted}.`;
  const found = value === null ? "null" : isList(value) ? "a list" : typeof value === "object" ? "an object" : `a ${typeof value}`;
  return `must be ${wanted}, not ${found}.`;
}

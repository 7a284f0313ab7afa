import type { Json, JsonObject } from "../../canon/index.ts";

export {
  isObject,
  isList,
  needObject,
  needList,
  readList,
  needString,
  needName,
  readObject,
  readString,
  readBoolean,
  readNumber,
  readCount,
  hasMore,
} from "../shared-read.ts";

/** The dialect's id, also in the `origin` of everything decoded here. */
export const DIALECT = "gemini";

/** A field's path as this language's own errors write it: `contents[0].parts[1].inlineData`. */
export type Path = string;

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

/** A member that is a string, and "" for any other. */
export function textAt(object: JsonObject, name: string): string {
  const value = at(object, name);
  return typeof value === "string" ? value : "";
}

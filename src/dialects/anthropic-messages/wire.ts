import type { Json, JsonObject } from "../../canon/index.ts";
import { isObject } from "../shared-read.ts";

export {
  isObject,
  isList,
  needObject,
  needList,
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
export const DIALECT = "anthropic-messages";

/** A field's path as this language's own errors write it: `messages.0.content.1.source`. */
export type Path = string;

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

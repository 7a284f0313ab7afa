import type { EncodeTarget, Envelope, Item, JsonObject, Origin } from "../../canon/index.ts";

/** The dialect's id. */
export const ID = "bedrock-converse";
export const ORIGIN: Origin = { dialect: ID };

/** Lifetime of a cache checkpoint that names none, in seconds. */
const SHORT_SECONDS = 300;
const LONG_SECONDS = 3600;

export function ttlSecondsOf(checkpoint: JsonObject): number {
  return checkpoint["ttl"] === "1h" ? LONG_SECONDS : SHORT_SECONDS;
}

/** A checkpoint behind what is to be cached. */
export function cachePoint(ttlSeconds: number): JsonObject {
  return { cachePoint: { type: "default", ...(ttlSeconds > SHORT_SECONDS && { ttl: "1h" }) } };
}

/** The message that items were cut from, without its content. `place` is unlike that of any other message of the request. */
export function envelopeOf(role: string, fields: JsonObject, place: number): Envelope {
  return { dialect: ID, role, raw: fields, place };
}

/** May the verbatim form go out? It may when a client sent it in this language or this very provider wrote it. */
export function isNative({ origin }: Pick<Item, "origin">, target: EncodeTarget): boolean {
  return origin?.dialect === ID && (origin.provider === undefined || origin.provider === target.provider);
}

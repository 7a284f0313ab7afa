import { randomBytes } from "node:crypto";
import type { Clock, KeyRecord, Randomness } from "../canon/index.ts";
import { hashKey, KEY_PREFIX } from "./admission.ts";

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** 43 letters of base 62 hold 256 bits. */
const KEY_LETTERS = 43;
const VISIBLE_LETTERS = 6;

export type KeySpec = Pick<KeyRecord, "name" | "team" | "project" | "tags" | "scopes" | "limits" | "expiresAt">;

/** A new key: the text to show once, and the record to keep, which cannot be turned back into it. */
export function newKey(spec: KeySpec, clock: Clock, randomness: Randomness): { readonly key: string; readonly record: KeyRecord } {
  let letters = "";
  while (letters.length < KEY_LETTERS) {
    // 248 is the largest multiple of 62 in a byte: what lies above would favour the first letters.
    for (const byte of randomBytes(KEY_LETTERS)) if (byte < 248 && letters.length < KEY_LETTERS) letters += ALPHABET.charAt(byte % 62);
  }
  const key = KEY_PREFIX + letters;
  const prefix = key.slice(0, KEY_PREFIX.length + VISIBLE_LETTERS);
  return { key, record: { ...spec, id: randomness.id("key_"), hash: hashKey(key), prefix, createdAt: clock.now() } };
}

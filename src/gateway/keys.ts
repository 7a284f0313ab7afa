import { randomBytes } from "node:crypto";
import { accountOf, ProblemError, type Clock, type KeyRecord, type KeyStore, type Randomness } from "../canon/index.ts";
import { hashKey, KEY_PREFIX } from "./admission.ts";

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** 43 letters of base 62 hold 256 bits. */
const KEY_LETTERS = 43;
const VISIBLE_LETTERS = 6;

export type KeySpec = Pick<KeyRecord, "name" | "team" | "project" | "tags" | "scopes" | "limits" | "expiresAt" | "account" | "budgets">;

export interface MadeKey {
  /** To be shown once. */
  readonly key: string;
  /** What is kept; it cannot be turned back into the key. */
  readonly record: KeyRecord;
}

export interface KeyMaking {
  readonly keys: KeyStore;
  readonly clock: Clock;
  readonly randomness: Randomness;
}

/** A new key: the text to show once, and the record to keep. */
export function newKey(spec: KeySpec, clock: Clock, randomness: Randomness): MadeKey {
  let letters = "";
  while (letters.length < KEY_LETTERS) {
    // 248 is the largest multiple of 62 in a byte: what lies above would favour the first letters.
    for (const byte of randomBytes(KEY_LETTERS)) if (byte < 248 && letters.length < KEY_LETTERS) letters += ALPHABET.charAt(byte % 62);
  }
  const key = KEY_PREFIX + letters;
  const prefix = key.slice(0, KEY_PREFIX.length + VISIBLE_LETTERS);
  return { key, record: { ...spec, id: randomness.id("key_"), hash: hashKey(key), prefix, createdAt: clock.now() } };
}

/** May it be used at `now`, milliseconds since 1970? */
export function isInForce({ revokedAt, expiresAt }: Pick<KeyRecord, "revokedAt" | "expiresAt">, now: number): boolean {
  return revokedAt === undefined && (expiresAt === undefined || expiresAt > now);
}

/**
 * A key in place of another, for the same account: what was spent stays spent, and what was kept for it is found. The other goes on for
 * `overlapMs`, or until it ends by itself if that is sooner. `expiresAt`: by default the new one lives as long as the other was to live.
 * @throws ProblemError not_found, when there is no such key in force
 */
export async function rotateKey(
  { keys, clock, randomness }: KeyMaking,
  id: string,
  overlapMs: number,
  expiresAt?: number,
): Promise<MadeKey & { readonly previous: { readonly id: string; readonly expiresAt: number } }> {
  const now = clock.now();
  const record = (await keys.list()).find((one) => one.id === id);
  if (!record || !isInForce(record, now)) throw noKey(id);
  const until = Math.min(now + overlapMs, record.expiresAt ?? Number.MAX_SAFE_INTEGER);
  const made = successor(record, expiresAt, clock, randomness);
  if (!(await keys.rotate(id, made.record, now, until))) throw noKey(id);
  return { ...made, previous: { id, expiresAt: until } };
}

/** One more key for an account that has one in force, like its newest. @throws ProblemError not_found */
export async function addKey({ keys, clock, randomness }: KeyMaking, account: string, expiresAt?: number): Promise<MadeKey> {
  const now = clock.now();
  const record = (await keys.list()).findLast((one) => accountOf(one) === account && isInForce(one, now));
  if (!record) throw new ProblemError({ kind: "not_found", message: `There is no account "${account.slice(0, 64)}" with a key in force.` });
  const made = successor(record, expiresAt, clock, randomness);
  await keys.create(made.record);
  return made;
}

function successor(record: KeyRecord, expiresAt: number | undefined, clock: Clock, randomness: Randomness): MadeKey {
  const { id: _id, hash: _hash, prefix: _prefix, createdAt, expiresAt: ended, revokedAt: _revoked, ...spec } = record;
  const end = expiresAt ?? (ended === undefined ? undefined : clock.now() + (ended - createdAt));
  return newKey({ ...spec, account: accountOf(record), ...(end !== undefined && { expiresAt: end }) }, clock, randomness);
}

function noKey(id: string): ProblemError {
  return new ProblemError({ kind: "not_found", message: `There is no key "${id.slice(0, 64)}" in force that could be rotated.` });
}

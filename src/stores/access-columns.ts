import type { AccountChange, Denial, GroupBound, KeyRecord, Scopes, ScopesChange } from "../canon/index.ts";
import type { WriteName } from "./backend.ts";
import { conflict } from "./problems.ts";

/** Denials kept at once: every process holds them all in memory. */
export const MOST_DENIALS = 20_000;

/** What stands beside the keys, as every engine has it in its tables. */
export interface BoundColumns {
  readonly kind: GroupBound["group"];
  readonly name: string;
  readonly scopes: string;
}
export interface DenialColumns {
  readonly id: string;
  readonly kind: Denial["kind"];
  readonly issuer: string;
  readonly value: string;
  readonly author: string;
  readonly reason: string | null;
  readonly created_at: number;
  readonly expires_at: number | null;
}

export const ACCESS_WRITES = ["editAccount", "boundGroup", "deny", "allow"] as const satisfies readonly WriteName[];
export type AccessWrites = (typeof ACCESS_WRITES)[number];

export function boundFrom({ kind, name, scopes }: BoundColumns): GroupBound {
  return { group: kind, name, scopes: JSON.parse(scopes) as Scopes };
}

export function denialFrom({ reason, created_at: createdAt, expires_at: expiresAt, ...same }: DenialColumns): Denial {
  const { id, kind, issuer, value, author } = same;
  return { id, kind, issuer, value, author, createdAt, ...(reason !== null && { reason }), ...(expiresAt !== null && { expiresAt }) };
}

/** In the order of the columns. */
export function denialToValues({ id, kind, issuer, value, author, reason, createdAt, expiresAt }: Denial): (string | number | null)[] {
  return [id, kind, issuer, value, author, reason ?? null, createdAt, expiresAt ?? null];
}

/** Before one more is kept. @throws ProblemError conflict */
export function assertRoom(denials: number): void {
  if (denials >= MOST_DENIALS)
    throw conflict(`There are ${MOST_DENIALS} denials, which is the limit. Lift those that are no longer needed, or give them an end.`);
}

/** What a change makes of scopes: null takes away, undefined leaves. */
export function changedScopes(scopes: Scopes, change: ScopesChange): Scopes {
  return changed(scopes, change);
}

/** What a change makes of one key of the account. */
export function changedKey(key: KeyRecord, { scopes, ...change }: AccountChange): KeyRecord {
  return { ...changed(key, change), scopes: changedScopes(key.scopes, scopes ?? {}) };
}

function changed<T extends object>(value: T, change: { readonly [K in keyof T]?: T[K] | null | undefined }): T {
  const given = Object.entries(change).filter(([, member]) => member !== undefined);
  return Object.fromEntries(Object.entries({ ...value, ...Object.fromEntries(given) }).filter(([, member]) => member !== null)) as T;
}

import type { Budget, ConfigVersion, KeyRecord, RequestLimit, Scopes, Switch } from "../canon/index.ts";
import { openConfigText } from "./sealing/config-text.ts";
import type { Sealer } from "./sealing/sealer.ts";

/** Keys, versions of the configuration and switches as every engine has them in its tables. */
export interface KeyColumns {
  readonly id: string;
  readonly hash: string;
  readonly prefix: string;
  readonly name: string;
  readonly team: string | null;
  readonly project: string | null;
  readonly tags: string | null;
  readonly scopes: string;
  readonly limits: string;
  readonly created_at: number;
  readonly expires_at: number | null;
  readonly revoked_at: number | null;
  readonly budgets: string | null;
  readonly account: string | null;
}
export interface ConfigColumns {
  readonly version: number;
  readonly created_at: number;
  readonly author: string;
  readonly text: string;
  readonly rollback_of: number | null;
  /** Since when it is in force, where that was asked for with it. */
  readonly first?: number | null;
  readonly last?: number | null;
  readonly processes?: number;
}
export interface SwitchColumns {
  readonly id: string;
  readonly kind: Switch["kind"];
  readonly scope: Switch["scope"];
  readonly value: string;
  readonly author: string;
  readonly reason: string | null;
  readonly created_at: number;
}

/** In the order of the columns. */
export function keyToValues(key: KeyRecord): (string | number | null)[] {
  return [
    key.id,
    key.hash,
    key.prefix,
    key.name,
    key.team ?? null,
    key.project ?? null,
    key.tags ? JSON.stringify(key.tags) : null,
    JSON.stringify(key.scopes),
    JSON.stringify(key.limits),
    key.createdAt,
    key.expiresAt ?? null,
    key.revokedAt ?? null,
    key.budgets ? JSON.stringify(key.budgets) : null,
    key.account ?? null,
  ];
}

export function keyFrom(columns: KeyColumns): KeyRecord {
  return {
    id: columns.id,
    ...(columns.account !== null && { account: columns.account }),
    name: columns.name,
    hash: columns.hash,
    prefix: columns.prefix,
    ...(columns.team !== null && { team: columns.team }),
    ...(columns.project !== null && { project: columns.project }),
    ...(columns.tags !== null && { tags: JSON.parse(columns.tags) as string[] }),
    scopes: JSON.parse(columns.scopes) as Scopes,
    limits: JSON.parse(columns.limits) as RequestLimit[],
    ...(columns.budgets !== null && { budgets: JSON.parse(columns.budgets) as Budget[] }),
    createdAt: columns.created_at,
    ...(columns.expires_at !== null && { expiresAt: columns.expires_at }),
    ...(columns.revoked_at !== null && { revokedAt: columns.revoked_at }),
  };
}

/** Undefined when the key that sealed it is gone: such a version cannot be gone back to. */
export function configFrom(columns: ConfigColumns, sealer: Sealer): ConfigVersion | undefined {
  const text = openConfigText(sealer, columns.version, columns.text);
  if (text === undefined) return undefined;
  const { version, created_at: createdAt, author, rollback_of: rollbackOf, first, last, processes } = columns;
  return {
    version,
    createdAt,
    author,
    text,
    ...(rollbackOf !== null && { rollbackOf }),
    ...(typeof first === "number" && typeof last === "number" && { inForce: { first, last, processes: processes ?? 0 } }),
  };
}

export function switchFrom({ id, kind, scope, value, author, reason, created_at: createdAt }: SwitchColumns): Switch {
  return { id, kind, scope, value, author, createdAt, ...(reason !== null && { reason }) };
}

/** In the list it keeps its place, with a comment for its text. */
export function lost({ version, created_at: createdAt, author }: ConfigColumns): ConfigVersion {
  return { version, createdAt, author, text: "# The key that sealed this version is gone.\n" };
}

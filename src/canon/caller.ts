import type { Budget } from "./budget.ts";
import type { Requirements } from "./snapshot.ts";

/** What somebody may do at the admin API; `src/server/roles.ts` says which route takes which. */
export type Role = "viewer" | "developer" | "approver" | "admin";

/** What a key may do. Absent means no restriction of that kind. */
export interface Scopes {
  /** Aliases and `provider/model` names; a trailing `*` matches any rest. */
  readonly models?: readonly string[];
  /** Dialect ids and `admin`. */
  readonly surfaces?: readonly string[];
  /** With the surface `admin` only: what it may do there. Absent: nothing. */
  readonly role?: Role;
  /** Names of tools its calls may offer a model; a trailing `*` matches any rest. Tools of the provider's own: their wire type. */
  readonly tools?: readonly string[];
  /** Highest data tier, 0 (public) to 4. */
  readonly tier?: number;
  /** Where its calls may go. */
  readonly requires?: Requirements;
  /** What its calls may say of themselves. */
  readonly metadata?: MetadataScope;
  /** 0 to 9, higher first where calls wait for a place at a provider; a call may ask for less by `x-gimbal-priority`, never for more. */
  readonly priority?: number;
}

/** What calls may say of themselves in `x-gimbal-metadata`. Where there is one, whatever it does not name is refused. */
export interface MetadataScope {
  /** Members that a call may carry, each with the values it may have; a trailing `*` matches any rest, in both. */
  readonly allow?: Readonly<Record<string, readonly string[]>>;
  /** Members that every call must carry. */
  readonly require?: readonly string[];
  /** Members that every call has, whatever it says itself. */
  readonly force?: Readonly<Record<string, string>>;
}

/** A rate limit on one caller: at least one of the four. */
export interface RequestLimit {
  readonly requests?: number | undefined;
  readonly inputTokens?: number | undefined;
  readonly outputTokens?: number | undefined;
  /** Calls running at once. */
  readonly concurrency?: number | undefined;
  readonly per: "minute" | "hour" | "day";
}

/** Who makes a call. Everything kept for a later call is kept under `scope`, and never crosses it. */
export interface Caller {
  /** Key id, or `anonymous`. */
  readonly id: string;
  /** Isolation of kept turns, journals and caches. */
  readonly scope: string;
  readonly name: string;
  readonly team?: string;
  readonly project?: string;
  readonly tags?: readonly string[];
  readonly scopes: Scopes;
  /** Its own, its project's, its team's: all of them hold, and what the last forces wins. */
  readonly metadataScopes?: readonly MetadataScope[];
  readonly limits: readonly RequestLimit[];
  /** Its key's own. */
  readonly budgets?: readonly Budget[];
  readonly anonymous: boolean;
  /** Milliseconds since 1970. */
  readonly expiresAt?: number;
}

export function mayUseModel(scopes: Scopes, ...names: readonly string[]): boolean {
  return !scopes.models || matchesAny(scopes.models, names);
}

/** @param names all names of one tool, any of which may be the allowed one */
export function mayUseTool(scopes: Scopes, ...names: readonly string[]): boolean {
  return !scopes.tools || matchesAny(scopes.tools, names);
}

function matchesAny(patterns: readonly string[], names: readonly string[]): boolean {
  return patterns.some((pattern) =>
    pattern.endsWith("*") ? names.some((name) => name.startsWith(pattern.slice(0, -1))) : names.includes(pattern),
  );
}

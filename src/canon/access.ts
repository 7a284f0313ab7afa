import type { Budget } from "./budget.ts";
import type { RequestLimit, Scopes } from "./caller.ts";

/** Other scopes; null takes a restriction away. */
export type ScopesChange = { readonly [K in keyof Scopes]?: Scopes[K] | null };

/** What changes of every key of an account; null takes a member away, what is absent stays. */
export interface AccountChange {
  readonly name?: string;
  readonly team?: string | null;
  readonly project?: string | null;
  readonly tags?: readonly string[] | null;
  readonly scopes?: ScopesChange;
  readonly limits?: readonly RequestLimit[];
  readonly budgets?: readonly Budget[] | null;
}

/** What all callers of a team or a project may do at most, whatever their keys say. */
export interface GroupBound {
  readonly group: "team" | "project";
  readonly name: string;
  readonly scopes: Scopes;
}

/** Somebody whom an issuer vouches for, and who is not let in all the same. */
export interface Denial {
  readonly id: string;
  /** A person or service (`sub`), one of its tokens (`jti`), or one signed-in session here. */
  readonly kind: "subject" | "token" | "session";
  /** The issuer's name in the configuration. */
  readonly issuer: string;
  readonly value: string;
  readonly author: string;
  readonly reason?: string;
  readonly createdAt: number;
  /** When it is forgotten, milliseconds since 1970. Absent: never. */
  readonly expiresAt?: number;
}

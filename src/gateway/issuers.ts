import type { Caller, Role } from "../canon/index.ts";

/** What an issuer says of whoever holds one of its tokens, found to be true. */
export interface Issued {
  /** The issuer's name in the configuration. */
  readonly issuer: string;
  /** Who, at that issuer. */
  readonly subject: string;
  /** The token's own id, where it has one. */
  readonly tokenId?: string;
  /** As callers of models; undefined for people, who only sign in to the admin API. */
  readonly caller?: Caller;
  /** At the admin API. None: not let in there. */
  readonly roles: readonly Role[];
  /** As the audit names them. */
  readonly actor: string;
  /** When the token itself ends, milliseconds since 1970. */
  readonly expiresAt: number;
  /** Until when this may be remembered, milliseconds since 1970. */
  readonly until: number;
}

/** Whoever can tell what the tokens of issuers say. */
export interface Issuers {
  /** Undefined: no issuer known here says that the token is its own. Rejects with `unauthenticated`. */
  verify(token: string): Promise<Issued> | undefined;
  /** Calls back whenever what was verified before may hold no longer. */
  whenChanged(listener: () => void): void;
}

/** What every JSON object's beginning is in base64url: `{"`. */
const TOKEN_BEGINNING = "eyJ";

/** Could it be a JWT? */
export function looksIssued(credential: string): boolean {
  return credential.startsWith(TOKEN_BEGINNING);
}

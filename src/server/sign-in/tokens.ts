import type { errors as joseErrors, JWTPayload } from "jose";
import { ProblemError, type Clock } from "../../canon/index.ts";
import { PEOPLE, type IdentityOptions, type PeopleOptions, type ServicesOptions } from "../../gateway/identity-options.ts";
import { parseJson } from "../../kit/index.ts";
import { looksIssued, type Issued, type Issuers } from "../../gateway/issuers.ts";
import type { boundedFetch } from "./bounded-fetch.ts";
import { callerFromClaims, rolesOf } from "./claims.ts";
import { jose } from "./jose.ts";
import { KeySet } from "./key-set.ts";

/** Letters of a token; what is longer is refused unread. */
export const TOKEN_LETTERS = 16 * 1024;
const SUBJECT_LETTERS = 255;
const MS_PER_MINUTE = 60_000;
const MS_PER_SECOND = 1000;

export interface TokensOptions {
  readonly clock: Clock;
  readonly fetch: ReturnType<typeof boundedFetch>;
  readonly log: (line: string) => void;
}

/** One trusted issuer: of people, or of services. */
interface Trusted {
  readonly name: string;
  readonly issuer: string;
  readonly audience: readonly string[];
  readonly algorithms: readonly string[];
  readonly type: string | undefined;
  readonly keys: KeySet;
  readonly toleranceMs: number;
  readonly people?: PeopleOptions;
  readonly services?: ServicesOptions;
}

/** Checks the tokens of the issuers that the configuration trusts. */
export class Tokens implements Issuers {
  readonly #options: TokensOptions;
  readonly #listeners: (() => void)[] = [];
  /** By the claim `iss`; people's and services' tokens can be of one issuer, for different audiences. */
  #trusted: ReadonlyMap<string, readonly Trusted[]> = new Map();
  #keySets: ReadonlyMap<string, KeySet> = new Map();
  #configured: string | undefined;

  constructor(options: TokensOptions, identity: IdentityOptions) {
    this.#options = options;
    this.configure(identity);
  }

  /** Everything that was verified before is looked at again. Keys of issuers that stay are kept: one may be away just now. */
  configure(identity: IdentityOptions): void {
    const configured = JSON.stringify(identity);
    if (configured === this.#configured) return;
    this.#configured = configured;
    const { oidc, jwt } = identity;
    const keySets = new Map<string, KeySet>();
    const people = oidc && {
      ...this.#trust(identity, keySets, oidc.issuer, undefined),
      name: PEOPLE,
      audience: [oidc.clientId, ...(oidc.audience ?? [])],
      algorithms: oidc.algorithms,
      type: undefined,
      people: oidc,
    };
    const services = jwt.map((one) => ({
      ...this.#trust(identity, keySets, one.issuer, one.jwksUri),
      name: one.name,
      audience: one.audience,
      algorithms: one.algorithms,
      type: one.type,
      services: one,
    }));
    this.#trusted = Map.groupBy([...services, ...(people ? [people] : [])], ({ issuer }) => issuer);
    this.#keySets = keySets;
    // Before the first token comes, which would wait for it.
    if (this.#trusted.size > 0) void jose();
    this.#changed();
  }

  whenChanged(listener: () => void): void {
    this.#listeners.push(listener);
  }

  verify(token: string): Promise<Issued> | undefined {
    if (this.#trusted.size === 0 || !looksIssued(token)) return undefined;
    if (token.length > TOKEN_LETTERS) return Promise.reject(refused(`The token is longer than ${TOKEN_LETTERS} characters.`));
    const claims = unverified(token);
    const issuers = claims?.iss === undefined ? undefined : this.#trusted.get(claims.iss);
    return issuers && this.#verifyBy(issuers, token, claims?.aud);
  }

  async #verifyBy(issuers: readonly Trusted[], token: string, audience: JWTPayload["aud"]): Promise<Issued> {
    const named = [audience ?? []].flat();
    const trusted = issuers.find((one) => one.audience.some((wanted) => named.includes(wanted))) ?? issuers[0];
    if (!trusted) throw refused("The token's issuer is not trusted here.");
    const { clock } = this.#options;
    const { issuer, keys, toleranceMs } = trusted;
    const { errors, jwtVerify } = await jose();
    try {
      const { payload } = await jwtVerify(token, keys.find, {
        issuer,
        audience: [...trusted.audience],
        algorithms: [...trusted.algorithms],
        clockTolerance: toleranceMs / MS_PER_SECOND,
        currentDate: new Date(clock.now()),
        requiredClaims: ["exp", "sub"],
        ...(trusted.type !== undefined && { typ: trusted.type }),
      });
      return this.#issued(trusted, payload);
    } catch (error) {
      throw error instanceof errors.JOSEError ? refused(reasonOf(error, errors)) : error;
    }
  }

  #issued(trusted: Trusted, payload: JWTPayload): Issued {
    const { name, keys, toleranceMs, people, services } = trusted;
    const { sub = "", jti, exp = 0 } = payload;
    if (typeof sub !== "string" || sub === "" || sub.length > SUBJECT_LETTERS)
      throw refused(`The token's subject is not a text of 1 to ${SUBJECT_LETTERS} characters.`);
    // Source: OpenID Connect Core 1.0, section 3.1.3.7: a token that was made for another party's use, though this one may read it.
    const { azp: party } = payload;
    if (people && party !== undefined && !trusted.audience.some((one) => one === party))
      throw refused("The token was made for another client to use.");
    const expiresAt = exp * MS_PER_SECOND + toleranceMs;
    const roles = people?.roles ?? services?.roles;
    const caller = services && callerFromClaims(services, sub, payload, expiresAt);
    return {
      issuer: name,
      subject: sub,
      ...(typeof jti === "string" && { tokenId: jti }),
      ...(caller && { caller }),
      roles: roles ? rolesOf(roles, payload) : [],
      actor: caller?.id ?? `${name}:${sub}`,
      expiresAt,
      until: Math.min(expiresAt, this.#options.clock.now() + Math.floor(keys.goodForMs)),
    };
  }

  #trust(
    identity: IdentityOptions,
    keySets: Map<string, KeySet>,
    issuer: string,
    jwksUri: string | undefined,
  ): Pick<Trusted, "issuer" | "keys" | "toleranceMs"> {
    const times = { keysMs: identity.keysMinutes * MS_PER_MINUTE, outageMs: identity.outageMinutes * MS_PER_MINUTE };
    const name = JSON.stringify([issuer, jwksUri, times]);
    const keys =
      keySets.get(name) ??
      this.#keySets.get(name) ??
      new KeySet({ ...this.#options, ...times, issuer, jwksUri, onChange: () => this.#changed() });
    keySets.set(name, keys);
    return { issuer, keys, toleranceMs: identity.clockToleranceSeconds * MS_PER_SECOND };
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** What a token says of itself, whoever wrote it. */
function unverified(token: string): JWTPayload | undefined {
  const [, payload = ""] = token.split(".");
  const claims = parseJson(Buffer.from(payload, "base64url").toString("utf8"));
  return typeof claims === "object" && claims !== null && !Array.isArray(claims) ? (claims as JWTPayload) : undefined;
}

function reasonOf(error: joseErrors.JOSEError, errors: typeof joseErrors): string {
  if (error instanceof errors.JWTExpired) return "The token has expired. Get a new one from its issuer.";
  if (error instanceof errors.JWTClaimValidationFailed)
    return error.claim === "nbf"
      ? "The token is not valid yet."
      : `The token's claim or header \`${error.claim}\` is not what this gateway expects.`;
  if (error instanceof errors.JOSEAlgNotAllowed) return "The token is signed by an algorithm that is not allowed for its issuer.";
  if (error instanceof errors.JWKSNoMatchingKey) return "The token is signed by a key that its issuer does not have.";
  if (error instanceof errors.JWKSMultipleMatchingKeys) return "The token does not say by which of its issuer's keys it is signed.";
  if (error instanceof errors.JWSSignatureVerificationFailed) return "The token's signature is not its issuer's.";
  return "The token cannot be read.";
}

function refused(message: string): ProblemError {
  return new ProblemError({ kind: "unauthenticated", message, code: "invalid_token" });
}

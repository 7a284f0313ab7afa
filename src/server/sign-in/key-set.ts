import type { JSONWebKeySet, JWTVerifyGetKey } from "jose";
import { ProblemError, type Clock } from "../../canon/index.ts";
import { fetchObject, type boundedFetch } from "./bounded-fetch.ts";
import { jose } from "./jose.ts";

/** Keys of one issuer. */
const MOST_KEYS = 200;
/** Least time between two looks at an issuer's keys, however many tokens name keys that are not known. */
export const COOLDOWN_MS = 10_000;

export interface KeySetOptions {
  /** As the claim `iss` has it; where `jwksUri` is absent its discovery document says where the keys are. */
  readonly issuer: string;
  readonly jwksUri: string | undefined;
  readonly clock: Clock;
  readonly fetch: ReturnType<typeof boundedFetch>;
  /** How long keys are used before they are fetched again, and how much longer while that fails. */
  readonly keysMs: number;
  readonly outageMs: number;
  /** Other keys than before. */
  readonly onChange: () => void;
  /** One line for the operator. */
  readonly log: (line: string) => void;
}

interface Held {
  readonly find: JWTVerifyGetKey;
  readonly text: string;
  /** Monotonic milliseconds. */
  readonly fetchedAt: number;
}

/** An issuer's public keys: fetched when needed, used for a while, and for a stated while longer when the issuer is away. */
export class KeySet {
  readonly #options: KeySetOptions;
  #held: Held | undefined;
  #triedAt = Number.NEGATIVE_INFINITY;
  #fetching: Promise<void> | undefined;
  #fault: string | undefined;

  constructor(options: KeySetOptions) {
    this.#options = options;
  }

  /** For how long what these keys have shown may be remembered, in milliseconds. */
  get goodForMs(): number {
    if (!this.#held) return 0;
    const { keysMs, outageMs } = this.#options;
    const age = this.#age(this.#held);
    return age < keysMs ? keysMs - age : Math.max(0, Math.min(COOLDOWN_MS, keysMs + outageMs - age));
  }

  /** The key that a token's header names. @throws ProblemError unauthenticated, when there are no keys that may be used */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    // An issuer that is slow holds up nobody whose key is known well enough.
    if (this.#held && this.#age(this.#held) >= this.#options.keysMs) void this.#refresh();
    if (!this.#held || this.#isSpent(this.#held)) await this.#refresh();
    try {
      return await this.#usable().find(header, token);
    } catch (error) {
      const { errors } = await jose();
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      // Perhaps it is newer than what is held. Whoever makes names up cannot have more than one look in a while.
      await this.#refresh();
      return this.#usable().find(header, token);
    }
  };

  #isSpent(held: Held): boolean {
    return this.#age(held) >= this.#options.keysMs + this.#options.outageMs;
  }

  #usable(): Held {
    const { issuer } = this.#options;
    if (this.#held && !this.#isSpent(this.#held)) return this.#held;
    throw new ProblemError({
      kind: "unauthenticated",
      message: `The issuer ${issuer} cannot be asked for its keys (${this.#fault ?? "not yet"}), so its tokens cannot be checked. Try again later, or use a key of this gateway.`,
      code: "issuer_unavailable",
    });
  }

  #age({ fetchedAt }: Held): number {
    return this.#options.clock.monotonic() - fetchedAt;
  }

  #refresh(): Promise<void> {
    if (this.#fetching) return this.#fetching;
    if (this.#options.clock.monotonic() - this.#triedAt < COOLDOWN_MS) return Promise.resolve();
    this.#fetching = this.#fetch().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #fetch(): Promise<void> {
    const { clock, issuer, log, onChange } = this.#options;
    try {
      const keys = await this.#read();
      const { createLocalJWKSet } = await jose();
      const text = JSON.stringify(keys);
      const before = this.#held;
      this.#held = { find: createLocalJWKSet(keys), text, fetchedAt: clock.monotonic() };
      if (this.#fault !== undefined) log(`The issuer ${issuer} can be reached again.`);
      this.#fault = undefined;
      if (before && before.text !== text) onChange();
    } catch (error) {
      const fault = faultOf(error);
      if (this.#fault === undefined) log(`The keys of the issuer ${issuer} could not be fetched: ${fault}.`);
      this.#fault = fault;
    } finally {
      this.#triedAt = clock.monotonic();
    }
  }

  async #read(): Promise<JSONWebKeySet> {
    const { fetch, issuer, jwksUri } = this.#options;
    const { keys } = await fetchObject(fetch, jwksUri ?? (await this.#discovered()));
    if (!Array.isArray(keys) || keys.length > MOST_KEYS) throw new Error(`${issuer} has no list of at most ${MOST_KEYS} keys`);
    // A shared secret among them would be one that everybody can read.
    return { keys: (keys as JSONWebKeySet["keys"]).filter((key) => key.kty !== "oct" && key.use !== "enc") };
  }

  /** Source: OpenID Connect Discovery 1.0, section 4.3: a document that speaks of another issuer must not be used. */
  async #discovered(): Promise<string> {
    const { fetch, issuer } = this.#options;
    const document = await fetchObject(fetch, `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
    if (document["issuer"] !== issuer) throw new Error(`its discovery document is of another issuer`);
    const uri = document["jwks_uri"];
    if (typeof uri !== "string" || !URL.canParse(uri)) throw new Error("its discovery document names no keys");
    // Plain HTTP is for issuers on this machine: another may not send the gateway to what only this machine can reach.
    if (!uri.startsWith("https:") && issuer.startsWith("https:")) throw new Error(`${uri} is not an https:// address`);
    return uri;
  }
}

/** Node's fetch says what went wrong in the cause of its error. */
function faultOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.cause.message !== "" ? error.cause.message : error.message;
}

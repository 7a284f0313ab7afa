import { createHash } from "node:crypto";
import {
  accountOf,
  callerFromKey,
  ProblemError,
  type Caller,
  type Clock,
  type Dialect,
  type Headers,
  type KeyRecord,
  type KeyStore,
  type Snapshot,
} from "../canon/index.ts";
import { boundCaller } from "./bounds.ts";
import { looksIssued, type Issued, type Issuers } from "./issuers.ts";
import { Standing, type Vouched } from "./standing.ts";

export const KEY_PREFIX = "gk_";
/** Keys remembered with their caller. Beyond it the oldest are looked up again. */
const FRONT_KEYS = 10_000;
/** The same of issuers' tokens, which are longer. */
const FRONT_TOKENS = 4000;
/** How often other processes' changes to keys are looked for: a revoked key is refused within this time. */
const GENERATION_POLL_MS = 500;

/** Of whom an issuer vouches for: its name here, and what it calls them. */
const ISSUED_ID = /^jwt:([^:]+):(.+)$/s;

const ANONYMOUS: Caller = { id: "anonymous", scope: "anonymous", name: "anonymous", scopes: {}, limits: [], anonymous: true };

/** Headers that a proxy adds: who sends them is not on this machine, whatever the socket says. */
const FORWARDING = [
  "forwarded",
  "via",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-proto",
  "x-forwarded-server",
  "x-real-ip",
  "x-client-ip",
  "x-cluster-client-ip",
  "cf-connecting-ip",
  "true-client-ip",
] as const;

/** Turns credentials into a caller, and says no. */
export class Admission {
  readonly #keys: KeyStore;
  readonly #clock: Clock;
  readonly #issuers: Issuers | undefined;
  readonly #standing: Standing;
  readonly #front = new Map<string, Caller>();
  readonly #tokens = new Map<string, Issued>();
  #generation = -1;
  /** Rises whenever keys are forgotten: what was looked up before must not be remembered after. */
  #forgotten = 0;

  constructor(deps: { readonly keys: KeyStore; readonly clock: Clock; readonly issuers?: Issuers | undefined }) {
    this.#keys = deps.keys;
    this.#clock = deps.clock;
    this.#issuers = deps.issuers;
    this.#standing = new Standing(deps);
    deps.issuers?.whenChanged(() => this.#forget());
    // At once: were the first answer one that comes later, every key seen until then would be forgotten with it, and a record that broke
    // in between would shut out callers that are known.
    void this.#watchKeys();
  }

  /** Who is it? Answers at once for a key seen before. @throws ProblemError unauthenticated */
  identify(snapshot: Snapshot, dialect: Pick<Dialect, "credentials">, headers: Headers, peer: string): Caller | Promise<Caller> {
    const key = dialect.credentials(headers);
    if (key?.startsWith(KEY_PREFIX)) return this.byKey(key);
    if (key !== undefined && this.#issuers && looksIssued(key)) {
      const issued = this.byToken(key);
      if (issued) return issued instanceof Promise ? issued.then(callerOf) : callerOf(issued);
    }
    const { anonymous } = snapshot.access;
    if (anonymous === "any" || (anonymous === "loopback" && isLocal(headers, peer))) return ANONYMOUS;
    throw new ProblemError({
      kind: "unauthenticated",
      message: key === undefined ? "This gateway needs a key, and the request has none." : "The key is not one of this gateway's keys.",
      code: "invalid_api_key",
    });
  }

  /**
   * Somebody who asked earlier for what is done only now. What their key, their project and their team may do is looked at anew; of whom an
   * issuer vouched for, whether they are denied. @throws ProblemError unauthenticated
   */
  async again(snapshot: Snapshot, before: Caller): Promise<Caller> {
    if (before.anonymous) {
      if (snapshot.access.anonymous !== "never") return ANONYMOUS;
      throw new ProblemError({ kind: "unauthenticated", message: "This gateway takes no calls without a key any more." });
    }
    const name = `account ${before.scope}`;
    const known = this.#front.get(name);
    if (known) return this.#unexpired(known);
    const forgotten = this.#forgotten;
    const caller = boundCaller(await this.#standingOf(before), await this.#standing.bounds());
    if (forgotten === this.#forgotten) remember(this.#front, name, caller, FRONT_KEYS);
    return caller;
  }

  async #standingOf(before: Caller): Promise<Caller> {
    const [, issuer, subject] = ISSUED_ID.exec(before.id) ?? [];
    if (issuer !== undefined && subject !== undefined) {
      if (await this.#standing.isDenied({ issuer, subject }))
        throw new ProblemError({ kind: "unauthenticated", message: "Whom the token spoke of is denied.", code: "invalid_token" });
      const { expiresAt: _ended, ...caller } = before;
      return caller;
    }
    const now = this.#clock.now();
    const inForce = (key: KeyRecord): boolean => key.revokedAt === undefined && (key.expiresAt === undefined || key.expiresAt > now);
    const record = (await this.#keys.list()).findLast((key) => accountOf(key) === before.scope && inForce(key));
    if (record) return callerFromKey(record);
    throw new ProblemError({ kind: "unauthenticated", message: "The key was revoked or has expired.", code: "invalid_api_key" });
  }

  /** Whose key is it? Answers at once for a key seen before. @throws ProblemError unauthenticated */
  byKey(key: string): Caller | Promise<Caller> {
    const known = this.#front.get(key);
    return known ? this.#unexpired(known) : this.#lookUp(key);
  }

  /**
   * Whom does an issuer's token speak of? Answers at once for one seen before; undefined for what no issuer known here calls its own.
   * @throws ProblemError unauthenticated
   */
  byToken(token: string): Issued | Promise<Issued> | undefined {
    const known = this.#tokens.get(token);
    if (known && known.until > this.#clock.now()) return known;
    this.#tokens.delete(token);
    const verifying = this.#issuers?.verify(token);
    return verifying && this.#vouched(token, verifying, this.#forgotten);
  }

  /** May whoever an issuer vouches for not be let in all the same? Rejects when the record cannot be read. */
  isDenied(vouched: Vouched): Promise<boolean> {
    return this.#standing.isDenied(vouched);
  }

  async #vouched(token: string, verifying: Promise<Issued>, forgotten: number): Promise<Issued> {
    const issued = await verifying;
    if (await this.#standing.isDenied(issued))
      throw new ProblemError({ kind: "unauthenticated", message: "The token was revoked.", code: "invalid_token" });
    const { caller, ...rest } = issued;
    const vouched: Issued = caller ? { ...rest, caller: boundCaller(caller, await this.#standing.bounds()) } : issued;
    if (forgotten === this.#forgotten) remember(this.#tokens, token, vouched, FRONT_TOKENS);
    return vouched;
  }

  async #lookUp(key: string): Promise<Caller> {
    const forgotten = this.#forgotten;
    const record = await this.#keys.byHash(hashKey(key));
    if (!record || record.revokedAt !== undefined) {
      throw new ProblemError({ kind: "unauthenticated", message: "The key is unknown or was revoked.", code: "invalid_api_key" });
    }
    const caller = boundCaller(this.#unexpired(callerFromKey(record)), await this.#standing.bounds());
    if (forgotten === this.#forgotten) remember(this.#front, key, caller, FRONT_KEYS);
    return caller;
  }

  #unexpired(caller: Caller): Caller {
    if (caller.expiresAt === undefined || caller.expiresAt > this.#clock.now()) return caller;
    throw new ProblemError({ kind: "unauthenticated", message: "The key has expired.", code: "invalid_api_key" });
  }

  async #watchKeys(): Promise<void> {
    await this.#look();
    this.#clock.after(GENERATION_POLL_MS, () => void this.#watchKeys());
  }

  async #look(): Promise<void> {
    const generation = await this.#keys.generation().catch(() => this.#generation);
    if (generation !== this.#generation) this.#forget();
    this.#generation = generation;
  }

  /** After a change to keys, or what stands beside them, by this process: no need to wait for the poll, nor to forget again with it. */
  forgetKeys(): void {
    this.#forget();
    void this.#look();
  }

  #forget(): void {
    this.#forgotten++;
    this.#front.clear();
    this.#tokens.clear();
    this.#standing.forget();
  }
}

function remember<T>(front: Map<string, T>, key: string, value: T, most: number): void {
  if (front.size >= most) front.delete(front.keys().next().value ?? "");
  front.set(key, value);
}

/** @throws ProblemError forbidden */
function callerOf({ caller, issuer }: Issued): Caller {
  if (caller) return caller;
  throw new ProblemError({
    kind: "forbidden",
    message: `Tokens of "${issuer}" sign people in to the admin API; calls need a key, or a token of an issuer under \`identity.jwt\`.`,
  });
}

export function hashKey(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

/**
 * On this machine, and not relayed: a loopback peer, a loopback name in Host (DNS rebinding shows a foreign one), no web page of
 * another origin, no proxy in between.
 */
export function isLocal(headers: Headers, peer: string): boolean {
  if (!isLoopbackAddress(peer) || !isLoopbackHost(headers["host"])) return false;
  for (const name of FORWARDING) if (headers[name] !== undefined) return false;
  const origin = headers["origin"];
  return origin === undefined || isLoopbackOrigin(origin);
}

function isLoopbackAddress(address: string): boolean {
  return address === "::1" || address.startsWith("127.") || address.startsWith("::ffff:127.");
}

function isLoopbackHost(host: string | undefined): boolean {
  if (host === undefined) return false;
  const name = host.startsWith("[") ? host.slice(0, host.indexOf("]") + 1) : host.split(":", 1)[0];
  return name?.toLowerCase() === "localhost" || name === "[::1]" || (name !== undefined && /^127(\.\d{1,3}){3}$/.test(name));
}

function isLoopbackOrigin(origin: string): boolean {
  return URL.canParse(origin) && isLoopbackHost(new URL(origin).host);
}

import { createHash } from "node:crypto";
import {
  callerFromKey,
  ProblemError,
  type Caller,
  type Clock,
  type Dialect,
  type Headers,
  type KeyStore,
  type Snapshot,
} from "../canon/index.ts";

export const KEY_PREFIX = "gk_";
/** Keys remembered with their caller. Beyond it the oldest are looked up again. */
const FRONT_KEYS = 10_000;
/** How often other processes' changes to keys are looked for: a revoked key is refused within this time. */
const GENERATION_POLL_MS = 500;

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
  readonly #front = new Map<string, Caller>();
  #generation = -1;
  /** Rises whenever keys are forgotten: what was looked up before must not be remembered after. */
  #forgotten = 0;

  constructor(deps: { readonly keys: KeyStore; readonly clock: Clock }) {
    this.#keys = deps.keys;
    this.#clock = deps.clock;
    this.#watchKeys();
  }

  /** Who is it? Answers at once for a key seen before. @throws ProblemError unauthenticated */
  identify(snapshot: Snapshot, dialect: Dialect, headers: Headers, peer: string): Caller | Promise<Caller> {
    const key = dialect.credentials(headers);
    if (key?.startsWith(KEY_PREFIX)) return this.byKey(key);
    const { anonymous } = snapshot.access;
    if (anonymous === "any" || (anonymous === "loopback" && isLocal(headers, peer))) return ANONYMOUS;
    throw new ProblemError({
      kind: "unauthenticated",
      message: key === undefined ? "This gateway needs a key, and the request has none." : "The key is not one of this gateway's keys.",
      code: "invalid_api_key",
    });
  }

  /** Whose key is it? Answers at once for a key seen before. @throws ProblemError unauthenticated */
  byKey(key: string): Caller | Promise<Caller> {
    const known = this.#front.get(key);
    return known ? this.#unexpired(known) : this.#lookUp(key);
  }

  async #lookUp(key: string): Promise<Caller> {
    const forgotten = this.#forgotten;
    const record = await this.#keys.byHash(hashKey(key));
    if (!record || record.revokedAt !== undefined) {
      throw new ProblemError({ kind: "unauthenticated", message: "The key is unknown or was revoked.", code: "invalid_api_key" });
    }
    const caller = this.#unexpired(callerFromKey(record));
    if (forgotten !== this.#forgotten) return caller;
    if (this.#front.size >= FRONT_KEYS) this.#front.delete(this.#front.keys().next().value ?? "");
    this.#front.set(key, caller);
    return caller;
  }

  #unexpired(caller: Caller): Caller {
    if (caller.expiresAt === undefined || caller.expiresAt > this.#clock.now()) return caller;
    throw new ProblemError({ kind: "unauthenticated", message: "The key has expired.", code: "invalid_api_key" });
  }

  #watchKeys(): void {
    const poll = async (): Promise<void> => {
      const generation = await this.#keys.generation().catch(() => this.#generation);
      if (generation !== this.#generation) this.forgetKeys();
      this.#generation = generation;
      this.#watchKeys();
    };
    this.#clock.after(GENERATION_POLL_MS, () => void poll());
  }

  /** After a change to keys by this process: no need to wait for the poll. */
  forgetKeys(): void {
    this.#forgotten++;
    this.#front.clear();
  }
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

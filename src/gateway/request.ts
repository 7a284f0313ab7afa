import {
  ProblemError,
  type Caller,
  type Dialect,
  type Door,
  type Headers,
  type JsonObject,
  type KeptTurn,
  type Problem,
} from "../canon/index.ts";
import { readTraceparent } from "../ledger/telemetry/trace.ts";
import type { Handed } from "./handed.ts";
import type { ShadowOf } from "./shadow.ts";

/** A model call as a surface hands it to the pipeline. */
export interface CallRequest {
  readonly dialect: Dialect;
  readonly door: Door & { readonly does: { readonly kind: "call" } };
  readonly headers: Headers;
  /** Named segments of the path and the query. */
  readonly params: Readonly<Record<string, string>>;
  readonly peer: string;
  /** Reads the body, within limits; called once, after the caller is admitted. Rejects with a ProblemError. */
  readBody(limits: { readonly maxBytes: number; readonly timeoutMs: number }): Promise<Uint8Array>;
  /** The call belongs to a connection that keeps its own turns for as long as it lives (a WebSocket). */
  readonly connection?: Connection;
  /** Made by the gateway to ask something on the caller's behalf: what it says of itself is not the caller's word. */
  readonly own?: true;
  /** On whose behalf, where the gateway knows that already and its headers do not say. */
  readonly caller?: Caller;
  /** Made by the gateway to replace a stale answer: what is kept is not looked at. */
  readonly refresh?: true;
  /** Made by the gateway to compare another target's answer; nobody reads it. */
  readonly shadow?: ShadowOf;
  /** Its provider's own batch service answers it. */
  readonly handed?: Handed;
}

/** Turns of one WebSocket that its client asked not to store: they live as long as the connection. */
export class Connection {
  readonly #turns = new Map<string, KeptTurn>();

  turn(id: string): KeptTurn | undefined {
    return this.#turns.get(id);
  }
  /** A continuation that failed leaves its turn in an unknown state: it cannot be named again. */
  forget(id: string): void {
    this.#turns.delete(id);
  }
  keep(turn: KeptTurn): void {
    this.#turns.set(turn.id, turn);
    const [oldest] = this.#turns.keys();
    if (this.#turns.size > CONNECTION_TURNS && oldest !== undefined) this.#turns.delete(oldest);
  }
}

/** Turns of a connection that can be continued; older ones are forgotten. */
const CONNECTION_TURNS = 200;

/** What the `x-gimbal-*` headers ask for. */
export interface Wishes {
  readonly metadata?: JsonObject | undefined;
  readonly session?: string;
  readonly onDisconnect: "cancel" | "detach";
  readonly traceId?: string;
  readonly cache?: "no-store" | "only-if-cached";
  /** Labels by which the answer can be forgotten later. */
  readonly cacheTags?: readonly string[];
  /** The caller's mark of a request that it may send again. */
  readonly idempotencyKey?: string;
}

const METADATA_BYTES = 4096;
const SESSION_CHARACTERS = 256;
const KEY_CHARACTERS = 255;
const NO_WISHES: Wishes = { onDisconnect: "cancel" };

/** @throws ProblemError invalid_request, unsupported */
export function readWishes(headers: Headers): Wishes {
  const metadata = headers["x-gimbal-metadata"];
  const session = headers["x-gimbal-session"];
  const onDisconnect = headers["x-gimbal-on-disconnect"];
  const traceparent = headers["traceparent"];
  const cache = headers["x-gimbal-cache"];
  const cacheTags = headers["x-gimbal-cache-tags"];
  const idempotencyKey = headers["x-gimbal-idempotency-key"] ?? headers["idempotency-key"];
  if (
    metadata === undefined &&
    session === undefined &&
    onDisconnect === undefined &&
    traceparent === undefined &&
    cache === undefined &&
    cacheTags === undefined &&
    idempotencyKey === undefined
  )
    return NO_WISHES;
  if (onDisconnect !== undefined && onDisconnect !== "cancel" && onDisconnect !== "detach") {
    throw headerProblem("x-gimbal-on-disconnect", "must be `cancel` or `detach`");
  }
  if (session !== undefined && session.length > SESSION_CHARACTERS)
    throw headerProblem("x-gimbal-session", `is longer than ${SESSION_CHARACTERS} characters`);
  if (idempotencyKey !== undefined && (idempotencyKey === "" || idempotencyKey.length > KEY_CHARACTERS))
    throw headerProblem("idempotency-key", `must have 1 to ${KEY_CHARACTERS} characters`);
  const traceId = readTraceparent(traceparent)?.traceId;
  return {
    ...(metadata !== undefined && { metadata: readMetadata(metadata) }),
    ...(session !== undefined && { session }),
    // Whoever means to ask again wants the answer, also when it cannot wait for it now.
    onDisconnect: onDisconnect ?? (idempotencyKey === undefined ? "cancel" : "detach"),
    ...(traceId !== undefined && { traceId }),
    ...(cache !== undefined && { cache: readCacheWish(cache) }),
    ...(cacheTags !== undefined && { cacheTags: readCacheTags(cacheTags) }),
    ...(idempotencyKey !== undefined && { idempotencyKey }),
  };
}

function readCacheWish(wish: string): "no-store" | "only-if-cached" {
  if (wish === "no-store" || wish === "only-if-cached") return wish;
  throw headerProblem("x-gimbal-cache", "must be `no-store` or `only-if-cached`");
}

const CACHE_TAGS = 16;
const CACHE_TAG_CHARACTERS = 100;

function readCacheTags(header: string): readonly string[] {
  const tags = [...new Set(header.split(",").map((tag) => tag.trim()))].filter((tag) => tag !== "");
  if (tags.length > CACHE_TAGS) throw headerProblem("x-gimbal-cache-tags", `names more than ${CACHE_TAGS} tags`);
  if (tags.some((tag) => tag.length > CACHE_TAG_CHARACTERS))
    throw headerProblem("x-gimbal-cache-tags", `has a tag longer than ${CACHE_TAG_CHARACTERS} characters`);
  return tags;
}

function readMetadata(header: string): JsonObject {
  if (header.length > METADATA_BYTES) throw headerProblem("x-gimbal-metadata", `is longer than ${METADATA_BYTES} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(header);
  } catch {
    throw headerProblem("x-gimbal-metadata", "is not valid JSON");
  }
  const flat =
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((member) => ["string", "number", "boolean"].includes(typeof member));
  if (!flat) throw headerProblem("x-gimbal-metadata", "must be a flat JSON object of strings, numbers and booleans");
  return value as JsonObject;
}

function headerProblem(name: string, fault: string): ProblemError {
  const problem: Problem = { kind: "invalid_request", message: `The header ${name} ${fault}.`, param: name };
  return new ProblemError(problem);
}

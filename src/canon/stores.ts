import type { AccountChange, Denial, GroupBound, ScopesChange } from "./access.ts";
import type { AuditNote, AuditStore } from "./audit.ts";
import type { Budget, BudgetStore, CounterHold, CounterSpend } from "./budget.ts";
import type { BatchStore } from "./batch.ts";
import type { CacheStore } from "./cache.ts";
import type { Diagnostic } from "./call.ts";
import type { Caller, RequestLimit, Scopes } from "./caller.ts";
import type { FileStore } from "./file.ts";
import type { Item } from "./item.ts";
import type { IdempotencyStore, JournalStore, Signals } from "./journal.ts";
import type { Json, JsonObject } from "./json.ts";
import type { ContentStore } from "./content.ts";
import type { LineageStore } from "./lineage.ts";
import type { ProblemKind } from "./problem.ts";
import type { LedgerPage, LedgerPageQuery, Repricing, RepricingRun } from "./repricing.ts";
import type { ReportStore } from "./report.ts";
import type { ToolPinStore } from "./tool-pin.ts";
import type { Usage } from "./usage.ts";

/** How a call ended. `open` is never final: a start-up turns what a crash left open into `interrupted`. */
export type CallState = "open" | "done" | "failed" | "cancelled" | "interrupted";

/** Milliseconds since the call was admitted. */
export interface Timings {
  /** Admission and decoding, until the first attempt was opened. */
  readonly readyMs: number;
  /** First output byte towards the client. */
  readonly firstOutputMs?: number | undefined;
  readonly totalMs: number;
}

/** One try at one target. */
export interface AttemptRecord {
  readonly target: string;
  readonly startedMs: number;
  readonly endedMs: number;
  readonly status?: number | undefined;
  readonly problem?: ProblemKind | undefined;
  readonly usage?: Usage | undefined;
  /** Where a call had several attempts: what this one cost, in nanodollars; undefined where that is unknown, or nothing was used. */
  readonly costNanodollars?: number | undefined;
  /** Begun beside another one that was slow to begin. */
  readonly hedge?: true | undefined;
  /** Asked to go on with a stream that had broken. */
  readonly continues?: true | undefined;
}

/** A call just begun, written without being waited for, so that a crash leaves a trace. */
export interface OpenRecord {
  readonly callId: string;
  readonly startedAt: number;
  readonly callerId: string;
  readonly model: string;
  readonly dialect: string;
  /** Estimate of what the call will have used if nobody ever settles it. */
  readonly inputEstimate: number;
  /** Which running gateway owns it; a start-up interrupts what its own node left. */
  readonly node: string;
  /** What it may use of its budgets, booked if nobody ever settles it. */
  readonly holds?: readonly CounterHold[];
}

/** The one immutable row a call leaves. Absent and undefined are the same. Dollars are derived: tokens and the price book's version are the truth. */
export interface LedgerRow {
  readonly callId: string;
  readonly state: Exclude<CallState, "open">;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly callerId: string;
  readonly callerName: string;
  readonly team?: string | undefined;
  readonly project?: string | undefined;
  readonly dialect: string;
  readonly operation: string;
  /** As the caller named it. */
  readonly model: string;
  /** `provider/model` that answered, or was tried last. */
  readonly target?: string | undefined;
  readonly upstreamModel?: string | undefined;
  readonly stream: boolean;
  readonly fastPath: boolean;
  readonly usage: Usage;
  /** Undefined when the price is unknown; never 0 instead. */
  readonly costNanodollars?: number | undefined;
  /** What the attempts cost whose provider said so, by it and by us. */
  readonly reported?: ReportedCost | undefined;
  readonly priceVersion: string;
  readonly timings: Timings;
  readonly attempts: readonly AttemptRecord[];
  readonly problem?: ProblemKind | undefined;
  readonly problemMessage?: string | undefined;
  readonly stop?: string | undefined;
  readonly metadata?: JsonObject | undefined;
  readonly session?: string | undefined;
  readonly configVersion: number;
  /** What was lost or bent on the way into the provider's language. */
  readonly diagnostics?: readonly Diagnostic[] | undefined;
  readonly traceId?: string | undefined;
  /** Undefined where the alias has no cache. A hit has no attempts, no usage and costs nothing. */
  readonly cache?: "hit" | "miss" | "bypass" | undefined;
  /** A hit's: the call that paid for the answer. */
  readonly cacheOrigin?: string | undefined;
  /** What a hit would have cost. */
  readonly savedNanodollars?: number | undefined;
  /** Why it went where it went, where there was something to choose or to leave out. */
  readonly plan?: Json | undefined;
  /** Which part of its alias's calls it belonged to, where the alias has a canary or a warm target. */
  readonly arm?: "canary" | "warm" | "main" | undefined;
  /** It is a copy of another call, whose answer nobody got. */
  readonly shadow?: ShadowRecord | undefined;
}

/** Both of the same attempts, in nanodollars. */
export interface ReportedCost {
  /** What their providers said. */
  readonly nanodollars: number;
  /** What our price book says; absent where it has no price. */
  readonly ownNanodollars?: number;
}

/** How the answer of a copied call compares with the one its caller got. No content: figures only. */
export interface ShadowRecord {
  /** Id of the call that was copied. */
  readonly of: string;
  /** As its caller named it. */
  readonly model: string;
  readonly original: {
    readonly target: string;
    readonly problem?: ProblemKind | undefined;
    readonly stop?: string | undefined;
    readonly costNanodollars?: number | undefined;
    readonly firstOutputMs?: number | undefined;
    readonly totalMs: number;
    readonly outputTokens: number;
  };
  /** Absent where one of the two gave no answer: do they say the same, and how much of it do they share, 0 to 1? */
  readonly equal?: boolean | undefined;
  readonly similarity?: number | undefined;
}

/** Which rows are wanted. Each member narrows; `model`, `target` and `since` look through the newest rows only, so that no question holds up the record. */
export interface LedgerQuery {
  readonly limit: number;
  readonly callerId?: string;
  /** As callers named it. */
  readonly model?: string;
  /** `provider/model` that answered, or was tried last. */
  readonly target?: string;
  /** Begun then or later, milliseconds since 1970. */
  readonly since?: number;
}

export interface LedgerStore {
  /** Queued for the next group commit; not waited for. A call settled before the commit needs no open record. */
  open(record: OpenRecord): void;
  /**
   * What a call that lasts has used so far, in place of what its open record said at the beginning. Resolves when it is durable; changes
   * nothing where there is no such record, or not yet.
   */
  progress(so: Pick<OpenRecord, "callId" | "inputEstimate" | "holds">): Promise<void>;
  /** Queued for the next group commit; resolves when it is durable. `spends`, of leases of `node`, are booked in the same commit, once. */
  settle(row: LedgerRow, spends?: readonly CounterSpend[], node?: string): Promise<void>;
  read(callId: string): Promise<LedgerRow | undefined>;
  /** The record of a call under way, in this process or another; undefined also in its first milliseconds. */
  readOpen(callId: string): Promise<OpenRecord | undefined>;
  /** Newest first. */
  list(query: LedgerQuery): Promise<readonly LedgerRow[]>;
  count(): Promise<number>;
  /** Every row there is, page by page, with what it costs by its newest repricing. */
  page(query: LedgerPageQuery): Promise<LedgerPage>;
  /** Appends; a run that is appended again changes nothing. Resolves when it is durable. */
  reprice(run: RepricingRun): Promise<void>;
  /** Of one call, oldest first. */
  repricings(callId: string): Promise<readonly Repricing[]>;
  /**
   * Turns open records of `node` (all nodes when undefined) into `interrupted` rows, books their holds as spent, and takes back what the
   * node had leased; returns how many records.
   */
  interruptOpen(node: string | undefined, priceVersion: string): Promise<number>;
  /** Resolves when everything queued so far is durable. */
  flush(): Promise<void>;
  /** Undefined while healthy; otherwise why rows cannot be written. */
  failure(): string | undefined;
  /** Rows that were settled here and given up: by the record, by a queue that was full, or because it was closed while the disk refused. */
  lost(): number;
}

/** One kept turn: what went in and what came out, for the next turn to build on. */
export interface KeptTurn {
  readonly scope: string;
  /** The id that the client got. */
  readonly id: string;
  readonly previousId?: string;
  readonly dialect: string;
  /** Only the items this turn added. */
  readonly input: readonly Item[];
  readonly output: readonly Item[];
  /** The answer as the client got it, for reading it back. */
  readonly answer: Json;
  /** Whatever must stay the same over a thread's turns, in the dialect's own terms. */
  readonly fingerprint?: string;
  /** A promise: `answer` is what a client reads while this call runs, `broken` what it reads when the call's gateway died. */
  readonly promise?: { readonly callId: string; readonly broken: Json };
  readonly createdAt: number;
  readonly expiresAt: number;
}

/** Items a foreign client cannot carry, kept beside the call under the ids or texts it will send back. */
export interface KeptNative {
  readonly scope: string;
  /** `call:ID` of a tool call, or `text:HASH` of an assistant message. */
  readonly anchor: string;
  /** To be put before the anchor, in order. */
  readonly items: readonly Item[];
  readonly expiresAt: number;
}

/** Serving data: scoped to its caller, encrypted, with a time to live, erasable. Kept apart from telemetry. */
export interface CallStore {
  keepTurn(turn: KeptTurn): Promise<void>;
  readTurn(scope: string, id: string, now: number): Promise<KeptTurn | undefined>;
  /** The turn and its predecessors, oldest first; undefined when any is missing, expired or the chain is longer than `limit`. */
  readChain(scope: string, id: string, limit: number, now: number): Promise<readonly KeptTurn[] | undefined>;
  deleteTurn(scope: string, id: string): Promise<boolean>;
  keepNative(kept: readonly KeptNative[]): Promise<void>;
  findNative(scope: string, anchors: readonly string[], now: number): Promise<ReadonlyMap<string, readonly Item[]>>;
  /** Forgets what has expired; returns how many rows. */
  expire(now: number): Promise<number>;
}

export interface KeyRecord {
  readonly id: string;
  /** Id under which its calls are booked, where that is not its own: the first key of its account. */
  readonly account?: string;
  readonly name: string;
  /** SHA-256 of the key, lower-case hex. The key itself is shown once and never kept. */
  readonly hash: string;
  /** The first characters, for people: `gk_3f9a`. */
  readonly prefix: string;
  readonly team?: string;
  readonly project?: string;
  readonly tags?: readonly string[];
  readonly scopes: Scopes;
  readonly limits: readonly RequestLimit[];
  readonly budgets?: readonly Budget[];
  readonly createdAt: number;
  readonly expiresAt?: number;
  readonly revokedAt?: number;
}

export interface KeyStore {
  /** `note`, here and below: kept in the same transaction as the change, and only with it. */
  create(key: KeyRecord, note?: AuditNote): Promise<void>;
  byHash(hash: string): Promise<KeyRecord | undefined>;
  list(): Promise<readonly KeyRecord[]>;
  /**
   * Keeps `next`, and lets the key `id` go on until `until` at most. False, and nothing is changed, when there is no such key, it was
   * revoked, or it expired before `at`. All times in milliseconds since 1970.
   */
  rotate(id: string, next: KeyRecord, at: number, until: number, note?: AuditNote): Promise<boolean>;
  /** False when there is no such key or it was revoked before. */
  revoke(id: string, at: number, note?: AuditNote): Promise<boolean>;
  /** Changes every key of the account, in one transaction. False when it has none. */
  edit(account: string, change: AccountChange, note?: AuditNote): Promise<boolean>;
  /** Changes what a team or a project may do at most, and says what that is now. Without any restriction left it is forgotten. */
  bound(group: GroupBound["group"], name: string, change: ScopesChange, note?: AuditNote): Promise<Scopes>;
  /** By kind and name. */
  bounds(): Promise<readonly GroupBound[]>;
  /** Rejects with `conflict` when there are too many. What has expired at its `createdAt` is forgotten. */
  deny(entry: Denial, note?: AuditNote): Promise<void>;
  /** False when there is no such denial. */
  allow(id: string, note?: AuditNote): Promise<boolean>;
  /** Those in force at `now`, oldest first. */
  denials(now: number): Promise<readonly Denial[]>;
  /** Rises with every change by any process, so that caches know when to forget. */
  generation(): Promise<number>;
}

export interface ConfigVersion {
  readonly version: number;
  readonly createdAt: number;
  readonly author: string;
  /** The file's text as it was read, with its `${...}` unexpanded. */
  readonly text: string;
  /** The version whose text this one brought back. */
  readonly rollbackOf?: number;
  /** When it came into force, in the first process and in the last so far; absent while it is in force nowhere. */
  readonly inForce?: { readonly first: number; readonly last: number; readonly processes: number };
}

export interface ConfigStore {
  /**
   * Appends unless the newest version has the same text; returns the version in force.
   * @param base the version the text was made from; rejects with `conflict` when another has been appended since
   */
  append(entry: Omit<ConfigVersion, "version" | "inForce">, base?: number, note?: AuditNote): Promise<ConfigVersion>;
  /** The running gateway `node` serves by this version since `at`. */
  markInForce(version: number, node: string, at: number): Promise<void>;
  read(version: number): Promise<ConfigVersion | undefined>;
  /** Newest first. */
  list(limit: number): Promise<readonly ConfigVersion[]>;
  /** Tells within a second of versions that any process appended, until the function returned is called. */
  watch(listener: () => void): () => void;
}

/** A person's decision that holds in every process and over restarts, until it is taken back. */
export interface Switch {
  readonly id: string;
  /** `kill`: nothing more of this kind, running streams too. `open`, `shut`: a target is always, or never, asked. */
  readonly kind: "kill" | "open" | "shut";
  readonly scope: "model" | "provider" | "target" | "key" | "tag" | "all";
  /** An alias or `provider/model`, a provider's name, a key's id or name, a tag; `*` for `all`. */
  readonly value: string;
  readonly author: string;
  readonly reason?: string;
  readonly createdAt: number;
}

export interface SwitchStore {
  put(entry: Switch, note?: AuditNote): Promise<void>;
  /** False when there is none of this id. */
  remove(id: string, note?: AuditNote): Promise<boolean>;
  /** Oldest first. */
  list(): Promise<readonly Switch[]>;
  /** Tells within a second of changes made by any process, until the function returned is called. */
  watch(listener: () => void): () => void;
}

/** Where several gateways share one record: which of them are gone without having settled what they had begun. */
export interface NodeWatch {
  /**
   * Calls `bury` with the name of each gateway whose calls nobody runs any more; again, here or in another gateway, until it has resolved.
   * The function returned ends it.
   */
  onDead(bury: (node: string) => Promise<void>): () => void;
}

/** What became of a rotation of the keys that seal data at rest. */
export interface DataKeyRotation {
  /** Id of the key that seals from now on. */
  readonly keyId: string;
  /** Keys that open something, this one among them. */
  readonly keys: number;
  /** A new key was made; false where keys are given from outside. */
  readonly made: boolean;
  /** Rows that were sealed under another key. */
  readonly resealed: number;
  /** Rows that no key opens, left as they are. */
  readonly lost: number;
}

export interface DataKeyStore {
  /**
   * Makes a new key where the keys are the data folder's own, and seals everything kept under the newest, while calls go on; the older keys
   * still open. Rejects with `storage_unavailable`, and may then be asked again.
   */
  rotate(): Promise<DataKeyRotation>;
}

/** One engine behind all seams. */
export interface Stores {
  readonly calls: CallStore;
  readonly ledger: LedgerStore;
  readonly cache: CacheStore;
  readonly keys: KeyStore;
  readonly config: ConfigStore;
  readonly switches: SwitchStore;
  readonly toolPins: ToolPinStore;
  readonly budgets: BudgetStore;
  readonly files: FileStore;
  readonly batches: BatchStore;
  readonly journal: JournalStore;
  readonly idempotency: IdempotencyStore;
  readonly signals: Signals;
  readonly audit: AuditStore;
  readonly lineage: LineageStore;
  readonly content: ContentStore;
  readonly reports: ReportStore;
  readonly dataKeys: DataKeyStore;
  /** Absent where one process has the record to itself: at its start everything left open is a dead one's. */
  readonly nodes?: NodeWatch;
  close(): Promise<void>;
}

/** Id under which a key's calls are booked. */
export function accountOf({ id, account }: Pick<KeyRecord, "id" | "account">): string {
  return account ?? id;
}

export function callerFromKey(key: KeyRecord): Caller {
  return {
    id: accountOf(key),
    scope: accountOf(key),
    name: key.name,
    ...(key.team !== undefined && { team: key.team }),
    ...(key.project !== undefined && { project: key.project }),
    ...(key.tags !== undefined && { tags: key.tags }),
    scopes: key.scopes,
    limits: key.limits,
    ...(key.budgets && key.budgets.length > 0 && { budgets: key.budgets }),
    anonymous: false,
    ...(key.expiresAt !== undefined && { expiresAt: key.expiresAt }),
  };
}

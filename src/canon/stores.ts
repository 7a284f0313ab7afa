import type { AccountChange, Denial, GroupBound, ScopesChange } from "./access.ts";
import type { AuditNote, AuditStore } from "./audit.ts";
import type { Budget, BudgetStore } from "./budget.ts";
import type { BatchStore } from "./batch.ts";
import type { CacheStore } from "./cache.ts";
import type { Caller, RequestLimit, Scopes } from "./caller.ts";
import type { FileStore } from "./file.ts";
import type { Item } from "./item.ts";
import type { IdempotencyStore, JournalStore, Signals } from "./journal.ts";
import type { Json } from "./json.ts";
import type { ContentStore } from "./content.ts";
import type { LineageStore } from "./lineage.ts";
import type { ReportStore } from "./report.ts";
import type { ToolPinStore } from "./tool-pin.ts";
import type { LedgerStore } from "./ledger.ts";

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

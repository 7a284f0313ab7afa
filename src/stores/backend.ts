import type {
  AccountChange,
  AuditCheckpoint,
  AuditLink,
  AuditNote,
  AuditRecord,
  CachedAnswer,
  CacheSelection,
  ConfigVersion,
  ContentPartition,
  ContentSelection,
  CounterSpend,
  CounterState,
  DataKeyRotation,
  Denial,
  GroupBound,
  JournalEntry,
  JournalPage,
  KeptLine,
  KeyRecord,
  LedgerPage,
  LeaseAnswer,
  LeaseAsk,
  LedgerRow,
  OpenRecord,
  Problem,
  Repricing,
  ReportLine,
  ReportQuery,
  RollupState,
  Scopes,
  ScopesChange,
  Signals,
  StoredContent,
  Switch,
  ToolPin,
  LineOutcome,
} from "../canon/index.ts";
import type { BatchRow, FileRow, PageArgs } from "./file-columns.ts";
import type { ResealPlace, ResealState } from "./sealing/rotation.ts";
import type { Spill } from "./journal-block.ts";
import type { RowValues } from "./ledger-values.ts";
import type { PackedBatch } from "./pack.ts";
import type { TurnHead } from "./turn-text.ts";

/**
 * The writes a backend can do. Arguments are flat and plain, because they travel to another thread or process; every write may be
 * repeated after a crash between its commit and its acknowledgement without doing harm.
 */
export interface Writes {
  open: {
    args: readonly [
      callId: string,
      startedAt: number,
      callerId: string,
      model: string,
      dialect: string,
      inputEstimate: number,
      node: string,
      holds?: string,
    ];
    result: void;
  };
  /** Of a call that lasts; nothing where it has no open record. */
  progress: { args: readonly [callId: string, inputEstimate: number, holds: string | null]; result: void };
  /** `opened` 0: no open record of this call was handed over. `spends`, of leases of `node`, are booked when the row is new. */
  settle: { args: readonly [opened: 0 | 1, row: RowValues, spends?: Spends]; result: void };
  lease: { args: readonly [node: string, now: number, asks: readonly LeaseAsk[]]; result: readonly LeaseAnswer[] };
  expireCounters: { args: readonly [before: number, limit: number]; result: number };
  /** Also books the holds of what it interrupts, and takes back what the node had leased. */
  interrupt: { args: readonly [node: string | null, priceVersion: string, at: number]; result: number };
  reprice: { args: readonly [runId: string, at: number, priceVersion: string, entries: readonly RepricedEntry[]]; result: void };
  keepTurn: {
    args: readonly [scope: string, id: string, previousId: string | null, createdAt: number, expiresAt: number, content: string];
    result: void;
  };
  deleteTurn: { args: readonly [scope: string, id: string]; result: boolean };
  keepNative: { args: readonly [scope: string, anchor: string, expiresAt: number, content: string]; result: void };
  /** What stands in the way, when somebody else holds the key. */
  claimKey: {
    args: readonly [
      scope: string,
      key: string,
      fingerprint: string,
      callId: string,
      node: string,
      expiresAt: number,
      now: number,
      instead: string | null,
    ];
    result: HeldColumns | undefined;
  };
  keepAnswer: { args: readonly [scope: string, key: string, callId: string, answer: Uint8Array]; result: void };
  releaseKey: { args: readonly [scope: string, key: string, callId: string]; result: void };
  /** Forgets at most `limit` rows, so that other writes are not kept waiting. */
  expire: { args: readonly [now: number, limit: number]; result: number };
  /** False: not kept, because answers were forgotten meanwhile or it alone is larger than the bound. `tags`: a JSON list. */
  keepCached: {
    args: readonly [
      scope: string,
      key: string,
      model: string,
      target: string,
      tags: string,
      createdAt: number,
      freshUntil: number,
      expiresAt: number,
      generation: number,
      maxBytes: number,
      content: string,
    ];
    result: boolean;
  };
  /** At most `limit` answers, as `expireCached`. */
  forgetCached: { args: readonly [kind: CacheSelection["kind"], value: string, limit: number]; result: number };
  expireCached: { args: readonly [now: number, limit: number]; result: number };
  createKey: { args: readonly [key: KeyRecord]; result: void };
  rotateKey: { args: readonly [id: string, next: KeyRecord, at: number, until: number]; result: boolean };
  revokeKey: { args: readonly [id: string, at: number]; result: boolean };
  editAccount: { args: readonly [account: string, change: AccountChange]; result: boolean };
  boundGroup: { args: readonly [group: GroupBound["group"], name: string, change: ScopesChange]; result: Scopes };
  deny: { args: readonly [entry: Denial]; result: void };
  allow: { args: readonly [id: string]; result: boolean };
  appendConfig: {
    args: readonly [createdAt: number, author: string, text: string, rollbackOf: number | null, base: number | null];
    result: ConfigVersion;
  };
  configInForce: { args: readonly [version: number, node: string, at: number]; result: void };
  putSwitch: { args: readonly [entry: Switch]; result: void };
  removeSwitch: { args: readonly [id: string]; result: boolean };
  pinTool: { args: readonly [pin: ToolPin, first: boolean]; result: ToolPin };
  unpinTool: { args: readonly [server: string, tool: string]; result: boolean };
  appendAudit: { args: readonly [note: AuditNote]; result: AuditLink };
  /** Another write and the note of it: both or neither. A write that changed nothing leaves no note. */
  noted: { args: readonly [note: AuditNote, write: Command]; result: unknown };
  keepCheckpoint: { args: readonly [checkpoint: AuditCheckpoint]; result: void };
  /** `links`: each a role and a name; `content`: the record's JSON. */
  keepLineage: { args: readonly [callId: string, at: number, links: readonly string[], content: string]; result: void };
  /** As `LineageStore.keepPacked`. */
  keepLineages: { args: readonly [packed: string]; result: void };
  expireLineage: { args: readonly [before: number, limit: number]; result: number };
  /** As `ContentStore.keep`. In partitions of its own: a failure is nobody else's. */
  keepContents: { args: readonly [packed: string]; result: void };
  /** One partition after `after` at a time, so that other writes are not kept waiting; `next` undefined: it was the last. */
  eraseContent: {
    args: readonly [kind: ContentSelection["kind"], value: string, after: string];
    result: { readonly erased: number; readonly next: string | undefined };
  };
  dropContent: { args: readonly [now: number]; result: number };
  /** `id` here and in `filePiece`: as `pieceId` makes it. */
  keepPiece: { args: readonly [scope: string, id: string, expiresAt: number, content: Uint8Array]; result: void };
  keepFile: {
    args: readonly [
      scope: string,
      id: string,
      purpose: string,
      bytes: number,
      createdAt: number,
      expiresAt: number,
      maxBytes: number,
      content: string,
    ];
    result: boolean;
  };
  deleteFile: { args: readonly [scope: string, id: string]; result: boolean };
  /** At most `limit` rows of each kind. */
  expireFiles: { args: readonly [now: number, limit: number]; result: number };
  createBatch: {
    args: readonly [scope: string, id: string, dialect: string, createdAt: number, expiresAt: number, mostOpen: number, content: string];
    result: boolean;
  };
  leaseBatches: { args: readonly [node: string, now: number, until: number, most: number]; result: readonly BatchRow[] };
  releaseBatches: { args: readonly [node: string | null]; result: void };
  updateBatch: {
    args: readonly [scope: string, id: string, node: string, over: 0 | 1, dropLines: boolean, content: string];
    result: boolean;
  };
  cancelBatch: { args: readonly [scope: string, id: string, at: number]; result: boolean };
  /** `id`: as `lineId` makes it. */
  keepLine: {
    args: readonly [scope: string, batch: string, id: string, node: string, expiresAt: number, outcome: LineOutcome, content: string];
    result: boolean;
  };
  deleteBatch: { args: readonly [scope: string, id: string]; result: boolean };
  /** Adds up some rows that wait for their sums; `restart`: after forgetting all sums. */
  rollUp: { args: readonly [restart: boolean]; result: RollupState };
  followRollups: { args: readonly [metadata: readonly string[], values: number]; result: void };
  /** Some rows behind a place under the key that seals now. */
  reseal: { args: readonly [place: ResealPlace]; result: ResealState };
  /** Writes nothing that lasts: is the disk back, has everything before it landed? */
  probe: { args: readonly []; result: void };
}
export interface Reads {
  counters: { args: readonly [since: number, limit: number]; result: readonly CounterState[] };
  row: { args: readonly [callId: string]; result: LedgerRow | undefined };
  rows: { args: readonly [limit: number, callerId: string | null]; result: readonly LedgerRow[] };
  /** The same of the newest `lookedBack` rows only. */
  rowsWhere: {
    args: readonly [
      limit: number,
      lookedBack: number,
      callerId: string | null,
      model: string | null,
      target: string | null,
      since: number | null,
    ];
    result: readonly LedgerRow[];
  };
  count: { args: readonly []; result: number };
  /** Rows of the next `lookedThrough` after a place in the order in which they were settled. */
  ledgerPage: {
    args: readonly [after: number, lookedThrough: number, since: number | null, until: number | null, model: string | null];
    result: LedgerPage;
  };
  repricings: { args: readonly [callId: string]; result: readonly Repricing[] };
  reportLines: { args: readonly [query: ReportQuery]; result: ReportAnswer };
  openRecord: { args: readonly [callId: string]; result: OpenRecord | undefined };
  /** Newest first, the turn itself and then its predecessors; undefined when one is missing or there are more than `limit`. */
  chain: {
    args: readonly [scope: string, id: string, limit: number, now: number];
    result: readonly (readonly [TurnHead, string])[] | undefined;
  };
  turn: { args: readonly [scope: string, id: string, now: number]; result: readonly [TurnHead, string] | undefined };
  native: {
    args: readonly [scope: string, anchors: readonly string[], now: number];
    result: readonly (readonly [anchor: string, content: string])[];
  };
  cached: { args: readonly [scope: string, key: string, now: number]; result: CachedAnswer | undefined };
  cacheGeneration: { args: readonly []; result: number };
  heldKey: { args: readonly [scope: string, key: string, now: number]; result: HeldColumns | undefined };
  journalEntry: { args: readonly [callId: string, now: number]; result: JournalEntry | undefined };
  journalOfAnswer: { args: readonly [scope: string, answerId: string, now: number]; result: JournalEntry | undefined };
  journalPage: {
    args: readonly [callId: string, after: number, maxBytes: number, now: number, from: number];
    result: JournalPage | undefined;
  };
  keyByHash: { args: readonly [hash: string]; result: KeyRecord | undefined };
  keys: { args: readonly []; result: readonly KeyRecord[] };
  bounds: { args: readonly []; result: readonly GroupBound[] };
  denials: { args: readonly [now: number]; result: readonly Denial[] };
  config: { args: readonly [version: number]; result: ConfigVersion | undefined };
  configs: { args: readonly [limit: number]; result: readonly ConfigVersion[] };
  switches: { args: readonly []; result: readonly Switch[] };
  toolPins: { args: readonly []; result: readonly ToolPin[] };
  lineage: { args: readonly [callId: string]; result: string | undefined };
  lineageBy: { args: readonly [link: string, limit: number]; result: readonly string[] };
  file: { args: readonly [scope: string, id: string, now: number]; result: FileRow | undefined };
  files: { args: readonly [...place: PageArgs, purpose: string | null, now: number]; result: readonly FileRow[] };
  filePiece: { args: readonly [scope: string, id: string]; result: Uint8Array | undefined };
  batch: { args: readonly [scope: string, id: string, now: number]; result: BatchRow | undefined };
  batches: { args: readonly [...place: PageArgs, dialect: string, now: number]; result: readonly BatchRow[] };
  batchCounts: { args: readonly [scope: string, id: string]; result: readonly (readonly [LineOutcome, number])[] };
  batchLines: { args: readonly [scope: string, id: string, after: number, limit: number]; result: readonly KeptLine[] };
  batchLinesDone: { args: readonly [scope: string, id: string]; result: readonly number[] };
  content: { args: readonly [callId: string, at: number, now: number]; result: StoredContent | undefined };
  contentPartitions: { args: readonly []; result: readonly ContentPartition[] };
  auditHead: { args: readonly []; result: AuditLink | undefined };
  auditEntries: { args: readonly [after: number, limit: number]; result: readonly AuditRecord[] };
  checkpoints: { args: readonly [after: number, limit: number]; result: readonly AuditCheckpoint[] };
  lastCheckpoint: { args: readonly []; result: AuditCheckpoint | undefined };
}
/** A refusal is an answer: it is not the record that failed. */
export type ReportAnswer = { readonly lines: readonly ReportLine[] } | { readonly problem: Problem };

/** What a row books besides itself. */
export interface Spends {
  readonly node: string;
  readonly entries: readonly CounterSpend[];
}

/** Who holds an idempotency key; `answer` as `packAnswer` made it, null while there is none. */
export interface HeldColumns {
  readonly callId: string;
  readonly node: string;
  readonly fingerprint: string;
  readonly answer: Uint8Array | null;
}

/** One row of a repricing; null for costs that are not known. */
export type RepricedEntry = readonly [callId: string, cost: number | null, previousCost: number | null, previousVersion: string];

/** What is written to the journal, which is a file of its own: it joins no group commit and its failure is nobody else's. */
export type JournalWrite =
  | { readonly kind: "append"; readonly spill: Spill }
  | { readonly kind: "abandon"; readonly node: string | null; readonly until: number };

export type WriteName = keyof Writes;
export type ReadName = keyof Reads;

/** Implementations by name; `perform` keeps names and arguments together for the type checker. */
export type WriteTable = { readonly [K in WriteName]: (args: Writes[K]["args"]) => Writes[K]["result"] };
export type ReadTable = { readonly [K in ReadName]: (args: Reads[K]["args"]) => Reads[K]["result"] };

/** Where stores send their reads and writes: the writer's thread, or over a channel to the process that has it. */
export interface Backend {
  /** Resolves when the write is durable. Rejects with `storage_unavailable` while the disk refuses. */
  write<K extends WriteName>(name: K, args: Writes[K]["args"]): Promise<Writes[K]["result"]>;
  /** May be dropped again by the `settle` of the same call. Never waited for. */
  open(args: Writes["open"]["args"]): void;
  /** Resolves when the row is durable. Waits out a disk that refuses, as long as the queue has room. `opened`: see Writes. */
  settle(callId: string, row: RowValues, opened?: 0 | 1, spends?: Spends): Promise<void>;
  /** Rows of another process, packed: resolves when all are durable, with what is wrong with those that were refused. */
  settleRows(packed: PackedBatch): Promise<RowProblems>;
  /** A row on its way to the disk: who asks for a call that has just ended must find it. */
  underWay(callId: string): RowValues | undefined;
  read<K extends ReadName>(name: K, args: Reads[K]["args"]): Promise<Reads[K]["result"]>;
  /** Resolves when it would survive this process. The blocks' memory is given away. */
  journal(write: JournalWrite): Promise<number>;
  /** To and from the other processes that use the same record; undefined: there are none. */
  readonly signals?: Signals;
  /** Of keys, configuration versions, switches and pins of tools together; rises with every change. */
  generation(): number;
  flush(): Promise<void>;
  failure(): string | undefined;
  /** Seals everything under the newest key, a new one where it is ours to make. */
  rekey(): Promise<DataKeyRotation>;
  /** Rows given up by this process. */
  lost(): number;
  close(): Promise<void>;
  /** Tells of every change of `failure` or `generation`, until the function returned is called. */
  watch(listener: () => void): () => void;
}

/** By their place among rows that were written together: those that the record refused. */
export type RowProblems = readonly (readonly [place: number, problem: Problem])[];

/** One write on its way. */
export interface Command<K extends WriteName = WriteName> {
  readonly name: K;
  readonly args: Writes[K]["args"];
}

/** What became of one write; undefined when it was done and has nothing to say. */
export type Outcome = { readonly value: unknown } | { readonly problem: Problem } | undefined;

/** What became of a batch. When `why` is set nothing of it was written and all of it may be sent again. */
export type BatchOutcome =
  | { readonly why: string }
  | { readonly why?: undefined; readonly outcomes?: readonly Outcome[]; readonly generation?: number };

/** The size of a write for the queue's bound, in characters. */
export function sizeOf(name: WriteName, args: readonly unknown[]): number {
  switch (name) {
    case "settle":
      return ROW_CHARACTERS + lengthOf((args[1] as RowValues).at(-1));
    case "keepTurn":
    case "keepNative":
    case "keepCached":
    case "keepLineage":
    case "keepLineages":
    case "keepContents":
    case "keepPiece":
    case "keepFile":
    case "createBatch":
    case "updateBatch":
    case "keepLine":
      return SMALL_CHARACTERS + lengthOf(args.at(-1));
    case "reprice":
      return SMALL_CHARACTERS * (1 + (args as Writes["reprice"]["args"])[3].length);
    case "appendConfig":
      return SMALL_CHARACTERS + lengthOf(args[2]);
    case "noted": {
      const [, write] = args as Writes["noted"]["args"];
      return SMALL_CHARACTERS + sizeOf(write.name, write.args);
    }
    default:
      return SMALL_CHARACTERS;
  }
}
/** Of a row beside its detail. */
export const ROW_CHARACTERS = 500;
const SMALL_CHARACTERS = 200;
function lengthOf(value: unknown): number {
  return typeof value === "string" || value instanceof Uint8Array ? value.length : 0;
}

/** The row of a call among writes that have not landed. */
export function rowAmong(callId: string, writes: Iterable<Command>): RowValues | undefined {
  for (const { name, args } of writes) {
    if (name !== "settle") continue;
    const [, row] = args as Writes["settle"]["args"];
    if (row[0] === callId) return row;
  }
  return undefined;
}

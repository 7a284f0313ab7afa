import type { CounterHold, CounterSpend } from "./budget.ts";
import type { Diagnostic } from "./call.ts";
import type { Json, JsonObject } from "./json.ts";
import type { ProblemKind } from "./problem.ts";
import type { LedgerPage, LedgerPageQuery, Repricing, RepricingRun } from "./repricing.ts";
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

import type { Caller } from "./caller.ts";
import type { Headers } from "./dialect.ts";
import type { Page, PageQuery } from "./file.ts";
import type { Json, JsonObject } from "./json.ts";
import type { Problem } from "./problem.ts";

/** What became of one line: answered, refused or failed, not asked any more. */
export type LineOutcome = "ok" | "failed" | "cancelled" | "expired";
export const LINE_OUTCOMES = ["ok", "failed", "cancelled", "expired"] as const satisfies readonly LineOutcome[];
export type LineCounts = Readonly<Record<LineOutcome, number>>;

/** Lines of a batch that a provider's own batch service answers. */
export interface HandedPart {
  /** Unique; begins the names under which its lines went. */
  readonly mark: string;
  readonly provider: string;
  readonly model: string;
  /** The language in which they went. */
  readonly dialect: string;
  /** What its lines have in common, in the service's terms. */
  readonly group: string;
  /** The key that it belongs to. */
  readonly credential?: string;
  /** Stretches of lines, first and last. */
  readonly lines: readonly (readonly [number, number])[];
  /** `sending`: nobody knows whether it arrived. `running`: it did. `over`: all is kept. `refused`: its lines are asked here. */
  readonly state: "sending" | "running" | "over" | "refused";
  readonly sentAt: number;
  /** The service's names of its lines, where those went first, and of the batch. */
  readonly file?: string;
  readonly service?: string;
}

/** Many calls that their caller does not wait for. */
export interface Batch {
  readonly scope: string;
  readonly id: string;
  /** The dialect it came in. */
  readonly dialect: string;
  /** Milliseconds since 1970, as all times here. */
  readonly createdAt: number;
  /** From then on nothing more is asked. */
  readonly deadline: number;
  /** When it and its answers are forgotten. */
  readonly expiresAt: number;
  /** On whose behalf, as it was when the batch was made; what it may do is looked at anew. */
  readonly caller: Caller;
  readonly inputFile: string;
  readonly total: number;
  /** Where every line's call goes, in languages that say so once. */
  readonly endpoint?: string;
  readonly metadata?: JsonObject;
  /** Headers of each of its calls. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly startedAt?: number;
  readonly cancelledAt?: number;
  /** Nothing is asked any more, and what was answered is being put together. */
  readonly finishingAt?: number;
  readonly ended?: { readonly at: number; readonly as: "completed" | "cancelled" | "expired" | "failed" };
  readonly outputFile?: string;
  readonly errorFile?: string;
  /** Why it came to nothing. */
  readonly problem?: Problem;
  /** What was handed over of it. */
  readonly handed?: readonly HandedPart[];
  /** Of a batch that has ended; of one that has not they are counted. */
  readonly counts?: LineCounts;
}

/** What is kept of one line, as JSON: see `LineResult`. */
export interface KeptLine {
  /** From 1. */
  readonly line: number;
  readonly outcome: LineOutcome;
  readonly text: string;
}

export interface BatchStore {
  /** False, and nothing is kept, where the caller has `mostOpen` that have not ended. */
  create(batch: Batch, mostOpen: number): Promise<boolean>;
  read(scope: string, id: string, now: number): Promise<Batch | undefined>;
  list(scope: string, dialect: string, query: PageQuery, now: number): Promise<Page<Batch>>;
  counts(scope: string, id: string): Promise<LineCounts>;
  /** Takes batches that have not ended and that nobody else holds until after `now`, renews what `node` holds, and returns all of that. */
  lease(node: string, now: number, until: number, most: number): Promise<readonly Batch[]>;
  /** Gives back what `node` holds; undefined: what anybody holds. */
  release(node: string | undefined): Promise<void>;
  /** Only by who holds it; false otherwise. What is said of `cancelledAt` by others stays. `dropLines`: forgets what was kept of its lines. */
  update(batch: Batch, node: string, dropLines: boolean): Promise<boolean>;
  /** False when there is none that has not ended. */
  cancel(scope: string, id: string, at: number): Promise<boolean>;
  /** Only by who holds the batch; false otherwise. A line that is kept already stays as it is. */
  keepLine(scope: string, batch: string, node: string, expiresAt: number, line: KeptLine): Promise<boolean>;
  /** In order. */
  lines(scope: string, batch: string, after: number, limit: number): Promise<readonly KeptLine[]>;
  /** Numbers of the lines that are kept. */
  linesDone(scope: string, batch: string): Promise<readonly number[]>;
  /** With its lines. False when there is none that has ended. */
  delete(scope: string, id: string): Promise<boolean>;
}

/** What is asked for. */
export interface BatchOrder {
  /** Where its lines are; or the lines themselves. */
  readonly inputFile?: string;
  readonly lines?: readonly Json[];
  readonly endpoint?: string;
  readonly metadata?: JsonObject;
}

/** One line's call. */
export interface LineOrder {
  readonly customId: string;
  readonly path: string;
  readonly body: JsonObject;
}

/** What became of one line, as its client is told. */
export interface LineResult {
  /** Unique. */
  readonly id: string;
  readonly customId: string | null;
  readonly outcome: LineOutcome;
  /** Absent where no call was made. */
  readonly answer?: { readonly status: number; readonly callId: string; readonly body: Json };
  /** Why no call was made. */
  readonly problem?: Problem;
}

/** Batches in one wire language: its endpoints and shapes. */
export interface BatchLanguage {
  readonly doors: readonly BatchDoor[];
  /** Begins every id. */
  readonly prefix: string;
  /** What a file of lines must have been given for; undefined: lines come in no file. */
  readonly filePurpose?: string;
  /** Answers come as files, those of lines that failed in one of their own; otherwise they are read from the batch. */
  readonly resultFiles: boolean;
  /** @throws ProblemError invalid_request */
  decode(body: JsonObject): BatchOrder;
  /** @throws ProblemError invalid_request */
  decodeLine(line: JsonObject, endpoint: string | undefined): LineOrder;
  /** The line's own name, of a line that may be nothing else. */
  customId(line: JsonObject): string | null;
  /** Those of the batch's own headers that go with each of its calls. */
  headers(headers: Headers): Readonly<Record<string, string>>;
  /** @param address the gateway's own, as its client knows it: `http://host:4100` */
  encode(batch: Batch, counts: LineCounts, address: string): Json;
  encodePage(page: Page<readonly [Batch, LineCounts]>, address: string): Json;
  encodeDeleted(id: string): Json;
  /** Undefined: nothing is said of such a line. */
  encodeResult(result: LineResult): Json | undefined;
}
export interface BatchDoor {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly does: "create" | "list" | "read" | "cancel" | "results" | "delete";
}

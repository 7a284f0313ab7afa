/**
 * What is added up of calls, in the order in which sums are kept. `failed` also counts what a crash interrupted; `unknownCosts` are calls
 * whose price nobody knows, which `costNanodollars` leaves out; `savedNanodollars` is what answers from the cache would have cost.
 */
export const REPORT_SUMS = [
  "calls",
  "failed",
  "cancelled",
  "cacheHits",
  "costNanodollars",
  "unknownCosts",
  "inputTokens",
  "cacheReadTokens",
  "cacheWriteTokens",
  "outputTokens",
  "reasoningTokens",
  "estimatedCalls",
  "savedNanodollars",
] as const;
export type ReportSum = (typeof REPORT_SUMS)[number];

/** Stages whose duration is counted, from the call's admission: until it was ready to leave, its first output, its end. */
export const REPORT_STAGES = ["ready", "firstOutput", "total"] as const;
export type ReportStage = (typeof REPORT_STAGES)[number];

/** What sums are told apart by. `value`: of the dimension that was asked for. A call without one has the empty text. */
export type ReportLabel = "value" | "key" | "team" | "project" | "model" | "target" | "provider";

/** Values of one dimension on one day beyond `rollupValues` are counted together under this name. */
export const OTHER_VALUE = "other";

/**
 * Which sums are wanted. `dimension`: `all`, `team`, `project`, `key`, `model`, `target` (which has the provider), `cube` (all of these at
 * once), or one that has values of its own beside team and project: `session`, `agent`, `problem` and `metadata.NAME`.
 */
export interface ReportQuery {
  readonly dimension: string;
  readonly by: readonly ReportLabel[];
  readonly where: Readonly<Partial<Record<ReportLabel, string>>>;
  /** Beginnings of the spans of time to add up in, rising, and the end of the last; in hours since 1970. */
  readonly bounds: readonly number[];
  readonly latency: boolean;
  /** Of the answer; more of them reject with `too_large`. */
  readonly lines: number;
}

/** One span and one set of labels. */
export interface ReportLine {
  /** Place of the span's beginning among the bounds. */
  readonly span: number;
  /** In the order of `by`. */
  readonly labels: readonly string[];
  /** In the order of REPORT_SUMS. */
  readonly sums: readonly number[];
  /** Pairs of a bucket and how many calls fell into it; see `reportBucket`. Empty where it was not asked for. */
  readonly latency: readonly number[];
}

export interface RollupState {
  /** Rows and repricings that no sum has yet; reports look at them one by one. */
  readonly waiting: number;
  /** Why sums could not be written the last time. */
  readonly failure?: string | undefined;
}

/** Sums over the ledger by hour and by day, kept with its rows and never ahead of them or behind. */
export interface ReportStore {
  /** Metadata that calls are told apart by from now on, and how many values of one dimension a day may have. */
  follow(metadata: readonly string[], values: number): Promise<void>;
  /** Rejects with `overloaded` while too many rows wait for their sums. */
  lines(query: ReportQuery): Promise<readonly ReportLine[]>;
  /** Adds up some of the rows that wait. `restart`: forgets all sums first, so that every row waits. */
  rollUp(restart: boolean): Promise<RollupState>;
}

/** Buckets of one stage; a bucket's number is its stage times this and its place. */
const STAGE_BUCKETS = 256;
const PER_OCTAVE = 8;
/** The first bucket ends here, in milliseconds. */
const SMALLEST_MS = 2 ** -6;

/** Buckets grow by 2^(1/8), so a value read back is at most 4.5% away; they can be added up, unlike percentiles. */
export function reportBucket(stage: number, ms: number): number {
  const place = ms <= SMALLEST_MS ? 0 : Math.ceil(Math.log2(ms / SMALLEST_MS) * PER_OCTAVE);
  return stage * STAGE_BUCKETS + Math.min(place, STAGE_BUCKETS - 1);
}

/** Milliseconds below which each of `shares` (0 to 1, rising) of the calls of a stage lie; undefined where none went through it. */
export function reportPercentiles(latency: readonly number[], stage: number, shares: readonly number[]): readonly number[] | undefined {
  const counts: (readonly [place: number, count: number])[] = [];
  let total = 0;
  for (let at = 0; at < latency.length; at += 2) {
    const bucket = latency[at] ?? 0;
    if (Math.floor(bucket / STAGE_BUCKETS) !== stage) continue;
    const count = latency[at + 1] ?? 0;
    counts.push([bucket % STAGE_BUCKETS, count]);
    total += count;
  }
  if (total === 0) return undefined;
  const found: number[] = [];
  let passed = 0;
  for (const [place, count] of counts.toSorted((a, b) => a[0] - b[0])) {
    passed += count;
    // The middle of the bucket, on its own scale.
    while (found.length < shares.length && passed >= (shares[found.length] ?? 0) * total)
      found.push(SMALLEST_MS * 2 ** ((place - 0.5) / PER_OCTAVE));
  }
  return found;
}

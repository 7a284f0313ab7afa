import { ProblemError, REPORT_SUMS, type ReportLabel, type ReportLine, type ReportQuery } from "../canon/index.ts";
import type { ReportAnswer } from "./backend.ts";
import { eachBucket, type Cell, type HourCell, type SeriesLabels } from "./rollup.ts";
import { type CellRead, spanFinder } from "./rollup-reads.ts";

const PLACES: Readonly<Record<Exclude<ReportLabel, "provider">, number>> = { value: 1, key: 2, team: 3, project: 4, model: 5, target: 6 };

/** One label of a series. */
export function labelOf(labels: SeriesLabels, label: ReportLabel): string {
  return label === "provider" ? providerOf(labels[PLACES.target] ?? "") : (labels[PLACES[label]] ?? "");
}

function providerOf(target: string): string {
  const slash = target.indexOf("/");
  return slash < 0 ? target : target.slice(0, slash);
}

/** Counts of latency buckets of one line. Most lines of many are one cell, whose counts stay as they are packed until the end. */
class LatencyCounts {
  #first: Uint8Array | undefined;
  #counts: Map<number, number> | undefined;

  add(packed: Uint8Array): void {
    if (!this.#counts && !this.#first) this.#first = packed;
    else this.#count(packed, 1);
  }

  take(packed: Uint8Array): void {
    this.#count(packed, -1);
  }

  addCounts(latency: ReadonlyMap<number, number>): void {
    const counts = this.#open();
    for (const [bucket, count] of latency) counts.set(bucket, (counts.get(bucket) ?? 0) + count);
  }

  /** Pairs of a bucket and its count. */
  pairs(): readonly number[] {
    const pairs: number[] = [];
    if (this.#first) eachBucket(this.#first, (bucket, count) => void pairs.push(bucket, count));
    else for (const [bucket, count] of this.#counts ?? []) if (count !== 0) pairs.push(bucket, count);
    return pairs;
  }

  #count(packed: Uint8Array, sign: 1 | -1): void {
    const counts = this.#open();
    eachBucket(packed, (bucket, count) => void counts.set(bucket, (counts.get(bucket) ?? 0) + sign * count));
  }

  #open(): Map<number, number> {
    const counts = (this.#counts ??= new Map());
    const first = this.#first;
    this.#first = undefined;
    if (first) this.#count(first, 1);
    return counts;
  }
}

interface Line {
  readonly span: number;
  readonly labels: readonly string[];
  readonly sums: number[];
  readonly latency: LatencyCounts;
}

/** Of one series, by the place of a span; undefined for no span. */
export type LinesOfSeries = (span: number) => Line | undefined;

/** Adds cells up into the lines of one answer. */
export class Lines {
  readonly #query: ReportQuery;
  readonly #spanOf: (hour: number) => number;
  readonly #groups = new Map<string, (Line | undefined)[]>();
  #count = 0;

  constructor(query: ReportQuery) {
    this.#query = query;
    this.#spanOf = spanFinder(query.bounds);
  }

  /** Undefined where the labels of the series are not wanted. */
  series(labels: SeriesLabels): LinesOfSeries | undefined {
    const { dimension, where, by } = this.#query;
    if (labels[0] !== dimension) return undefined;
    for (const [label, wanted] of Object.entries(where)) if (labelOf(labels, label as ReportLabel) !== wanted) return undefined;
    const own = by.map((label) => labelOf(labels, label));
    const id = own.join("\u0000");
    const spans = this.#groups.get(id) ?? [];
    this.#groups.set(id, spans);
    return (span) => (span < 0 ? undefined : (spans[span] ??= this.#line(span, own)));
  }

  /** Cells that have not reached their tables. */
  add(cells: readonly HourCell[]): void {
    for (const { labels, hour, cell } of cells) {
      const line = this.series(labels)?.(this.#spanOf(hour));
      if (line) this.#addTo(line, cell);
    }
  }

  /** In no particular order. What was read and taken away again is none. */
  lines(): readonly ReportLine[] {
    const lines: ReportLine[] = [];
    for (const spans of this.#groups.values())
      for (const line of spans) if (line && line.sums[CALLS] !== 0) lines.push({ ...line, latency: line.latency.pairs() });
    if (lines.length > this.#query.lines) throw this.#tooMany();
    return lines;
  }

  #line(span: number, labels: readonly string[]): Line {
    // Some may be taken away again.
    if (++this.#count > this.#query.lines * 2) throw this.#tooMany();
    return { span, labels, sums: [], latency: new LatencyCounts() };
  }

  #tooMany(): ProblemError {
    return new ProblemError({
      kind: "too_large",
      message: `The report has more than ${this.#query.lines} lines. Ask for a shorter time, fewer names or longer spans.`,
    });
  }

  #addTo(line: Line, { sums, latency }: Cell): void {
    for (let at = 0; at < sums.length; at++) line.sums[at] = (line.sums[at] ?? 0) + (sums[at] ?? 0);
    if (this.#query.latency) line.latency.addCounts(latency);
  }
}
const CALLS = REPORT_SUMS.indexOf("calls");

/** Adds one stored cell, or takes it away, as its read says: its sums as the table has them, from place `from` of `columns` on. */
export function addStoredCell(
  lines: LinesOfSeries,
  read: CellRead,
  at: number,
  columns: readonly unknown[],
  from: number,
  packed: unknown,
): void {
  const latency = packed instanceof Uint8Array ? packed : undefined;
  const to = lines(read.add(at));
  if (to) {
    addSums(to.sums, columns, from);
    if (latency) to.latency.add(latency);
  }
  const other = lines(read.take(at));
  if (!other) return;
  takeSums(other.sums, columns, from);
  if (latency) other.latency.take(latency);
}

function addSums(sums: number[], columns: readonly unknown[], from: number): void {
  for (let at = 0; at < REPORT_SUMS.length; at++) sums[at] = (sums[at] ?? 0) + Number(columns[from + at]);
}

function takeSums(sums: number[], columns: readonly unknown[], from: number): void {
  for (let at = 0; at < REPORT_SUMS.length; at++) sums[at] = (sums[at] ?? 0) - Number(columns[from + at]);
}

/** What refuses a report is its answer. */
export function answered(lines: () => readonly ReportLine[]): ReportAnswer {
  try {
    return { lines: lines() };
  } catch (error) {
    if (error instanceof ProblemError) return { problem: error.problem };
    throw error;
  }
}

/** Rows that wait for their sums are looked at one by one, up to so many. */
export const MOST_WAITING = 20_000;

export function tooManyWaiting(waiting: number): ProblemError {
  return new ProblemError({
    kind: "overloaded",
    message: `Reports are being made: ${waiting} rows of the ledger are not added up yet. Try again later, or run: gimbal ledger rollup`,
  });
}

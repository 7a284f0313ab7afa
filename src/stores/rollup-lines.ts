import { ProblemError, type ReportLabel, type ReportLine, type ReportQuery } from "../canon/index.ts";
import type { ReportAnswer } from "./backend.ts";
import { addPackedLatency, type Cell, HOURS_PER_DAY, type HourCell, type SeriesLabels } from "./rollup.ts";

/** Cells are kept by hour and by day (UTC). */
export const HOURLY = 0;
export const DAILY = 1;

const PLACES: Readonly<Record<Exclude<ReportLabel, "provider">, number>> = { value: 1, key: 2, team: 3, project: 4, model: 5, target: 6 };

/** One label of a series. */
export function labelOf(labels: SeriesLabels, label: ReportLabel): string {
  return label === "provider" ? providerOf(labels[PLACES.target] ?? "") : (labels[PLACES[label]] ?? "");
}

function providerOf(target: string): string {
  const slash = target.indexOf("/");
  return slash < 0 ? target : target.slice(0, slash);
}

/** Days are read where every span begins and ends with one: a twenty-fourth of the hours. */
export function levelOf({ bounds }: ReportQuery): typeof HOURLY | typeof DAILY {
  return bounds.every((bound) => bound % HOURS_PER_DAY === 0) ? DAILY : HOURLY;
}

interface Line {
  readonly span: number;
  readonly labels: readonly string[];
  readonly sums: number[];
  readonly latency: Map<number, number>;
}

/** Adds cells up into the lines of one answer. */
export class Lines {
  readonly #query: ReportQuery;
  readonly #groups = new Map<string, (Line | undefined)[]>();
  #count = 0;

  constructor(query: ReportQuery) {
    this.#query = query;
  }

  /** Of one series, at any of its hours; undefined where its labels are not wanted. */
  series(labels: SeriesLabels): ((hour: number) => Line | undefined) | undefined {
    const { dimension, where, by } = this.#query;
    if (labels[0] !== dimension) return undefined;
    for (const [label, wanted] of Object.entries(where)) if (labelOf(labels, label as ReportLabel) !== wanted) return undefined;
    const own = by.map((label) => labelOf(labels, label));
    const id = own.join("\u0000");
    const spans = this.#groups.get(id) ?? [];
    this.#groups.set(id, spans);
    return (hour) => {
      const span = this.#spanOf(hour);
      return span < 0 ? undefined : (spans[span] ??= this.#line(span, own));
    };
  }

  /** Cells that have not reached their tables. */
  add(cells: readonly HourCell[]): void {
    for (const { labels, hour, cell } of cells) {
      const line = this.series(labels)?.(hour);
      if (line) this.#addTo(line, cell);
    }
  }

  /** In no particular order. */
  lines(): readonly ReportLine[] {
    return [...this.#groups.values()].flatMap((spans) =>
      spans.flatMap((line) => (line ? [{ ...line, latency: [...line.latency].flat() }] : [])),
    );
  }

  #line(span: number, labels: readonly string[]): Line {
    if (++this.#count > this.#query.lines)
      throw new ProblemError({
        kind: "too_large",
        message: `The report has more than ${this.#query.lines} lines. Ask for a shorter time, fewer names or longer spans.`,
      });
    return { span, labels, sums: [], latency: new Map() };
  }

  #addTo(line: Line, { sums, latency }: Cell): void {
    for (let at = 0; at < sums.length; at++) line.sums[at] = (line.sums[at] ?? 0) + (sums[at] ?? 0);
    if (this.#query.latency) for (const [bucket, count] of latency) line.latency.set(bucket, (line.latency.get(bucket) ?? 0) + count);
  }

  #spanOf(hour: number): number {
    const { bounds } = this.#query;
    let low = 0;
    let high = bounds.length - 1;
    if (hour < (bounds[0] ?? 0) || hour >= (bounds[high] ?? 0)) return -1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (hour < (bounds[middle] ?? 0)) high = middle;
      else low = middle;
    }
    return low;
  }
}

/** Adds one stored cell: its sums as the table has them, from place `from` of `columns` on. */
export function addColumns(line: Line, columns: readonly unknown[], from: number, count: number, latency: Uint8Array | undefined): void {
  for (let at = 0; at < count; at++) line.sums[at] = (line.sums[at] ?? 0) + Number(columns[from + at]);
  if (latency) addPackedLatency(line.latency, latency);
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

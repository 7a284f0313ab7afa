import {
  formatDollars,
  REPORT_STAGES,
  REPORT_SUMS,
  type ReportLabel,
  type ReportLine,
  type ReportQuery,
  type ReportStage,
  type ReportStore,
  type ReportSum,
  reportPercentiles,
} from "../../canon/index.ts";
import { type Span, spansOf } from "./zones.ts";

/** Lines of one report. */
export const MOST_LINES = 10_000;
const NAMES: readonly ReportLabel[] = ["team", "project", "key", "model", "target", "provider"];
const SPANS: readonly Span[] = ["hour", "day", "month"];
const TAGS: readonly string[] = ["agent", "session", "problem"];
const METADATA = "metadata.";
/** By how much a dimension tells apart: the first that knows all that is asked for is the cheapest. */
const DIMENSIONS: readonly (readonly [dimension: string, labels: readonly ReportLabel[]])[] = [
  ["all", []],
  ["team", ["team"]],
  ["project", ["team", "project"]],
  ["key", ["key", "team", "project"]],
  ["model", ["model"]],
  ["target", ["target", "provider"]],
  ["cube", NAMES],
];
const TAG_LABELS: ReadonlySet<ReportLabel> = new Set(["value", "team", "project"]);
const PERCENTILES = { p50: 0.5, p90: 0.9, p99: 0.99 } as const;

/** A report that cannot be asked for in this way; the message says in which. */
export class ReportError extends Error {}

export interface SpendQuery {
  /** Names and at most one span: `team`, `day`, `metadata.feature`. */
  readonly by: readonly string[];
  /** Milliseconds since 1970, at full hours. */
  readonly from: number;
  readonly until: number;
  readonly timeZone: string;
  /** Only calls with this value of a name. */
  readonly where?: Readonly<Record<string, string>>;
  readonly latency?: boolean;
}

export type Percentiles = Readonly<Record<keyof typeof PERCENTILES, number>>;

export interface SpendLine {
  /** By what was asked for; empty: a call without it. */
  readonly labels: Readonly<Record<string, string>>;
  readonly usd: string;
  readonly sums: Readonly<Record<ReportSum, number>>;
  /** In milliseconds, within 4.5%; absent where no call went through the stage. */
  readonly latency?: Readonly<Partial<Record<ReportStage, Percentiles>>>;
}

export interface SpendReport {
  readonly by: readonly string[];
  readonly from: number;
  readonly until: number;
  readonly timeZone: string;
  readonly lines: readonly SpendLine[];
  readonly total: Omit<SpendLine, "labels" | "latency">;
}

interface Plan {
  readonly dimension: string;
  readonly labels: readonly ReportLabel[];
  readonly where: ReportQuery["where"];
  readonly span: Span | undefined;
}

/** What is asked for, of which dimension. @throws ReportError */
function planOf(by: readonly string[], where: Readonly<Record<string, string>>): Plan {
  const names = [...by, ...Object.keys(where)];
  const tags = [...new Set(names.filter((name) => TAGS.includes(name) || name.startsWith(METADATA)))];
  const spans = by.filter((name): name is Span => SPANS.includes(name as Span));
  const unknown = names.find((name) => !NAMES.includes(name as ReportLabel) && !spans.includes(name as Span) && !tags.includes(name));
  if (unknown !== undefined)
    throw new ReportError(`Reports know no "${unknown}". They are by ${[...NAMES, ...TAGS, "metadata.NAME", ...SPANS].join(", ")}.`);
  if (new Set(by).size < by.length) throw new ReportError(`"${by.join(",")}" names something twice.`);
  if (spans.length > 1) throw new ReportError(`A report is by one of ${SPANS.join(", ")}.`);
  if (tags.length > 1) throw new ReportError(`A report is by one of ${tags.join(" and ")}, not both.`);
  const label = (name: string): ReportLabel => (tags.includes(name) ? "value" : (name as ReportLabel));
  const labels = by.filter((name) => !spans.includes(name as Span)).map(label);
  const conditions = Object.fromEntries(Object.entries(where).map(([name, value]) => [label(name), value]));
  const needed = [...labels, ...Object.keys(conditions)] as ReportLabel[];
  return { dimension: dimensionOf(needed, tags[0]), labels, where: conditions, span: spans[0] };
}

function dimensionOf(needed: readonly ReportLabel[], tag: string | undefined): string {
  if (tag !== undefined) {
    const beside = needed.find((name) => !TAG_LABELS.has(name));
    if (beside === undefined) return tag;
    throw new ReportError(`Sums by ${tag} are kept by team, project and time, not by ${beside}.`);
  }
  return DIMENSIONS.find(([, labels]) => needed.every((name) => labels.includes(name)))?.[0] ?? "cube";
}

/** @throws ReportError, ZoneError; rejects as `ReportStore.lines` does */
export async function spendReport(store: Pick<ReportStore, "lines">, query: SpendQuery): Promise<SpendReport> {
  const { by, from, until, timeZone, where = {}, latency = false } = query;
  const plan = planOf(by, where);
  const spans = spansOf(from, until, plan.span, timeZone);
  const found = await store.lines({
    dimension: plan.dimension,
    by: plan.labels,
    where: plan.where,
    bounds: spans.bounds,
    latency,
    lines: MOST_LINES,
  });
  const nameOf = (line: ReportLine): Record<string, string> => {
    const own = [...line.labels];
    return Object.fromEntries(by.map((name) => [name, name === plan.span ? (spans.names[line.span] ?? "") : (own.shift() ?? "")]));
  };
  const lines = found.map((line): Placed => {
    const labels = nameOf(line);
    return {
      span: line.span,
      cost: line.sums[COST] ?? 0,
      text: Object.values(labels).join("\u0000"),
      line: { labels, ...lineSums(line), ...(latency && { latency: latencyOf(line.latency) }) },
    };
  });
  return { by, from, until, timeZone, lines: lines.toSorted(inOrder).map(({ line }) => line), total: sumsOf(found) };
}

/** A line and what it is put in order by. */
interface Placed {
  readonly span: number;
  readonly cost: number;
  readonly text: string;
  readonly line: SpendLine;
}

function inOrder(a: Placed, b: Placed): number {
  return a.span - b.span || b.cost - a.cost || (a.text < b.text ? -1 : 1);
}

const COST = REPORT_SUMS.indexOf("costNanodollars");

function lineSums({ sums: all }: ReportLine): Pick<SpendLine, "usd" | "sums"> {
  const sums: Partial<Record<ReportSum, number>> = {};
  for (let at = 0; at < REPORT_SUMS.length; at++) sums[REPORT_SUMS[at] as ReportSum] = all[at] ?? 0;
  return { usd: formatDollars(all[COST] ?? 0), sums: sums as SpendLine["sums"] };
}

/** Dollars are added up exactly also where they pass what a number counts. */
function sumsOf(lines: readonly ReportLine[]): Omit<SpendLine, "labels" | "latency"> {
  const nanodollars = lines.reduce((sum, line) => sum + BigInt(line.sums[COST] ?? 0), 0n);
  const sums = Object.fromEntries(REPORT_SUMS.map((name, at) => [name, lines.reduce((sum, line) => sum + (line.sums[at] ?? 0), 0)]));
  return { usd: formatDollars(nanodollars), sums: sums as SpendLine["sums"] };
}

const PERCENTILE_NAMES = Object.keys(PERCENTILES) as readonly (keyof typeof PERCENTILES)[];
const SHARES = Object.values(PERCENTILES);

function latencyOf(buckets: readonly number[]): NonNullable<SpendLine["latency"]> {
  const latency: Partial<Record<ReportStage, Percentiles>> = {};
  for (const [place, stage] of REPORT_STAGES.entries()) {
    const found = reportPercentiles(buckets, place, SHARES);
    if (!found) continue;
    const named: Partial<Record<keyof typeof PERCENTILES, number>> = {};
    for (const [at, name] of PERCENTILE_NAMES.entries()) named[name] = rounded(found[at] ?? 0);
    latency[stage] = named as Percentiles;
  }
  return latency;
}

/** There are as many times as buckets. */
const ROUNDED = new Map<number, number>();

function rounded(ms: number): number {
  let short = ROUNDED.get(ms);
  if (short === undefined) ROUNDED.set(ms, (short = Number(ms.toPrecision(3))));
  return short;
}

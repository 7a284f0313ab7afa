import { formatDollars, type LedgerRow } from "../canon/index.ts";

const MEDIAN = 0.5;
const TAIL = 0.95;
const SHOWN_DIGITS = 4;

/** The smallest of some durations that is not smaller than a share of them; undefined for none. */
export interface Quantiles {
  readonly p50: number;
  readonly p95: number;
}

/** How one part of a model's calls went. Times in milliseconds. */
export interface ArmFigures {
  readonly calls: number;
  readonly failed: number;
  readonly cancelled: number;
  /** Failed calls in proportion to those that were not cancelled, 0 to 1. */
  readonly failedShare: number;
  /** Calls by the `provider/model` that answered, or was tried last: a part's calls may have been answered by its fallback. */
  readonly targets: Readonly<Record<string, number>>;
  /** Of calls that were answered. */
  readonly totalMs: Quantiles | undefined;
  /** Of streams that were answered. */
  readonly firstOutputMs: Quantiles | undefined;
  readonly outputTokens: number;
  /** Exact, in dollars, of calls whose price is known. */
  readonly costUsd: string;
  /** Nanodollars a call. */
  readonly costPerCallNanodollars: number | undefined;
  readonly unknownCost: number;
}

/** Figures of some calls. */
export function figuresOf(rows: readonly LedgerRow[]): ArmFigures {
  const answered = rows.filter(({ state }) => state === "done");
  const failed = rows.filter(({ state }) => state === "failed" || state === "interrupted").length;
  const costs = rows.flatMap(({ costNanodollars }) => (costNanodollars === undefined ? [] : [costNanodollars]));
  const targets: Record<string, number> = {};
  for (const { target = "none" } of rows) targets[target] = (targets[target] ?? 0) + 1;
  const sum = costs.reduce((total, cost) => total + BigInt(cost), 0n);
  const cancelled = rows.length - answered.length - failed;
  return {
    calls: rows.length,
    failed,
    cancelled,
    failedShare: share(failed, rows.length - cancelled),
    targets,
    totalMs: quantilesOf(answered.map(({ timings }) => timings.totalMs)),
    firstOutputMs: quantilesOf(
      answered.flatMap(({ stream, timings }) => (stream && timings.firstOutputMs !== undefined ? [timings.firstOutputMs] : [])),
    ),
    outputTokens: rows.reduce((total, { usage }) => total + usage.output, 0),
    costUsd: formatDollars(sum),
    costPerCallNanodollars: costs.length === 0 ? undefined : Math.round(Number(sum) / costs.length),
    unknownCost: rows.length - costs.length,
  };
}

/** What a shadow's answers were like beside those that callers got. */
export interface ShadowFigures {
  readonly target: string;
  /** Calls answered by both, and what share of them say the same. */
  readonly compared: number;
  readonly equalShare: number;
  /** Mean over those calls, 0 to 1. */
  readonly similarity: number | undefined;
  /** Of compared calls: how many ended for the same reason. */
  readonly sameStopShare: number;
  readonly shadow: ArmFigures;
  readonly original: {
    readonly failed: number;
    readonly totalMs: Quantiles | undefined;
    readonly costUsd: string;
    readonly unknownCost: number;
  };
}

/** Figures by the target that was shadowed to; `rows` are those of shadows. */
export function shadowFigures(rows: readonly LedgerRow[]): readonly ShadowFigures[] {
  const byTarget = new Map<string, LedgerRow[]>();
  for (const row of rows) {
    const some = byTarget.get(row.model);
    if (some) some.push(row);
    else byTarget.set(row.model, [row]);
  }
  return [...byTarget].map(([target, some]) => figuresOfShadow(target, some));
}

function figuresOfShadow(target: string, rows: readonly LedgerRow[]): ShadowFigures {
  const compared = rows.filter(({ shadow }) => shadow?.equal !== undefined);
  const originals = rows.flatMap(({ shadow }) => (shadow ? [shadow.original] : []));
  const costs = originals.flatMap(({ costNanodollars }) => (costNanodollars === undefined ? [] : [costNanodollars]));
  const likeness = compared.flatMap(({ shadow }) => (shadow?.similarity === undefined ? [] : [shadow.similarity]));
  return {
    target,
    compared: compared.length,
    equalShare: share(compared.filter(({ shadow }) => shadow?.equal).length, compared.length),
    similarity: likeness.length === 0 ? undefined : rounded(likeness.reduce((total, one) => total + one, 0) / likeness.length),
    sameStopShare: share(compared.filter(({ stop, shadow }) => stop === shadow?.original.stop).length, compared.length),
    shadow: figuresOf(rows),
    original: {
      failed: originals.filter(({ problem }) => problem !== undefined).length,
      totalMs: quantilesOf(originals.filter(({ problem }) => problem === undefined).map(({ totalMs }) => totalMs)),
      costUsd: formatDollars(costs.reduce((total, cost) => total + BigInt(cost), 0n)),
      unknownCost: originals.length - costs.length,
    },
  };
}

function quantilesOf(durations: readonly number[]): Quantiles | undefined {
  const sorted = durations.toSorted((a, b) => a - b);
  const at = (part: number): number => rounded(sorted[Math.ceil(sorted.length * part) - 1] ?? 0);
  return sorted.length === 0 ? undefined : { p50: at(MEDIAN), p95: at(TAIL) };
}

function share(part: number, whole: number): number {
  return whole === 0 ? 0 : rounded(part / whole);
}

function rounded(value: number): number {
  return Number(value.toPrecision(SHOWN_DIGITS));
}

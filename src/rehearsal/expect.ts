import { formatDollars, NANODOLLARS_PER_DOLLAR } from "../canon/index.ts";
import type { Expectation } from "./options.ts";
import type { Figures } from "./report.ts";

/** Something that was to hold, and what was. */
export interface Verdict {
  /** `the whole run`, or the name of an incident. */
  readonly where: string;
  readonly what: keyof Expectation;
  readonly wanted: number;
  /** Undefined: nothing could be measured. */
  readonly measured: number | undefined;
  readonly met: boolean;
}

/** Unmeasured is not met: a run in which no call was answered has no 95th percentile, and is not fast. */
export function judge(where: string, expectation: Expectation, figures: Figures): readonly Verdict[] {
  const { successShare, latencyMs, ttftMs, costNanodollars, addedNanodollars, failovers, damaged } = figures;
  const measured: Readonly<Record<keyof Expectation, number | undefined>> = {
    successShare,
    p95: latencyMs?.p95,
    p99: latencyMs?.p99,
    ttftP95: ttftMs?.p95,
    costUsd: costNanodollars / NANODOLLARS_PER_DOLLAR,
    addedCostShare: costNanodollars === 0 ? 0 : addedNanodollars / costNanodollars,
    failovers,
    damaged,
  };
  return Object.entries(expectation).flatMap(([name, wanted]) => {
    if (wanted === undefined) return [];
    const what = name as keyof Expectation;
    const found = measured[what];
    const met = found !== undefined && (what === "successShare" ? found >= wanted : found <= wanted);
    return [{ where, what, wanted, measured: found, met }];
  });
}

/** A verdict as a person reads it. */
export function inWords({ where, what, wanted, measured, met }: Verdict): string {
  const bound = what === "successShare" ? "at least" : "at most";
  const found = measured === undefined ? "could not be measured" : `was ${show(what, measured)}`;
  return `${met ? "met    " : "NOT MET"}  ${where}: ${what} ${found}, wanted ${bound} ${show(what, wanted)}`;
}

function show(what: keyof Expectation, figure: number): string {
  switch (what) {
    case "successShare":
    case "addedCostShare":
      return `${(figure * 100).toFixed(2)} %`;
    case "p95":
    case "p99":
    case "ttftP95":
      return `${(figure / 1000).toFixed(2)} s`;
    case "costUsd":
      return `$${formatDollars(Math.round(figure * NANODOLLARS_PER_DOLLAR)).slice(0, -5)}`;
    default:
      return String(figure);
  }
}

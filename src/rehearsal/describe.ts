import { formatDollars } from "../canon/index.ts";
import { inWords } from "./expect.ts";
import type { RehearsalReport } from "./index.ts";
import type { Figures, Phase, TargetFigures } from "./report.ts";

type Table = (headings: readonly string[], rows: readonly (readonly string[])[]) => string;

/** Most events of health that are shown one by one. */
const SHOWN_EVENTS = 40;

/** The report for people. @param table lays out rows in columns */
export function describeReport(report: RehearsalReport, table: Table): string {
  const { name, seed, durationMs, calls, targets, phases, verdicts, truncated } = report;
  const parts = [
    `${name ?? "Rehearsal"}: ${time(durationMs)} of scenario time, seed ${seed}`,
    table(PHASE_HEADINGS, [...phases.map((phase) => phaseRow(phase)), ["all", "", ...figureCells(calls)]]),
    table(EFFORT_HEADINGS, [...phases.map(effortRow), ["all", ...effortCells(calls)]]),
    table(TARGET_HEADINGS, targets.map(targetRow)),
    failures(calls),
    healthLines(report),
    truncated ? "Too many calls: from some moment on none were made." : "",
    calls.unpriced > 0 ? `The price of ${calls.unpriced} calls is unknown and in no sum; give it under \`targets:\`.` : "",
    report.besideNanodollars > 0 ? `Calls of the gateway's own, such as shadows, cost ${dollars(report.besideNanodollars)} besides.` : "",
    verdicts.map(inWords).join("\n"),
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
}

const PHASE_HEADINGS = [
  "PHASE",
  "INCIDENTS",
  "CALLS",
  "COMPLETE",
  "FAILED",
  "DAMAGED",
  "LEFT",
  "P50",
  "P95",
  "P99",
  "TTFT P50",
  "TTFT P95",
];
const EFFORT_HEADINGS = ["PHASE", "ATTEMPTS", "RETRIES", "FAILOVERS", "HEDGES", "CONTINUED", "CACHE HITS", "COST", "ADDED"];
const TARGET_HEADINGS = ["TARGET", "ATTEMPTS", "ANSWERED", "FAILED", "COST"];

function phaseRow({ fromMs, untilMs, incidents, figures }: Phase): readonly string[] {
  return [`${time(fromMs)}-${time(untilMs)}`, incidents.join(", ") || "-", ...figureCells(figures)];
}

function figureCells({ calls, successShare, complete, damaged, left, latencyMs, ttftMs }: Figures): readonly string[] {
  return [
    String(calls),
    `${(successShare * 100).toFixed(2)} %`,
    String(calls - complete - damaged - left),
    String(damaged),
    String(left),
    seconds(latencyMs?.p50),
    seconds(latencyMs?.p95),
    seconds(latencyMs?.p99),
    seconds(ttftMs?.p50),
    seconds(ttftMs?.p95),
  ];
}

function effortRow({ fromMs, untilMs, figures }: Phase): readonly string[] {
  return [`${time(fromMs)}-${time(untilMs)}`, ...effortCells(figures)];
}

function effortCells(figures: Figures): readonly string[] {
  const { attempts, retries, failovers, hedges, continuations, cacheHits } = figures;
  return [
    ...[attempts, retries, failovers, hedges, continuations, cacheHits].map(String),
    dollars(figures.costNanodollars),
    dollars(figures.addedNanodollars),
  ];
}

function targetRow({ target, attempts, answered, problems, costNanodollars }: TargetFigures): readonly string[] {
  return [target, String(attempts), String(answered), counted(problems), dollars(costNanodollars)];
}

function failures({ problems }: Figures): string {
  return Object.keys(problems).length === 0 ? "" : `What failed calls were told: ${counted(problems)}.`;
}

function counted(problems: Readonly<Record<string, number>>): string {
  const entries = Object.entries(problems).toSorted((a, b) => b[1] - a[1]);
  return entries.length === 0 ? "-" : entries.map(([kind, count]) => `${kind} ${count}`).join(", ");
}

function healthLines({ health }: RehearsalReport): string {
  if (health.length === 0) return "";
  const lines = health.slice(0, SHOWN_EVENTS).map(({ atMs, subject, what, reason }) => `  ${time(atMs)}  ${subject}: ${what} (${reason})`);
  const rest = health.length - lines.length;
  return `What the gateway noticed:\n${lines.join("\n")}${rest > 0 ? `\n  and ${rest} more (--json has all)` : ""}`;
}

function seconds(ms: number | undefined): string {
  return ms === undefined ? "-" : `${(ms / 1000).toFixed(2)} s`;
}

/** `3:20`, minutes and seconds. */
function time(ms: number): string {
  const total = ms / 1000;
  const minutes = Math.floor(total / 60);
  const rest = total - minutes * 60;
  const shown = Number.isInteger(rest) ? String(rest).padStart(2, "0") : rest.toFixed(1).padStart(4, "0");
  return `${minutes}:${shown}`;
}

const SHOWN_DECIMALS = 4;

function dollars(amount: number): string {
  const exact = formatDollars(amount);
  return `$${exact.slice(0, exact.length - 9 + SHOWN_DECIMALS)}`;
}

import { REPORT_STAGES, REPORT_SUMS } from "../../canon/index.ts";
import type { SpendReport } from "./spend.ts";

const PERCENTILES = ["p50", "p90", "p99"] as const;
const NEEDS_QUOTES = /[",\r\n]/;
/** Spreadsheets run a cell that begins so as a formula; names come from callers. */
const LOOKS_LIKE_FORMULA = /^[=+\-@\t\r]/;

/** A report as comma-separated values (RFC 4180): a line of names, then one for each line of the report. */
export function csvOf({ by, lines }: SpendReport): string {
  const hasLatency = lines.some(({ latency }) => latency !== undefined);
  const stages = hasLatency ? REPORT_STAGES.flatMap((stage) => PERCENTILES.map((name) => [stage, name] as const)) : [];
  const rows = [
    [...by, "usd", ...REPORT_SUMS, ...stages.map(([stage, name]) => `${stage}_${name}_ms`)],
    ...lines.map(({ labels, usd, sums, latency }) => [
      ...by.map((name) => harmless(labels[name] ?? "")),
      usd,
      ...REPORT_SUMS.map((name) => String(sums[name])),
      ...stages.map(([stage, name]) => String(latency?.[stage]?.[name] ?? "")),
    ]),
  ];
  return rows.map((row) => `${row.map(quoted).join(",")}\r\n`).join("");
}

function harmless(text: string): string {
  return LOOKS_LIKE_FORMULA.test(text) ? `'${text}` : text;
}

function quoted(text: string): string {
  return NEEDS_QUOTES.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

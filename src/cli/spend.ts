import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import {
  chargeback,
  csvOf,
  forecast,
  LEAST_DAYS,
  ReportError,
  spendReport,
  timeOf,
  ZoneError,
  type Chargeback,
  type Forecast,
  type SpendReport,
} from "../ledger/reports/index.ts";
import { EXPORT_FORMATS, spendParquet, type ExportFormat } from "../ledger/export/index.ts";
import type { RollupState, Stores } from "../canon/index.ts";
import { CommandError, DONE, FAILED, table, UsageError, wholeNumber, wordList, type Command, type Flag, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { CONTENT_COMMANDS } from "./ledger-content.ts";
import { exportCommand } from "./ledger-export.ts";
import { onRecord } from "./record.ts";
import { askServer } from "./running.ts";
import { DATA_FLAG } from "./settings.ts";

const MOST_DAYS = 366;
const DEFAULT_BASED_ON = 28;
const DEFAULT_DAYS = 30;
/** How often a long run says how far it is, in pieces of some thousand rows. */
const PROGRESS_PIECES = 20;

const TIME_FLAGS: Readonly<Record<string, Flag>> = {
  from: { value: "WHEN", meaning: "A day (2026-01-31), or a time (ISO 8601). Default: 29 days ago." },
  to: { value: "WHEN", meaning: "A day, which counts whole, or a time. Default: today." },
  "time-zone": { value: "ZONE", meaning: "Whose days. Default: the gateway's own (reports.timeZone), or UTC where none runs." },
};

interface Asked {
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly direct: (stores: Stores) => Promise<unknown>;
}

/** From the gateway that holds the record, else from the record. @throws UsageError for what cannot be asked, CommandError */
async function ask<T>(input: Input, deps: CliDeps, { path, query, direct }: Asked): Promise<T> {
  try {
    return (await onRecord(input, deps, {
      server: (server, folder) => askServer(server, folder, deps, "GET", `${path}?${new URLSearchParams(query).toString()}`),
      stores: direct,
    })) as T;
  } catch (error) {
    if (error instanceof ReportError || error instanceof ZoneError) throw new UsageError(error.message);
    throw error;
  }
}

/** Flags that were given, by the names that the admin API has for them. */
function given(input: Input, ...names: readonly string[]): Record<string, string> {
  const pairs = names.map((name) => [name === "time-zone" ? "timeZone" : name, input.text(name)] as const);
  return Object.fromEntries(pairs.filter((pair): pair is readonly [string, string] => pair[1] !== undefined));
}

function timeIn(input: Input, deps: CliDeps): ReturnType<typeof timeOf> {
  return timeOf({ from: input.text("from"), to: input.text("to"), timeZone: input.text("time-zone") ?? "UTC" }, deps.clock.now());
}

/** `team=search,metadata.feature=chat`. @throws UsageError */
function conditions(input: Input): Record<string, string> {
  return Object.fromEntries(
    (wordList(input, "where") ?? []).map((word) => {
      const at = word.indexOf("=");
      if (at < 1) throw new UsageError(`--where is a list such as team=search,model=fast, not "${word}".`);
      return [word.slice(0, at), word.slice(at + 1)];
    }),
  );
}

const spendCommand: Command = {
  name: "ledger spend",
  summary: "Report what calls cost, used and took, by team, key, model, day and more.",
  operands: [],
  flags: {
    by: {
      value: "NAMES",
      meaning: "team, project, key, model, target, provider, agent, session, problem, metadata.NAME, hour, day, month. Default: team,day.",
    },
    where: { value: "NAMES", meaning: "Only calls with these values: team=search,model=fast." },
    latency: { meaning: "Also percentiles of how long calls took." },
    format: { value: "NAME", meaning: "csv, json or parquet instead of a table; parquet needs --out." },
    csv: { meaning: "The same as --format csv." },
    out: { value: "FILE", meaning: "Write the report to this file." },
    output: { value: "FILE", meaning: "The same as --out." },
    ...TIME_FLAGS,
    ...DATA_FLAG,
  },
  async run(input, deps) {
    const format = formatOf(input);
    const by = wordList(input, "by") ?? ["team", "day"];
    const where = conditions(input);
    const latency = input.has("latency");
    const report = await ask<SpendReport>(input, deps, {
      path: "/spend",
      query: { ...where, ...given(input, "from", "to", "time-zone"), by: by.join(","), latency: latency ? "1" : "0" },
      direct: (stores) => spendReport(stores.reports, { by, where, latency, ...timeIn(input, deps) }),
    });
    if (format === "parquet") await deliver(spendParquet(report), input, deps);
    else
      await deliver(format === "csv" ? csvOf(report) : format === "json" ? `${JSON.stringify(report)}\n` : describe(report), input, deps);
    return DONE;
  },
};

/** @throws UsageError */
function formatOf(input: Input): ExportFormat | undefined {
  if (input.has("csv") && input.json) throw new UsageError("A report is either --csv or --json.");
  const named = input.text("format");
  const format = EXPORT_FORMATS.find((one) => one === named);
  if (named !== undefined && format === undefined) throw new UsageError(`--format is csv, json or parquet, not "${named}".`);
  const short = input.has("csv") ? "csv" : input.json ? "json" : undefined;
  if (format !== undefined && short !== undefined && format !== short)
    throw new UsageError(`--format ${format} and --${short} say two things.`);
  if (format === "parquet" && fileOf(input) === undefined) throw new UsageError("--format parquet needs --out FILE.");
  return format ?? short;
}

/** @throws UsageError */
function fileOf(input: Input): string | undefined {
  const out = input.text("out");
  const output = input.text("output");
  if (out !== undefined && output !== undefined) throw new UsageError("--out and --output are the same: give one of them.");
  return out ?? output;
}

async function deliver(content: string | Uint8Array, input: Input, deps: CliDeps): Promise<void> {
  const file = fileOf(input);
  if (file === undefined) return deps.out(String(content));
  const path = resolve(deps.cwd, file);
  try {
    await writeFile(path, content);
  } catch (error) {
    throw new CommandError(`${path} cannot be written: ${error instanceof Error ? error.message : String(error)}.`);
  }
  deps.err(`Written to ${path}.\n`);
}

function describe({ by, lines, total }: SpendReport): string {
  const cells = ({ usd, sums }: SpendReport["total"]): string[] => [
    usd,
    String(sums.calls),
    String(sums.failed),
    String(sums.cacheHits),
    String(sums.inputTokens + sums.cacheReadTokens + sums.cacheWriteTokens),
    String(sums.outputTokens),
    String(sums.unknownCosts),
  ];
  const hasLatency = lines.some(({ latency }) => latency !== undefined);
  const rows = lines.map(({ labels, latency, ...sums }) => [
    ...by.map((name) => labels[name] || "-"),
    ...cells(sums),
    ...(hasLatency ? [String(latency?.total?.p50 ?? "-"), String(latency?.total?.p99 ?? "-")] : []),
  ]);
  const headings = ["USD", "CALLS", "FAILED", "CACHED", "INPUT", "OUTPUT", "UNKNOWN", ...(hasLatency ? ["P50 MS", "P99 MS"] : [])];
  const sum = ["total", ...by.slice(1).map(() => ""), ...cells(total)];
  return `${table([...by.map((name) => name.toUpperCase()), ...headings], [...rows, by.length > 0 ? sum : cells(total)])}\n`;
}

const chargebackCommand: Command = {
  name: "ledger chargeback",
  summary: "Say what each team or project pays, with its share of what belongs to nobody.",
  operands: [],
  flags: { by: { value: "NAME", meaning: "team or project. Default: team." }, ...TIME_FLAGS, ...DATA_FLAG },
  async run(input, deps) {
    const by = input.text("by") ?? "team";
    if (by !== "team" && by !== "project") throw new UsageError(`--by is team or project, not "${by}".`);
    const result = await ask<Chargeback>(input, deps, {
      path: "/spend/chargeback",
      query: { ...given(input, "from", "to", "time-zone"), by },
      direct: (stores) => chargeback(stores.reports, by, timeIn(input, deps)),
    });
    if (input.json) deps.out(`${JSON.stringify(result)}\n`);
    else {
      const rows = result.lines.map((line) => [line.name, String(line.calls), line.ownUsd, line.shareUsd, line.usd]);
      deps.out(`${table([by.toUpperCase(), "CALLS", "OWN USD", "SHARE USD", "USD"], rows)}\n`);
      deps.out(`Of ${result.usd} USD, ${result.unassignedUsd} belong to no ${by}; ${result.unknownCosts} calls have no known cost.\n`);
    }
    return DONE;
  },
};

const forecastCommand: Command = {
  name: "ledger forecast",
  summary: "Say what the days to come will cost if the last ones go on in a straight line, and how far off that may be.",
  operands: [],
  flags: {
    "based-on": { value: "DAYS", meaning: `Whole days to look at, ${LEAST_DAYS} to ${MOST_DAYS}. Default: ${DEFAULT_BASED_ON}.` },
    days: { value: "N", meaning: `Days to come, today among them. Default: ${DEFAULT_DAYS}.` },
    team: { value: "NAME", meaning: "Only this team's calls." },
    project: { value: "NAME", meaning: "Only this project's calls." },
    "time-zone": TIME_FLAGS["time-zone"] ?? { meaning: "" },
    ...DATA_FLAG,
  },
  async run(input, deps) {
    const basedOn = wholeNumber(input, "based-on", LEAST_DAYS, MOST_DAYS) ?? DEFAULT_BASED_ON;
    const days = wholeNumber(input, "days", 1, MOST_DAYS) ?? DEFAULT_DAYS;
    const where = given(input, "team", "project");
    const result = await ask<Forecast>(input, deps, {
      path: "/spend/forecast",
      query: { ...where, ...given(input, "time-zone"), basedOn: String(basedOn), days: String(days) },
      direct: (stores) => forecast(stores.reports, { now: deps.clock.now(), timeZone: timeIn(input, deps).timeZone, basedOn, days, where }),
    });
    if (input.json) deps.out(`${JSON.stringify(result)}\n`);
    else
      deps.out(
        `${result.usd} USD in the next ${result.days} days, give or take ${result.errorUsd} (one standard error).\nThe first of them ${result.firstDayUsd} USD, each later one ${result.growthPerDayUsd} more; a straight line through the last ${result.basedOnDays} whole days.\n`,
      );
    return DONE;
  },
};

const rollupCommand: Command = {
  name: "ledger rollup",
  summary: "Bring the sums that reports are made of up to date; --rebuild makes all of them anew from the rows.",
  operands: [],
  flags: { rebuild: { meaning: "Forget all sums first." }, ...DATA_FLAG },
  async run(input, deps) {
    const last = await onRecord(input, deps, {
      server: (server, folder) =>
        untilDone(
          input,
          deps,
          async (rebuild) => (await askServer(server, folder, deps, "POST", "/ledger/rollup", { rebuild })) as RollupState,
        ),
      stores: (stores) => untilDone(input, deps, (rebuild) => stores.reports.rollUp(rebuild)),
    });
    if (input.json) deps.out(`${JSON.stringify(last)}\n`);
    else if (last.failure === undefined) deps.out("Every row of the ledger is in the sums.\n");
    else deps.err(`The sums cannot be written: ${last.failure}\n`);
    return last.failure === undefined ? DONE : FAILED;
  },
};

/** Piece by piece, so that calls are not kept waiting. Ends when a piece brings nothing forward that was not settled meanwhile. */
async function untilDone(input: Input, deps: CliDeps, piece: (rebuild: boolean) => Promise<RollupState>): Promise<RollupState> {
  let state = await piece(input.has("rebuild"));
  const first = state.waiting;
  for (let pieces = 1; state.waiting > 0 && state.failure === undefined; pieces++) {
    state = await piece(false);
    if (pieces % PROGRESS_PIECES === 0) deps.err(`${state.waiting} of ${first} rows are not added up yet\n`);
  }
  return state;
}

export const SPEND_COMMANDS: readonly Command[] = [
  exportCommand,
  ...CONTENT_COMMANDS,
  spendCommand,
  chargebackCommand,
  forecastCommand,
  rollupCommand,
];

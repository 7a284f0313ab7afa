import type { AttemptRecord, Diagnostic, Json, JsonObject, LedgerRow, OpenRecord, ProblemKind, Usage } from "../canon/index.ts";

/**
 * A ledger row as the values of one SQL statement, in the order of LEDGER_COLUMNS. Flat, because threads and processes hand rows over by
 * copying: a flat list costs a third of the nested object.
 */
export type RowValues = readonly (string | number | null)[];

/** What reports filter, group or add has a column; the rest is one JSON text, `detail`. Every bound value costs about 0.1 µs a row. */
export const LEDGER_COLUMNS = [
  "call_id",
  "state",
  "started_at",
  "caller_id",
  "caller_name",
  "team",
  "project",
  "dialect",
  "operation",
  "model",
  "target",
  "stream",
  "fast_path",
  "input_uncached",
  "cache_read",
  "cache_write_5m",
  "cache_write_1h",
  "output",
  "reasoning",
  "usage_estimated",
  "cost_nanodollars",
  "price_version",
  "ready_ms",
  "first_output_ms",
  "total_ms",
  "problem",
  "session",
  "config_version",
  "detail",
] as const;

/** An attempt as `detail` holds it. What it shares with its row is left out: most rows have one attempt, and its text is a third of them. */
interface StoredAttempt extends Omit<AttemptRecord, "target" | "usage"> {
  /** Absent: the row's. */
  readonly target?: string | undefined;
  readonly usage?: Usage | typeof AS_ROW | undefined;
}
const AS_ROW = "row";

interface Detail {
  readonly upstreamModel?: string;
  readonly attempts?: readonly StoredAttempt[];
  readonly problemMessage?: string;
  readonly stop?: string;
  readonly metadata?: JsonObject;
  readonly diagnostics?: readonly Diagnostic[];
  readonly traceId?: string;
  readonly plan?: Json;
  readonly media?: Readonly<Record<string, number>>;
  readonly serviceTier?: string;
  readonly providerCost?: number;
}

export function rowToValues(row: LedgerRow): RowValues {
  const { usage, timings } = row;
  return [
    row.callId,
    row.state,
    Math.round(row.startedAt),
    row.callerId,
    row.callerName,
    row.team ?? null,
    row.project ?? null,
    row.dialect,
    row.operation,
    row.model,
    row.target ?? null,
    row.stream ? 1 : 0,
    row.fastPath ? 1 : 0,
    usage.inputUncached,
    usage.cacheRead,
    usage.cacheWrite5m,
    usage.cacheWrite1h,
    usage.output,
    usage.reasoning,
    usage.estimated ? 1 : 0,
    row.costNanodollars ?? null,
    row.priceVersion,
    timings.readyMs,
    timings.firstOutputMs ?? null,
    timings.totalMs,
    row.problem ?? null,
    row.session ?? null,
    row.configVersion,
    JSON.stringify(detailOf(row)),
  ];
}

/** Members that are undefined vanish in JSON. */
function detailOf(row: LedgerRow): unknown {
  const { usage } = row;
  return {
    upstreamModel: row.upstreamModel,
    attempts: row.attempts.length > 0 ? row.attempts.map((attempt) => storedAttempt(attempt, row)) : undefined,
    problemMessage: row.problemMessage,
    stop: row.stop,
    metadata: row.metadata,
    diagnostics: row.diagnostics,
    traceId: row.traceId,
    cache: row.cache,
    cacheOrigin: row.cacheOrigin,
    savedNanodollars: row.savedNanodollars,
    plan: row.plan,
    arm: row.arm,
    shadow: row.shadow,
    reported: row.reported,
    media: usage.media,
    serviceTier: usage.serviceTier,
    providerCost: usage.providerCost,
  };
}

function storedAttempt(attempt: AttemptRecord, row: LedgerRow): StoredAttempt {
  return {
    ...attempt,
    target: attempt.target === row.target ? undefined : attempt.target,
    usage: attempt.usage === row.usage ? AS_ROW : attempt.usage,
  };
}

function attemptOf(stored: StoredAttempt, target: string | undefined, usage: Usage): AttemptRecord {
  const { target: own = target ?? "", usage: used, ...rest } = stored;
  return { target: own, ...rest, ...(used !== undefined && { usage: used === AS_ROW ? usage : used }) };
}

/** What an interrupted call leaves: everything its open record knew. */
export interface InterruptedFacts {
  readonly record: OpenRecord;
  readonly callerName: string;
  readonly team?: string;
  readonly project?: string;
  readonly priceVersion: string;
  /** When it was found, milliseconds since 1970. */
  readonly at: number;
}

/**
 * The row of a call that a crash left open. When it ended is unknown, so its timings are 0; the cost is left to whoever derives it from
 * the estimated tokens.
 */
export function interruptedRow(facts: InterruptedFacts): LedgerRow {
  const { record } = facts;
  return {
    callId: record.callId,
    state: "interrupted",
    startedAt: record.startedAt,
    callerId: record.callerId,
    callerName: facts.callerName,
    ...(facts.team !== undefined && { team: facts.team }),
    ...(facts.project !== undefined && { project: facts.project }),
    dialect: record.dialect,
    operation: "generate",
    model: record.model,
    stream: false,
    fastPath: false,
    usage: {
      inputUncached: record.inputEstimate,
      cacheRead: 0,
      cacheWrite5m: 0,
      cacheWrite1h: 0,
      output: 0,
      reasoning: 0,
      estimated: true,
    },
    priceVersion: facts.priceVersion,
    timings: { readyMs: 0, totalMs: 0 },
    attempts: [],
    problem: "gateway_restarted",
    problemMessage: `The gateway stopped while this call ran; noticed ${new Date(facts.at).toISOString()}.`,
    configVersion: 0,
  };
}

/** Reads back a row that has not reached its table yet. */
export function rowFromValues(values: RowValues): LedgerRow {
  return rowFromColumns(Object.fromEntries(LEDGER_COLUMNS.map((name, place) => [name, values[place] ?? null])));
}

/** Reads a row back by column name. The store wrote it, so its types are known. */
export function rowFromColumns(columns: Readonly<Record<string, unknown>>): LedgerRow {
  const text = (name: string): string => columns[name] as string;
  const number = (name: string): number => columns[name] as number;
  const optionalText = (name: string): string | undefined => (columns[name] as string | null) ?? undefined;
  const optionalNumber = (name: string): number | undefined => (columns[name] as number | null) ?? undefined;
  const detail = JSON.parse(text("detail")) as Detail;
  const { attempts, media, serviceTier, providerCost, ...rest } = detail;
  const usage: Usage = {
    inputUncached: number("input_uncached"),
    cacheRead: number("cache_read"),
    cacheWrite5m: number("cache_write_5m"),
    cacheWrite1h: number("cache_write_1h"),
    output: number("output"),
    reasoning: number("reasoning"),
    ...(media && { media }),
    ...(serviceTier !== undefined && { serviceTier }),
    ...(providerCost !== undefined && { providerCost }),
    ...(columns["usage_estimated"] === 1 && { estimated: true }),
  };
  const team = optionalText("team");
  const project = optionalText("project");
  const target = optionalText("target");
  const cost = optionalNumber("cost_nanodollars");
  const firstOutputMs = optionalNumber("first_output_ms");
  const problem = optionalText("problem") as ProblemKind | undefined;
  const session = optionalText("session");
  return {
    callId: text("call_id"),
    state: text("state") as LedgerRow["state"],
    startedAt: number("started_at"),
    callerId: text("caller_id"),
    callerName: text("caller_name"),
    ...(team !== undefined && { team }),
    ...(project !== undefined && { project }),
    dialect: text("dialect"),
    operation: text("operation"),
    model: text("model"),
    ...(target !== undefined && { target }),
    stream: columns["stream"] === 1,
    fastPath: columns["fast_path"] === 1,
    usage,
    ...(cost !== undefined && { costNanodollars: cost }),
    priceVersion: text("price_version"),
    timings: { readyMs: number("ready_ms"), ...(firstOutputMs !== undefined && { firstOutputMs }), totalMs: number("total_ms") },
    attempts: (attempts ?? []).map((stored) => attemptOf(stored, target, usage)),
    ...(problem !== undefined && { problem }),
    ...(session !== undefined && { session }),
    configVersion: number("config_version"),
    ...rest,
  };
}

import type { LedgerRow, PricedRow } from "../../canon/index.ts";
import type { CellType, Column } from "./table.ts";

const of = (name: string, type: CellType, read: (row: LedgerRow) => unknown): Column<PricedRow> => ({
  name,
  type,
  of: ({ row }) => read(row),
});

/**
 * A row of the ledger as columns. Money is whole nanodollars, tokens are disjoint kinds, durations milliseconds. `cost_nanodollars` is what
 * the row says; `repriced_nanodollars` what its newest repricing says, where there is one. What has no column of its own is JSON.
 */
export const ROW_COLUMNS: readonly Column<PricedRow>[] = [
  of("call_id", "text", (row) => row.callId),
  of("started_at", "time", (row) => row.startedAt),
  of("state", "text", (row) => row.state),
  of("caller_id", "text", (row) => row.callerId),
  of("caller_name", "text", (row) => row.callerName),
  of("team", "text", (row) => row.team),
  of("project", "text", (row) => row.project),
  of("session", "text", (row) => row.session),
  of("dialect", "text", (row) => row.dialect),
  of("operation", "text", (row) => row.operation),
  of("model", "text", (row) => row.model),
  of("target", "text", (row) => row.target),
  of("upstream_model", "text", (row) => row.upstreamModel),
  of("stream", "bool", (row) => row.stream),
  of("fast_path", "bool", (row) => row.fastPath),
  of("input_tokens", "int64", (row) => row.usage.inputUncached),
  of("cache_read_tokens", "int64", (row) => row.usage.cacheRead),
  of("cache_write_5m_tokens", "int64", (row) => row.usage.cacheWrite5m),
  of("cache_write_1h_tokens", "int64", (row) => row.usage.cacheWrite1h),
  of("output_tokens", "int64", (row) => row.usage.output),
  of("reasoning_tokens", "int64", (row) => row.usage.reasoning),
  of("usage_estimated", "bool", (row) => row.usage.estimated === true),
  of("media_units", "json", (row) => row.usage.media),
  of("service_tier", "text", (row) => row.usage.serviceTier),
  of("cost_nanodollars", "int64", (row) => row.costNanodollars),
  of("price_version", "text", (row) => row.priceVersion),
  { name: "repriced_nanodollars", type: "int64", of: ({ repriced }) => repriced?.costNanodollars },
  { name: "repriced_version", type: "text", of: ({ repriced }) => repriced?.priceVersion },
  of("reported_nanodollars", "int64", (row) => row.reported?.nanodollars),
  of("saved_nanodollars", "int64", (row) => row.savedNanodollars),
  of("ready_ms", "double", (row) => row.timings.readyMs),
  of("first_output_ms", "double", (row) => row.timings.firstOutputMs),
  of("total_ms", "double", (row) => row.timings.totalMs),
  of("problem", "text", (row) => row.problem),
  of("problem_message", "text", (row) => row.problemMessage),
  of("stop", "text", (row) => row.stop),
  of("cache", "text", (row) => row.cache),
  of("cache_origin", "text", (row) => row.cacheOrigin),
  of("arm", "text", (row) => row.arm),
  of("trace_id", "text", (row) => row.traceId),
  of("config_version", "int64", (row) => row.configVersion),
  of("metadata", "json", (row) => row.metadata),
  of("attempts", "json", (row) => row.attempts),
  of("diagnostics", "json", (row) => row.diagnostics),
  of("plan", "json", (row) => row.plan),
  of("shadow", "json", (row) => row.shadow),
];

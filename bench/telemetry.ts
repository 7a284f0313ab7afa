// node bench/telemetry.ts: what counting, queueing and tracing cost a call, and what an export costs beside it, in CPU microseconds.
import { NO_USAGE, type LedgerRow } from "../src/canon/index.ts";
import { systemClock, SystemRandomness } from "../src/kit/index.ts";
import { exportRequest } from "../src/ledger/telemetry/spans.ts";
import { Logs, logsOptions, Telemetry, telemetryOptions } from "../src/ledger/telemetry/index.ts";

const CALLS = 50_000;
const ROUNDS = 9;
const BATCH = 256;
const TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OTLP = { endpoint: "http://127.0.0.1:4318", queueCalls: CALLS, everyMs: 600_000, batchCalls: BATCH };

const randomness = new SystemRandomness();
const MODELS = ["fast", "smart", "small", "large"];
const PROVIDERS = ["openai", "anthropic"];

function rowOf(place: number): LedgerRow {
  const target = `${PROVIDERS[place % 2]}/m-${place % 4}`;
  const usage = { ...NO_USAGE, inputUncached: 200, output: 50 };
  return {
    callId: randomness.id("call_"),
    state: "done",
    startedAt: Date.now(),
    callerId: "key_1",
    callerName: "search",
    dialect: "openai-chat",
    operation: "generate",
    model: MODELS[place % 4] ?? "fast",
    target,
    upstreamModel: "m",
    stream: true,
    fastPath: true,
    usage,
    costNanodollars: 1000,
    priceVersion: "v",
    timings: { readyMs: 0.3, firstOutputMs: 210, totalMs: 1800 + place },
    attempts: [{ target, startedMs: 0.3 + place, endedMs: 1799 + place, status: 200, usage }],
    stop: "end",
    configVersion: 1,
  };
}

const rows = Array.from({ length: CALLS }, (_, place) => rowOf(place));

function telemetryWith(otlp: typeof OTLP | undefined): Telemetry {
  return new Telemetry({
    clock: { ...systemClock, after: () => () => {} },
    logs: new Logs(() => {}, systemClock, logsOptions.parse({})),
    node: "bench",
    options: telemetryOptions.parse({ otlp }),
    isListed: () => true,
    providerName: (name) => name,
    sender: () => ({ send: () => Promise.resolve({ status: 200 }), close: async () => {} }),
  });
}

/** The median of the rounds, after one that is not counted. */
function measure(name: string, prepare: () => (row: LedgerRow) => unknown): void {
  const rounds: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const work = prepare();
    const before = process.cpuUsage();
    for (const row of rows) work(row);
    const { user, system } = process.cpuUsage(before);
    if (round > 0) rounds.push((user + system) / CALLS);
  }
  const median = rounds.toSorted((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? 0;
  process.stdout.write(`${name.padEnd(60)} ${median.toFixed(3)} µs a call\n`);
}

measure("counted", () => {
  const telemetry = telemetryWith(undefined);
  return (row) => telemetry.called(row, undefined);
});
measure("counted, and its row's delay", () => {
  const telemetry = telemetryWith(undefined);
  return (row) => {
    const at = systemClock.monotonic();
    telemetry.called(row, undefined);
    telemetry.recorded(systemClock.monotonic() - at);
  };
});
measure("counted and queued for export", () => {
  const telemetry = telemetryWith(OTLP);
  return (row) => telemetry.called(row, undefined);
});
measure("counted and queued, with its caller's trace", () => {
  const telemetry = telemetryWith(OTLP);
  return (row) => telemetry.called(row, TRACEPARENT);
});
measure("header to a provider, nothing exported and no trace", () => {
  const telemetry = telemetryWith(undefined);
  return (row) => telemetry.traceparent(row.callId, undefined, "openai", row.timings.totalMs, undefined);
});
measure("header to a provider, exported", () => {
  const telemetry = telemetryWith(OTLP);
  return (row) => telemetry.traceparent(row.callId, undefined, "openai", row.timings.totalMs, undefined);
});
let batch: LedgerRow[] = [];
measure("spans of it and their JSON, outside the call", () => (row) => {
  batch.push(row);
  if (batch.length < BATCH) return;
  const calls = batch.map((each) => ({ row: each, parent: undefined }));
  exportRequest(calls, { semconv: "v1.41", providerName: (name) => name }, "gimbal", "bench");
  batch = [];
});

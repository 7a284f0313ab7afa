import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { NO_USAGE, type LedgerRow } from "../src/canon/index.ts";
import { systemClock } from "../src/kit/index.ts";
import { type HostedStores, openPostgres, openSqlite } from "../src/stores/index.ts";
import { startPostgres } from "../test/support/postgres.ts";

/**
 * CPU microseconds of one ledger row, hand-over and all threads included: `node bench/ledger-write.ts [rows] [rows per turn] [engine]`.
 * `engine`: sqlite (default) or postgres, which starts a server of its own; what that server uses is its own, and not counted here.
 * Acknowledgements are timed from hand-over to durable, at the rate the engine takes.
 * Rows come in portions, one a turn of the event loop, as a saturated gateway settles them; making the rows is measured apart and
 * taken off.
 */
const rows = Number(process.argv[2] ?? 60_000);
const perTurn = Number(process.argv[3] ?? 32);
const engine = process.argv[4] ?? "sqlite";
if (engine !== "sqlite" && engine !== "postgres") throw new Error(`there is no engine ${engine}: sqlite or postgres`);
const server = engine === "postgres" ? await startPostgres() : undefined;

function open(folder: string): Promise<HostedStores> {
  const common = { folder, node: "bench", clock: systemClock };
  return server ? openPostgres({ ...common, url: server.url(), env: {} }) : openSqlite(common);
}

/** Rows on their way at once, as calls running at once would bound it. */
const WINDOW = 1024;
const ROUNDS = 5;

function makeRow(number: number): LedgerRow {
  const callId = `call_01jd${String(number).padStart(18, "0")}`;
  return {
    callId,
    state: "done",
    startedAt: 1_760_000_000_000 + number,
    callerId: `key_01jd000000000000000${number % 50}`,
    callerName: "shop-production",
    team: "search",
    project: "shop",
    dialect: "openai-chat",
    operation: "generate",
    model: "fast",
    target: "lab/small-model-2026",
    upstreamModel: "small-model-2026-01-01",
    stream: number % 2 === 0,
    fastPath: true,
    usage: { ...NO_USAGE, inputUncached: 250 + (number % 100), output: 80 + (number % 40) },
    costNanodollars: 125_000 + number,
    priceVersion: "0.1.8+0000",
    timings: { readyMs: 0.21, firstOutputMs: 311.52, totalMs: 812.13 },
    attempts: [{ target: "lab/small-model-2026", startedMs: 0.2, endedMs: 812.1, status: 200 }],
    stop: "end",
    configVersion: 3,
    traceId: "0af7651916cd43dd8448eb211c80319c",
  };
}

function cpuMicroseconds(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

async function measure(withOpen: boolean, first: number): Promise<{ cpu: number; perSecond: number; p99: number }> {
  const folder = mkdtempSync(join(tmpdir(), "gimbal-bench-"));
  const stores = await open(folder);
  const waits: number[] = [];
  try {
    let waiting = 0;
    let resume = (): void => {};
    const settle = async (row: LedgerRow): Promise<void> => {
      const begun = performance.now();
      await stores.ledger.settle(row);
      waits.push(performance.now() - begun);
      if (--waiting === WINDOW / 2) resume();
    };
    const run = async (from: number, count: number): Promise<void> => {
      for (let at = from; at < from + count;) {
        for (let portion = 0; portion < perTurn && at < from + count; portion++, at++) {
          const row = makeRow(at);
          if (withOpen) {
            const { callId, startedAt, callerId, model, dialect } = row;
            stores.ledger.open({ callId, startedAt, callerId, model, dialect, inputEstimate: 250, node: "bench" });
          }
          waiting++;
          void settle(row);
        }
        await turn();
        // Sleeping, not spinning: waiting must not be counted as work.
        if (waiting > WINDOW) await new Promise<void>((resolve) => (resume = resolve));
      }
      await stores.ledger.flush();
    };
    await run(first, Math.ceil(rows / 5));
    const cpu = cpuMicroseconds();
    const started = performance.now();
    await run(first + rows, rows);
    const used = cpuMicroseconds() - cpu;
    const perSecond = Math.round(rows / ((performance.now() - started) / 1000));
    const p99 = waits.toSorted((a, b) => a - b)[Math.floor(waits.length * 0.99)] ?? Number.NaN;
    return { cpu: used / rows, perSecond, p99 };
  } finally {
    await stores.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function making(): number {
  for (let number = 0; number < rows; number++) makeRow(number);
  const cpu = cpuMicroseconds();
  let length = 0;
  for (let number = 0; number < rows; number++) length += makeRow(number).callId.length;
  return length > 0 ? (cpuMicroseconds() - cpu) / rows : 0;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

const makingCost = making();
for (const withOpen of [false, true]) {
  const results = [];
  for (let round = 0; round < ROUNDS; round++) results.push(await measure(withOpen, round * rows * 4));
  const cpu = median(results.map((result) => result.cpu)) - makingCost;
  process.stdout.write(
    `${engine}, ${withOpen ? "opened and settled" : "settled"}: ${cpu.toFixed(2)} µs CPU a row, ${median(results.map((result) => result.perSecond))} rows/s, acknowledged in ${median(results.map((result) => result.p99)).toFixed(1)} ms at the 99th percentile (${rows} rows, ${perTurn} a turn, median of ${ROUNDS})\n`,
  );
}
await server?.stop();

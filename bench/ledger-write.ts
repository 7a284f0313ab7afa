import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn, setTimeout as pause } from "node:timers/promises";
import { NO_USAGE, type LedgerRow } from "../src/canon/index.ts";
import { systemClock } from "../src/kit/index.ts";
import { type HostedStores, openPostgres, openSqlite } from "../src/stores/index.ts";
import { startPostgres } from "../test/support/postgres.ts";

/**
 * CPU microseconds of one ledger row, hand-over, sums for reports and all threads included, and how long it takes to be durable:
 * `node bench/ledger-write.ts [rows] [rows per turn] [engine]`. `engine`: sqlite (default) or postgres, which starts a server of its own;
 * what that server uses is its own, and not counted here.
 *
 * At a steady 10,000 rows a second, and at the rate the engine takes, where rows come in portions, one a turn of the event loop, as a
 * saturated gateway settles them. Making the rows, and waking up for them, is measured apart and taken off.
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
const STEADY_PER_SECOND = 10_000;
const STEADY_SECONDS = 2;
const STEADY_EVERY_MS = 4;

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

interface Figures {
  readonly cpu: number;
  readonly perSecond: number;
  readonly p99: number;
}

/** Hands rows over one by one. */
interface Sink {
  give(row: LedgerRow): void;
  /** Resolves when there is room for more. */
  room(): Promise<void> | undefined;
  flush(): Promise<void>;
}

function sinkOf(stores: HostedStores, withOpen: boolean, waits: number[]): Sink {
  let waiting = 0;
  let resume = (): void => {};
  const settle = async (row: LedgerRow): Promise<void> => {
    const begun = performance.now();
    await stores.ledger.settle(row);
    waits.push(performance.now() - begun);
    if (--waiting === WINDOW / 2) resume();
  };
  return {
    give(row) {
      if (withOpen) {
        const { callId, startedAt, callerId, model, dialect } = row;
        stores.ledger.open({ callId, startedAt, callerId, model, dialect, inputEstimate: 250, node: "bench" });
      }
      waiting++;
      void settle(row);
    },
    // Sleeping, not spinning: waiting must not be counted as work.
    room: () => (waiting > WINDOW ? new Promise((resolve) => (resume = resolve)) : undefined),
    flush: () => stores.ledger.flush(),
  };
}

async function saturate(sink: Sink, from: number, count: number): Promise<void> {
  for (let at = from; at < from + count;) {
    for (let portion = 0; portion < perTurn && at < from + count; portion++, at++) sink.give(makeRow(at));
    await turn();
    await sink.room();
  }
  await sink.flush();
}

/** As many as are due, every few milliseconds. */
async function steadily(sink: Sink, from: number, count: number): Promise<void> {
  const began = performance.now();
  for (let given = 0; given < count;) {
    await pause(STEADY_EVERY_MS);
    const due = Math.min(count, Math.floor(((performance.now() - began) / 1000) * STEADY_PER_SECOND));
    for (; given < due; given++) sink.give(makeRow(from + given));
  }
  await sink.flush();
}

type Load = typeof saturate;

/** A fresh record; a fifth of the rows warm it up. */
async function measure(load: Load, withOpen: boolean, first: number, count: number): Promise<Figures> {
  const folder = mkdtempSync(join(tmpdir(), "gimbal-bench-"));
  const stores = await open(folder);
  const waits: number[] = [];
  try {
    const sink = sinkOf(stores, withOpen, waits);
    await saturate(sink, first, Math.ceil(rows / 5));
    waits.length = 0;
    return await timed(() => load(sink, first + rows, count), count, waits);
  } finally {
    await stores.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function timed(work: () => Promise<void>, count: number, waits: readonly number[]): Promise<Figures> {
  const cpu = cpuMicroseconds();
  const started = performance.now();
  await work();
  const used = cpuMicroseconds() - cpu;
  const perSecond = Math.round(count / ((performance.now() - started) / 1000));
  const p99 = waits.toSorted((a, b) => a - b)[Math.floor(waits.length * 0.99)] ?? Number.NaN;
  return { cpu: used / count, perSecond, p99 };
}

/** What the load itself costs a row. */
async function costOf(load: Load, count: number): Promise<number> {
  let length = 0;
  const sink: Sink = { give: ({ callId }) => void (length += callId.length), room: () => undefined, flush: () => Promise.resolve() };
  await load(sink, 0, Math.ceil(rows / 5));
  const { cpu } = await timed(() => load(sink, 0, count), count, []);
  return length > 0 ? cpu : 0;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

async function report(name: string, load: Load, count: number): Promise<void> {
  const own = await costOf(load, count);
  for (const withOpen of [false, true]) {
    const results: Figures[] = [];
    for (let round = 0; round < ROUNDS; round++) results.push(await measure(load, withOpen, round * rows * 4, count));
    const of = (figure: keyof Figures): number => median(results.map((result) => result[figure]));
    process.stdout.write(
      `${engine}, ${withOpen ? "opened and settled" : "settled"}, ${name}: ${(of("cpu") - own).toFixed(2)} µs CPU a row, ${of("perSecond")} rows/s, acknowledged in ${of("p99").toFixed(1)} ms at the 99th percentile (${count} rows, median of ${ROUNDS})\n`,
    );
  }
}

await report("steady", steadily, STEADY_PER_SECOND * STEADY_SECONDS);
await report(`${perTurn} a turn`, saturate, rows);
await server?.stop();

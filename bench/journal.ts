import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Caller } from "../src/canon/index.ts";
import { Journal } from "../src/gateway/journal.ts";
import { LiveCalls } from "../src/gateway/live-calls.ts";
import { LiveCall } from "../src/gateway/live.ts";
import { systemClock } from "../src/kit/index.ts";
import { openSqlite } from "../src/stores/index.ts";

/**
 * What the journal costs a streamed chunk, in microseconds of CPU of the whole process (writer's thread included): many calls that speak
 * at once, with and without it. Time is not waited for: each round is what one spill takes. `node bench/journal.ts`
 */
const CALLS = 500;
const CHUNKS_PER_SPILL = 8;
const SPILLS_PER_CALL = 6;
const GENERATIONS = 12;
const CHUNK = Buffer.from(`data: ${"x".repeat(220)}\n\n`);
const LIMITS = { journalBytes: 1024 * 1024, journalTotalBytes: 16 * 1024 * 1024, journalMs: 600_000 };
const CALLER: Caller = { id: "key_1", scope: "key_1", name: "bench", scopes: {}, limits: [], anonymous: false };

async function run(folder: string, withJournal: boolean): Promise<number> {
  const clock = systemClock;
  const stores = await openSqlite({ folder, node: "bench", clock });
  const journal = new Journal({
    store: stores.journal,
    clock,
    node: "bench",
    limits: () => LIMITS,
    log: (line) => process.stderr.write(`${line}\n`),
    onKept: (call) => live.release(call),
  });
  const live = new LiveCalls(clock, () => LIMITS, withJournal ? journal : undefined);
  let cpu = process.cpuUsage();
  for (let generation = -1; generation < GENERATIONS; generation++) {
    if (generation === 0) cpu = process.cpuUsage();
    const calls = Array.from({ length: CALLS }, (_, place) => {
      const call = new LiveCall({ id: `call_${generation}_${place}`, clock, journalBytes: LIMITS.journalBytes });
      call.caller = CALLER;
      call.dialect = "bench";
      live.add(call);
      call.head(200, { "content-type": "text/event-stream", "x-gimbal-call-id": call.id });
      return call;
    });
    for (let spill = 0; spill < SPILLS_PER_CALL; spill++) {
      for (let chunk = 0; chunk < CHUNKS_PER_SPILL; chunk++) {
        for (const call of calls) {
          call.frame(CHUNK);
          call.flush();
        }
      }
      await journal.flush();
    }
    for (const call of calls) {
      call.end();
      live.finish(call);
    }
    await journal.flush();
  }
  const { user, system } = process.cpuUsage(cpu);
  await stores.close();
  return (user + system) / (GENERATIONS * CALLS * SPILLS_PER_CALL * CHUNKS_PER_SPILL);
}

const figures: Record<string, number[]> = { without: [], with: [] };
for (let round = 0; round < 3; round++) {
  for (const name of ["without", "with"]) {
    const folder = await mkdtemp(join(tmpdir(), "gimbal-bench-"));
    figures[name]?.push(await run(folder, name === "with"));
    await rm(folder, { recursive: true, force: true });
  }
}
const median = (values: readonly number[] = []): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
const [without, having] = [median(figures["without"]), median(figures["with"])];
process.stdout.write(
  `a chunk of ${CHUNK.length} bytes: ${without.toFixed(2)} µs without the journal, ${having.toFixed(2)} µs with it; the journal costs ${(having - without).toFixed(2)} µs (${CALLS} calls, ${CHUNKS_PER_SPILL} chunks each a spill)\n`,
);

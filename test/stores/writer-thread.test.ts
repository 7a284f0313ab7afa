import type { Worker } from "node:worker_threads";
import { describe, expect, it, onTestFinished } from "vitest";
import { ManualClock } from "../../src/kit/index.ts";
import { openSqlite } from "../../src/stores/index.ts";
import { DEFAULT_STORAGE } from "../../src/stores/options.ts";
import { temporaryFolder } from "./folders.ts";
import { keyRecord, ledgerRow, START } from "./rows.ts";

/** Every thread that is started until the test is over. */
function startedThreads(): Worker[] {
  const threads: Worker[] = [];
  const note = (thread: Worker): void => void threads.push(thread);
  process.on("worker", note);
  onTestFinished(() => void process.off("worker", note));
  return threads;
}

describe("the writer's thread", () => {
  it("that died is started again by the next write or read", async () => {
    const threads = startedThreads();
    const stores = await openSqlite({ folder: temporaryFolder(), node: "n", clock: new ManualClock(START) });
    await stores.ledger.settle(ledgerRow("call_1"));
    await threads[0]?.terminate();
    await stores.ledger.settle(ledgerRow("call_2"));
    await threads[1]?.terminate();
    expect(await stores.ledger.count()).toBe(2);
    expect(threads).toHaveLength(3);
    await stores.close();
  });

  it("that dies with a batch under way: rows are sent again and land once, others are rejected", async () => {
    const threads = startedThreads();
    const clock = new ManualClock(START);
    const failed = Promise.withResolvers<void>();
    const options = { ...DEFAULT_STORAGE, flushRows: 2 };
    const stores = await openSqlite({ folder: temporaryFolder(), node: "n", clock, options, onFailure: () => failed.resolve() });
    const row = stores.ledger.settle(ledgerRow("call_1"));
    const key = stores.keys.create(keyRecord("key_1"));
    const outcomes = Promise.allSettled([key]);
    await threads[0]?.terminate();
    expect(await outcomes).toMatchObject([
      { status: "rejected", reason: { message: expect.stringContaining("The writer's thread stopped") } },
    ]);
    await failed.promise;
    expect(stores.ledger.failure()).toContain("The writer's thread stopped");
    clock.advance(DEFAULT_STORAGE.retryMs);
    await row;
    expect(stores.ledger.failure()).toBeUndefined();
    expect(await stores.ledger.count()).toBe(1);
    await stores.close();
  });
});

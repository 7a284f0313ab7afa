import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NO_USAGE, REPORT_SUMS, type ReportQuery, type Stores } from "../../src/canon/index.ts";
import { systemClock } from "../../src/kit/index.ts";
import { openSqlite } from "../../src/stores/index.ts";
import { DayValues } from "../../src/stores/rollup.ts";
import { ledgerRow, START } from "./rows.ts";

const HOUR = START / 3_600_000;
const ALL: ReportQuery = { dimension: "all", by: [], where: {}, bounds: [HOUR, HOUR + 24], latency: false, lines: 10 };

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gimbal-rollups-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = (): Promise<Stores> => openSqlite({ folder, node: "node-a", clock: systemClock });

async function calls(stores: Stores): Promise<number> {
  const [line] = await stores.reports.lines(ALL);
  return line?.sums[REPORT_SUMS.indexOf("calls")] ?? 0;
}

function settle(stores: Stores, from: number, count: number): Promise<unknown> {
  return Promise.all(Array.from({ length: count }, (_, at) => stores.ledger.settle(ledgerRow(`call_${from + at}`))));
}

describe("sums over the ledger in SQLite", () => {
  it("count each row once over restarts, written or not", async () => {
    let stores = await open();
    await settle(stores, 0, 4200);
    await stores.close();
    stores = await open();
    expect(await calls(stores)).toBe(4200);
    await settle(stores, 4200, 4200);
    expect(await calls(stores)).toBe(8400);
    await stores.close();
    stores = await open();
    expect(await stores.reports.rollUp(false)).toEqual({ waiting: 0 });
    expect(await calls(stores)).toBe(8400);
    await stores.close();
  });

  it("count rows that come in again among new ones once, wherever they stand in a batch", async () => {
    const stores = await open();
    await settle(stores, 0, 40);
    // Some of a statement's rows are there, all of them, none; one comes twice within it.
    const again = [3, 40, 41, 42, 43, 44, 45, 46, 0, 1, 2, 3, 4, 5, 6, 7, 47, 48, 49, 50, 51, 52, 53, 54, 55, 55, 56, 57, 58, 59, 60, 39];
    await Promise.all(again.map((number) => stores.ledger.settle(ledgerRow(`call_${number}`))));
    expect(await stores.ledger.count()).toBe(61);
    expect(await calls(stores)).toBe(61);
    await stores.reports.rollUp(false);
    expect(await calls(stores)).toBe(61);
    await stores.close();
  });

  it("count the rows around one that the record refuses", async () => {
    const stores = await open();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 24 }, (_, at) =>
        stores.ledger.settle(ledgerRow(`call_${at}`, at === 11 ? { usage: { ...NO_USAGE, inputUncached: 1.5 } } : {})),
      ),
    );
    expect(outcomes.map(({ status }, at) => (status === "rejected" ? at : -1)).filter((at) => at >= 0)).toEqual([11]);
    expect(outcomes[11]).toMatchObject({ reason: { problem: { kind: "storage_unavailable" } } });
    expect(await stores.ledger.count()).toBe(23);
    expect(await calls(stores)).toBe(23);
    await stores.close();
  });

  it("cost no row when they cannot be written, and are made up for when they can", async () => {
    let stores = await open();
    await settle(stores, 0, 1);
    await stores.close();
    const path = join(folder, "record.db");
    const breaking = new DatabaseSync(path);
    breaking.exec("CREATE TRIGGER broken BEFORE INSERT ON rollup_cells BEGIN SELECT RAISE(ABORT, 'broken on purpose'); END");
    breaking.close();
    stores = await open();
    await settle(stores, 1, 8500);
    expect(await stores.ledger.count()).toBe(8501);
    expect((await stores.reports.rollUp(false)).failure).toContain("broken on purpose");
    expect(await calls(stores)).toBe(8501);
    await stores.close();
    const mending = new DatabaseSync(path);
    mending.exec("DROP TRIGGER broken");
    mending.close();
    stores = await open();
    for (let left = 1; left > 0;) left = (await stores.reports.rollUp(false)).waiting;
    expect(await calls(stores)).toBe(8501);
    await stores.close();
  });

  it("say so while too many rows wait", async () => {
    const stores = await open();
    await settle(stores, 0, 4000);
    for (let at = 4000; at < 20_100; at += 4000) await settle(stores, at, Math.min(4000, 20_100 - at));
    expect(await stores.reports.rollUp(true)).toEqual({ waiting: 20_100 });
    await expect(stores.reports.lines(ALL)).rejects.toMatchObject({ problem: { kind: "overloaded" } });
    await stores.reports.rollUp(false);
    expect(await calls(stores)).toBe(20_100);
    await stores.close();
  });
});

describe("values of a day", () => {
  it("are bounded, with those that are known already", () => {
    const values = new DayValues((dimension, day) => (dimension === "agent" && day === 1 ? ["a", "b"] : []));
    const bound = (hour: number, value: string): string => values.bound(3, "agent", hour, value);
    expect(["c", "a", "d", "c"].map((value) => bound(30, value))).toEqual(["c", "a", "other", "c"]);
    expect(bound(50, "d")).toBe("d");
  });
});

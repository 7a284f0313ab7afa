import { describe, expect, it } from "vitest";
import type { LedgerPageQuery, LedgerStore, PricedRow, RepricingRun, Stores } from "../../src/canon/index.ts";
import { ledgerRow, START } from "../stores/rows.ts";

const DAY_MS = 86_400_000;

async function allPages(ledger: LedgerStore, query: Omit<LedgerPageQuery, "after"> = {}): Promise<readonly PricedRow[]> {
  const rows: PricedRow[] = [];
  for (let after: number | undefined = 0; after !== undefined;) {
    const page = await ledger.page({ ...query, after });
    rows.push(...page.rows);
    after = page.next;
  }
  return rows;
}

const run = (id: string, entries: RepricingRun["entries"]): RepricingRun => ({ id, at: START + 5, priceVersion: `prices-${id}`, entries });

/** What every `LedgerStore` promises of rows whose cost is derived anew. */
export function repricingContract(name: string, open: () => Promise<Stores>): void {
  const withLedger = (use: (ledger: LedgerStore) => Promise<void>) => async (): Promise<void> => {
    const stores = await open();
    try {
      await use(stores.ledger);
    } finally {
      await stores.close();
    }
  };
  const ids = (rows: readonly PricedRow[]): string[] => rows.map(({ row }) => row.callId);

  describe(`${name}: repricing`, () => {
    it(
      "gives every row page by page, oldest first, of a time and a model",
      withLedger(async (ledger) => {
        const count = 1203;
        await Promise.all(
          Array.from({ length: count }, (_, at) =>
            ledger.settle(ledgerRow(`call_${at}`, { startedAt: START + at, model: at % 2 ? "odd" : "even", target: `lab/${at % 3}` })),
          ),
        );
        const rows = await allPages(ledger);
        expect(ids(rows)).toEqual(Array.from({ length: count }, (_, at) => `call_${at}`));
        expect(rows[7]).toEqual({ row: await ledger.read("call_7") });
        expect(ids(await allPages(ledger, { since: START + 3, until: START + 6 }))).toEqual(["call_3", "call_4", "call_5"]);
        expect(await allPages(ledger, { model: "odd" })).toHaveLength(601);
        expect(await allPages(ledger, { model: "lab/0" })).toHaveLength(401);
        expect(await allPages(ledger, { model: "nobody" })).toEqual([]);
      }),
    );

    it(
      "finds rows of a time also behind one that was interrupted long before",
      withLedger(async (ledger) => {
        const days = [0, 1, 2, 3, 4, 5, 6, 7];
        for (const day of days) {
          await ledger.settle(ledgerRow(`call_${day}`, { startedAt: START + day * DAY_MS }));
          await ledger.settle(ledgerRow(`left_${day}`, { startedAt: START - 90 * DAY_MS, state: "interrupted" }));
        }
        expect(ids(await allPages(ledger, { since: START + 4 * DAY_MS }))).toEqual(["call_4", "call_5", "call_6", "call_7"]);
        expect(ids(await allPages(ledger, { since: START + 9 * DAY_MS }))).toEqual([]);
      }),
    );

    it(
      "keeps every figure beside the row, which stays as it was",
      withLedger(async (ledger) => {
        const row = ledgerRow("call_1", { costNanodollars: 10 });
        await ledger.settle(row);
        await ledger.settle(ledgerRow("call_2"));
        await ledger.reprice(run("a", [{ callId: "call_1", costNanodollars: 20, previousNanodollars: 10, previousVersion: "prices-1" }]));
        await ledger.reprice(run("b", [{ callId: "call_1", previousNanodollars: 20, previousVersion: "prices-a" }]));
        expect(await ledger.read("call_1")).toEqual(row);
        expect(await ledger.repricings("call_1")).toEqual([
          {
            callId: "call_1",
            runId: "a",
            at: START + 5,
            priceVersion: "prices-a",
            costNanodollars: 20,
            previousNanodollars: 10,
            previousVersion: "prices-1",
          },
          { callId: "call_1", runId: "b", at: START + 5, priceVersion: "prices-b", previousNanodollars: 20, previousVersion: "prices-a" },
        ]);
        expect(await ledger.repricings("call_2")).toEqual([]);
        expect((await allPages(ledger)).map(({ repriced }) => repriced)).toEqual([{ priceVersion: "prices-b" }, undefined]);
      }),
    );

    it(
      "does the same run once",
      withLedger(async (ledger) => {
        await ledger.settle(ledgerRow("call_1", { costNanodollars: 10 }));
        const entries = Array.from({ length: 1100 }, (_, at) => ({
          callId: `call_${at}`,
          costNanodollars: at,
          previousVersion: "prices-1",
        }));
        await ledger.reprice(run("a", entries));
        await ledger.reprice(run("a", entries));
        await ledger.reprice(run("c", []));
        expect(await ledger.repricings("call_1099")).toHaveLength(1);
        expect((await allPages(ledger)).map(({ repriced }) => repriced?.costNanodollars)).toEqual([1]);
      }),
    );
  });
}

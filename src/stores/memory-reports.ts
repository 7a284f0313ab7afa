import type { LedgerRow, LedgerStore, Repricing, ReportStore } from "../canon/index.ts";
import { rowToValues } from "./ledger-values.ts";
import { DayValues, Tally } from "./rollup.ts";
import { Lines } from "./rollup-lines.ts";

/** Adds everything up anew for each report: for tests. */
export function memoryReports(ledger: Pick<LedgerStore, "page" | "repricings">): ReportStore {
  let metadata: readonly string[] = [];
  let values = 1000;

  async function tally(): Promise<Tally> {
    const sums = new Tally(metadata);
    for (let after: number | undefined = 0; after !== undefined;) {
      const page = await ledger.page({ after });
      for (const { row } of page.rows) addAll(sums, row, await ledger.repricings(row.callId));
      after = page.next;
    }
    return sums;
  }

  return {
    follow: async (followed, most) => {
      metadata = [...followed];
      values = most;
    },
    async lines(query) {
      const known = new DayValues(() => []);
      const lines = new Lines(query);
      lines.add((await tally()).taken((dimension, hour, value) => known.bound(values, dimension, hour, value)));
      return lines.lines();
    },
    rollUp: async () => ({ waiting: 0 }),
  };
}

function addAll(sums: Tally, row: LedgerRow, repricings: readonly Repricing[]): void {
  const columns = rowToValues(row);
  sums.addRow(columns);
  let before = row.costNanodollars ?? null;
  for (const { costNanodollars = null } of repricings) {
    sums.addRepricing(columns, before, costNanodollars);
    before = costNanodollars;
  }
}

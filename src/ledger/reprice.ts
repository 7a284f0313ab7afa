import type { LedgerPageQuery, LedgerStore, PricedRow, RepricingRun } from "../canon/index.ts";
import { priceRow, type PriceBook } from "./cost.ts";

/** Sums over calls whose cost is known, in nanodollars as text because they may pass what a number counts, and the calls without. */
export interface CostSum {
  readonly nanodollars: string;
  readonly unknown: number;
}

/** What a repricing did, or would do. */
export interface RepriceTotals {
  readonly rows: number;
  /** Rows whose figure is another one now. */
  readonly changed: number;
  readonly before: CostSum;
  readonly after: CostSum;
}

export interface RepricePage {
  readonly totals: RepriceTotals;
  /** For the page after this one; undefined: there is none. */
  readonly next: number | undefined;
}

export const NO_TOTALS: RepriceTotals = {
  rows: 0,
  changed: 0,
  before: { nanodollars: "0", unknown: 0 },
  after: { nanodollars: "0", unknown: 0 },
};

/**
 * Derives the cost of one page of rows anew: from their tokens, targets and times, and a price book. What comes out differently is appended
 * beside the rows, with the figure that held before and its price version.
 * @param run undefined: nothing is written
 */
export async function repricePage(
  store: Pick<LedgerStore, "page" | "reprice">,
  book: PriceBook & { readonly version: string },
  query: LedgerPageQuery,
  run: Pick<RepricingRun, "id" | "at"> | undefined,
): Promise<RepricePage> {
  const { rows, next } = await store.page(query);
  const priced = rows.map((one) => ({ one, before: costInForce(one), after: priceRow(book, one.row) }));
  const changed = priced.filter(({ before, after }) => before !== after);
  if (run && changed.length > 0) {
    const entries = changed.map(({ one, before, after }) => ({
      callId: one.row.callId,
      costNanodollars: after,
      previousNanodollars: before,
      previousVersion: one.repriced?.priceVersion ?? one.row.priceVersion,
    }));
    await store.reprice({ ...run, priceVersion: book.version, entries });
  }
  const totals = {
    rows: rows.length,
    changed: changed.length,
    before: sumOf(priced.map(({ before }) => before)),
    after: sumOf(priced.map(({ after }) => after)),
  };
  return { totals, next };
}

/** What a row's call costs today: by its newest repricing, else as it was settled. */
export function costInForce({ row, repriced }: PricedRow): number | undefined {
  return repriced ? repriced.costNanodollars : row.costNanodollars;
}

export function addTotals(a: RepriceTotals, b: RepriceTotals): RepriceTotals {
  return { rows: a.rows + b.rows, changed: a.changed + b.changed, before: addSums(a.before, b.before), after: addSums(a.after, b.after) };
}

function sumOf(costs: readonly (number | undefined)[]): CostSum {
  let sum = 0n;
  let unknown = 0;
  for (const cost of costs) {
    if (cost === undefined) unknown++;
    else sum += BigInt(cost);
  }
  return { nanodollars: String(sum), unknown };
}

function addSums(a: CostSum, b: CostSum): CostSum {
  return { nanodollars: String(BigInt(a.nanodollars) + BigInt(b.nanodollars)), unknown: a.unknown + b.unknown };
}

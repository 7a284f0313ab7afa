import type { LedgerRow, PricedRow, Repricing } from "../canon/index.ts";

/** No call takes longer from its admission to its row: by this much a search by time begins early. */
export const LONGEST_CALL_MS = 86_400_000;

export interface RepricingColumns {
  readonly call_id: string;
  readonly run_id: string;
  readonly at: number;
  readonly price_version: string;
  readonly cost_nanodollars: number | null;
  readonly previous_nanodollars: number | null;
  readonly previous_version: string;
}

export function repricingFrom(columns: RepricingColumns): Repricing {
  const { cost_nanodollars: cost, previous_nanodollars: previous } = columns;
  return {
    callId: columns.call_id,
    runId: columns.run_id,
    at: columns.at,
    priceVersion: columns.price_version,
    ...(cost !== null && { costNanodollars: cost }),
    ...(previous !== null && { previousNanodollars: previous }),
    previousVersion: columns.previous_version,
  };
}

/** `columns`: `repriced_call`, `repriced_cost` and `repriced_version` beside the row's own. */
export function pricedRowFrom(row: LedgerRow, columns: Readonly<Record<string, unknown>>): PricedRow {
  if (columns["repriced_call"] === null) return { row };
  const cost = columns["repriced_cost"] as number | null;
  return { row, repriced: { priceVersion: columns["repriced_version"] as string, ...(cost !== null && { costNanodollars: cost }) } };
}

import type { LedgerRow } from "./ledger.ts";

/** What a row's call cost by another price book, appended beside the row: the row itself never changes. */
export interface Repricing {
  readonly callId: string;
  /** All that were made together. */
  readonly runId: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly priceVersion: string;
  /** Absent: the price is unknown. */
  readonly costNanodollars?: number | undefined;
  /** What held before, and by which prices. */
  readonly previousNanodollars?: number | undefined;
  readonly previousVersion: string;
}

export interface RepricingRun {
  readonly id: string;
  readonly at: number;
  readonly priceVersion: string;
  readonly entries: readonly Pick<Repricing, "callId" | "costNanodollars" | "previousNanodollars" | "previousVersion">[];
}

/** A row and the newest repricing of it. */
export interface PricedRow {
  readonly row: LedgerRow;
  readonly repriced?: Pick<Repricing, "costNanodollars" | "priceVersion"> | undefined;
}

export interface LedgerPageQuery {
  /** `next` of the page before; 0 for the first. */
  readonly after: number;
  /** Rows begun then or later, and before then; milliseconds since 1970. */
  readonly since?: number | undefined;
  readonly until?: number | undefined;
  /** As callers named it, or the `provider/model` that answered. */
  readonly model?: string | undefined;
}

/** Some rows, oldest first. A page may be empty and not be the last. */
export interface LedgerPage {
  readonly rows: readonly PricedRow[];
  /** Undefined: it was the last. */
  readonly next: number | undefined;
}

import type { LedgerPageQuery, LedgerRow, LedgerStore } from "../canon/index.ts";

/** A call whose provider says another price than our book. Nanodollars. */
export interface CostDifference {
  readonly callId: string;
  readonly startedAt: number;
  /** `provider/model` that answered. */
  readonly target: string;
  readonly reportedNanodollars: number;
  /** Absent: our book has no price. */
  readonly ownNanodollars?: number;
  /** What the provider says more (or, below 0, less) than we, in percent of ours; absent where ours is 0 or unknown. */
  readonly percent?: number;
  readonly priceVersion: string;
}

export interface DifferencesPage {
  readonly differences: readonly CostDifference[];
  /** Rows whose provider said a price. */
  readonly compared: number;
  readonly next: number | undefined;
}

const HUNDRED = 100;
const SHOWN_DIGITS = 4;

/** Of one page of rows those where both prices lie apart by more than so many percent of ours, or where we have none. */
export async function differencesPage(
  store: Pick<LedgerStore, "page">,
  query: LedgerPageQuery,
  thresholdPercent: number,
): Promise<DifferencesPage> {
  const { rows, next } = await store.page(query);
  const compared = rows.filter(({ row }) => row.reported);
  const differences = compared.flatMap(({ row }) => {
    const difference = differenceOf(row);
    return difference && isApart(difference, thresholdPercent) ? [difference] : [];
  });
  return { differences, compared: compared.length, next };
}

function differenceOf(row: LedgerRow): CostDifference | undefined {
  if (!row.reported) return undefined;
  const { nanodollars: reportedNanodollars, ownNanodollars } = row.reported;
  return {
    callId: row.callId,
    startedAt: row.startedAt,
    target: row.target ?? "-",
    reportedNanodollars,
    ...(ownNanodollars !== undefined && { ownNanodollars }),
    ...(ownNanodollars && {
      percent: Number((((reportedNanodollars - ownNanodollars) * HUNDRED) / ownNanodollars).toPrecision(SHOWN_DIGITS)),
    }),
    priceVersion: row.priceVersion,
  };
}

function isApart({ reportedNanodollars, ownNanodollars }: CostDifference, thresholdPercent: number): boolean {
  if (ownNanodollars === undefined) return true;
  const apart = Math.abs(reportedNanodollars - ownNanodollars);
  return apart > 0 && apart * HUNDRED > thresholdPercent * ownNanodollars;
}

import { formatDollars, type ReportStore } from "../../canon/index.ts";
import { spendReport } from "./spend.ts";
import { dayOf } from "./zones.ts";

/** The least that a line can be laid through with an error. */
export const LEAST_DAYS = 3;

export interface Forecast {
  /** Days that were looked at, all of them over. */
  readonly basedOnDays: number;
  readonly days: number;
  /** What the days to come cost together, and the same per day with what it grows by. */
  readonly usd: string;
  readonly firstDayUsd: string;
  readonly growthPerDayUsd: string;
  /** How far the sum may be off, by how far the days looked at are off the line: one standard error. */
  readonly errorUsd: string;
}

/**
 * What the `days` from today on will cost: the straight line of least squares through the last `basedOn` whole days, never below zero. The
 * error is the standard error of the sum of predictions (residuals and the line's own uncertainty; Draper & Smith, Applied Regression
 * Analysis, ch. 1): it knows nothing of weekends, launches or prices.
 */
export async function forecast(
  store: Pick<ReportStore, "lines">,
  {
    now,
    timeZone,
    basedOn,
    days,
    where = {},
  }: { now: number; timeZone: string; basedOn: number; days: number; where?: Readonly<Record<string, string>> },
): Promise<Forecast> {
  const until = dayOf(now, timeZone);
  const { lines } = await spendReport(store, { by: ["day"], from: dayOf(now, timeZone, -basedOn), until, timeZone, where });
  const byDay = new Map(lines.map(({ labels, sums }) => [labels["day"], sums.costNanodollars]));
  const names = Array.from({ length: basedOn }, (_, at) => dayName(dayOf(now, timeZone, at - basedOn), timeZone));
  return extrapolate(
    names.map((name) => byDay.get(name) ?? 0),
    days,
  );
}

function dayName(at: number, timeZone: string): string {
  return new Intl.DateTimeFormat("en-CA", { timeZone, year: "numeric", month: "2-digit", day: "2-digit" }).format(at);
}

/** @param costs of one day after the other, in nanodollars; at least LEAST_DAYS */
export function extrapolate(costs: readonly number[], days: number): Forecast {
  const count = costs.length;
  const middle = (count - 1) / 2;
  const mean = costs.reduce((sum, cost) => sum + cost, 0) / count;
  const spread = costs.reduce((sum, _, at) => sum + (at - middle) ** 2, 0);
  const slope = costs.reduce((sum, cost, at) => sum + (at - middle) * (cost - mean), 0) / spread;
  const at = (day: number): number => mean + slope * (day - middle);
  const variance = costs.reduce((sum, cost, day) => sum + (cost - at(day)) ** 2, 0) / (count - 2);
  const coming = Array.from({ length: days }, (_, day) => count + day);
  const far = coming.reduce((sum, day) => sum + (day - middle), 0);
  // Of a sum of predictions: each day's own scatter, and the line's uncertainty, which they share.
  const error = Math.sqrt(variance * (days + days ** 2 / count + far ** 2 / spread));
  const usd = (nanodollars: number): string => formatDollars(BigInt(Math.round(nanodollars)));
  return {
    basedOnDays: count,
    days,
    usd: usd(coming.reduce((sum, day) => sum + Math.max(0, at(day)), 0)),
    firstDayUsd: usd(Math.max(0, at(count))),
    growthPerDayUsd: usd(slope),
    errorUsd: usd(error),
  };
}

import { dayBegins, dayOf, isTimeZone } from "./zones.ts";
import { ReportError, type SpendQuery } from "./spend.ts";

const MS_PER_HOUR = 3_600_000;
const DEFAULT_DAYS = 30;
const MOST_YEARS = 5;
const MS_PER_YEAR = 366 * 86_400_000;
const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** A time as people write it: a day, which counts whole in its time zone, or a moment (ISO 8601, or milliseconds since 1970). */
export interface AskedTime {
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly timeZone: string;
}

/**
 * What is meant: from the beginning of the day 29 days ago, and to the end of today, where nothing is said; widened to full hours, which is what sums are kept by.
 * @throws ReportError
 */
export function timeOf({ from, to, timeZone }: AskedTime, now: number): Pick<SpendQuery, "from" | "until" | "timeZone"> {
  if (!isTimeZone(timeZone)) throw new ReportError(`"${timeZone}" is no time zone; one is written as Europe/Berlin.`);
  const begin = from === undefined ? dayOf(now, timeZone, 1 - DEFAULT_DAYS) : momentOf("from", from, timeZone, 0);
  const end = to === undefined ? dayOf(now, timeZone, 1) : momentOf("to", to, timeZone, 1);
  const rounded = { from: Math.floor(begin / MS_PER_HOUR) * MS_PER_HOUR, until: Math.ceil(end / MS_PER_HOUR) * MS_PER_HOUR, timeZone };
  if (rounded.until <= rounded.from) throw new ReportError("The time ends before it begins: see from and to.");
  if (rounded.until - rounded.from > MOST_YEARS * MS_PER_YEAR) throw new ReportError(`A report is of ${MOST_YEARS} years at most.`);
  return rounded;
}

function momentOf(name: string, text: string, timeZone: string, days: 0 | 1): number {
  const at = DAY.test(text) ? Date.parse(text) : /^\d+$/.test(text) ? Number(text) : Date.parse(text);
  if (!Number.isSafeInteger(at) || at < 0 || at > Date.UTC(9999, 0))
    throw new ReportError(`${name} is a day such as 2026-01-31 or a time such as 2026-01-31T22:00Z, not "${text}".`);
  if (!DAY.test(text)) return at;
  const begins = dayBegins(text, timeZone);
  return days === 0 ? begins : dayOf(begins, timeZone, days);
}

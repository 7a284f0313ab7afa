import { dayBegins, dayOf, isTimeZone } from "../reports/zones.ts";
import { ReportError } from "../reports/index.ts";

const DAY = /^\d{4}-\d{2}-\d{2}$/;
const WHOLE = /^\d{1,15}$/;

export interface AskedRange {
  /** A day, which counts whole in its time zone, or a time (ISO 8601, or milliseconds since 1970). */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly timeZone?: string | undefined;
}

/** From the first row to those begun before now, where nothing is said: an export must end though calls go on. @throws ReportError */
export function exportRange({ from, to, timeZone = "UTC" }: AskedRange, now: number): { readonly since: number; readonly until: number } {
  if (!isTimeZone(timeZone)) throw new ReportError(`"${timeZone}" is no time zone; one is written as Europe/Berlin.`);
  const since = from === undefined ? 0 : momentOf("from", from, timeZone, 0);
  const until = to === undefined ? now : momentOf("to", to, timeZone, 1);
  if (until <= since) throw new ReportError("The time ends before it begins: see from and to.");
  return { since, until };
}

function momentOf(name: string, text: string, timeZone: string, days: 0 | 1): number {
  const at = WHOLE.test(text) ? Number(text) : Date.parse(text);
  if (!Number.isSafeInteger(at) || at < 0 || at > Date.UTC(9999, 0))
    throw new ReportError(`${name} is a day such as 2026-01-31 or a time such as 2026-01-31T22:00Z, not "${text}".`);
  if (!DAY.test(text)) return at;
  const begins = dayBegins(text, timeZone);
  return days === 0 ? begins : dayOf(begins, timeZone, days);
}

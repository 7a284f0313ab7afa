import type { Period } from "../../canon/index.ts";

/** Milliseconds since 1970; `ends` is the first that is not in it. */
export interface Window {
  readonly begins: number;
  readonly ends: number;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const WEEK_DAYS = 7;
/** 1970 began on a Thursday; weeks begin on Monday. */
const FIRST_WEEKDAY = 3;
/** The end of what never ends: a safe integer, and later than any clock. */
export const NEVER = 8_640_000_000_000_000;

const LIFETIME: Window = { begins: 0, ends: NEVER };

/** The window of the calendar that holds `now`, in a time zone's local time. Days there may have 23 or 25 hours. */
export function windowOf(per: Period, timeZone: string, now: number): Window {
  switch (per) {
    case "lifetime":
      return LIFETIME;
    case "minute":
      return elapsing(now - modulo(now, MINUTE_MS), MINUTE_MS);
    case "hour": {
      // Of the local clock, which in some zones is half an hour off; an hour that comes twice is two.
      const local = now + offsetAt(timeZone, now);
      return elapsing(now - modulo(local, HOUR_MS), HOUR_MS);
    }
    case "day": {
      const day = localDay(timeZone, now);
      return { begins: midnight(timeZone, day), ends: midnight(timeZone, day + 1) };
    }
    case "week": {
      const day = localDay(timeZone, now);
      const monday = day - modulo(day + FIRST_WEEKDAY, WEEK_DAYS);
      return { begins: midnight(timeZone, monday), ends: midnight(timeZone, monday + WEEK_DAYS) };
    }
    case "month": {
      const local = new Date(localDay(timeZone, now) * DAY_MS);
      const month = (ahead: number): number => Date.UTC(local.getUTCFullYear(), local.getUTCMonth() + ahead, 1) / DAY_MS;
      return { begins: midnight(timeZone, month(0)), ends: midnight(timeZone, month(1)) };
    }
  }
}

/** Is it a name that the platform knows? */
export function isTimeZone(name: string): boolean {
  try {
    formatterOf(name);
    return true;
  } catch {
    return false;
  }
}

function elapsing(begins: number, ms: number): Window {
  return { begins, ends: begins + ms };
}

/** Days since 1970 on the local calendar. */
function localDay(timeZone: string, now: number): number {
  return Math.floor((now + offsetAt(timeZone, now)) / DAY_MS);
}

/** The first moment of a local day. Where the clock jumps over midnight, the moment of the jump. */
function midnight(timeZone: string, day: number): number {
  const wanted = day * DAY_MS;
  let moment = wanted - offsetAt(timeZone, wanted);
  moment = wanted - offsetAt(timeZone, moment);
  if (localDay(timeZone, moment) < day) return firstOf(timeZone, day, moment);
  // Midnight may come twice: the first one begins the day.
  const before = moment - HOUR_MS;
  return localDay(timeZone, before) === day && moment - before <= HOUR_MS ? firstOf(timeZone, day, before - DAY_MS / 2) : moment;
}

/** Searches for the first moment of the day after one that is not in it. */
function firstOf(timeZone: string, day: number, before: number): number {
  let out = before;
  let within = before + DAY_MS;
  while (within - out > 1) {
    const middle = Math.floor((out + within) / 2);
    if (localDay(timeZone, middle) < day) out = middle;
    else within = middle;
  }
  return within;
}

/** Milliseconds by which the local clock is ahead of UTC. */
function offsetAt(timeZone: string, now: number): number {
  if (timeZone === "UTC") return 0;
  const parts: Record<string, number> = {};
  for (const { type, value } of formatterOf(timeZone).formatToParts(now)) parts[type] = Number(value);
  const { year = 1970, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second) - (now - modulo(now, 1000));
}

const formatters = new Map<string, Intl.DateTimeFormat>();

function formatterOf(timeZone: string): Intl.DateTimeFormat {
  const known = formatters.get(timeZone);
  if (known) return known;
  const made = new Intl.DateTimeFormat("en-US", {
    timeZone,
    calendar: "gregory",
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  formatters.set(timeZone, made);
  return made;
}

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by;
}

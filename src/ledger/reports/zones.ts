/** Spans of the calendar in a time zone, as hours since 1970: what sums over the ledger are kept by. */
const MS_PER_HOUR = 3_600_000;
const HOURS_PER_DAY = 24;

export type Span = "hour" | "day" | "month";

export interface Spans {
  /** Their beginnings, rising, and the end of the last; hours since 1970. */
  readonly bounds: readonly number[];
  /** `2026-01-31`, `2026-01-31T13:00`, `2026-01`; in the time zone. */
  readonly names: readonly string[];
}

/** Why a report cannot be made by the hours that are kept. */
export class ZoneError extends Error {}

export function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

/** What a clock on the wall shows, as milliseconds since 1970 would if it stood in UTC. */
function wallClock(timeZone: string): (at: number) => number {
  if (timeZone === "UTC") return (at) => at;
  const format = new Intl.DateTimeFormat("en", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  // The same moments are asked for two or three times, and reading a clock takes 4 µs.
  const shown = new Map<number, number>();
  const read = (at: number): number => {
    const part = new Map(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]));
    const of = (type: Intl.DateTimeFormatPartTypes): number => part.get(type) ?? 0;
    return Date.UTC(of("year"), of("month") - 1, of("day"), of("hour"), of("minute"), of("second"));
  };
  return (at) => {
    let wall = shown.get(at);
    if (wall === undefined) shown.set(at, (wall = read(at)));
    return wall;
  };
}

/** When the day that begins at `wall` on the clocks of a zone begins. Two looks, because the first may use the offset of another season. */
function begins(wall: number, clock: (at: number) => number): number {
  let at = wall;
  for (let looks = 0; looks < 2; looks++) at = wall - (clock(at) - at);
  // Where the clock is put forward over midnight, the day begins with its first hour.
  return clock(at) < wall ? at + MS_PER_HOUR : at;
}

/** The beginning of the day that a text such as 2026-01-31 names; milliseconds since 1970. */
export function dayBegins(day: string, timeZone: string): number {
  return begins(Date.parse(`${day}T00:00:00Z`), wallClock(timeZone));
}

/** The beginning of the day in which a moment lies, or of one `days` later. */
export function dayOf(at: number, timeZone: string, days = 0): number {
  const clock = wallClock(timeZone);
  const wall = clock(at);
  return begins(wall - mod(wall, HOURS_PER_DAY * MS_PER_HOUR) + days * HOURS_PER_DAY * MS_PER_HOUR, clock);
}

/**
 * The spans from `from` to `until` (milliseconds since 1970; both at a full hour); the first and the last may be shorter than the others.
 * @param span undefined: all in one
 * @throws ZoneError
 */
export function spansOf(from: number, until: number, span: Span | undefined, timeZone: string): Spans {
  const clock = wallClock(timeZone);
  const times = span === undefined ? [from] : [...beginnings(from, until, span, clock)];
  if ([...times, until].some((at) => at % MS_PER_HOUR !== 0))
    throw new ZoneError(`Days in ${timeZone} do not begin with a full hour of UTC, and sums are kept by those. Ask for another time zone.`);
  return {
    bounds: [...times, until].map((at) => at / MS_PER_HOUR),
    names: span === undefined ? [""] : times.map((at) => nameOf(clock(at), span)),
  };
}

function* beginnings(from: number, until: number, span: Span, clock: (at: number) => number): Generator<number> {
  yield from;
  if (span === "hour") {
    for (let at = from + MS_PER_HOUR; at < until; at += MS_PER_HOUR) yield at;
    return;
  }
  const first = new Date(clock(from));
  for (let step = 1; ; step++) {
    const wall =
      span === "day"
        ? Date.UTC(first.getUTCFullYear(), first.getUTCMonth(), first.getUTCDate() + step)
        : Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + step, 1);
    const at = begins(wall, clock);
    if (at >= until) return;
    yield at;
  }
}

function nameOf(wall: number, span: Span): string {
  const text = new Date(wall).toISOString();
  if (span === "hour") return `${text.slice(0, 13)}:00`;
  return text.slice(0, span === "day" ? 10 : 7);
}

function mod(value: number, by: number): number {
  return ((value % by) + by) % by;
}

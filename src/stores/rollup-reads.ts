import type { ReportQuery } from "../canon/index.ts";
import { HOURS_PER_DAY } from "./rollup.ts";

/** Cells are kept by hour and by day (UTC). */
export const HOURLY = 0;
export const DAILY = 1;

/** Whose cells of one level are read, by their hours. */
export interface CellRead {
  readonly level: typeof HOURLY | typeof DAILY;
  /** All of these hours; `until` is none of them. */
  readonly from: number;
  readonly until: number;
  /** Only these of them. */
  readonly only?: readonly number[];
  /** To which span a cell is added, and from which it is taken away; -1: none. */
  add(hour: number): number;
  take(hour: number): number;
}

const none = (): number => -1;

/**
 * The fewest cells that add up to the spans of a query. A day of UTC in which one span ends and the next begins, as everywhere but in
 * UTC, is read whole for the span that has more of it; the hours of the other are read too, and moved. Sums and counts are whole numbers,
 * so taking away is exact.
 */
export function cellReads({ bounds }: Pick<ReportQuery, "bounds">): readonly CellRead[] {
  const spanOf = spanFinder(bounds);
  const from = bounds[0] ?? 0;
  const until = bounds.at(-1) ?? 0;
  const owners = new Map<number, number>();
  const moved = new Map<number, number>();
  for (const [day, cuts] of cutsByDay(bounds)) ownerOf(day, cuts, spanOf, owners, moved);
  if (moved.size > (until - from) / 2) return [{ level: HOURLY, from, until, add: spanOf, take: none }];
  const days = { from: dayOf(from), until: dayOf(until - 1) + HOURS_PER_DAY };
  const whole: CellRead = { ...days, level: DAILY, add: (day) => owners.get(day) ?? spanOf(day), take: none };
  if (moved.size === 0) return [whole];
  return [whole, { ...days, level: HOURLY, only: [...moved.keys()], add: spanOf, take: (hour) => moved.get(hour) ?? -1 }];
}

/** Who has a day that is cut, and which of its hours are another's. */
function ownerOf(
  day: number,
  cuts: readonly number[],
  spanOf: (hour: number) => number,
  owners: Map<number, number>,
  moved: Map<number, number>,
): void {
  const [at = day] = cuts;
  const after = day + HOURS_PER_DAY - at;
  // Of a day that is cut more than once nobody has most.
  const owner = cuts.length > 1 ? -1 : at - day > after ? spanOf(at - 1) : spanOf(at);
  owners.set(day, owner);
  for (let hour = day; hour < day + HOURS_PER_DAY; hour++) {
    const span = spanOf(hour);
    if (span !== owner) moved.set(hour, owner);
  }
}

/** The bounds within a day of UTC that do not begin it. */
function cutsByDay(bounds: readonly number[]): ReadonlyMap<number, readonly number[]> {
  return Map.groupBy(
    bounds.filter((bound) => bound !== dayOf(bound)),
    dayOf,
  );
}

function dayOf(hour: number): number {
  return hour - (hour % HOURS_PER_DAY);
}

/** In which span an hour lies; -1: in none. */
export function spanFinder(bounds: readonly number[]): (hour: number) => number {
  return (hour) => {
    let low = 0;
    let high = bounds.length - 1;
    if (hour < (bounds[0] ?? 0) || hour >= (bounds[high] ?? 0)) return -1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (hour < (bounds[middle] ?? 0)) high = middle;
      else low = middle;
    }
    return low;
  };
}

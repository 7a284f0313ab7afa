import type { BatchesOptions } from "./options.ts";

const MINUTE_MS = 60_000;
const MINUTES_A_DAY = 1440;

/** Milliseconds until calls of batches may be made; 0 within the window, or without one. */
export function untilOpen(window: BatchesOptions["window"], now: number): number {
  if (!window) return 0;
  const at = minuteOfDay(now, window.zone);
  const [from, to] = [minutes(window.from), minutes(window.to)];
  const length = (to - from + MINUTES_A_DAY) % MINUTES_A_DAY || MINUTES_A_DAY;
  if ((at - from + MINUTES_A_DAY) % MINUTES_A_DAY < length) return 0;
  return ((from - at + MINUTES_A_DAY) % MINUTES_A_DAY) * MINUTE_MS - (now % MINUTE_MS);
}

function minutes(time: string): number {
  const [hours = "0", rest = "0"] = time.split(":");
  return Number(hours) * 60 + Number(rest);
}

const formats = new Map<string, Intl.DateTimeFormat>();

function minuteOfDay(now: number, zone: string): number {
  let format = formats.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    formats.set(zone, format);
  }
  return minutes(format.format(now));
}

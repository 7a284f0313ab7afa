import { describe, expect, it } from "vitest";
import { isTimeZone, NEVER, windowOf } from "../../../src/ledger/budgets/index.ts";
import { SeededRandomness } from "../../../src/kit/index.ts";
import type { Period } from "../../../src/canon/index.ts";

const at = (text: string): number => Date.parse(text);

function windowAt(per: Period, timeZone: string, text: string): [string, string] {
  const { begins, ends } = windowOf(per, timeZone, at(text));
  return [new Date(begins).toISOString().slice(0, 16), new Date(ends).toISOString().slice(0, 16)];
}

describe("windows of the calendar", () => {
  it.each([
    ["minute", "UTC", "2026-12-31T23:59:59.999Z", "2026-12-31T23:59", "2027-01-01T00:00"],
    ["hour", "UTC", "2026-12-31T23:30:00Z", "2026-12-31T23:00", "2027-01-01T00:00"],
    ["day", "UTC", "2026-12-31T12:00:00Z", "2026-12-31T00:00", "2027-01-01T00:00"],
    ["week", "UTC", "2026-12-31T12:00:00Z", "2026-12-28T00:00", "2027-01-04T00:00"],
    ["week", "UTC", "2026-12-28T00:00:00Z", "2026-12-28T00:00", "2027-01-04T00:00"],
    ["week", "UTC", "2026-12-27T23:59:59Z", "2026-12-21T00:00", "2026-12-28T00:00"],
    ["month", "UTC", "2026-12-31T23:59:59Z", "2026-12-01T00:00", "2027-01-01T00:00"],
    ["month", "UTC", "2026-02-28T12:00:00Z", "2026-02-01T00:00", "2026-03-01T00:00"],
    ["month", "UTC", "2028-02-29T12:00:00Z", "2028-02-01T00:00", "2028-03-01T00:00"],
    ["month", "America/New_York", "2027-01-01T04:59:00Z", "2026-12-01T05:00", "2027-01-01T05:00"],
    ["month", "Asia/Tokyo", "2026-12-31T15:00:00Z", "2026-12-31T15:00", "2027-01-31T15:00"],
    // The clock goes on from 2:00 to 3:00 on 29 March 2026, and back from 3:00 to 2:00 on 25 October.
    ["day", "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00", "2026-03-29T22:00"],
    ["day", "Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00", "2026-10-25T23:00"],
    ["month", "Europe/Berlin", "2026-03-15T12:00:00Z", "2026-02-28T23:00", "2026-03-31T22:00"],
    ["hour", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T00:00", "2026-10-25T01:00"],
    ["hour", "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25T01:00", "2026-10-25T02:00"],
    // Half an hour off, and the day without a midnight.
    ["hour", "Asia/Kolkata", "2026-05-01T10:10:00Z", "2026-05-01T09:30", "2026-05-01T10:30"],
    ["day", "Africa/Cairo", "2024-04-26T12:00:00Z", "2024-04-25T22:00", "2024-04-26T21:00"],
    // Midnight comes twice in Havana: the first one begins the day.
    ["day", "America/Havana", "2026-11-01T12:00:00Z", "2026-11-01T04:00", "2026-11-02T05:00"],
  ] as const)("%s in %s at %s", (per, timeZone, now, begins, ends) => {
    expect(windowAt(per, timeZone, now)).toEqual([begins, ends]);
  });

  it("never end for a lifetime", () => {
    expect(windowOf("lifetime", "UTC", 5)).toEqual({ begins: 0, ends: NEVER });
  });

  it("hold the moment they are asked for, and follow each other without a gap, everywhere", () => {
    const randomness = new SeededRandomness(3);
    const zones = ["UTC", "Europe/Berlin", "America/Havana", "Africa/Cairo", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"];
    const periods = ["minute", "hour", "day", "week", "month"] as const;
    for (let round = 0; round < 600; round++) {
      const timeZone = zones[round % zones.length] ?? "UTC";
      const per = periods[Math.floor(randomness.number() * periods.length)] ?? "day";
      const now = Math.floor(Date.UTC(2020, 0, 1) + randomness.number() * 10 * 365 * 86_400_000);
      const window = windowOf(per, timeZone, now);
      expect(window.begins).toBeLessThanOrEqual(now);
      expect(window.ends).toBeGreaterThan(now);
      expect(windowOf(per, timeZone, window.begins)).toEqual(window);
      expect(windowOf(per, timeZone, window.ends - 1)).toEqual(window);
      expect(windowOf(per, timeZone, window.ends).begins).toBe(window.ends);
    }
  });

  it("knows the names of time zones", () => {
    expect(isTimeZone("Europe/Berlin")).toBe(true);
    expect(isTimeZone("Mars/Base")).toBe(false);
  });
});

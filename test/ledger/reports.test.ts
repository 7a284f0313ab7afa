import { describe, expect, it } from "vitest";
import { REPORT_SUMS, type ReportLine, type ReportQuery, reportBucket } from "../../src/canon/index.ts";
import { ManualClock } from "../../src/kit/index.ts";
import { chargeback, csvOf, dayOf, extrapolate, forecast, spansOf, spendReport, timeOf } from "../../src/ledger/reports/index.ts";
import { memoryStores } from "../../src/stores/index.ts";
import { ledgerRow } from "../stores/rows.ts";

const DAY_MS = 86_400_000;
const NOW = Date.UTC(2026, 2, 20, 15);
const clock = new ManualClock(NOW);

const lineOf = (span: number, labels: readonly string[], costNanodollars: number, latency: readonly number[] = []): ReportLine => ({
  span,
  labels,
  sums: REPORT_SUMS.map((name) => (name === "calls" ? 1 : name === "costNanodollars" ? costNanodollars : 0)),
  latency,
});

function answering(...lines: readonly ReportLine[]): {
  asked: ReportQuery[];
  lines: (query: ReportQuery) => Promise<readonly ReportLine[]>;
} {
  const asked: ReportQuery[] = [];
  return { asked, lines: (query) => (asked.push(query), Promise.resolve(lines)) };
}

const utc = { from: Date.UTC(2026, 2, 1), until: Date.UTC(2026, 2, 3), timeZone: "UTC" };

describe("spans of the calendar", () => {
  it("follow daylight saving: a day of 23 hours, one of 25", () => {
    const zone = "Europe/Berlin";
    const march = spansOf(dayOf(Date.UTC(2026, 2, 28, 12), zone), dayOf(Date.UTC(2026, 2, 31, 12), zone), "day", zone);
    expect(march.names).toEqual(["2026-03-28", "2026-03-29", "2026-03-30"]);
    expect(march.bounds.map((bound, at) => bound - (march.bounds[at - 1] ?? bound))).toEqual([0, 24, 23, 24]);
    const october = spansOf(dayOf(Date.UTC(2026, 9, 25, 12), zone), dayOf(Date.UTC(2026, 9, 26, 12), zone), "day", zone);
    expect(october.bounds.map((bound, at) => bound - (october.bounds[at - 1] ?? bound))).toEqual([0, 25]);
  });

  it("are months and hours too, and refuse days that begin within an hour", () => {
    expect(spansOf(Date.UTC(2025, 11, 15), Date.UTC(2026, 2, 2), "month", "UTC").names).toEqual([
      "2025-12",
      "2026-01",
      "2026-02",
      "2026-03",
    ]);
    expect(spansOf(utc.from, utc.from + 7_200_000, "hour", "UTC").names).toEqual(["2026-03-01T00:00", "2026-03-01T01:00"]);
    expect(() => spansOf(utc.from, utc.until, "day", "Asia/Kolkata")).toThrow("full hour");
    expect(() => spansOf(utc.from, utc.until, "day", "Asia/Tokyo")).not.toThrow();
  });

  it("count a day whole where it is named as the end", () => {
    expect(timeOf({ from: "2026-03-01", to: "2026-03-02", timeZone: "UTC" }, NOW)).toEqual(utc);
    expect(timeOf({ timeZone: "UTC" }, NOW)).toMatchObject({ from: Date.UTC(2026, 1, 19), until: Date.UTC(2026, 2, 21) });
    expect(timeOf({ from: "2026-03-01T10:20Z", to: "2026-03-01T10:40Z", timeZone: "UTC" }, NOW)).toMatchObject({
      from: Date.UTC(2026, 2, 1, 10),
      until: Date.UTC(2026, 2, 1, 11),
    });
    for (const wrong of [
      { from: "soon" },
      { from: "2026-02-30x" },
      { from: "2026-03-02", to: "2026-03-01" },
      { timeZone: "Mars/Base" },
      { from: "0" },
    ])
      expect(() => timeOf({ timeZone: "UTC", ...wrong }, NOW), JSON.stringify(wrong)).toThrow(
        /is no time zone|is a day such as|ends before|5 years/,
      );
  });
});

describe("a report", () => {
  it("asks for the narrowest sums that tell apart what is asked for", async () => {
    const dimensionOf = async (by: readonly string[], where: Record<string, string> = {}): Promise<string | undefined> => {
      const store = answering();
      await spendReport(store, { ...utc, by, where });
      return store.asked[0]?.dimension;
    };
    expect(await dimensionOf(["day"])).toBe("all");
    expect(await dimensionOf(["team", "day"])).toBe("team");
    expect(await dimensionOf(["day"], { project: "shop", team: "search" })).toBe("project");
    expect(await dimensionOf(["key"], { team: "search" })).toBe("key");
    expect(await dimensionOf(["provider"])).toBe("target");
    expect(await dimensionOf(["model", "team"])).toBe("cube");
    expect(await dimensionOf(["metadata.feature", "team", "month"])).toBe("metadata.feature");
    for (const [by, said] of [
      [["colour"], "know no"],
      [["team", "team"], "twice"],
      [["day", "month"], "one of hour"],
      [["session", "agent"], "not both"],
      [["session", "model"], "not by model"],
    ] as const)
      await expect(dimensionOf(by), said).rejects.toThrow(said);
  });

  it("names its lines, adds them up and sorts them by time and cost", async () => {
    const latency = [reportBucket(2, 100), 99, reportBucket(2, 1000), 1];
    const store = answering(lineOf(1, ["a"], 5), lineOf(0, ["a"], 1, latency), lineOf(0, [""], 2_000_000_000));
    const report = await spendReport(store, { ...utc, by: ["team", "day"], latency: true });
    expect(report.lines.map(({ labels, usd }) => [labels, usd])).toEqual([
      [{ team: "", day: "2026-03-01" }, "2.000000000"],
      [{ team: "a", day: "2026-03-01" }, "0.000000001"],
      [{ team: "a", day: "2026-03-02" }, "0.000000005"],
    ]);
    expect(report.total).toMatchObject({ usd: "2.000000006", sums: { calls: 3 } });
    const { total, ready } = report.lines[1]?.latency ?? {};
    expect(ready).toBeUndefined();
    expect(Math.abs((total?.p50 ?? 0) - 100)).toBeLessThan(5);
    expect(Math.abs((total?.p90 ?? 0) - 100)).toBeLessThan(5);
    expect(report.lines[2]?.latency).toEqual({});
  });

  it("is CSV that a spreadsheet takes and does not run", async () => {
    const store = answering(lineOf(0, ['=HYPERLINK("x"),1'], 1));
    const [head, line, end] = csvOf(await spendReport(store, { ...utc, by: ["team"] })).split("\r\n");
    expect(head).toBe(`team,usd,${REPORT_SUMS.join(",")}`);
    expect(line).toBe(`"'=HYPERLINK(""x""),1",0.000000001,1,0,0,0,1,0,0,0,0,0,0,0,0`);
    expect(end).toBe("");
  });
});

describe("chargeback", () => {
  it("spreads what is nobody's, to the nanodollar", async () => {
    const result = await chargeback(answering(lineOf(0, ["a"], 2), lineOf(0, ["b"], 1), lineOf(0, [""], 100)), "team", utc);
    // 100 over 2 : 1 is 66 and 33; the one that rounding leaves goes to the largest.
    expect(
      result.lines.map(({ name, ownNanodollars, shareNanodollars, nanodollars }) => [name, ownNanodollars, shareNanodollars, nanodollars]),
    ).toEqual([
      ["a", "2", "67", "69"],
      ["b", "1", "33", "34"],
    ]);
    expect(result).toMatchObject({ usd: "0.000000103", unassignedUsd: "0.000000100" });
  });

  it("leaves it with nobody where nobody spent anything", async () => {
    const result = await chargeback(answering(lineOf(0, ["a"], 0), lineOf(0, [""], 100)), "team", utc);
    expect(result.lines).toMatchObject([{ name: "a", nanodollars: "0" }]);
    expect(result.usd).toBe("0.000000100");
  });
});

describe("a forecast", () => {
  it("is a straight line, with an error that is none where the days lie on it", () => {
    expect(
      extrapolate(
        [1, 2, 3, 4].map((usd) => usd * 1e9),
        2,
      ),
    ).toEqual({
      basedOnDays: 4,
      days: 2,
      usd: "11.000000000",
      firstDayUsd: "5.000000000",
      growthPerDayUsd: "1.000000000",
      errorUsd: "0.000000000",
    });
  });

  it("says how far off it may be", () => {
    // Days 1, 3, 2: line 1.5 + 0.5 day, residuals -0.5, 1, -0.5; variance 1.5 of one degree of freedom; one day on: 1 + 1/3 + 4/2.
    const { firstDayUsd, errorUsd } = extrapolate(
      [1, 3, 2].map((usd) => usd * 1e9),
      1,
    );
    expect(firstDayUsd).toBe("3.000000000");
    expect(Number(errorUsd)).toBeCloseTo(Math.sqrt(1.5 * (1 + 1 / 3 + 2)), 6);
  });

  it("falls to nothing and not below", () => {
    expect(
      extrapolate(
        [3, 2, 1].map((usd) => usd * 1e9),
        3,
      ),
    ).toMatchObject({ usd: "0.000000000", growthPerDayUsd: "-1.000000000" });
  });

  it("looks at whole days only, those without calls too", async () => {
    const stores = memoryStores(clock);
    for (const [days, cost] of [
      [0, 999],
      [1, 30],
      [3, 10],
    ] as const)
      await stores.ledger.settle(ledgerRow(`call_${days}`, { startedAt: NOW - days * DAY_MS, costNanodollars: cost }));
    const asked = { now: NOW, timeZone: "Europe/Berlin", basedOn: 3, days: 1 };
    expect(await forecast(stores.reports, asked)).toMatchObject({ firstDayUsd: "0.000000033", growthPerDayUsd: "0.000000010" });
  });
});

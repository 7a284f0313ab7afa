import { describe, expect, it } from "vitest";
import { type LedgerRow, REPORT_SUMS, type ReportQuery, type ReportSum, reportPercentiles, type Stores } from "../../src/canon/index.ts";
import { ledgerRow, START } from "../stores/rows.ts";

const HOUR_MS = 3_600_000;
const HOUR = START / HOUR_MS;

const query = (patch: Partial<ReportQuery> = {}): ReportQuery => ({
  dimension: "team",
  by: ["team"],
  where: {},
  bounds: [HOUR, HOUR + 24],
  latency: false,
  lines: 1000,
  ...patch,
});

/** Labels and the sums that are asked for, by label. */
async function sums(stores: Stores, asked: ReportQuery, ...names: readonly ReportSum[]): Promise<readonly (readonly unknown[])[]> {
  const lines = await stores.reports.lines(asked);
  return lines
    .map(({ span, labels, sums: all }) => [span, ...labels, ...names.map((name) => all[REPORT_SUMS.indexOf(name)])])
    .toSorted((a, b) => (a.join(" ") < b.join(" ") ? -1 : 1));
}

const row = (number: number, patch: Partial<LedgerRow> = {}): LedgerRow =>
  ledgerRow(`call_${number}`, {
    startedAt: START + 1000 * number,
    team: number % 2 ? "odd" : "even",
    target: "lab/small",
    costNanodollars: 10,
    ...patch,
  });

/** What every `ReportStore` promises. */
export function reportsContract(name: string, open: () => Promise<Stores>): void {
  const withStores = (use: (stores: Stores) => Promise<void>) => async (): Promise<void> => {
    const stores = await open();
    try {
      await use(stores);
    } finally {
      await stores.close();
    }
  };

  describe(`${name}: reports`, () => {
    it(
      "adds up each row once, before and after its sums are written",
      withStores(async (stores) => {
        const settle = (from: number, until: number): Promise<unknown> =>
          Promise.all(Array.from({ length: until - from }, (_, at) => stores.ledger.settle(row(from + at))));
        await settle(0, 30);
        expect(await sums(stores, query(), "calls", "costNanodollars", "inputTokens")).toEqual([
          [0, "even", 15, 150, 150],
          [0, "odd", 15, 150, 150],
        ]);
        expect((await stores.reports.rollUp(false)).waiting).toBe(0);
        await stores.ledger.settle(row(0));
        await settle(30, 2500);
        const asked = query({ bounds: [HOUR, HOUR + 1] });
        expect(await sums(stores, query({ dimension: "all", by: [] }), "calls", "costNanodollars")).toEqual([[0, 2500, 25_000]]);
        expect(await sums(stores, asked, "calls")).toEqual([
          [0, "even", 1250],
          [0, "odd", 1250],
        ]);
        await stores.reports.rollUp(true);
        for (let left = 1; left > 0;) left = (await stores.reports.rollUp(false)).waiting;
        expect(await sums(stores, asked, "calls", "costNanodollars")).toEqual([
          [0, "even", 1250, 12_500],
          [0, "odd", 1250, 12_500],
        ]);
      }),
    );

    it(
      "tells calls apart by every name they have, by what ended them and when",
      withStores(async (stores) => {
        await stores.reports.follow(["feature"], 1000);
        await stores.ledger.settle(row(1, { session: "s1", metadata: { feature: "chat", agent: "planner", other: "x" }, project: "shop" }));
        await stores.ledger.settle(row(2, { model: "slow", target: "far/big", state: "failed", problem: "upstream_timeout" }));
        await stores.ledger.settle(
          row(3, { startedAt: START + 25 * HOUR_MS, state: "cancelled", problem: "cancelled", costNanodollars: undefined }),
        );
        await stores.ledger.settle(row(4, { cache: "hit", savedNanodollars: 7, costNanodollars: 0, callerId: "key_2" }));
        const all = query({ bounds: [HOUR, HOUR + 24, HOUR + 48] });
        const look = async (): Promise<void> => {
          expect(await sums(stores, { ...all, dimension: "metadata.feature", by: ["value", "team"] }, "calls")).toEqual([
            [0, "chat", "odd", 1],
          ]);
          expect(await sums(stores, { ...all, dimension: "agent", by: ["value"] }, "calls")).toEqual([[0, "planner", 1]]);
          expect(await sums(stores, { ...all, dimension: "session", by: ["value"] }, "calls")).toEqual([[0, "s1", 1]]);
          expect(await sums(stores, { ...all, dimension: "metadata.other", by: ["value"] }, "calls")).toEqual([]);
          expect(await sums(stores, { ...all, dimension: "problem", by: ["value"] }, "calls")).toEqual([
            [0, "upstream_timeout", 1],
            [1, "cancelled", 1],
          ]);
          expect(
            await sums(stores, { ...all, dimension: "target", by: ["provider"] }, "failed", "cancelled", "cacheHits", "unknownCosts"),
          ).toEqual([
            [0, "far", 1, 0, 0, 0],
            [0, "lab", 0, 0, 1, 0],
            [1, "lab", 0, 1, 0, 1],
          ]);
          expect(
            await sums(stores, { ...all, dimension: "cube", by: ["key", "model"], where: { team: "even" } }, "calls", "savedNanodollars"),
          ).toEqual([
            [0, "key_1", "slow", 1, 0],
            [0, "key_2", "fast", 1, 7],
          ]);
          expect(await sums(stores, { ...all, dimension: "project", by: ["project"] }, "calls")).toEqual([
            [0, "", 2],
            [0, "shop", 1],
            [1, "", 1],
          ]);
        };
        await look();
        await stores.reports.rollUp(false);
        await look();
        await expect(stores.reports.lines({ ...all, lines: 1 })).rejects.toMatchObject({ problem: { kind: "too_large" } });
      }),
    );

    it(
      "follows repricings, also those of one call twice",
      withStores(async (stores) => {
        const { ledger, reports } = stores;
        const reprice = (id: string, callId: string, costNanodollars?: number): Promise<void> =>
          ledger.reprice({
            id,
            at: START,
            priceVersion: id,
            entries: [{ callId, costNanodollars, previousNanodollars: 10, previousVersion: "p" }],
          });
        const asked = query({ dimension: "all", by: [] });
        await ledger.settle(row(1));
        await ledger.settle(row(2, { costNanodollars: undefined }));
        await reprice("a", "call_1", 30);
        await reprice("a", "call_1", 30);
        expect(await sums(stores, asked, "costNanodollars", "unknownCosts", "calls")).toEqual([[0, 30, 1, 2]]);
        await reports.rollUp(false);
        await reprice("b", "call_1");
        await reprice("b", "call_2", 5);
        expect(await sums(stores, asked, "costNanodollars", "unknownCosts", "calls")).toEqual([[0, 5, 1, 2]]);
        await reports.rollUp(false);
        expect(await sums(stores, asked, "costNanodollars", "unknownCosts", "calls")).toEqual([[0, 5, 1, 2]]);
      }),
    );

    it(
      "adds up spans that begin at any hour as if it looked at each row",
      withStores(async (stores) => {
        const placed: [hour: number, team: string][] = [];
        for (let at = 0; at < 400; at++) placed.push([HOUR + ((at * 37) % 200), at % 3 ? "odd" : "even"]);
        await Promise.all(
          placed.map(([hour, team], at) =>
            stores.ledger.settle(row(at, { team, startedAt: hour * HOUR_MS, timings: { readyMs: 1, totalMs: 10 + at } })),
          ),
        );
        // Only in the hour that the first and the second of some days share a day of UTC with.
        await stores.ledger.settle(row(1000, { team: "rare", startedAt: (HOUR + 47) * HOUR_MS }));
        const days = (first: number, count: number): readonly number[] => Array.from({ length: count }, (_, at) => HOUR + first + 24 * at);
        const wanted: readonly (readonly number[])[] = [
          days(0, 9),
          days(22, 7),
          days(-2, 9),
          days(5, 7),
          days(12, 7),
          days(23, 3),
          [HOUR + 5, HOUR + 7],
          [HOUR + 5, HOUR + 7, HOUR + 100, HOUR + 101],
          [HOUR + 23, HOUR + 25, HOUR + 49, HOUR + 150],
          Array.from({ length: 50 }, (_, at) => HOUR + 10 + at),
        ];
        const counted = (bounds: readonly number[], latency: boolean): readonly string[] => {
          const calls = new Map<string, number>();
          for (const [hour, team] of [...placed, [HOUR + 47, "rare"] as const]) {
            const span = bounds.findLastIndex((bound) => bound <= hour);
            if (span < 0 || span >= bounds.length - 1) continue;
            calls.set(`${span} ${team}`, (calls.get(`${span} ${team}`) ?? 0) + 1);
          }
          return [...calls].map(([line, count]) => `${line} ${count} ${latency ? count : 0}`).toSorted();
        };
        const found = async (bounds: readonly number[], latency: boolean): Promise<readonly string[]> => {
          const lines = await stores.reports.lines(query({ bounds, latency }));
          // Each call is in one bucket of its first stage.
          const first = (pairs: readonly number[]): number =>
            pairs.reduce((sum, count, at) => (at % 2 && (pairs[at - 1] ?? 0) < 256 ? sum + count : sum), 0);
          return lines
            .map(({ span, labels, sums: all, latency: pairs }) => `${span} ${labels.join()} ${all[0]} ${first(pairs)}`)
            .toSorted();
        };
        for (const rolledUp of [false, true]) {
          if (rolledUp) await stores.reports.rollUp(false);
          for (const bounds of wanted)
            for (const latency of [false, true]) expect(await found(bounds, latency)).toEqual(counted(bounds, latency));
        }
      }),
    );

    it(
      "adds up latencies, and counts values beyond the bound together",
      withStores(async (stores) => {
        await stores.reports.follow(["feature"], 2);
        for (const number of [1, 2, 3, 4])
          await stores.ledger.settle(
            row(number, { metadata: { feature: `f${number}` }, timings: { readyMs: 1, firstOutputMs: 100, totalMs: 1000 * number } }),
          );
        await stores.reports.rollUp(false);
        expect(await sums(stores, query({ dimension: "metadata.feature", by: ["value"] }), "calls")).toEqual([
          [0, "f1", 1],
          [0, "f2", 1],
          [0, "other", 2],
        ]);
        const [line] = await stores.reports.lines(query({ dimension: "all", by: [], latency: true }));
        const at = (stage: number, share: number): number => reportPercentiles(line?.latency ?? [], stage, [share])?.[0] ?? Number.NaN;
        const about = (ms: number): readonly [number, number] => [ms * 0.955, ms * 1.045];
        for (const [found, ms] of [
          [at(0, 0.5), 1],
          [at(1, 0.99), 100],
          [at(2, 0.5), 2000],
          [at(2, 0.99), 4000],
        ] as const) {
          expect(found).toBeGreaterThan(about(ms)[0]);
          expect(found).toBeLessThan(about(ms)[1]);
        }
      }),
    );
  });
}

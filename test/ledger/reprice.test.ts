import { describe, expect, it } from "vitest";
import { NO_USAGE, type LedgerRow, type Usage } from "../../src/canon/index.ts";
import { ManualClock } from "../../src/kit/index.ts";
import { Alerts } from "../../src/ledger/alerts.ts";
import { priceAttempts, priceRow } from "../../src/ledger/cost.ts";
import { differencesPage } from "../../src/ledger/differences.ts";
import { addTotals, costInForce, NO_TOTALS, repricePage } from "../../src/ledger/reprice.ts";
import { createModelBook } from "../../src/models/index.ts";
import { memoryStores } from "../../src/stores/index.ts";
import { ledgerRow, START } from "../stores/rows.ts";

const usage = (patch: Partial<Usage>): Usage => ({ ...NO_USAGE, ...patch });
const priceOf = (inputUsd: number) =>
  createModelBook({ models: { "lab/small": { price: { inputUsd, outputUsd: 0 } }, "lab/big": { price: { inputUsd: 10, outputUsd: 0 } } } });
const attempt = (target: string, patch: Partial<LedgerRow["attempts"][number]> = {}): LedgerRow["attempts"][number] => ({
  target,
  startedMs: 1,
  endedMs: 11,
  status: 200,
  ...patch,
});
const rowOf = (callId: string, tokens: number, patch: Partial<LedgerRow> = {}): LedgerRow => {
  const used = usage({ inputUncached: tokens });
  return ledgerRow(callId, { usage: used, target: "lab/small", attempts: [attempt("lab/small", { usage: used })], ...patch });
};

describe("priceRow", () => {
  const book = priceOf(1);
  it("derives what settling derived, for one attempt and for several", () => {
    const several = [
      attempt("lab/small", { usage: usage({ inputUncached: 10 }) }),
      attempt("lab/big", { usage: usage({ inputUncached: 10 }) }),
    ];
    expect(priceRow(book, rowOf("a", 10))).toBe(10_000);
    expect(priceRow(book, rowOf("a", 20, { attempts: several }))).toBe(priceAttempts(book, several, START).costNanodollars);
    expect(priceAttempts(book, several, START).costNanodollars).toBe(10_000 + 100_000);
  });
  it("takes a hit and a refused call for nothing, and tokens without a target for unknown", () => {
    expect(priceRow(book, rowOf("a", 10, { cache: "hit", attempts: [] }))).toBe(0);
    expect(priceRow(book, ledgerRow("a", { usage: NO_USAGE, attempts: [] }))).toBe(0);
    expect(priceRow(book, ledgerRow("a", { state: "interrupted", attempts: [] }))).toBeUndefined();
  });
  it("prices a row whose attempt does not name the usage that the row has", () => {
    expect(priceRow(book, rowOf("a", 10, { attempts: [attempt("lab/small")] }))).toBe(10_000);
  });
});

describe("what providers say", () => {
  it("is compared for the attempts that said it, and with ours only where all of them have a price", () => {
    const said = (target: string, providerCost: number) => attempt(target, { usage: usage({ inputUncached: 10, providerCost }) });
    const silent = attempt("lab/big", { usage: usage({ inputUncached: 10 }) });
    const book = priceOf(1);
    expect(priceAttempts(book, [silent], START).reported).toBeUndefined();
    expect(priceAttempts(book, [said("lab/small", 7), silent], START).reported).toEqual({ nanodollars: 7, ownNanodollars: 10_000 });
    expect(priceAttempts(book, [said("lab/small", 7), said("lab/big", 8)], START).reported).toEqual({
      nanodollars: 15,
      ownNanodollars: 110_000,
    });
    expect(priceAttempts(book, [said("lab/small", 7), said("x/y", 8)], START).reported).toEqual({ nanodollars: 15 });
    expect(priceAttempts(book, [said("x/y", 8), said("lab/small", 7)], START).reported).toEqual({ nanodollars: 15 });
  });
});

describe("repricing", () => {
  it("sums before and after, keeps what held, writes only what changed, and nothing when it is tried dry", async () => {
    const { ledger } = memoryStores(new ManualClock(START));
    await ledger.settle(rowOf("call_1", 100, { costNanodollars: 100_000 }));
    await ledger.settle(rowOf("call_2", 100, { costNanodollars: 200_000 }));
    await ledger.settle(rowOf("call_3", 100));
    const book = priceOf(2);
    const dry = await repricePage(ledger, book, { after: 0 }, undefined);
    expect(dry.totals).toEqual({
      rows: 3,
      changed: 2,
      before: { nanodollars: "300000", unknown: 1 },
      after: { nanodollars: "600000", unknown: 0 },
    });
    expect(await ledger.repricings("call_1")).toEqual([]);

    const wet = await repricePage(ledger, book, { after: 0 }, { id: "rpr_1", at: START });
    expect(wet.totals).toEqual(dry.totals);
    expect(await ledger.repricings("call_1")).toMatchObject([
      { costNanodollars: 200_000, previousNanodollars: 100_000, previousVersion: "prices-1", priceVersion: book.version },
    ]);
    expect(await ledger.repricings("call_2")).toEqual([]);
    expect(await ledger.read("call_1")).toMatchObject({ costNanodollars: 100_000, priceVersion: "prices-1" });

    const again = await repricePage(ledger, priceOf(3), { after: 0 }, { id: "rpr_2", at: START + 1 });
    expect(again.totals).toMatchObject({ changed: 3, before: { nanodollars: "600000" }, after: { nanodollars: "900000" } });
    expect((await ledger.repricings("call_1"))[1]).toMatchObject({ previousNanodollars: 200_000, previousVersion: book.version });
    expect((await ledger.page({ after: 0 })).rows.map(costInForce)).toEqual([300_000, 300_000, 300_000]);
    expect((await repricePage(ledger, priceOf(3), { after: 0 }, { id: "rpr_3", at: START + 2 })).totals.changed).toBe(0);
  });
  it("adds up beyond what a number counts", () => {
    const half = { ...NO_TOTALS, rows: 1, after: { nanodollars: "9007199254740993", unknown: 1 } };
    expect(addTotals(half, half)).toMatchObject({ rows: 2, after: { nanodollars: "18014398509481986", unknown: 2 } });
  });
});

describe("differences", () => {
  it("lists rows apart by more than a share of ours, and those that only the provider could price", async () => {
    const { ledger } = memoryStores(new ManualClock(START));
    const rows: [string, LedgerRow["reported"]][] = [
      ["same", { nanodollars: 1000, ownNanodollars: 1000 }],
      ["near", { nanodollars: 1010, ownNanodollars: 1000 }],
      ["more", { nanodollars: 1100, ownNanodollars: 1000 }],
      ["less", { nanodollars: 500, ownNanodollars: 1000 }],
      ["ours-is-0", { nanodollars: 1, ownNanodollars: 0 }],
      ["unknown", { nanodollars: 1000 }],
      ["silent", undefined],
    ];
    for (const [id, reported] of rows) await ledger.settle(ledgerRow(id, { target: "lab/small", ...(reported && { reported }) }));
    const page = await differencesPage(ledger, { after: 0 }, 1);
    expect(page.compared).toBe(6);
    expect(page.differences.map(({ callId, percent }) => [callId, percent])).toEqual([
      ["more", 10],
      ["less", -50],
      ["ours-is-0", undefined],
      ["unknown", undefined],
    ]);
    expect((await differencesPage(ledger, { after: 0 }, 0)).differences).toHaveLength(5);
    expect((await differencesPage(ledger, { after: 0 }, 10)).differences.map(({ callId }) => callId)).toEqual([
      "less",
      "ours-is-0",
      "unknown",
    ]);
  });
});

describe("alerts", () => {
  it("are told once for each subject and hour, counted, and the oldest are forgotten", () => {
    const clock = new ManualClock(START);
    const lines: string[] = [];
    const alerts = new Alerts({ clock, log: (line) => lines.push(line), most: 2 });
    const raise = (subject: string, quiet = false): void =>
      alerts.raise({ kind: "zero_cost", subject, message: `${subject} cost nothing`, quiet });
    raise("a");
    clock.advance(1000);
    raise("a");
    raise("b", true);
    expect(lines).toEqual(["alert: a cost nothing"]);
    expect(alerts.list()).toMatchObject([
      { subject: "a", count: 2, firstAt: START, lastAt: START + 1000 },
      { subject: "b", count: 1 },
    ]);
    clock.advance(3_600_000);
    raise("a");
    expect(lines).toHaveLength(2);
    expect(alerts.list().map(({ subject, count }) => [subject, count])).toEqual([
      ["a", 1],
      ["b", 1],
    ]);
  });
});

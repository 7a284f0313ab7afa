import { zstdDecompressSync } from "node:zlib";
import { parquetMetadata, parquetReadObjects } from "hyparquet";
import { describe, expect, it } from "vitest";
import type { LedgerPage, LedgerPageQuery, LedgerRow, PricedRow } from "../../../src/canon/index.ts";
import { exportRange, exportRows, spendParquet, type ExportOptions } from "../../../src/ledger/export/index.ts";
import { ROWS_IN_GROUP } from "../../../src/ledger/export/parquet.ts";
import { spendReport } from "../../../src/ledger/reports/index.ts";
import { ManualClock } from "../../../src/kit/index.ts";
import { memoryStores } from "../../../src/stores/index.ts";
import { ledgerRow, START } from "../../stores/rows.ts";

const compressors = { ZSTD: (input: Uint8Array): Uint8Array => zstdDecompressSync(input) };
/** More than a number counts exactly in floating dollars: 2^53 - 1 nanodollars. */
const DEAR = Number.MAX_SAFE_INTEGER;

function pages(
  rows: readonly PricedRow[],
  size = 1000,
): { page: (query: LedgerPageQuery) => Promise<LedgerPage>; asked: LedgerPageQuery[] } {
  const asked: LedgerPageQuery[] = [];
  return {
    asked,
    page: async (query) => {
      asked.push(query);
      const next = query.after + size;
      return { rows: rows.slice(query.after, next), next: next < rows.length ? next : undefined };
    },
  };
}

async function fileOf(rows: readonly PricedRow[], options: ExportOptions): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const piece of exportRows(pages(rows), { since: 0, until: Infinity }, options).pieces) parts.push(piece);
  return Buffer.concat(parts);
}

function asArrayBuffer(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}

const row = (callId: string, change: Partial<LedgerRow> = {}): PricedRow => ({ row: ledgerRow(callId, change) });

const FULL: PricedRow = {
  row: ledgerRow("c1", {
    team: "search",
    costNanodollars: DEAR,
    metadata: { feature: "chat", deep: { a: [1, "ü"] } },
    timings: { readyMs: 0.25, firstOutputMs: 12.5, totalMs: 40.125 },
  }),
  repriced: { costNanodollars: 7, priceVersion: "p2" },
};
const BARE = row("c2", { team: undefined, costNanodollars: undefined, metadata: undefined });

describe("a Parquet file of rows", () => {
  it.each(["zstd", "snappy", "none"] as const)("is read back with exact types, pressed with %s", async (compression) => {
    const file = asArrayBuffer(await fileOf([FULL, BARE], { format: "parquet", compression }));
    const [first, second] = await parquetReadObjects({ file, compressors });
    expect(first).toMatchObject({
      call_id: "c1",
      started_at: new Date(START),
      team: "search",
      cost_nanodollars: BigInt(DEAR),
      repriced_nanodollars: 7n,
      input_tokens: BigInt(FULL.row.usage.inputUncached),
      total_ms: 40.125,
      stream: FULL.row.stream,
      metadata: '{"feature":"chat","deep":{"a":[1,"ü"]}}',
    });
    expect(JSON.parse(String(first?.["attempts"]))).toEqual(JSON.parse(JSON.stringify(FULL.row.attempts)));
    // Unknown is empty, never 0.
    expect([second?.["cost_nanodollars"], second?.["team"], second?.["metadata"]].map((cell) => cell ?? null)).toEqual([null, null, null]);
    const types = new Map(parquetMetadata(file).schema.map(({ name, type, converted_type }) => [name, [type, converted_type]]));
    expect(types.get("cost_nanodollars")).toEqual(["INT64", undefined]);
    expect(types.get("started_at")).toEqual(["INT64", "TIMESTAMP_MILLIS"]);
    expect(types.get("metadata")).toEqual(["BYTE_ARRAY", "UTF8"]);
  });

  it("is written group by group, so that what is held does not grow with it", async () => {
    const many = Array.from({ length: ROWS_IN_GROUP * 2 + 1 }, (_, place) => row(`c${place}`, { costNanodollars: place }));
    const pieces: number[] = [];
    const parts: Uint8Array[] = [];
    for await (const piece of exportRows(pages(many), { since: 0, until: 1 }, { format: "parquet" }).pieces) {
      pieces.push(piece.length);
      parts.push(piece);
    }
    // The mark at the beginning, two full groups as soon as they are full, the rest with the footer.
    expect(pieces.length).toBe(4);
    expect(Math.max(...pieces.slice(1, 3)) / Math.min(...pieces.slice(1, 3))).toBeLessThan(1.5);
    const file = asArrayBuffer(Buffer.concat(parts));
    expect(parquetMetadata(file).row_groups.map(({ num_rows }) => num_rows)).toEqual([BigInt(ROWS_IN_GROUP), BigInt(ROWS_IN_GROUP), 1n]);
    const back = await parquetReadObjects({ file, compressors, columns: ["call_id", "cost_nanodollars"] });
    expect(back.map((one) => [one["call_id"], one["cost_nanodollars"]])).toEqual(many.map((_, place) => [`c${place}`, BigInt(place)]));
  });

  it("may have no rows", async () => {
    const file = asArrayBuffer(await fileOf([], { format: "parquet" }));
    expect(parquetMetadata(file).num_rows).toBe(0n);
    expect(await parquetReadObjects({ file, compressors })).toEqual([]);
  });
});

describe("rows as CSV and JSON", () => {
  it("guards cells that a spreadsheet would run, and quotes what must be", async () => {
    const evil = row("=cmd()", { team: "@SUM(1)", project: "\t=1+1", model: 'a,"b"\n', session: " =2", metadata: { a: "-1" } });
    const [names = "", ...lines] = (await fileOf([evil], { format: "csv" })).toString().split("\r\n");
    const line = lines.join("\r\n");
    expect(names.split(",").slice(0, 3)).toEqual(["call_id", "started_at", "state"]);
    expect(line).toMatch(/^'=cmd\(\),/);
    expect(line).toContain("'@SUM(1)");
    expect(line).toContain("'\t=1+1");
    expect(line).toContain("' =2");
    expect(line).toContain('"a,""b""\n"');
    expect(line).toContain(new Date(START).toISOString());
  });

  it("is one JSON array with a row on each line", async () => {
    const text = (await fileOf([FULL, BARE], { format: "json" })).toString();
    const rows = JSON.parse(text) as Record<string, unknown>[];
    expect(rows).toHaveLength(2);
    expect(rows[0]).toMatchObject({ call_id: "c1", cost_nanodollars: DEAR, metadata: { feature: "chat", deep: { a: [1, "ü"] } } });
    expect(rows[1]).not.toHaveProperty("team");
    expect(text.split("\n").filter((line) => line.startsWith("{"))).toHaveLength(2);
    expect(JSON.parse((await fileOf([], { format: "json" })).toString())).toEqual([]);
  });
});

describe("the range of an export", () => {
  it("counts a day whole in its time zone, and ends now where nothing is said", () => {
    expect(exportRange({}, 5)).toEqual({ since: 0, until: 5 });
    expect(exportRange({ from: "2026-03-29", to: "2026-03-29", timeZone: "Europe/Berlin" }, 5)).toEqual({
      since: Date.parse("2026-03-28T23:00Z"),
      until: Date.parse("2026-03-29T22:00Z"),
    });
    expect(() => exportRange({ from: "2026-01-02", to: "2026-01-01" }, 5)).toThrow("before it begins");
    expect(() => exportRange({ from: "soon" }, 5)).toThrow("from is a day");
    expect(() => exportRange({ timeZone: "Mars/Base" }, 5)).toThrow("no time zone");
  });
});

it("a report is written with whole numbers", async () => {
  const stores = memoryStores(new ManualClock(START));
  await stores.ledger.settle(ledgerRow("c1", { team: "search", costNanodollars: 1_000_000_001 }));
  const day = 86_400_000;
  const from = Math.floor(START / day) * day;
  const report = await spendReport(stores.reports, { by: ["team", "day"], from, until: from + day, timeZone: "UTC", latency: true });
  const [line] = await parquetReadObjects({ file: asArrayBuffer(spendParquet(report)), compressors });
  expect(line).toMatchObject({ team: "search", calls: 1n, costNanodollars: 1_000_000_001n, total_p50_ms: expect.any(Number) });
});

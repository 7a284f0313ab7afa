import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { parquetReadObjects } from "hyparquet";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { runCommand } from "../support/command-line.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

const CONFIG = `
reports: { metadata: [feature], timeZone: Europe/Berlin }
sim: { models: { penny: { text: ok, price: { perCallUsd: 0.01 } } } }
`;

const compressors = { ZSTD: (input: Uint8Array): Uint8Array => zstdDecompressSync(input) };

let gateway: TestGateway;
let folder = "";
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gimbal-spend-"));
  gateway = await startGateway({ config: CONFIG });
  for (const [team, feature, calls] of [
    ["search", "chat", 3],
    ["shop", "ads", 1],
  ] as const) {
    const key = await gateway.key({ name: `${team}-key`, team });
    for (let call = 0; call < calls; call++) await ask(key, feature);
  }
  await ask(undefined, "chat");
  await gateway.rows();
});
afterAll(async () => {
  await gateway.close();
  rmSync(folder, { recursive: true, force: true });
});

async function ask(key: string | undefined, feature: string): Promise<void> {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "x-gimbal-metadata": JSON.stringify({ feature, agent: "planner" }),
      ...(key !== undefined && { authorization: `Bearer ${key}` }),
    },
    body: JSON.stringify({ model: "sim/penny", messages: [{ role: "user", content: "hi" }] }),
  });
  expect(response.status, await response.text()).toBe(200);
}

async function admin(path: string, method = "GET", body?: unknown): Promise<{ status: number; text: string }> {
  const response = await fetch(`${gateway.url}/admin/api${path}`, {
    method,
    headers: { authorization: `Bearer ${gateway.house.adminToken.reveal()}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, text: await response.text() };
}

async function ask200(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  const response = await fetch(`${gateway.url}/admin/api${path}`, {
    headers: { authorization: `Bearer ${gateway.house.adminToken.reveal()}`, ...headers },
  });
  expect(response.status).toBe(200);
  return response;
}

async function json(path: string): Promise<Record<string, unknown>> {
  const { status, text } = await admin(path);
  expect(status, text).toBe(200);
  return JSON.parse(text) as Record<string, unknown>;
}

const cli = (...argv: string[]): ReturnType<typeof runCommand> =>
  runCommand(folder, { url: gateway.url, adminToken: gateway.house.adminToken.reveal() }, argv);

describe("/admin/api/spend", () => {
  it("says what teams spent, by day of the configuration's time zone", async () => {
    const day = new Intl.DateTimeFormat("en-CA", { timeZone: "Europe/Berlin" }).format(Date.now());
    const report = await json("/spend?by=team,day");
    expect(report).toMatchObject({
      timeZone: "Europe/Berlin",
      lines: [
        { labels: { team: "search", day }, usd: "0.030000000", sums: { calls: 3 } },
        { labels: { team: "", day }, usd: "0.010000000" },
        { labels: { team: "shop", day }, usd: "0.010000000" },
      ],
      total: { usd: "0.050000000", sums: { calls: 5, failed: 0 } },
    });
    expect(await json("/spend?by=team,day&team=shop")).toMatchObject({ total: { usd: "0.010000000" } });
  });

  it("tells calls apart by metadata, agent, key and model, with how long they took", async () => {
    expect(await json("/spend?by=metadata.feature&latency=1")).toMatchObject({
      lines: [
        { labels: { "metadata.feature": "chat" }, sums: { calls: 4 }, latency: { total: { p50: expect.any(Number) } } },
        { labels: { "metadata.feature": "ads" }, sums: { calls: 1 } },
      ],
    });
    expect(await json("/spend?by=agent")).toMatchObject({ lines: [{ labels: { agent: "planner" }, sums: { calls: 5 } }] });
    const byKey = await json("/spend?by=key,model");
    expect(new Set(Object.values(byKey["keyNames"] as object))).toEqual(new Set(["search-key", "shop-key"]));
    expect(byKey).toMatchObject({ lines: [{ labels: { model: "sim/penny" }, sums: { calls: 3 } }, {}, {}] });
  });

  it("is CSV on request", async () => {
    const { text } = await admin("/spend?by=team&format=csv");
    expect(text.split("\r\n").slice(0, 2)).toEqual([
      expect.stringMatching(/^team,usd,calls,/),
      expect.stringMatching(/^search,0.030000000,3,/),
    ]);
  });

  it("is Parquet on request", async () => {
    const response = await ask200("/spend?by=team&format=parquet");
    const lines = await parquetReadObjects({ file: await response.arrayBuffer(), compressors });
    expect(lines).toMatchObject([
      { team: "search", calls: 3n, costNanodollars: 30_000_000n },
      { team: "", costNanodollars: 10_000_000n },
      { team: "shop", costNanodollars: 10_000_000n },
    ]);
  });

  it("refuses what it cannot say, in words", async () => {
    for (const [query, said] of [
      ["by=colour", "know no"],
      ["by=day&timeZone=Asia/Kolkata", "full hour"],
      ["by=day&timeZone=Mars/Base", "no time zone"],
      ["by=day&from=yesterday", "from is a day"],
      ["by=session,model", "not by model"],
      ["by=team&frm=2026-01-01", "know no"],
      ["by=team&format=xlsx", "format"],
    ] as const) {
      const { status, text } = await admin(`/spend?${query}`);
      expect([query, status]).toEqual([query, 400]);
      expect(text).toContain(said);
    }
  });

  it("charges back and forecasts", async () => {
    expect(await json("/spend/chargeback")).toMatchObject({
      lines: [
        { name: "search", ownUsd: "0.030000000", shareUsd: "0.007500000", usd: "0.037500000" },
        { name: "shop", usd: "0.012500000" },
      ],
      unassignedUsd: "0.010000000",
      usd: "0.050000000",
    });
    // Today is not over, and before it there was nothing.
    expect(await json("/spend/forecast?days=7&basedOn=14")).toMatchObject({ basedOnDays: 14, days: 7, usd: "0.000000000" });
  });

  it("makes its sums anew from the rows", async () => {
    const before = await json("/spend?by=team");
    const { text } = await admin("/ledger/rollup", "POST", { rebuild: true });
    expect(JSON.parse(text)).toEqual({ waiting: 5 });
    expect(await json("/spend?by=team")).toEqual(before);
    expect(JSON.parse((await admin("/ledger/rollup", "POST", {})).text)).toEqual({ waiting: 0 });
    expect(await json("/spend?by=team")).toEqual(before);
  });
});

describe("/admin/api/ledger/export", () => {
  it("streams every row in each format, and leaves a note in the audit", async () => {
    const parquet = await ask200("/ledger/export?format=parquet&compression=snappy");
    expect(parquet.headers.get("content-type")).toBe("application/vnd.apache.parquet");
    expect(parquet.headers.get("x-gimbal-streamed")).toBeNull();
    const rows = await parquetReadObjects({ file: await parquet.arrayBuffer(), compressors });
    expect(rows.map(({ cost_nanodollars, metadata }) => [cost_nanodollars, metadata])).toEqual([
      ...Array.from({ length: 3 }, () => [10_000_000n, '{"feature":"chat","agent":"planner"}']),
      [10_000_000n, '{"feature":"ads","agent":"planner"}'],
      [10_000_000n, '{"feature":"chat","agent":"planner"}'],
    ]);
    expect(rows[0]?.["started_at"]).toBeInstanceOf(Date);
    const listed = (await (await ask200("/ledger/export?format=json")).json()) as { readonly team?: string }[];
    expect(listed.map(({ team }) => team)).toEqual(["search", "search", "search", "shop", undefined]);
    expect((await (await ask200("/ledger/export")).text()).split("\r\n")).toHaveLength(7);
    expect(JSON.stringify(await json("/audit?action=data.read"))).toContain("GET /ledger/export");
  });

  it("narrows by time and model, and refuses what it does not know", async () => {
    const count = async (query: string): Promise<number> => {
      const rows = (await (await ask200(`/ledger/export?format=json&${query}`)).json()) as unknown[];
      return rows.length;
    };
    expect(await count("model=sim/penny")).toBe(5);
    expect(await count("model=sim/other")).toBe(0);
    expect(await count("to=2020-01-01")).toBe(0);
    for (const query of [
      "format=xlsx",
      "from=soon",
      "compression=zstd",
      "colour=red",
      "from=2026-01-02&to=2026-01-01",
      "timeZone=Mars/Base",
    ])
      expect([query, (await admin(`/ledger/export?${query}`)).status]).toEqual([query, 400]);
    const viewer = await gateway.key({ name: "viewer", surfaces: ["admin"], role: "viewer" });
    const refused = await fetch(`${gateway.url}/admin/api/ledger/export`, { headers: { authorization: `Bearer ${viewer}` } });
    expect(refused.status).toBe(403);
  });

  it("lets go of exports that nobody reads to their end", async () => {
    for (let round = 0; round < 5; round++) {
      const head = await fetch(`${gateway.url}/admin/api/ledger/export`, {
        method: "HEAD",
        headers: { authorization: `Bearer ${gateway.house.adminToken.reveal()}` },
      });
      expect(head.status).toBe(200);
      await (await ask200("/ledger/export")).body?.cancel();
    }
    expect((await (await ask200("/ledger/export")).text()).length).toBeGreaterThan(100);
  });

  it("cuts the connection where reading breaks off, so that half a file is not taken for the whole", async () => {
    const { ledger } = gateway.house.gateway;
    const page = ledger.page.bind(ledger);
    const spy = vi.spyOn(ledger, "page").mockImplementation(async (query) => {
      if (query.after === 1) throw new Error("the disk is gone");
      return { ...(await page(query)), next: 1 };
    });
    try {
      await expect(ask200("/ledger/export").then((response) => response.text())).rejects.toThrow(/terminated|aborted|closed/i);
      const { code, err } = await cli("ledger", "export", "--out", "half.csv");
      expect([code, err]).toEqual([1, expect.stringContaining("broke off")]);
      expect(readdirSync(folder).filter((name) => name.startsWith("half"))).toEqual([]);
    } finally {
      spy.mockRestore();
    }
  });
});

describe("gimbal ledger export", () => {
  it("writes a file of rows, through the gateway that holds the record", async () => {
    const { code, err } = await cli("ledger", "export", "--format", "parquet", "--out", "rows.parquet");
    expect([code, err]).toEqual([0, expect.stringContaining("rows.parquet")]);
    const file = new Uint8Array(readFileSync(join(folder, "rows.parquet"))).buffer;
    expect(await parquetReadObjects({ file, compressors, columns: ["team"] })).toHaveLength(5);
    expect((await cli("ledger", "export", "--format", "json")).out).toMatch(/^\[\n\{/);
    expect((await cli("ledger", "spend", "--by", "team", "--format", "parquet", "--out", "spend.parquet")).code).toBe(0);
    const spend = new Uint8Array(readFileSync(join(folder, "spend.parquet"))).buffer;
    expect(await parquetReadObjects({ file: spend, compressors })).toMatchObject([{ team: "search", calls: 3n }, {}, {}]);
  });

  it("says in words what cannot be asked", async () => {
    for (const [flags, said] of [
      [["--format", "parquet"], "--out"],
      [["--format", "xlsx"], "csv, json, parquet"],
      [["--compression", "zstd"], "--format parquet"],
      [["--from", "soon"], "from is a day"],
      [["--out", "no/such/folder/rows.csv"], "cannot be written"],
    ] as const)
      expect((await cli("ledger", "export", ...flags)).err).toContain(said);
    expect((await cli("ledger", "spend", "--format", "parquet")).err).toContain("--out");
    expect((await cli("ledger", "spend", "--format", "csv", "--json")).code).toBe(2);
  });
});

describe("gimbal ledger spend", () => {
  it("prints a table, JSON and CSV, also into a file", async () => {
    const { code, out, err } = await cli("ledger", "spend", "--by", "team");
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^TEAM +USD +CALLS/);
    expect(out).toMatch(/search +0.030000000 +3/);
    expect(out).toMatch(/total +0.050000000 +5/);
    expect(JSON.parse((await cli("ledger", "spend", "--by", "team", "--json")).out)).toMatchObject({ total: { usd: "0.050000000" } });
    expect((await cli("ledger", "spend", "--by", "team", "--csv", "--output", "spend.csv")).code).toBe(0);
    expect(readFileSync(join(folder, "spend.csv"), "utf8")).toMatch(/^team,usd/);
    expect((await cli("ledger", "spend", "--by", "team", "--where", "metadata.feature=ads")).out).toMatch(/shop +0.010000000/);
  });

  it("says in words what cannot be asked, and charges back, forecasts and rebuilds", async () => {
    expect((await cli("ledger", "spend", "--by", "colour")).err).toContain("know no");
    expect((await cli("ledger", "spend", "--csv", "--json")).code).toBe(2);
    expect((await cli("ledger", "chargeback")).out).toMatch(/search +3 +0.030000000 +0.007500000 +0.037500000/);
    expect((await cli("ledger", "forecast", "--based-on", "7")).out).toContain("give or take");
    expect((await cli("ledger", "rollup", "--rebuild")).out).toBe("Every row of the ledger is in the sums.\n");
    expect((await cli("ledger", "spend", "--by", "team")).out).toMatch(/total +0.050000000 +5/);
  });
});

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { NO_USAGE, type LedgerRow, type Stores } from "../../src/canon/index.ts";
import { runCli } from "../../src/cli/index.ts";
import { bookOf } from "../../src/in-force.ts";
import { ManualClock, SeededRandomness } from "../../src/kit/index.ts";
import { memoryStores } from "../../src/stores/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { ledgerRow } from "../stores/rows.ts";

const START = Date.UTC(2026, 5, 1);
const clock = new ManualClock(START);
const CONFIG = `
providers:
  lab: { kind: openai-compatible, baseUrl: "http://127.0.0.1:9/v1", apiKey: x, allowPrivateNetwork: true, models: { small: { price: { inputUsd: 1, outputUsd: 1 } } } }
`;
let folder: string;
let stores: Stores;
let output: string;
let complaints: string;
/** Where commands find a gateway; undefined: none runs. */
let gateway: TestGateway | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gimbal-costs-"));
  stores = memoryStores(clock);
  [output, complaints] = ["", ""];
  write("gimbal.yaml", `version: 1\n${CONFIG}`);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);

function run(...argv: string[]): Promise<number> {
  if (gateway) write("server.json", JSON.stringify({ url: gateway.url, pid: 1 }));
  return runCli(["ledger", ...argv, "--data", folder], {
    env: { GIMBAL_ADMIN_TOKEN: gateway?.house.adminToken.reveal() ?? "t" },
    cwd: folder,
    root: folder,
    version: "0",
    nodeVersion: "26.0.0",
    clock,
    randomness: new SeededRandomness(1),
    out: (text) => void (output += text),
    err: (text) => void (complaints += text),
    serve: () => Promise.resolve(0),
    openStores: () => Promise.resolve({ ...stores, close: () => Promise.resolve() }),
    discover: () => Promise.resolve({ providers: {}, models: {} }),
    openProviders: () => Promise.resolve(new Map()),
    book: bookOf,
    openStage: () => Promise.reject(new Error("no rehearsal here")),
    isRunning: () => true,
    fetch,
  });
}

function rowOf(callId: string, patch: Partial<LedgerRow> = {}): LedgerRow {
  const usage = { ...NO_USAGE, inputUncached: 1000 };
  const attempts = [{ target: "lab/small", startedMs: 1, endedMs: 2, status: 200, usage }];
  return ledgerRow(callId, { startedAt: START, usage, target: "lab/small", attempts, costNanodollars: 500_000, ...patch });
}

const PRICES = "version: 1\nprices: { lab/small: { discountPercent: 50, until: 2026-06-02 } }\n";

describe("gimbal ledger reprice", () => {
  it("derives costs by the configuration's prices, and by the price file beside it", async () => {
    await stores.ledger.settle(rowOf("call_1"));
    await stores.ledger.settle(rowOf("call_2", { startedAt: START + 86_400_000 }));
    expect(await run("reprice", "--dry-run", "--json"), complaints).toBe(0);
    expect(JSON.parse(output)).toMatchObject({
      dryRun: true,
      rows: 2,
      changed: 2,
      before: { usd: "0.001000000" },
      after: { usd: "0.002000000", unknown: 0 },
    });
    expect(JSON.parse(output)).not.toHaveProperty("run");
    expect(await stores.ledger.repricings("call_1")).toEqual([]);
    write("prices.local.yaml", PRICES);
    output = "";
    expect(await run("reprice"), complaints).toBe(0);
    expect(output).toMatch(
      /before +0\.001000000 +0\nafter +0\.001500000 +0\n1 of 2 calls cost something else now \(rpr_\w+\)\.\nPrices: genai-prices /,
    );
    expect(await stores.ledger.repricings("call_1")).toEqual([]);
    expect(await stores.ledger.repricings("call_2")).toMatchObject([
      { costNanodollars: 1_000_000, previousNanodollars: 500_000, at: START },
    ]);
  });

  it("takes a file of prices and a part of the rows", async () => {
    await stores.ledger.settle(rowOf("call_1"));
    await stores.ledger.settle(rowOf("call_2", { startedAt: START + 86_400_000 }));
    write("other.yaml", "version: 1\nprices: { lab/small: { perCallUsd: 1 } }\n");
    expect(await run("reprice", "--prices", "other.yaml", "--since", "2026-06-02", "--model", "lab/small", "--json")).toBe(0);
    expect(JSON.parse(output)).toMatchObject({ rows: 1, changed: 1, after: { usd: "1.000000000" } });
  });

  it.each([
    [["reprice", "--since", "soon"], 2, '--since is a day or a time such as 2026-01-31T22:00Z, not "soon".'],
    [["reprice", "--since", "2026-02-01", "--until", "2026-01-01"], 2, "--until is not after --since."],
    [["reprice", "--prices", "none.yaml"], 1, "none.yaml cannot be read"],
    [["differences", "--threshold", "much"], 2, '--threshold is a number of percent, not "much".'],
    [["reprice", "--dryrun"], 2, "Did you mean --dry-run?"],
  ])("says what is wrong with %j", async (argv, code, message) => {
    expect(await run(...argv)).toBe(code);
    expect(complaints).toContain(message);
  });

  it("says where a price file is wrong", async () => {
    write("prices.local.yaml", "version: 1\nprices:\n  lab/small: { inputUSD: 1 }\n");
    expect(await run("reprice")).toBe(1);
    expect(complaints).toContain('prices.local.yaml:3:16 prices.lab/small: Unknown key "inputUSD". Did you mean "inputUsd"?');
  });
});

describe("gimbal ledger differences", () => {
  it("lists the largest first", async () => {
    await stores.ledger.settle(rowOf("call_1", { reported: { nanodollars: 600_000, ownNanodollars: 500_000 } }));
    await stores.ledger.settle(rowOf("call_2", { reported: { nanodollars: 900_000, ownNanodollars: 500_000 } }));
    await stores.ledger.settle(rowOf("call_3", { reported: { nanodollars: 500_000, ownNanodollars: 500_000 } }));
    expect(await run("differences")).toBe(0);
    expect(output).toMatch(/lab\/small +0\.000900000 +0\.000500000 +\+80 +call_2\n.*0\.000600000 +0\.000500000 +\+20 +call_1\n3 calls/);
    expect(output).toContain("3 calls have a price of their provider's; 2 of them are more than 1% away from ours.");
    output = "";
    expect(await run("differences", "--threshold", "50", "--json")).toBe(0);
    expect(JSON.parse(output)).toMatchObject({
      thresholdPercent: 50,
      compared: 3,
      apart: 1,
      differences: [{ callId: "call_2", percent: 80 }],
    });
  });
});

describe("through a running gateway", () => {
  beforeAll(async () => {
    gateway = await startGateway({ config: CONFIG });
    for (let at = 0; at < 1500; at++)
      void gateway.house.stores.ledger.settle(rowOf(`call_${at}`, at === 7 ? { reported: { nanodollars: 9, ownNanodollars: 5 } } : {}));
    await gateway.house.stores.ledger.flush();
  });
  afterAll(async () => {
    await gateway?.close();
    gateway = undefined;
  });

  it("does the same, page by page, and leaves one run", async () => {
    write("other.yaml", "version: 1\nprices: { lab/small: { perCallUsd: 0.001 } }\n");
    expect(await run("reprice", "--prices", "other.yaml", "--dry-run", "--json"), complaints).toBe(0);
    expect(JSON.parse(output)).toMatchObject({ rows: 1500, changed: 1500, after: { usd: "1.500000000" } });
    output = "";
    expect(await run("reprice", "--json"), complaints).toBe(0);
    const { run: id, priceVersion } = JSON.parse(output) as { run: string; priceVersion: string };
    expect(JSON.parse(output)).toMatchObject({
      rows: 1500,
      changed: 1500,
      before: { usd: "0.750000000" },
      after: { usd: "1.500000000", unknown: 0 },
    });
    const ledger = gateway?.house.stores.ledger;
    expect(await ledger?.repricings("call_0")).toMatchObject([
      { runId: id, priceVersion, costNanodollars: 1_000_000, previousNanodollars: 500_000 },
    ]);
    expect(await ledger?.repricings("call_1499")).toMatchObject([{ runId: id }]);
    const headers = { authorization: `Bearer ${gateway?.house.adminToken.reveal() ?? ""}` };
    const told = await fetch(`${gateway?.url ?? ""}/admin/api/ledger/call_3/repricings`, { headers });
    expect(await told.json()).toMatchObject({ repricings: [{ runId: id, costNanodollars: 1_000_000, previousVersion: "prices-1" }] });
    output = "";
    expect(await run("differences", "--json")).toBe(0);
    expect(JSON.parse(output)).toMatchObject({ compared: 1, apart: 1 });
  });

  it("says what is wrong with prices", async () => {
    write("bad.yaml", "version: 1\nprices: { lab/small: { perCalUsd: 1 } }\n");
    expect(await run("reprice", "--prices", "bad.yaml")).toBe(1);
    expect(complaints).toContain('line 2: prices.lab/small: Unknown key "perCalUsd". Did you mean "perCallUsd"?');
  });
});

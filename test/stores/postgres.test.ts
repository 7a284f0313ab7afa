import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ProblemError, type Stores } from "../../src/canon/index.ts";
import { ManualClock, systemClock } from "../../src/kit/index.ts";
import { DATABASE_UNUSABLE, type HostedStores, migrateRecord, openPostgres, type PostgresOptions } from "../../src/stores/index.ts";
import { DEFAULT_STORAGE } from "../../src/stores/options.ts";
import { postgresMigrations } from "../../src/stores/postgres/migrations.ts";
import { hasPostgres, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { temporaryFolder } from "./folders.ts";
import { keyRecord, ledgerRow, openRecord, START } from "./rows.ts";
import { promisedMs } from "../support/promised.ts";

const KEY = Buffer.alloc(32, 7).toString("base64");
const CHILD = join(import.meta.dirname, "postgres-child.ts");
const SOON = { timeout: 15_000, interval: 20 };
/** At night as often as the promise says. */
const KILLS = process.env["GIMBAL_EXHAUSTIVE"] === undefined ? 5 : 50;
const BURST = 400;
/** What other gateways are promised. */
const PROMISED_MS = promisedMs(1000);
/** Retries come quickly, so that a test does not wait for them. */
const QUICK = { ...DEFAULT_STORAGE, retryMs: 20, retryMaxMs: 100 };

async function problemOf(promise: Promise<unknown>): Promise<ProblemError["problem"]> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof ProblemError) return error.problem;
    throw error;
  }
  throw new Error("it was not refused");
}

describe.skipIf(!hasPostgres)("a record in PostgreSQL", () => {
  let server: TestPostgres;
  const opened: Stores[] = [];
  beforeAll(async () => void (server = await startPostgres()));
  afterAll(() => server?.stop());
  afterEach(async () => {
    await server.start();
    await Promise.all(opened.splice(0).map((stores) => stores.close()));
  });
  const open = async (url: string, change: Partial<PostgresOptions> = {}): Promise<HostedStores> => {
    const common = { folder: temporaryFolder(), node: `node-${opened.length}`, clock: systemClock, env: { GIMBAL_DATA_KEY: KEY } };
    const stores = await openPostgres({ url, ...common, options: QUICK, ...change });
    opened.push(stores);
    return stores;
  };
  const idsIn = async (schema: string): Promise<string[]> =>
    (await server.query(`SELECT call_id FROM ${schema}.ledger ORDER BY seq`)).map((row) => String(row["call_id"]));

  describe("that is killed", () => {
    it("has lost no acknowledged row and doubled none, and calls go on meanwhile", { timeout: 20_000 + KILLS * 10_000 }, async () => {
      const said: string[] = [];
      const stores = await open(server.url("killed"), { log: (line) => said.push(line) });
      const acknowledged = new Set<string>();
      let number = 0;
      /** Bounded, so that a slow machine is not kept slow by what waits. */
      const burst = async (rows: number): Promise<void> => {
        const until = number + rows;
        const one = async (): Promise<void> => {
          while (number < until) {
            const id = `call_${number++}`;
            stores.ledger.open(openRecord(id));
            await stores.ledger.settle(ledgerRow(id));
            acknowledged.add(id);
          }
        };
        await Promise.all(Array.from({ length: 20 }, one));
      };
      for (let kill = 1; kill <= KILLS; kill++) {
        const before = burst(BURST);
        await expect.poll(() => acknowledged.size, { ...SOON, interval: 1 }).toBeGreaterThan((kill - 1) * 2 * BURST + BURST / 4);
        await server.kill();
        await before;
        // Rows are acknowledged while there is no database at all.
        await burst(BURST);
        expect(stores.ledger.failure()).toBeUndefined();
        await server.start();
        await expect.poll(() => said.findLast((line) => line.startsWith("The record is")), SOON).toBe("The record is back.");
      }
      await expect.poll(() => server.query("SELECT count(*) AS rows FROM killed.ledger"), SOON).toEqual([{ rows: String(number) }]);
      const ids = await idsIn("killed");
      expect(new Set(ids)).toEqual(acknowledged);
      expect(ids.length).toBe(acknowledged.size);
      expect(await server.query("SELECT * FROM killed.open_calls")).toEqual([]);
    });

    it("refuses at once what somebody waits for, knows keys that were read before, and comes back by itself", async () => {
      const stores = await open(server.url("away"));
      await stores.keys.create(keyRecord("k1"));
      const generation = await stores.keys.generation();
      await server.kill();
      await stores.ledger.settle(ledgerRow("call_1"));
      expect((await problemOf(stores.keys.revoke("k1", 1))).kind).toBe("storage_unavailable");
      expect((await problemOf(stores.keys.byHash("hash-k1"))).kind).toBe("storage_unavailable");
      // What the gateway holds of it in memory stays good.
      expect(await stores.keys.generation()).toBe(generation);
      await server.start();
      await expect.poll(() => stores.ledger.read("call_1").catch(() => undefined), SOON).toEqual(ledgerRow("call_1"));
      await expect.poll(() => stores.keys.revoke("k1", 1).catch(() => undefined), SOON).toBe(true);
    });

    it("is followed by calls that are refused once no row can wait any more, until it is back", async () => {
      const failures: (string | undefined)[] = [];
      const options = { ...QUICK, spoolBytes: 2000, openHoldMs: 1 };
      const stores = await open(server.url("used_up"), { options, onFailure: (why) => failures.push(why) });
      await server.kill();
      const rows = Array.from({ length: 10 }, (_, number) => stores.ledger.settle(ledgerRow(`call_${number}`)));
      await expect.poll(() => stores.ledger.failure(), SOON).toContain("storage.spoolBytes");
      await server.start();
      await Promise.all(rows);
      await expect.poll(() => stores.ledger.failure(), SOON).toBeUndefined();
      await expect.poll(async () => (await idsIn("used_up")).length, SOON).toBe(10);
      expect(failures.at(-1)).toBeUndefined();
    });

    it("gets the rows that a gateway left on its disk when that starts again, once", async () => {
      const folder = temporaryFolder();
      const url = server.url("leftover");
      const first = await open(url, { folder, node: "first" });
      await server.kill();
      await first.ledger.settle(ledgerRow("call_1", { problemMessage: "told \u0000 twice" }));
      await first.close();
      const spool = join(folder, "spool.jsonl");
      const kept = readFileSync(spool, "utf8");
      expect(kept).toContain("call_1");
      // As a crash between commit and clean-up leaves it: the same rows twice, and a line cut short.
      writeFileSync(spool, `${kept}${kept}{"cut`);
      await server.start();
      const second = await open(url, { folder, node: "second" });
      await expect.poll(() => second.ledger.read("call_1"), SOON).toEqual(ledgerRow("call_1", { problemMessage: "told \u0000 twice" }));
      expect(await second.ledger.count()).toBe(1);
      await second.close();
      expect(existsSync(spool)).toBe(false);
    });
  });

  describe("shared by gateways", () => {
    it("carries revocations, switches, versions and signals to the others within a second", async () => {
      const url = server.url("shared");
      const [one, two] = [await open(url), await open(url)];
      const heard: unknown[] = [];
      let told = 0;
      two.signals.hear((signal) => heard.push(signal));
      one.signals.hear((signal) => heard.push(["own", signal]));
      two.switches.watch(() => told++);
      const within = async (change: () => Promise<unknown>): Promise<void> => {
        const [before, toldBefore] = [await two.keys.generation(), told];
        await change();
        await expect.poll(() => two.keys.generation(), { timeout: PROMISED_MS, interval: 5 }).toBe(before + 1);
        expect(told).toBe(toldBefore + 1);
        expect(await one.keys.generation()).toBe(before + 1);
      };
      await within(() => one.keys.create(keyRecord("k1")));
      await within(() => one.keys.revoke("k1", START));
      expect((await two.keys.byHash("hash-k1"))?.revokedAt).toBe(START);
      await within(() => one.switches.put({ id: "s", kind: "kill", scope: "all", value: "*", author: "admin", createdAt: START }));
      expect(await two.switches.list()).toHaveLength(1);
      await within(() => one.config.append({ createdAt: START, author: "file", text: "a" }));
      await within(() => one.config.append({ createdAt: START, author: "admin", text: "b", rollbackOf: 1 }, 1));
      expect((await two.config.read(2))?.text).toBe("b");
      one.signals.tell({ type: "cancel", callId: "call_1", scope: "key_1" });
      await expect.poll(() => heard).toEqual([{ type: "cancel", callId: "call_1", scope: "key_1" }]);
    });

    it("hears of what it missed while the database was away", async () => {
      const url = server.url("missed");
      const stores = await open(url);
      const before = await stores.keys.generation();
      await server.kill();
      await server.start();
      await server.query("UPDATE missed.key_generation SET generation = generation + 1");
      await expect.poll(() => stores.keys.generation(), SOON).toBe(before + 1);
    });

    it("settles what a killed gateway and its workers left, each call once, and leaves the living alone", async () => {
      const url = server.url("dead");
      const child = spawn(process.execPath, [CHILD, url, temporaryFolder(), "dead-node", KEY], { stdio: ["ignore", "pipe", "inherit"] });
      await new Promise((resolve) => child.stdout.once("data", resolve));
      // Long enough that a busy machine does not take the living for dead.
      const survivors = [await open(url, { leaseMs: 2500 }), await open(url, { leaseMs: 2500 })];
      survivors[0]?.ledger.open(openRecord("call_running", { node: "node-0" }));
      await survivors[0]?.ledger.flush();
      child.kill("SIGKILL");
      const buried: string[] = [];
      const counts: number[] = [];
      for (const stores of survivors)
        stores.nodes?.onDead(async (node) => {
          buried.push(node);
          counts.push(await stores.ledger.interruptOpen(node, "prices-1"));
        });
      await expect.poll(async () => (await idsIn("dead")).toSorted(), SOON).toEqual(["call_left", "call_of_worker"]);
      await expect.poll(() => counts.reduce((sum, count) => sum + count, 0)).toBe(2);
      expect(new Set(buried)).toEqual(new Set(["dead-node", "dead-node.2"]));
      expect(await survivors[0]?.ledger.readOpen("call_running")).toBeDefined();
      await expect.poll(() => server.query("SELECT node FROM dead.nodes ORDER BY node")).toEqual([{ node: "node-0" }, { node: "node-1" }]);
    });

    it("settles at once what the gateway before left in the same data folder", async () => {
      const url = server.url("before");
      const folder = temporaryFolder();
      const child = spawn(process.execPath, [CHILD, url, folder, "before-node", KEY], { stdio: ["ignore", "pipe", "inherit"] });
      await new Promise((resolve) => child.stdout.once("data", resolve));
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
      const next = await open(url, { folder, leaseMs: 600_000 });
      next.nodes?.onDead(async (node) => {
        await next.ledger.interruptOpen(node, "prices-1");
      });
      await expect.poll(async () => (await idsIn("before")).toSorted(), SOON).toEqual(["call_left", "call_of_worker"]);
    });

    it("refuses a gateway with another key, and says which to give it", async () => {
      const url = server.url("sealed");
      await open(url, { env: {} });
      const problem = await problemOf(open(url, { env: {} }));
      expect(problem).toMatchObject({ kind: "storage_unavailable", code: DATABASE_UNUSABLE });
      expect(problem.message).toContain("GIMBAL_DATA_KEY");
      expect((await problemOf(open(url, { env: { GIMBAL_DATA_KEY: "short" } }))).message).toContain("openssl rand");
    });

    it("takes a new key once every gateway has it, old turns staying readable", async () => {
      const url = server.url("rotated");
      const next = Buffer.alloc(32, 9).toString("base64");
      const first = await open(url);
      await first.cache.keep(
        { scope: "s", key: "k", model: "m", target: "t", tags: [], createdAt: 1, freshUntil: 2, expiresAt: 3, content: "old" },
        await first.cache.generation(),
        1000,
      );
      const second = await open(url, { env: { GIMBAL_DATA_KEY: `${next},${KEY}` } });
      expect((await second.cache.read("s", "k", 1))?.content).toBe("old");
      expect((await problemOf(open(url))).message).toContain("does not have");
    });

    it("refuses a data folder that another gateway has", async () => {
      const url = server.url();
      const folder = temporaryFolder();
      await open(url, { folder });
      expect((await problemOf(open(url, { folder }))).kind).toBe("conflict");
    });
  });

  describe("at the start", () => {
    it("says in a sentence why it cannot be used", async () => {
      const refusal = async (url: string): Promise<string> => {
        const problem = await problemOf(open(url));
        expect(problem.code).toBe(DATABASE_UNUSABLE);
        expect(problem.message).not.toContain("secret");
        return problem.message;
      };
      expect(await refusal("postgres://someone:secret@127.0.0.1:1/gimbal")).toContain("nothing listens there");
      expect(await refusal(server.url().replace("/postgres?", "/absent?"))).toContain("there is no such database");
      expect(await refusal("mysql://someone:secret@127.0.0.1/gimbal")).toContain("postgres://");
      expect(await refusal(server.url("Upper-Case"))).toContain("small letters");
    });

    it("makes its tables in an empty schema, tries an upgrade without keeping it, and leaves old and newer schemas alone", async () => {
      const url = server.url("steps");
      const tables = (): Promise<readonly unknown[]> =>
        server.query("SELECT 1 FROM information_schema.tables WHERE table_schema = 'steps' LIMIT 1");
      expect((await migrateRecord(url, systemClock, true)).pending).toHaveLength(postgresMigrations.length);
      expect(await tables()).toEqual([]);
      const [first, second] = await Promise.all([open(url, { node: "a" }), open(url, { node: "b" })]);
      expect((await migrateRecord(url, systemClock, false)).pending).toEqual([]);
      await first.close();
      await second.close();
      const later = [...postgresMigrations, { number: postgresMigrations.length + 1, name: "later", sql: "CREATE TABLE later ()" }];
      expect((await problemOf(open(url, { migrations: later }))).message).toContain("gimbal migrate");
      await server.query(`INSERT INTO steps.migrations VALUES (${later.length}, 'later', 0)`);
      expect((await problemOf(open(url))).message).toContain("newer version");
    });
  });

  describe("of odd values", () => {
    it("keeps texts with U+0000, and a row that cannot be kept costs its batch nothing", async () => {
      const stores = await open(server.url("odd"), { clock: new ManualClock(START) });
      const broken = ledgerRow("call_broken", { configVersion: 1.5 });
      const settled = await Promise.allSettled([
        stores.ledger.settle(ledgerRow("call_1", { model: "a\u0000b" })),
        stores.ledger.settle(broken),
        stores.ledger.settle(ledgerRow("call_2", { callerName: 'q"u\\o{t,e}' })),
        stores.keys.create(keyRecord("k1")),
      ]);
      expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled"]);
      expect((await stores.ledger.read("call_1"))?.model).toBe("a\uFFFDb");
      expect((await stores.ledger.read("call_2"))?.callerName).toBe('q"u\\o{t,e}');
      expect(await stores.ledger.read("call_none\u0000")).toBeUndefined();
    });
  });
});

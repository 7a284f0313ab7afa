import { spawn } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasPostgres, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { temporaryFolder } from "./folders.ts";
import { BARE_ENV } from "../support/children.ts";
import { promisedMs } from "../support/promised.ts";

const KEY = Buffer.alloc(32, 7).toString("base64");
const MAIN = join(import.meta.dirname, "../../src/main.ts");
const PROMISED_MS = promisedMs(1000);
const SOON = { timeout: 15_000, interval: 20 };
const CONFIG = `models:
  fast: sim/echo
  slowly: sim/slow
`;

/** Starts a gateway's process, makes a few calls once it is ready, and stops it. Resolves with its exit code and what it said. */
function served(env: Readonly<Record<string, string>>, flags: readonly string[]): Promise<readonly [exit: number | null, said: string]> {
  const args = [MAIN, "serve", "--port", "0", "--data", temporaryFolder(), ...flags];
  const child = spawn(process.execPath, args, { cwd: temporaryFolder(), env: { ...BARE_ENV, ...env } });
  let [said, output] = ["", ""];
  child.stderr.on("data", (text: Buffer) => (said += text.toString()));
  child.stdout.on("data", (text: Buffer) => {
    output += text.toString();
    const url = /ready on (\S+)\n/.exec(output)?.[1];
    if (url === undefined) return;
    output = "";
    const body = JSON.stringify({ model: "sim/echo", messages: [{ role: "user", content: "hello" }] });
    const one = (): Promise<string> =>
      fetch(`${url}/v1/chat/completions`, { method: "POST", headers: { "content-type": "application/json" }, body }).then((r) => r.text());
    void Promise.all(Array.from({ length: 8 }, one)).finally(() => child.kill("SIGTERM"));
  });
  return new Promise((resolve) => child.once("close", (exit) => resolve([exit, said])));
}

describe.skipIf(!hasPostgres)("gateways that share a record in PostgreSQL", () => {
  let server: TestPostgres;
  let one: TestGateway;
  let two: TestGateway;
  let known: string;
  let unknown: string;
  beforeAll(async () => {
    server = await startPostgres();
    const env = { GIMBAL_DATABASE_URL: server.url("gateways"), GIMBAL_DATA_KEY: KEY };
    one = await startGateway({ config: CONFIG, env });
    two = await startGateway({ config: CONFIG, env });
    [known, unknown] = [await one.key({ name: "known" }), await two.key()];
  });
  afterAll(async () => {
    await Promise.all([one?.close(), two?.close()]);
    await server?.stop();
  });

  const call = (gateway: TestGateway, key: string, model = "fast", stream = false): Promise<Response> =>
    fetch(`${gateway.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
      body: JSON.stringify({ model, stream, messages: [{ role: "user", content: "hello" }] }),
    });
  const statusOf = async (gateway: TestGateway, key: string, model?: string): Promise<number> => {
    const response = await call(gateway, key, model);
    await response.text();
    return response.status;
  };
  const admin = async (gateway: TestGateway, method: string, path: string, body?: unknown): Promise<Record<string, unknown>> => {
    const response = await fetch(`${gateway.url}/admin/api${path}`, {
      method,
      headers: { authorization: `Bearer ${gateway.house.adminToken.reveal()}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return (await response.json()) as Record<string, unknown>;
  };
  const within = async (question: () => Promise<unknown>, answer: unknown): Promise<void> => {
    await expect.poll(question, { timeout: PROMISED_MS, interval: 5 }).toBe(answer);
  };

  it("serve each other's keys, and a revoked one no longer than a second", async () => {
    const { id, key } = await admin(one, "POST", "/keys", { name: "shared" });
    expect(await statusOf(two, String(key))).toBe(200);
    await admin(one, "DELETE", `/keys/${String(id)}`);
    await within(() => statusOf(two, String(key)), 401);
    await within(() => statusOf(one, String(key)), 401);
  });

  it("rotate each other's keys: the new one at once, the old one no longer than a second", async () => {
    const { id, key } = await admin(one, "POST", "/keys", { name: "rotated" });
    expect(await statusOf(two, String(key))).toBe(200);
    const next = await admin(two, "POST", `/keys/${String(id)}/rotate`, { overlapHours: 0 });
    expect(next["account"]).toBe(id);
    await within(() => statusOf(one, String(next["key"])), 200);
    await within(() => statusOf(one, String(key)), 401);
    await within(() => statusOf(two, String(key)), 401);
  });

  it("have one ledger", async () => {
    const key = await one.key();
    await statusOf(one, key);
    await statusOf(two, key);
    await Promise.all([one.rows(), two.rows()]);
    const rows = (await one.rows()).slice(-2);
    expect(new Set(rows.map((row) => row.callId)).size).toBe(2);
    expect((await two.rows()).slice(-2)).toEqual(rows);
  });

  it("stop a running stream of the other by a kill switch within a second, and lift it again", async () => {
    const key = await one.key();
    const response = await call(two, key, "slowly", true);
    const text = response.text();
    const started = performance.now();
    const { id } = await admin(one, "POST", "/kill", { scope: "model", value: "slowly" });
    expect(await text).toContain("switched off");
    expect(performance.now() - started).toBeLessThan(PROMISED_MS);
    await within(() => statusOf(two, key, "slowly"), 503);
    await admin(two, "DELETE", `/kill/${String(id)}`);
    await within(async () => ((await admin(one, "GET", "/kill"))["kills"] as unknown[]).length, 0);
  });

  it("have a changed and a rolled back configuration in force within a second", async () => {
    const key = await one.key();
    const target = async (gateway: TestGateway): Promise<string | null> => {
      const response = await call(gateway, key);
      await response.text();
      return response.headers.get("x-gimbal-target");
    };
    await admin(one, "PATCH", "/models/fast", { targets: ["sim/lorem"] });
    await within(() => target(two), "sim/lorem");
    await admin(two, "POST", "/config/rollback", { version: 1 });
    await within(() => target(one), "sim/echo");
  });

  it("let exactly as many calls pass as a budget has room for, of a thousand at once over three of them", async () => {
    const config = `sim: { models: { penny: { text: "ok", price: { perCallUsd: 0.01 } } } }\nbudgets: [{ usd: 1, per: lifetime }]\n`;
    const env = { GIMBAL_DATABASE_URL: server.url("budgets"), GIMBAL_DATA_KEY: KEY };
    const three = [await startGateway({ config, env }), await startGateway({ config, env }), await startGateway({ config, env })];
    try {
      const key = (await three[0]?.key()) ?? "";
      const statuses = await Promise.all(
        three.flatMap((gateway, place) => Array.from({ length: place === 0 ? 334 : 333 }, () => statusOf(gateway, key, "sim/penny"))),
      );
      expect(statuses.filter((status) => status === 200)).toHaveLength(100);
      expect(statuses.filter((status) => status === 402)).toHaveLength(900);
      await Promise.all(three.map((gateway) => gateway.rows()));
      await expect
        .poll(() => server.query("SELECT spent::text, leased::text FROM budgets.counters WHERE refill_ms = 0"), SOON)
        .toEqual([{ spent: "1000000000", leased: "0" }]);
    } finally {
      await Promise.all(three.map((gateway) => gateway.close()));
    }
  });

  it("run as processes with workers, and say in a sentence when there is no database", async () => {
    const good = { GIMBAL_DATABASE_URL: server.url("processes"), GIMBAL_DATA_KEY: KEY };
    const [exit, said] = await served({ GIMBAL_DATABASE_URL: "postgres://me:secret@127.0.0.1:1/gimbal" }, []);
    expect(exit).toBe(2);
    expect(said.trim().split("\n")).toEqual([
      "The database 127.0.0.1:1/gimbal of GIMBAL_DATABASE_URL cannot be used: nothing listens there.",
    ]);
    const [ended, output] = await served(good, ["--workers", "2"]);
    expect(ended, output).toBe(0);
    expect(await server.query("SELECT state, count(*)::int AS rows FROM processes.ledger GROUP BY state")).toEqual([
      { state: "done", rows: 8 },
    ]);
    expect(await server.query("SELECT * FROM processes.nodes")).toEqual([]);
  });

  it("go on with calls of keys they know while the database is killed, and have every row afterwards", async () => {
    // Made long ago: a change to keys makes every gateway look all of them up anew.
    expect(await statusOf(one, known)).toBe(200);
    await server.kill();
    for (let number = 0; number < 20; number++) expect(await statusOf(one, known)).toBe(200);
    expect((await fetch(`${one.url}/readyz`)).status).toBe(200);
    const refused = await call(one, unknown);
    expect(refused.headers.get("x-gimbal-problem")).toBe("storage_unavailable");
    await refused.text();
    await server.start();
    await expect.poll(() => statusOf(one, unknown), SOON).toBe(200);
    const ofKey = async (): Promise<readonly string[]> => {
      const rows = await two.rows();
      const callerId = rows.findLast((row) => row.callerName === "known")?.callerId;
      return rows.filter((row) => row.callerId === callerId).map((row) => row.state);
    };
    await expect.poll(ofKey, SOON).toEqual(Array.from({ length: 21 }, () => "done"));
  });
});

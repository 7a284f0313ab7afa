import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { hasPostgres, startPostgres, type TestPostgres } from "../support/postgres.ts";
import { startProxy, type TestProxy } from "../support/proxy.ts";

const KEY = Buffer.alloc(32, 7).toString("base64");
const SOON = { timeout: 60_000, interval: 100 };
const SLOW_MS = 2000;
const CALLS = 20;
const PRICES = `sim: { models: { penny: { text: "ok", price: { perCallUsd: 0.01 } } } }
storage: { retryMs: 50, retryMaxMs: 500 }
`;

describe.skipIf(!hasPostgres)("a gateway whose database", () => {
  let server: TestPostgres;
  const proxies: TestProxy[] = [];
  const gateways: TestGateway[] = [];
  beforeAll(async () => void (server = await startPostgres()));
  afterAll(() => server?.stop());
  afterEach(async () => {
    for (const proxy of proxies) proxy.mend();
    await Promise.all(gateways.splice(0).map((gateway) => gateway.close()));
    await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
  });

  async function begin(
    schema: string,
    config: string,
  ): Promise<{ readonly gateway: TestGateway; readonly proxy: TestProxy; readonly key: string }> {
    const proxy = await startProxy(server.port);
    proxies.push(proxy);
    const url = server.url(schema).replace(`:${server.port}/`, `:${proxy.port}/`);
    const gateway = await startGateway({ config, env: { GIMBAL_DATABASE_URL: url, GIMBAL_DATA_KEY: KEY } });
    gateways.push(gateway);
    const key = await gateway.key();
    return { gateway, proxy, key };
  }
  async function call({ url }: TestGateway, key: string, model = "sim/penny"): Promise<readonly [number, string | null]> {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
      body: JSON.stringify({ model, max_tokens: 5, messages: [{ role: "user", content: "hello" }] }),
    });
    await response.text();
    return [response.status, response.headers.get("x-gimbal-problem")];
  }
  const rowsIn = async (schema: string, query = (sql: string) => server.query(sql)): Promise<unknown> =>
    (await query(`SELECT count(*)::int AS rows, count(DISTINCT call_id)::int AS calls FROM ${schema}.ledger WHERE state = 'done'`))[0];

  it("takes two seconds for every answer loses no row, doubles none, and keeps no caller that it knows", { timeout: 120_000 }, async () => {
    const { gateway, proxy, key } = await begin("slow", PRICES);
    expect((await call(gateway, key))[0]).toBe(200);
    proxy.delay(SLOW_MS);
    const started = performance.now();
    const statuses = await Promise.all(Array.from({ length: CALLS }, () => call(gateway, key)));
    expect(statuses.map(([status]) => status)).toEqual(statuses.map(() => 200));
    expect(performance.now() - started).toBeLessThan(SLOW_MS);
    await expect.poll(() => rowsIn("slow"), SOON).toEqual({ rows: CALLS + 1, calls: CALLS + 1 });
    proxy.mend();
    expect((await call(gateway, key))[0]).toBe(200);
    await expect.poll(() => rowsIn("slow"), SOON).toEqual({ rows: CALLS + 2, calls: CALLS + 2 });
  });

  it(
    "cannot be reached, without a word, keeps budgets shut unless they may fail open, puts rows on the disk, and has them all afterwards",
    { timeout: 180_000 },
    async () => {
      const shut = "{ name: shut, match: { model: sim/penny }, usd: 5, per: lifetime }";
      const open = "{ name: open, match: { model: sim/lorem }, tokens: 1000000, per: lifetime, failOpen: true }";
      const { gateway, proxy, key } = await begin("pulled", `${PRICES}budgets: [${shut}, ${open}]\n`);
      expect((await call(gateway, key))[0]).toBe(200);
      expect((await call(gateway, key, "sim/echo"))[0]).toBe(200);
      await gateway.rows();
      proxy.pull();
      // What was leased before may be used; then nobody knows what is left.
      const outcomes: (readonly [number, string | null])[] = [];
      for (let number = 0; number < 600 && outcomes.at(-1)?.[0] !== 503; number++) outcomes.push(await call(gateway, key));
      expect(outcomes.at(-1)).toEqual([503, "storage_unavailable"]);
      const paid = outcomes.filter(([status]) => status === 200).length;
      expect((1 + paid) * 0.01).toBeLessThanOrEqual(5);
      expect((await call(gateway, key, "sim/lorem"))[0]).toBe(200);
      expect((await call(gateway, key, "sim/echo"))[0]).toBe(200);
      proxy.mend();
      await expect.poll(async () => (await call(gateway, key))[0], SOON).toBe(200);
      await expect.poll(() => rowsIn("pulled"), SOON).toEqual({ rows: 2 + paid + 3, calls: 2 + paid + 3 });
      const spent = async (): Promise<unknown> =>
        (
          await server.query(`SELECT spent::text FROM pulled.counters WHERE key LIKE '%shut%' OR refill_ms = 0 ORDER BY spent DESC LIMIT 1`)
        )[0]?.["spent"];
      await expect.poll(spent, SOON).toBe(String((2 + paid) * 10_000_000));
    },
  );

  it("fails over to its standby has every acknowledged row there, and goes on at the same address", { timeout: 180_000 }, async () => {
    const { gateway, proxy, key } = await begin("failing", PRICES);
    const standby = await server.standby();
    try {
      // From now on a commit is acknowledged when the standby has it too.
      await server.query("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
      await server.query("SELECT pg_reload_conf()");
      const inStep = async (): Promise<unknown> => (await server.query("SELECT sync_state FROM pg_stat_replication"))[0]?.["sync_state"];
      await expect.poll(inStep, SOON).toBe("sync");
      for (let number = 0; number < CALLS; number++) expect((await call(gateway, key))[0]).toBe(200);
      await gateway.rows();
      await server.kill();
      for (let number = 0; number < CALLS; number++) expect((await call(gateway, key))[0]).toBe(200);
      await standby.promote();
      proxy.lead(standby.port);
      for (let number = 0; number < CALLS; number++) expect((await call(gateway, key))[0]).toBe(200);
      await expect.poll(() => rowsIn("failing", (sql) => standby.query(sql)), SOON).toEqual({ rows: 3 * CALLS, calls: 3 * CALLS });
      await expect.poll(() => gateway.key().then(() => "made", String), SOON).toBe("made");
      await gateways.pop()?.close();
    } finally {
      await standby.stop();
    }
  });
});

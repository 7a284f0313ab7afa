import { afterEach, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";

const PENNY = `sim:
  models:
    penny: { text: "ok", price: { perCallUsd: 0.01 } }
    free: { text: "free", price: { free: true } }
    refuses: { text: "never", price: { perCallUsd: 0.01 }, faults: [{ kind: refuse, share: 1 }] }
    long: { text: "one two three four five six seven eight nine ten", tokensPerSecond: 20, price: { outputUsd: 1000, inputUsd: 1000 } }
`;

let gateway: TestGateway | undefined;
afterEach(async () => {
  await gateway?.close();
  gateway = undefined;
});

async function start(config: string): Promise<TestGateway> {
  gateway = await startGateway({ config: `${PENNY}${config}` });
  return gateway;
}

interface Asked {
  readonly status: number;
  readonly headers: Headers;
  readonly message: string;
}

async function ask(model: string, key?: string, headers: Record<string, string> = {}): Promise<Asked> {
  const response = await fetch(`${gateway?.url ?? ""}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(key !== undefined && { authorization: `Bearer ${key}` }), ...headers },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "hi" }], max_tokens: 10 }),
  });
  const body = (await response.json()) as { error?: { message: string } };
  return { status: response.status, headers: response.headers, message: body.error?.message ?? "" };
}

const statuses = async (count: number, model: string, key?: string): Promise<number[]> =>
  (await Promise.all(Array.from({ length: count }, () => ask(model, key)))).map(({ status }) => status);

describe("budgets", () => {
  it("let exactly as many calls pass as they have room for, of a thousand at once", async () => {
    const running = await start(`budgets: [{ usd: 1, per: day }]`);
    const all = await statuses(1000, "sim/penny");
    expect(all.filter((status) => status === 200)).toHaveLength(100);
    expect(all.filter((status) => status === 402)).toHaveLength(900);
    const spent = (await running.rows()).reduce((sum, { costNanodollars }) => sum + (costNanodollars ?? 0), 0);
    expect(spent).toBe(1_000_000_000);
  }, 60_000);

  it("say in words what is used up and when it begins anew", async () => {
    await start(`budgets: [{ match: { team: search }, usd: 0.01, per: day }]`);
    const key = await gateway?.key({ team: "search" });
    expect(await ask("sim/penny", key)).toMatchObject({ status: 200 });
    const refused = await ask("sim/penny", key);
    expect(refused.status).toBe(402);
    expect(refused.headers.get("x-gimbal-problem")).toBe("budget_exhausted");
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(refused.message).toMatch(
      /budget of \$0\.01 per day for team search .* \$0\.01 are spent.* begins anew at .*T00:00:00\.000Z, in /,
    );
    expect(await ask("sim/penny")).toMatchObject({ status: 200 });
  });

  it("take nothing from a budget with room when another one has none", async () => {
    const { house } = await start(`budgets:
  - { name: large, usd: 1, per: day }
  - { name: small, match: { model: sim/penny }, usd: 0.02, per: day }
`);
    expect((await statuses(10, "sim/penny")).toSorted((a, b) => a - b)).toEqual([200, 200, ...Array.from({ length: 8 }, () => 402)]);
    await house.gateway.live.whenIdle();
    await house.gateway.allowances.walls.close();
    const counters = await house.stores.budgets.list(0, 10);
    expect(counters.map(({ spent, leased }) => [spent, leased])).toEqual([
      [20_000_000, 0],
      [20_000_000, 0],
    ]);
  });

  it("downgrade when they are used up, and refuse what the cheaper model costs too", async () => {
    await start(`models: { cheap: sim/free }
budgets: [{ usd: 0.02, per: day, downgradeTo: cheap }]`);
    for (let call = 0; call < 2; call++) expect((await ask("sim/penny")).headers.get("x-gimbal-target")).toBe("sim/penny");
    const downgraded = await ask("sim/penny");
    expect(downgraded.status).toBe(200);
    expect(downgraded.headers.get("x-gimbal-target")).toBe("sim/free");
    expect(downgraded.headers.get("x-gimbal-budget")).toContain("downgraded to cheap");
    const row = await gateway?.lastRow();
    expect(row).toMatchObject({ model: "cheap", diagnostics: [{ field: "model", action: "degraded" }, {}] });
  });

  it("tell when the soft threshold is reached, once in the log and on every answer", async () => {
    const { logs, house } = await start(`budgets: [{ name: b, usd: 0.1, soft: 0.5, per: day }]`);
    for (let call = 0; call < 5; call++) expect((await ask("sim/penny")).headers.get("x-gimbal-budget")).toBeNull();
    await house.gateway.live.whenIdle();
    for (let call = 0; call < 2; call++)
      expect((await ask("sim/penny")).headers.get("x-gimbal-budget")).toMatch(/^\d0% of the budget of \$0\.10 per day/);
    expect(logs.filter((line) => line.includes("budget of $0.10"))).toHaveLength(1);
  });

  it("refuse calls whose price nobody knows, unless told otherwise", async () => {
    await start(`providers: { lab: { kind: openai-compatible, baseUrl: "http://127.0.0.1:9/v1", apiKey: x, allowPrivateNetwork: true } }
budgets: [{ usd: 1, per: day }]`);
    const refused = await ask("lab/unheard-of");
    expect(refused).toMatchObject({ status: 402 });
    expect(refused.message).toContain("pricing.unknown");
    await gateway?.close();
    await start(`providers: { lab: { kind: openai-compatible, baseUrl: "http://127.0.0.1:9/v1", apiKey: x, allowPrivateNetwork: true } }
pricing: { unknown: allow }
budgets: [{ usd: 1, per: day }]`);
    expect((await ask("lab/unheard-of")).status).not.toBe(402);
  });

  /** Of the only counter, when everything is settled. */
  const spentOf = async ({ house }: TestGateway): Promise<{ readonly spent: number; readonly leased: number } | undefined> => {
    await house.gateway.live.whenIdle();
    await house.gateway.allowances.walls.close();
    return (await house.stores.budgets.list(0, 10))[0];
  };

  it("book nothing for what was refused upstream, and once for what the cache repeats", async () => {
    const running = await start(`models: { cached: { targets: [sim/penny], cache: { ttlSeconds: 600 } } }
budgets: [{ usd: 1, per: day }]`);
    expect((await ask("sim/refuses")).status).not.toBe(200);
    for (let call = 0; call < 3; call++) expect((await ask("cached")).status).toBe(200);
    expect(await spentOf(running)).toMatchObject({ spent: 10_000_000, leased: 0 });
  });

  it("book what was used of a stream whose client left", async () => {
    const running = await start(`budgets: [{ usd: 1, per: day }]`);
    const leave = new AbortController();
    const response = await fetch(`${running.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "sim/long", stream: true, messages: [{ role: "user", content: "hi" }], max_tokens: 50 }),
      signal: leave.signal,
    });
    const reader = response.body?.getReader();
    await reader?.read();
    leave.abort();
    const row = await running.lastRow();
    expect(row.state).toBe("cancelled");
    expect(row.costNanodollars).toBeGreaterThan(0);
    expect(await spentOf(running)).toMatchObject({ spent: row.costNanodollars, leased: 0 });
  });

  it("that are not hard only count", async () => {
    const { house } = await start(`budgets: [{ usd: 0.01, per: day, hard: false }]`);
    expect((await statuses(5, "sim/penny")).every((status) => status === 200)).toBe(true);
    await house.gateway.live.whenIdle();
    await house.stores.ledger.flush();
    expect(await house.stores.budgets.list(0, 10)).toMatchObject([{ spent: 50_000_000 }]);
  });

  it.each([
    ["key", { name: "alice" }, {}, "match: { key: alice }"],
    ["any key by itself", { name: "bob" }, {}, 'match: { key: "*" }'],
    ["project", { project: "shop" }, {}, "match: { project: shop }"],
    ["tag", { tags: ["x", "batch"] }, {}, "match: { tag: batch }"],
    ["session", {}, { "x-gimbal-session": "s1" }, 'match: { session: "*" }'],
    ["agent", {}, { "x-gimbal-metadata": '{"agent":"writer"}' }, "match: { agent: writer }"],
    ["turn", {}, { "x-gimbal-metadata": '{"turn":7}' }, 'match: { turn: "*" }'],
    ["model", {}, {}, 'match: { model: "sim/p*" }'],
    ["several together", { team: "a", name: "alice" }, {}, 'match: { team: a, key: "*" }'],
  ] as const)("match by %s", async (_what, spec, headers, match) => {
    await start(`budgets: [{ ${match}, usd: 0.01, per: month }]`);
    const key = await gateway?.key(spec);
    const other = await gateway?.key({ name: "other" });
    expect((await ask("sim/penny", key, headers)).status).toBe(200);
    expect((await ask("sim/penny", key, headers)).status).toBe(402);
    if (_what !== "model") expect((await ask("sim/penny", other)).status).toBe(200);
    else expect((await ask("sim/free", key)).status).toBe(200);
  });
});

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({
    config: `sim: { models: { penny: { text: "ok", price: { perCallUsd: 0.01 } } } }
budgets: [{ match: { team: search }, usd: 100, per: month }, { match: { project: "s*" }, usd: 50, per: month }]
limits: [{ match: { team: idle }, requests: 100, per: minute }]
`,
  });
});
afterAll(() => gateway.close());

interface Made {
  readonly id: string;
  readonly key: string;
  readonly prefix: string;
  readonly account?: string;
  readonly expiresAt?: number;
  readonly previous?: { readonly id: string; readonly expiresAt: number };
}
interface Answer {
  readonly status: number;
  readonly answer: unknown;
}
async function admin(method: string, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`${gateway.url}/admin/api${path}`, {
    method,
    headers: { authorization: `Bearer ${gateway.house.adminToken.reveal()}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, answer: await response.json() };
}
async function call(key: string, more: Readonly<Record<string, unknown>> = {}): Promise<number> {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify({ model: "sim/penny", messages: [{ role: "user", content: "hello" }], ...more }),
  });
  await response.arrayBuffer();
  return response.status;
}

describe("rotation of keys", () => {
  it("gives a second key to the same account, while the first goes on", async () => {
    const first = (await admin("POST", "/keys", { name: "shop", budgets: [{ usd: 0.03, per: "lifetime" }] })).answer as Made;
    const before = gateway.house.gateway.clock.now();
    const { status, answer } = await admin("POST", `/keys/${first.id}/rotate`, { overlapHours: 2 });
    const second = answer as Made;
    expect([status, second.account, second.previous?.id]).toEqual([201, first.id, first.id]);
    expect((second.previous?.expiresAt ?? 0) - before - 2 * 3_600_000).toBeLessThan(60_000);
    expect(second.key).toMatch(/^gk_[0-9A-Za-z]{43}$/);
    // One budget for both: three calls, whichever key they come with.
    expect([await call(first.key), await call(second.key), await call(first.key)]).toEqual([200, 200, 200]);
    expect([await call(second.key), await call(first.key)]).toEqual([402, 402]);
    const rows = (await gateway.rows()).filter(({ callerId }) => callerId === first.id);
    expect(rows.filter(({ state }) => state === "done")).toHaveLength(3);
    const { rows: listed } = (await admin("GET", `/ledger?key=${second.id}`)).answer as { rows: unknown[] };
    expect(listed).toHaveLength(rows.length);
    const audit = (await admin("GET", "/audit?action=key.rotate")).answer as { entries: { subject: string; details: unknown }[] };
    expect(audit.entries[0]).toMatchObject({ subject: `key:${first.id}`, details: { next: second.id } });
    expect(JSON.stringify(audit)).not.toContain("shop");
  });

  it("without overlap ends the first at once; each key can be revoked by itself", async () => {
    const first = (await admin("POST", "/keys", { name: "hasty" })).answer as Made;
    expect(await call(first.key)).toBe(200);
    const second = (await admin("POST", `/keys/${first.id}/rotate`, { overlapHours: 0 })).answer as Made;
    expect([await call(first.key), await call(second.key)]).toEqual([401, 200]);
    expect((await admin("POST", `/keys/${first.id}/rotate`, {})).status).toBe(404);
    const third = (await admin("POST", `/keys/${second.id}/rotate`, {})).answer as Made;
    expect(third.account).toBe(first.id);
    await admin("DELETE", `/keys/${second.id}`);
    expect([await call(second.key), await call(third.key)]).toEqual([401, 200]);
  });

  it("keeps a key's lifetime, and gives no more to one that ends sooner", async () => {
    const now = gateway.house.gateway.clock.now();
    const first = (await admin("POST", "/keys", { name: "brief", expiresAt: now + 60_000 })).answer as Made;
    const second = (await admin("POST", `/keys/${first.id}/rotate`, { overlapHours: 5 })).answer as Made;
    expect(second.previous?.expiresAt).toBe(now + 60_000);
    expect(second.expiresAt).toBeGreaterThanOrEqual(now + 60_000 - 1000);
    expect(second.expiresAt).toBeLessThan(now + 120_000);
  });

  it("refuses what makes no sense", async () => {
    const key = (await admin("POST", "/keys", { name: "odd" })).answer as Made;
    for (const body of [{ overlapHours: -1 }, { overlapHours: 1e9 }, { overlap: 1 }, { expiresAt: "soon" }, []])
      expect((await admin("POST", `/keys/${key.id}/rotate`, body)).status).toBe(400);
    expect((await admin("POST", "/keys/key_none/rotate", {})).status).toBe(404);
    expect((await admin("POST", "/accounts/key_none/keys", {})).status).toBe(404);
    await admin("DELETE", `/keys/${key.id}`);
    expect((await admin("POST", `/keys/${key.id}/rotate`, {})).status).toBe(404);
    expect((await admin("POST", `/accounts/${key.id}/keys`, {})).status).toBe(404);
  });

  it("a kill switch on any key of an account stops the account", async () => {
    const first = (await admin("POST", "/keys", { name: "two-keyed" })).answer as Made;
    const second = (await admin("POST", `/accounts/${first.id}/keys`, {})).answer as Made;
    const kill = (await admin("POST", "/kill", { scope: "key", value: second.id })).answer as { id: string };
    expect([await call(first.key), await call(second.key)]).toEqual([503, 503]);
    await admin("DELETE", `/kill/${kill.id}`);
    expect([await call(first.key), await call(second.key)]).toEqual([200, 200]);
  });
});

describe("accounts, teams and projects", () => {
  it("are listed with their keys, budgets and limits", async () => {
    const first = (await admin("POST", "/keys", { name: "indexer", team: "search", project: "site", tier: 2 })).answer as Made;
    const second = (await admin("POST", `/accounts/${first.id}/keys`, { expiresAt: 4_000_000_000_000 })).answer as Made;
    await admin("DELETE", `/keys/${first.id}`);
    const answer = (await admin("GET", "/accounts")).answer as { accounts: { id: string }[] };
    expect(answer.accounts.find(({ id }) => id === first.id)).toMatchObject({
      name: "indexer",
      team: "search",
      scopes: { tier: 2 },
      keys: [
        { id: first.id, state: "revoked" },
        { id: second.id, state: "active", expiresAt: 4_000_000_000_000 },
      ],
    });
    const { teams } = (await admin("GET", "/teams")).answer as { teams: { name: string; budgets: string[]; limits: string[] }[] };
    expect(teams.map(({ name, budgets, limits }) => [name, budgets.length, limits.length])).toEqual([
      ["idle", 0, 1],
      ["search", 1, 0],
    ]);
    const { projects } = (await admin("GET", "/projects")).answer as { projects: object[] };
    expect(projects).toMatchObject([{ name: "site", teams: ["search"], accounts: [first.id], keysInForce: 1 }]);
    expect(JSON.stringify([answer, teams, projects])).not.toMatch(/hash|gk_[0-9A-Za-z]{43}/);
  });
});

describe("keys that may use some tools only", () => {
  const tool = (name: string): object => ({ type: "function", function: { name, parameters: { type: "object" } } });
  it("are held to them on every way in", async () => {
    const key = await gateway.key({ name: "tooled", tools: ["search_*", "clock"] });
    expect(await call(key)).toBe(200);
    expect(await call(key, { tools: [tool("search_web"), tool("clock")] })).toBe(200);
    expect(await call(key, { tools: [tool("clock"), tool("shell")] })).toBe(403);
    const none = await gateway.key({ name: "toolless", tools: [] });
    expect([await call(none), await call(none, { tools: [tool("clock")] })]).toEqual([200, 403]);
    const free = await gateway.key({ name: "free" });
    expect(await call(free, { tools: [tool("shell")] })).toBe(200);
    const ask = (path: string, body: object): Promise<Response> =>
      fetch(`${gateway.url}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
        body: JSON.stringify({ model: "sim/penny", ...body }),
      });
    const messages = await ask("/v1/messages", {
      max_tokens: 10,
      messages: [{ role: "user", content: "hi" }],
      tools: [{ type: "web_search_20250305", name: "clock" }],
    });
    expect([messages.status, messages.headers.get("x-gimbal-problem")]).toEqual([403, "forbidden"]);
    const responses = await ask("/v1/responses", {
      input: "hi",
      tools: [{ type: "mcp", server_label: "clock", server_url: "https://x.example" }],
    });
    expect([responses.status, responses.headers.get("x-gimbal-problem")]).toEqual([403, "forbidden"]);
    await Promise.all([messages.arrayBuffer(), responses.arrayBuffer()]);
  });
});

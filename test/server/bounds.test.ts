import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Scopes } from "../../src/canon/index.ts";
import { bothScopes } from "../../src/gateway/bounds.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({
    config: `models: { fast: sim/echo, slow: sim/echo, rated: { targets: [sim/echo], rules: [{ name: hard, when: "call.complexity > 50.0", targets: [sim/echo] }], complexity: { model: fast } } }\n`,
  });
});
afterAll(() => gateway.close());

async function admin(method: string, path: string, body?: unknown): Promise<{ status: number; answer: Record<string, unknown> }> {
  const response = await fetch(`${gateway.url}/admin/api${path}`, {
    method,
    headers: { authorization: `Bearer ${gateway.house.adminToken.reveal()}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, answer: (await response.json()) as Record<string, unknown> };
}
async function make(spec: object): Promise<{ id: string; key: string }> {
  return (await admin("POST", "/keys", { name: "test", ...spec })).answer as { id: string; key: string };
}
async function call(key: string, model = "fast", metadata?: object): Promise<readonly [status: number, message: string]> {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      authorization: `Bearer ${key}`,
      ...(metadata && { "x-gimbal-metadata": JSON.stringify(metadata) }),
    },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "hello" }] }),
  });
  return [response.status, await response.text()];
}
const statusOf = async (...request: Parameters<typeof call>): Promise<number> => (await call(...request))[0];

describe("rights of a key and of its team", () => {
  const cases: [what: string, one: Scopes, other: Scopes, both: Scopes][] = [
    ["nothing said is no restriction", {}, {}, {}],
    ["what one says holds", { models: ["a"], tier: 2 }, { tools: ["t"] }, { models: ["a"], tier: 2, tools: ["t"] }],
    [
      "of patterns the narrower",
      { models: ["sim/*", "fast", "x*"] },
      { models: ["sim/echo", "fa*", "y*"] },
      { models: ["sim/echo", "fast"] },
    ],
    ["nothing in common is nothing", { models: ["a"] }, { models: ["b"] }, { models: [] }],
    ["surfaces and tools alike", { surfaces: ["p", "q"], tools: [] }, { surfaces: ["q"], tools: ["t"] }, { surfaces: ["q"], tools: [] }],
    ["the lower tier and priority", { tier: 1 }, { tier: 3, priority: 3 }, { tier: 1, priority: 3 }],
    ["a priority above what it has gives none", { priority: 2 }, { priority: 9 }, { priority: 2 }],
    [
      "the smaller place",
      { requires: { region: ["eu"] } },
      { requires: { region: ["eu-west-1", "us"] } },
      { requires: { region: ["eu-west-1"] } },
    ],
  ];
  it.each(cases)("%s", (_what, one, other, both) => {
    expect(bothScopes(one, other)).toEqual(both);
    // Whose is whose matters for neither: only the default priority is the key's.
    if (other.priority === undefined) expect(bothScopes(other, one)).toEqual(both);
  });

  it("no place in common is no place at all, not any place", () => {
    const { requires } = bothScopes({ requires: { region: ["eu"] } }, { requires: { region: ["us"] } });
    expect(requires?.region).toHaveLength(1);
    expect(requires?.region?.[0]).not.toMatch(/^(eu|us)$/);
  });
});

describe("teams and projects that are bounded", () => {
  it("hold every key of theirs, at once and again", async () => {
    const free = await make({ team: "search" });
    const narrow = await make({ team: "search", project: "site", models: ["slow", "fast"] });
    const other = await make({ team: "shop" });
    expect(await Promise.all([free, narrow, other].map(({ key }) => statusOf(key)))).toEqual([200, 200, 200]);
    const { status, answer } = await admin("PATCH", "/teams/search", { models: ["slow"] });
    expect([status, answer]).toEqual([200, { name: "search", scopes: { models: ["slow"] } }]);
    expect([
      await statusOf(free.key),
      await statusOf(free.key, "slow"),
      await statusOf(narrow.key, "slow"),
      await statusOf(other.key),
    ]).toEqual([403, 200, 200, 200]);
    await admin("PATCH", "/projects/site", { models: ["fast"] });
    expect([await statusOf(narrow.key, "slow"), await statusOf(narrow.key, "fast")]).toEqual([403, 403]);
    // A later key has no more either.
    expect(await statusOf((await make({ team: "search", models: ["*"] })).key)).toBe(403);
    const { teams } = (await admin("GET", "/teams")).answer as { teams: { name: string; scopes?: object }[] };
    expect(teams.map(({ name, scopes }) => [name, scopes])).toEqual([
      ["search", { models: ["slow"] }],
      ["shop", undefined],
    ]);
    await admin("PATCH", "/teams/search", { models: null });
    await admin("PATCH", "/projects/site", { models: null });
    expect([await statusOf(free.key), await statusOf(narrow.key)]).toEqual([200, 200]);
  });

  it("refuse what is no bound", async () => {
    for (const body of [{ role: "admin" }, { team: "x" }, { models: "fast" }, { tier: 9 }, { metadata: { deny: [] } }, []])
      expect((await admin("PATCH", "/teams/search", body)).status).toBe(400);
    expect((await admin("PATCH", `/teams/${"x".repeat(101)}`, {})).status).toBe(400);
  });
});

describe("accounts that change", () => {
  it("do so with all their keys, for the next call", async () => {
    const { id, key } = await make({ name: "mover", team: "a", models: ["fast"], budgets: [{ usd: 5, per: "day" }] });
    const second = (await admin("POST", `/accounts/${id}/keys`, {})).answer as { key: string };
    expect([await statusOf(key), await statusOf(second.key, "slow")]).toEqual([200, 403]);
    const { answer } = await admin("PATCH", `/accounts/${id}`, { name: "moved", team: "b", models: ["slow"], tags: ["x"], budgets: null });
    expect(answer).toEqual({ id, name: "moved", team: "b", tags: ["x"], scopes: { models: ["slow"] }, limits: [] });
    expect([await statusOf(key), await statusOf(second.key, "slow")]).toEqual([403, 200]);
    expect(await gateway.lastRow()).toMatchObject({ callerId: id, callerName: "moved", team: "b" });
    await admin("PATCH", `/accounts/${id}`, { team: null, models: null, limits: [{ concurrency: 3, per: "day" }] });
    expect(await statusOf(key)).toBe(200);
    expect((await gateway.lastRow()).team).toBeUndefined();
    const { entries } = (await admin("GET", "/audit?action=account.change")).answer as { entries: object[] };
    expect(entries[0]).toMatchObject({ subject: `key:${id}`, details: { fields: ["team", "scopes", "limits"] } });
  });

  it("keep roles to the admin API, and refuse what makes no sense", async () => {
    const { id } = await make({ surfaces: ["admin"], role: "viewer" });
    expect((await admin("PATCH", `/accounts/${id}`, { role: "developer" })).status).toBe(200);
    expect((await admin("PATCH", `/accounts/${id}`, { surfaces: null })).status).toBe(400);
    expect((await admin("PATCH", `/accounts/${id}`, { surfaces: null, role: null })).status).toBe(200);
    expect((await admin("PATCH", `/accounts/${id}`, { role: "admin" })).status).toBe(400);
    expect((await admin("PATCH", `/accounts/${id}`, { account: "key_x" })).status).toBe(400);
    expect((await admin("PATCH", "/accounts/key_none", { name: "x" })).status).toBe(404);
  });
});

describe("what calls may say of themselves", () => {
  it("is what their key allows, must be there, or is said for them", async () => {
    const metadata = { allow: { feature: ["search", "beta-*"], "x-*": ["*"] }, require: ["agent"], force: { unit: "7" } };
    const { key } = await make({ metadata });
    const said = async (claims?: object): Promise<unknown> => {
      const [status] = await call(key, "fast", claims);
      return status === 200 ? (await gateway.lastRow()).metadata : status;
    };
    expect(await said({ agent: "a", feature: "search" })).toEqual({ agent: "a", feature: "search", unit: "7" });
    expect(await said({ agent: 7, feature: "beta-2", "x-any": true })).toEqual({ agent: 7, feature: "beta-2", "x-any": true, unit: "7" });
    expect(await said({ agent: "a", unit: "8" })).toEqual({ agent: "a", unit: "7" });
    expect(await said({ agent: "a", feature: "billing" })).toBe(403);
    expect(await said({ agent: "a", other: "x" })).toBe(403);
    expect(await said({ agent: "a", constructor: "x" })).toBe(403);
    expect([await said({ feature: "search" }), await said()]).toEqual([403, 403]);
    expect((await call(key, "fast", { agent: "a", other: "x" }))[1]).toContain("may not say");
    const closed = await make({ metadata: {} });
    expect([await statusOf(closed.key), await statusOf(closed.key, "fast", { a: 1 })]).toEqual([200, 403]);
  });

  it("is bounded by team and project too, and what these say wins", async () => {
    await admin("PATCH", "/teams/billing", { metadata: { allow: { "*": ["*"] }, force: { unit: "team" } } });
    await admin("PATCH", "/projects/ledger", { metadata: { allow: { feature: ["a"] }, force: { place: "project" } } });
    const { key } = await make({
      team: "billing",
      project: "ledger",
      metadata: { allow: { feature: ["a", "b"], other: ["*"] }, force: { unit: "key" } },
    });
    expect(await statusOf(key, "fast", { feature: "a" })).toBe(200);
    expect((await gateway.lastRow()).metadata).toEqual({ feature: "a", unit: "team", place: "project" });
    expect([await statusOf(key, "fast", { feature: "b" }), await statusOf(key, "fast", { other: "x" })]).toEqual([403, 403]);
    expect(await statusOf((await make({ team: "billing" })).key, "fast", { any: "thing" })).toBe(200);
  });

  it("does not hinder what the gateway itself asks on a caller's behalf", async () => {
    const { key } = await make({ metadata: { require: ["agent"], force: { unit: "7" } } });
    expect(await statusOf(key, "rated", { agent: "a" })).toBe(200);
    const rows = (await gateway.rows()).slice(-2);
    expect(rows.map(({ state, metadata }) => [state, metadata?.["unit"], metadata !== undefined && "rates" in metadata])).toEqual([
      ["done", "7", true],
      ["done", "7", false],
    ]);
  });
});

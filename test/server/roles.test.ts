import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adminApp, type AdminDeps } from "../../src/server/admin.ts";
import { ROUTE_ROLES, routeName } from "../../src/server/roles.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

let gateway: TestGateway;
const keys: Record<string, string> = {};
beforeAll(async () => {
  gateway = await startGateway({ config: "models: { fast: sim/echo }\n" });
  for (const role of ["viewer", "developer", "approver", "admin"])
    keys[role] = await gateway.key({ name: role, surfaces: ["admin"], role });
  keys["caller"] = await gateway.key({ name: "caller" });
  keys["token"] = gateway.house.adminToken.reveal();
});
afterAll(() => gateway.close());

async function ask(who: string, method: string, path: string, body?: unknown): Promise<readonly [number, Record<string, unknown>]> {
  const response = await fetch(`${gateway.url}/admin/api${path}`, {
    method,
    headers: { authorization: `Bearer ${keys[who] ?? who}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return [response.status, (await response.json()) as Record<string, unknown>];
}
/** The status alone, whatever the answer is made of. */
async function bare(who: string, method: string, path: string): Promise<number> {
  const headers = { authorization: `Bearer ${keys[who] ?? who}`, "content-type": "application/json" };
  const response = await fetch(`${gateway.url}/admin/api${path}`, { method, headers, ...(method !== "GET" && { body: "{}" }) });
  await response.arrayBuffer();
  return response.status;
}
const statusOf = async (...request: Parameters<typeof ask>): Promise<number> => (await ask(...request))[0];

describe("roles at the admin API", () => {
  it("are said of every route", () => {
    const { gateway: inside, stores } = gateway.house;
    const app = adminApp({
      gateway: inside,
      keys: stores.keys,
      config: stores.config,
      control: undefined,
      adminToken: gateway.house.adminToken,
      health: inside.health,
      switches: stores.switches,
      audit: { store: stores.audit },
    } as unknown as AdminDeps);
    const routes = app.routes.filter(({ path }) => !path.endsWith("*")).map(routeName);
    expect(routes.length).toBeGreaterThan(30);
    expect(routes.filter((name) => !Object.hasOwn(ROUTE_ROLES, name))).toEqual([]);
    expect(Object.keys(ROUTE_ROLES).filter((name) => !routes.includes(name))).toEqual([]);
  });

  it("open what they are for, and nothing else", async () => {
    const cases: [method: string, path: string, body: unknown, allowed: string[]][] = [
      ["GET", "/keys", undefined, ["viewer", "developer", "approver", "admin", "token"]],
      ["GET", "/ledger", undefined, ["developer", "admin", "token"]],
      ["GET", "/audit", undefined, ["approver", "admin", "token"]],
      ["HEAD", "/audit", undefined, ["approver", "admin", "token"]],
      ["POST", "/audit/checkpoint", {}, ["approver", "admin", "token"]],
      ["PATCH", "/models/fast", {}, ["developer", "admin", "token"]],
      ["POST", "/config/rollback", {}, ["developer", "approver", "admin", "token"]],
      ["POST", "/keys", {}, ["admin", "token"]],
      ["PUT", "/budgets", {}, ["admin", "token"]],
      ["DELETE", "/keys/key_none", undefined, ["admin", "token"]],
      ["POST", "/keys/key_none/rotate", {}, ["admin", "token"]],
    ];
    for (const [method, path, body, allowed] of cases) {
      for (const who of ["viewer", "developer", "approver", "admin", "token", "caller"]) {
        const response = await fetch(`${gateway.url}/admin/api${path}`, {
          method,
          headers: { authorization: `Bearer ${keys[who] ?? ""}`, "content-type": "application/json" },
          ...(body !== undefined && { body: JSON.stringify(body) }),
        });
        await response.arrayBuffer();
        expect([method, path, who, response.status === 403]).toEqual([method, path, who, !allowed.includes(who)]);
      }
    }
  });

  it("are asked for at every route of the table, by every role", async () => {
    const routes = Object.entries(ROUTE_ROLES);
    for (const [route, allowed] of routes) {
      const [method = "", pattern = ""] = route.split(" ");
      const path = pattern.replaceAll(/:\w+(\{[^}]*\})?/g, "none");
      for (const role of ["viewer", "developer", "approver", "admin"] as const) {
        const isAllowed = role === "admin" || allowed.includes(role);
        expect([route, role, (await bare(role, method, path)) === 403]).toEqual([route, role, !isAllowed]);
      }
      expect([route, await bare("nobody", method, path)]).toEqual([route, 401]);
    }
  });

  it("answer who asks for what is not there, or is nobody", async () => {
    expect(await statusOf("viewer", "GET", "/nothing")).toBe(404);
    expect(await statusOf("gk_unknown", "GET", "/keys")).toBe(401);
    expect(await statusOf("wrong", "GET", "/keys")).toBe(401);
    expect((await ask("viewer", "POST", "/keys", { name: "x" }))[1]).toMatchObject({
      error: { message: "The role viewer may not POST /admin/api/keys." },
    });
  });

  it("belong to keys of the admin API, which make no calls", async () => {
    for (const spec of [{ role: "admin" }, { surfaces: ["openai-chat"], role: "viewer" }, { surfaces: ["admin"], role: "root" }])
      expect(await statusOf("token", "POST", "/keys", { name: "half", ...spec })).toBe(400);
    keys["roleless"] = await gateway.key({ name: "roleless", surfaces: ["admin"] });
    expect(await statusOf("roleless", "GET", "/keys")).toBe(403);
    const call = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${keys["admin"] ?? ""}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "fast", messages: [{ role: "user", content: "hello" }] }),
    });
    expect([call.status, await call.text()]).toEqual([403, expect.stringContaining("may not use")]);
  });

  it("are named in the audit, in configuration and in switches", async () => {
    const { keys: list } = (await ask("token", "GET", "/keys"))[1] as { keys: { id: string; name: string }[] };
    const actor = `key:${list.find(({ name }) => name === "developer")?.id ?? ""}`;
    const [status, kill] = await ask("developer", "POST", "/kill", { scope: "provider", value: "sim" });
    expect([status, kill["author"]]).toEqual([201, actor]);
    expect(await statusOf("developer", "DELETE", `/kill/${String(kill["id"])}`)).toBe(403);
    expect(await statusOf("approver", "DELETE", `/kill/${String(kill["id"])}`)).toBe(200);
    const { entries } = (await ask("approver", "GET", `/audit?actor=${actor}`))[1] as { entries: { action: string; outcome: string }[] };
    expect(entries.map(({ action, outcome }) => [action, outcome])).toEqual(
      expect.arrayContaining([
        ["switch.kill", "done"],
        ["admin.refused", "refused"],
      ]),
    );
  });

  it("end with their key, at once", async () => {
    const { id, key } = (await ask("token", "POST", "/keys", { name: "brief", surfaces: ["admin"], role: "viewer" }))[1] as Record<
      string,
      string
    >;
    expect(await statusOf(key ?? "", "GET", "/keys")).toBe(200);
    await ask("token", "DELETE", `/keys/${id ?? ""}`);
    expect(await statusOf(key ?? "", "GET", "/keys")).toBe(401);
  });
});

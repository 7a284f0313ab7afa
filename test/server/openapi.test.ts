import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { ADMIN_ROUTES } from "../../src/server/openapi/admin.ts";
import { ROUTE_ROLES } from "../../src/server/roles.ts";
import { Router } from "../../src/server/router.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

type Schema = Readonly<Record<string, unknown>>;
interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly { readonly $ref?: string; readonly name: string; readonly in: string; readonly required?: boolean }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: Readonly<
    Record<string, { readonly $ref?: string; readonly content?: Readonly<Record<string, { readonly schema: Schema }>> }>
  >;
}

let gateway: TestGateway;
const routed: string[] = [];
let document: {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: Schema;
};
beforeAll(async () => {
  const add = vi.spyOn(Router.prototype, "add");
  gateway = await startGateway({
    config: "sim: { models: { priced: { price: { inputUsd: 1 } } } }\nbudgets: [{ match: { key: '*' }, usd: 1, per: day }]\n",
  });
  routed.push(...add.mock.calls.map(([method, path]) => `${method} ${path}`));
  add.mockRestore();
  const response = await fetch(`${gateway.url}/openapi.json`);
  expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/json"]);
  document = (await response.json()) as typeof document;
});
afterAll(() => gateway.close());

const operations = (): readonly (readonly [string, Operation])[] =>
  Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as const),
  );

/** A path whose segments have no names: two that only call them otherwise are one. */
const nameless = (route: string): string => route.replaceAll(/\{\w+(\.\.\.)?\}/g, "{}");

/** Every member that is a reference, wherever it stands. */
function* refsIn(value: unknown): Generator<string> {
  if (typeof value !== "object" || value === null) return;
  for (const [name, member] of Object.entries(value)) {
    if (name === "$ref" && typeof member === "string") yield member;
    else yield* refsIn(member);
  }
}

function found(ref: string): unknown {
  const steps = ref.replace(/^#\//, "").split("/");
  return steps.reduce<unknown>((at, step) => (typeof at === "object" && at !== null ? (at as Schema)[step] : undefined), document);
}

/** What of a value does not fit a schema, for the few words of JSON Schema that answers are described with. */
function misfits(value: unknown, schema: Schema, at = "$"): string[] {
  if (typeof schema["$ref"] === "string") return misfits(value, found(schema["$ref"]) as Schema, at);
  if (Array.isArray(schema["anyOf"]))
    return (schema["anyOf"] as Schema[]).some((one) => misfits(value, one).length === 0) ? [] : [`${at}: fits none`];
  const type = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
  const wanted = schema["type"];
  const isOf = wanted === undefined || wanted === type || (wanted === "integer" && Number.isInteger(value));
  if (!isOf) return [`${at}: ${type}, not ${JSON.stringify(wanted)}`];
  if (Array.isArray(schema["enum"]) && !schema["enum"].includes(value)) return [`${at}: ${String(value)}`];
  if (Array.isArray(value)) return value.flatMap((item, place) => misfits(item, (schema["items"] ?? {}) as Schema, `${at}[${place}]`));
  if (typeof value !== "object" || value === null) return [];
  const members = value as Schema;
  const missing = ((schema["required"] ?? []) as string[])
    .filter((name) => members[name] === undefined)
    .map((name) => `${at}.${name}: missing`);
  const properties = Object.entries((schema["properties"] ?? {}) as Record<string, Schema>);
  return [
    ...missing,
    ...properties.flatMap(([name, own]) => (members[name] === undefined ? [] : misfits(members[name], own, `${at}.${name}`))),
  ];
}

async function ask(route: string, body?: object): Promise<{ readonly status: number; readonly answer: unknown }> {
  const [method = "", path = ""] = route.split(" ");
  const headers = { authorization: `Bearer ${gateway.house.adminToken.reveal()}`, "content-type": "application/json" };
  const response = await fetch(gateway.url + path, {
    method,
    headers: path.startsWith("/admin") ? headers : {},
    redirect: "manual",
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return {
    status: response.status,
    answer: response.headers.get("content-type")?.startsWith("application/json") ? JSON.parse(text) : text,
  };
}

/** Does the answer fit what the description says of it? `described`: where the path has segments. */
async function fits(route: string, body?: object, described = route): Promise<unknown> {
  const { status, answer } = await ask(route, body);
  const [method = "", path = ""] = described.split(" ");
  const response = document.paths[path.split("?")[0] ?? ""]?.[method.toLowerCase()]?.responses[status];
  expect(response, `${route} answered ${status}: ${JSON.stringify(answer)}`).toBeDefined();
  const schema = response?.content?.["application/json"]?.schema;
  if (schema) expect(misfits(answer, schema), route).toEqual([]);
  return answer;
}

describe("GET /openapi.json", () => {
  it("describes every path that is served, and no other", () => {
    const described = new Set(operations().map(([route]) => nameless(route)));
    expect(routed.map(nameless).filter((route) => !described.has(route))).toEqual([]);
    expect(Object.keys(ADMIN_ROUTES).toSorted()).toEqual(Object.keys(ROUTE_ROLES).toSorted());
    const served = new Set(routed.map(nameless));
    const elsewhere = /^\w+ \/(admin\/api|passthrough|ws|v1\/realtime)\b/;
    expect([...described].filter((route) => !served.has(route) && !elsewhere.test(route))).toEqual([]);
  });

  it("is sound: every reference leads somewhere, every operation has a name of its own, every segment is a parameter", () => {
    expect(document.openapi).toMatch(/^3\.1\./);
    expect([...refsIn(document)].filter((ref) => found(ref) === undefined)).toEqual([]);
    const ids = operations().map(([, { operationId }]) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [route, { parameters = [], responses }] of operations()) {
      const segments = [...route.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      expect(
        parameters.filter((one) => one.in === "path").map(({ name }) => name),
        route,
      ).toEqual(segments);
      expect(Object.keys(responses).length, route).toBeGreaterThan(0);
    }
  });

  it("says of bodies and queries what the routes themselves check", () => {
    const key = document.paths["/admin/api/keys"]?.["post"]?.requestBody?.content["application/json"]?.schema;
    expect(key).toMatchObject({ required: ["name"], additionalProperties: false, properties: { name: { maxLength: 100 } } });
    const ledger = document.paths["/admin/api/ledger"]?.["get"]?.parameters;
    expect(ledger?.map(({ name }) => name)).toEqual(["limit", "key", "model", "target", "since"]);
  });

  it("shows each language's own way to tell a failure", () => {
    const { responses } = document.components as { responses: Record<string, { content: Record<string, { example: unknown }> }> };
    expect(responses["anthropic-messages"]?.content["application/json"]?.example).toMatchObject({ type: "error" });
    expect(responses["gemini"]?.content["application/json"]?.example).toMatchObject({ error: { status: "INVALID_ARGUMENT" } });
  });
});

describe("what is described", () => {
  it("is what is answered: everything that can be read without naming anything", async () => {
    const notHere = /^\/(admin\/(sign-in|callback)|mcp|\.well-known|ws|v1\/realtime)/;
    const readable = operations().flatMap(([route, { parameters = [] }]) => {
      const path = route.slice("GET ".length);
      const needs = parameters.some(({ required }) => required === true);
      return route.startsWith("GET ") && !path.includes("{") && !needs && !notHere.test(path) ? [route] : [];
    });
    expect(readable.length).toBeGreaterThan(30);
    for (const route of readable) if (!/shadow|lineage/.test(route)) await fits(route);
  });

  it("is what is answered: calls, keys, kill switches, budgets", async () => {
    const { id, key } = (await fits("POST /admin/api/keys", { name: "one" })) as { id: string; key: string };
    expect(key).toMatch(/^gk_/);
    await fits(`POST /admin/api/keys/${id}/rotate`, {}, "POST /admin/api/keys/{id}/rotate");
    const call = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify({ model: "sim/priced", messages: [{ role: "user", content: "hello" }] }),
    });
    const callId = call.headers.get("x-gimbal-call-id") ?? "";
    await gateway.rows();
    for (const part of ["", "/explain", "/lineage"]) await fits(`GET /v1/calls/${callId}${part}`, undefined, `GET /v1/calls/{id}${part}`);
    for (const route of ["ledger", "budgets", "keys", "spend", "accounts", "audit"]) await fits(`GET /admin/api/${route}`);
    await fits("POST /admin/api/audit/checkpoint");
    await fits("POST /admin/api/ledger/reprice", { dryRun: true });
    await fits("POST /admin/api/health/targets", { provider: "sim", force: "auto" });
    const kill = (await fits("POST /admin/api/kill", { scope: "provider", value: "sim" })) as { id: string };
    await fits(`DELETE /admin/api/kill/${kill.id}`, undefined, "DELETE /admin/api/kill/{id}");
    await fits("DELETE /admin/api/cache");
    const refused = await ask("POST /admin/api/keys", {});
    expect(misfits(refused.answer, found("#/components/schemas/Problem") as Schema)).toEqual([]);
  });
});

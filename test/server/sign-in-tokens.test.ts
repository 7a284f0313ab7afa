import { createHmac } from "node:crypto";
import { exportSPKI, importJWK, type JWK } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { AUDIENCE, startIssuer, type TestIssuer } from "../support/issuer.ts";

let issuer: TestIssuer;
let gateway: TestGateway;

const SERVICES = {
  indexer: { team: "search", project: "site", models: "fast sim/*", labels: ["batch"], level: 2, kind: "service" },
  narrow: { team: "search", project: "site", models: ["slow"], labels: [], level: 0, kind: "service" },
  deployer: { team: "ops", project: "site", models: ["fast"], labels: [], level: 1, kind: ["service", "operator"] },
  vague: { team: "search", project: "site", labels: [] },
};

beforeAll(async () => {
  issuer = await startIssuer({ services: SERVICES });
  gateway = await startGateway({
    config: `models: { fast: sim/echo, slow: sim/echo, third: sim/echo }
sim: { models: { penny: { text: ok, price: { perCallUsd: 0.01 } } } }
budgets: [{ match: { key: "jwt:lab:spender" }, usd: 0.02, per: lifetime }]
limits: [{ match: { key: "jwt:lab:hasty" }, requests: 1, per: day }]
access: { anonymous: never }
identity:
  jwt:
    - name: lab
      issuer: ${issuer.issuer}
      audience: ${AUDIENCE}
      type: at+jwt
      claims: { team: team, project: project, models: models, tags: labels, tier: level }
      scopes: { models: [fast, slow, "sim/*"], surfaces: [openai-chat, anthropic-messages], tier: 1 }
      roles: { claim: kind, map: { operator: developer } }
`,
  });
});
afterAll(async () => {
  await gateway.close();
  await issuer.close();
});

async function call(token: string, model = "fast", header = "authorization"): Promise<readonly [number, string]> {
  const chat = header === "authorization";
  const response = await fetch(`${gateway.url}${chat ? "/v1/chat/completions" : "/v1/messages"}`, {
    method: "POST",
    headers: { "content-type": "application/json", [header]: chat ? `Bearer ${token}` : token },
    body: JSON.stringify({ model, max_tokens: 100, messages: [{ role: "user", content: "hello" }] }),
  });
  return [response.status, await response.text()];
}
const statusOf = async (...request: Parameters<typeof call>): Promise<number> => (await call(...request))[0];
async function admin(
  method: string,
  path: string,
  body?: unknown,
  token = gateway.house.adminToken.reveal(),
): Promise<[number, Record<string, unknown>]> {
  const response = await fetch(`${gateway.url}/admin/api${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return [response.status, (await response.json()) as Record<string, unknown>];
}
const now = (): number => Math.floor(Date.now() / 1000);
const claims = (more: object = {}): Record<string, unknown> => ({
  iss: issuer.issuer,
  aud: AUDIENCE,
  sub: "indexer",
  iat: now(),
  exp: now() + 300,
  ...SERVICES.indexer,
  ...more,
});

describe("services with tokens of their issuer", () => {
  it("call on every surface, as what their claims say", async () => {
    const token = await issuer.accessToken("indexer");
    expect([await statusOf(token), await statusOf(token, "fast", "x-api-key"), await statusOf(token, "sim/echo")]).toEqual([200, 200, 200]);
    expect(await gateway.lastRow()).toMatchObject({
      callerId: "jwt:lab:indexer",
      callerName: "indexer",
      team: "search",
      project: "site",
      state: "done",
    });
    // The claim and the issuer's own bound both hold.
    expect([await statusOf(token, "slow"), await statusOf(token, "third")]).toEqual([403, 403]);
    const narrow = await issuer.accessToken("narrow");
    expect([await statusOf(narrow, "slow"), await statusOf(narrow)]).toEqual([200, 403]);
    const response = await fetch(`${gateway.url}/v1/responses`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
      body: JSON.stringify({ model: "fast", input: "hi" }),
    });
    expect([response.status, response.headers.get("x-gimbal-problem")]).toEqual([403, "forbidden"]);
    await response.arrayBuffer();
  });

  it("are known by it in every language, whichever header a key would stand in", async () => {
    const token = await issuer.accessToken("indexer");
    const { admission, dialects, snapshot } = gateway.house.gateway;
    const places: Record<string, string>[] = [{ authorization: `Bearer ${token}` }, { "x-api-key": token }, { "x-goog-api-key": token }];
    let known = 0;
    for (const dialect of dialects.values()) {
      const own = places.filter((headers) => dialect.credentials(headers) === token);
      expect([dialect.id, own.length > 0]).toEqual([dialect.id, true]);
      for (const headers of own) {
        expect([dialect.id, (await admission.identify(snapshot(), dialect, headers, "10.0.0.1")).id]).toEqual([
          dialect.id,
          "jwt:lab:indexer",
        ]);
        known++;
      }
    }
    expect(known).toBeGreaterThanOrEqual(dialects.size);
  });

  it("have budgets and limits like anybody, by their id", async () => {
    const token = await issuer.sign(claims({ sub: "spender" }), { typ: "at+jwt" });
    expect([await statusOf(token, "sim/penny"), await statusOf(token, "sim/penny"), await statusOf(token, "sim/penny")]).toEqual([
      200, 200, 402,
    ]);
    const hasty = await issuer.sign(claims({ sub: "hasty" }), { typ: "at+jwt" });
    expect([await statusOf(hasty), await statusOf(hasty)]).toEqual([200, 429]);
  });

  it("have no more than their team", async () => {
    const token = await issuer.accessToken("narrow");
    expect(await statusOf(token, "slow")).toBe(200);
    await admin("PATCH", "/teams/search", { models: ["fast"] });
    expect(await statusOf(token, "slow")).toBe(403);
    await admin("PATCH", "/teams/search", { models: null });
    expect(await statusOf(token, "slow")).toBe(200);
  });

  it("are switched off by their id and by their tags", async () => {
    const token = await issuer.accessToken("narrow");
    const killed = async (scope: string, value: string): Promise<[status: number, id: string]> => {
      const [status, { id }] = await admin("POST", "/kill", { scope, value });
      return [status, String(id)];
    };
    expect((await killed("key", "jwt:lap:narrow"))[0]).toBe(404);
    const [status, one] = await killed("key", "jwt:lab:narrow");
    expect([status, await statusOf(token, "slow"), await statusOf(await issuer.accessToken("indexer"))]).toEqual([201, 503, 200]);
    await admin("DELETE", `/kill/${one}`);
    const [, other] = await killed("tag", "batch");
    expect([await statusOf(await issuer.accessToken("indexer")), await statusOf(token, "slow")]).toEqual([503, 200]);
    await admin("DELETE", `/kill/${other}`);
  });

  it("are refused when the token is not good, whatever it says of itself", async () => {
    const good = await issuer.sign(claims(), { typ: "at+jwt" });
    expect(await statusOf(good)).toBe(200);
    const [head = "", body = "", signature = ""] = good.split(".");
    const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const jwk = encode({ alg: "HS256", typ: "at+jwt" });
    const keys = ((await (await fetch(`${issuer.issuer}/jwks`)).json()) as { keys: JWK[] }).keys;
    const pem = await exportSPKI((await importJWK(keys[0] ?? {}, "RS256", { extractable: true })) as CryptoKey);
    const cases: [what: string, token: string, says: RegExp][] = [
      ["expired", await issuer.sign(claims({ exp: now() - 60 }), { typ: "at+jwt" }), /expired/],
      ["not yet valid", await issuer.sign(claims({ nbf: now() + 120 }), { typ: "at+jwt" }), /not valid yet/],
      ["for somebody else", await issuer.sign(claims({ aud: "other" }), { typ: "at+jwt" }), /`aud`/],
      ["for nobody", await issuer.sign(claims({ aud: undefined }), { typ: "at+jwt" }), /`aud`/],
      [
        "of another issuer",
        await issuer.sign(claims({ iss: "https://evil.example" }), { typ: "at+jwt" }),
        /not one of this gateway's keys/,
      ],
      ["of no issuer", await issuer.sign(claims({ iss: undefined }), { typ: "at+jwt" }), /not one of this gateway's keys/],
      ["without an end", await issuer.sign(claims({ exp: undefined }), { typ: "at+jwt" }), /`exp`/],
      ["of nobody", await issuer.sign(claims({ sub: undefined }), { typ: "at+jwt" }), /`sub`/],
      ["of another kind", await issuer.sign(claims(), { typ: "JWT" }), /`typ`/],
      ["by an unknown key", await issuer.sign(claims(), { typ: "at+jwt", kid: "key-99" }), /key that its issuer does not have/],
      ["signed by nobody", `${encode({ alg: "none", typ: "at+jwt" })}.${body}.`, /algorithm|cannot be read/],
      [
        "signed with the public key as a secret",
        `${jwk}.${body}.${createHmac("sha256", pem).update(`${jwk}.${body}`).digest("base64url")}`,
        /algorithm/,
      ],
      ["with other claims", `${head}.${encode(claims({ models: ["*"], level: 4 }))}.${signature}`, /signature/],
      [
        "with a key of its own",
        `${encode({ alg: "RS256", typ: "at+jwt", jwk: keys[0], kid: "mine" })}.${body}.${signature}`,
        /key that its issuer/,
      ],
      ["cut", good.slice(0, -10), /signature|cannot be read/],
      ["too long", await issuer.sign(claims({ more: "x".repeat(20_000) }), { typ: "at+jwt" }), /longer than/],
      ["without a claim it needs", await issuer.accessToken("vague"), /`models`, which says its models, is missing/],
      ["with a claim that makes no sense", await issuer.sign(claims({ level: "high" }), { typ: "at+jwt" }), /`level`/],
      ["for people", await issuer.sign(claims({ team: "x".repeat(200) }), { typ: "at+jwt" }), /`team`/],
    ];
    for (const [what, token, says] of cases) {
      const [status, text] = await call(token);
      expect([what, status, says.test(text) ? says.source : text]).toEqual([what, 401, says.source]);
    }
    expect(await statusOf(good)).toBe(200);
  });

  it("are asked for no more than one look at the keys, however many unknown ones are named", async () => {
    const before = issuer.asked.filter((path) => path === "/jwks").length;
    const made = await Promise.all(Array.from({ length: 30 }, (_, at) => issuer.sign(claims(), { typ: "at+jwt", kid: `made-up-${at}` })));
    expect(new Set(await Promise.all(made.map((token) => statusOf(token))))).toEqual(new Set([401]));
    expect(issuer.asked.filter((path) => path === "/jwks").length - before).toBeLessThanOrEqual(1);
  });

  it("have a role at the admin API where the configuration gives them one", async () => {
    const token = await issuer.accessToken("deployer");
    expect((await admin("GET", "/session", undefined, token))[1]).toMatchObject({
      actor: "jwt:lab:deployer",
      roles: ["developer"],
      by: "token",
    });
    expect((await admin("GET", "/ledger", undefined, token))[0]).toBe(200);
    const [status, answer] = await admin("POST", "/keys", { name: "x" }, token);
    expect([status, JSON.stringify(answer)]).toEqual([403, expect.stringContaining("The role developer may not POST")]);
    expect((await admin("GET", "/keys", undefined, await issuer.accessToken("indexer")))[0]).toBe(403);
    const { entries } = (await admin("GET", "/audit?actor=jwt:lab:deployer"))[1] as { entries: object[] };
    expect(entries).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ action: "admin.refused", details: expect.objectContaining({ role: "developer" }) }),
      ]),
    );
  });

  it("can be denied by subject and by token, at once, until that is lifted", async () => {
    const one = await issuer.sign(claims({ jti: "token-1", sub: "twice" }), { typ: "at+jwt" });
    const two = await issuer.sign(claims({ jti: "token-2", sub: "twice" }), { typ: "at+jwt" });
    expect([await statusOf(one), await statusOf(two)]).toEqual([200, 200]);
    const [status, denial] = await admin("POST", "/denials", { issuer: "lab", token: "token-1", reason: "leaked" });
    expect([status, denial["kind"], denial["author"]]).toEqual([201, "token", "admin"]);
    expect([await statusOf(one), await statusOf(two)]).toEqual([401, 200]);
    await admin("POST", "/denials", { issuer: "lab", subject: "twice", expiresAt: Date.now() + 60_000 });
    expect([await statusOf(one), await statusOf(two)]).toEqual([401, 401]);
    const { denials } = (await admin("GET", "/denials"))[1] as { denials: { id: string; value: string }[] };
    expect(denials.map(({ value }) => value)).toEqual(["token-1", "twice"]);
    for (const { id } of denials) expect((await admin("DELETE", `/denials/${id}`))[0]).toBe(200);
    expect([await statusOf(one), await statusOf(two)]).toEqual([200, 200]);
    expect((await admin("POST", "/denials", { issuer: "lap", subject: "twice" }))[1]).toMatchObject({
      error: { type: "not_found", message: expect.stringContaining("There are: lab") },
    });
    for (const body of [
      { issuer: "lab" },
      { issuer: "lab", subject: "a", token: "b" },
      { subject: "a" },
      { issuer: "lab", subject: "a", role: "x" },
    ])
      expect((await admin("POST", "/denials", body))[0]).toBe(400);
    expect((await admin("DELETE", "/denials/deny_none"))[0]).toBe(404);
  });
});

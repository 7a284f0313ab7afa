import { createMcpHandler } from "@modelcontextprotocol/server";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { exportPKCS8, generateKeyPair, jwtVerify, type CryptoKey } from "jose";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { demoServer } from "./demo.ts";

const SECRET = "a-client-secret-nobody-may-see";

/** An MCP server and the authorization server that it names, at one address. */
let server: Server;
let base = "";
let keys: { publicKey: CryptoKey; privateKey: CryptoKey };
/** Seconds that a token lives, and what was asked for. */
let lifeSeconds = 3600;
const asked: { grant: string; auth: string; body: URLSearchParams }[] = [];
const good = new Set<string>();
const challenges = new Map<string, string>();

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const piece of request.setEncoding("utf8")) body += String(piece);
  return body;
}

async function tokenFor(body: URLSearchParams, auth: string): Promise<object | undefined> {
  const grant = body.get("grant_type") ?? "";
  asked.push({ grant, auth, body });
  if (grant === "authorization_code") {
    const digest = createHash("sha256")
      .update(body.get("code_verifier") ?? "")
      .digest("base64url");
    if (challenges.get(body.get("code") ?? "") !== digest) return undefined;
  } else if (body.has("client_assertion")) {
    await jwtVerify(body.get("client_assertion") ?? "", keys.publicKey, { issuer: "robot", subject: "robot", audience: base });
  } else if (auth !== `Basic ${Buffer.from(`robot:${SECRET}`).toString("base64")}`) return undefined;
  const token = `token-${asked.length}-nobody-may-see`;
  good.add(token);
  return { access_token: token, token_type: "Bearer", expires_in: lifeSeconds };
}

beforeAll(async () => {
  keys = await generateKeyPair("ES256", { extractable: true });
  const mcp = createMcpHandler(demoServer);
  server = createServer((request, response) => {
    const json = (status: number, value: object, headers: Record<string, string> = {}): void =>
      void response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
    void (async () => {
      const { pathname, searchParams } = new URL(request.url ?? "/", base);
      const body = await bodyOf(request);
      if (pathname === "/.well-known/oauth-protected-resource/mcp")
        return json(200, { resource: `${base}/mcp`, authorization_servers: [base] });
      if (pathname === "/.well-known/oauth-authorization-server")
        return json(200, {
          issuer: base,
          authorization_endpoint: `${base}/authorize`,
          token_endpoint: `${base}/token`,
          registration_endpoint: `${base}/register`,
          response_types_supported: ["code"],
          code_challenge_methods_supported: ["S256"],
          token_endpoint_auth_methods_supported: ["client_secret_basic", "private_key_jwt", "none"],
        });
      if (pathname === "/register") return json(201, { ...(JSON.parse(body) as object), client_id: "registered" });
      if (pathname === "/authorize") {
        challenges.set("a-code", searchParams.get("code_challenge") ?? "");
        const back = `${searchParams.get("redirect_uri") ?? ""}?code=a-code&state=${searchParams.get("state") ?? ""}`;
        return response.writeHead(302, { location: back }).end();
      }
      if (pathname === "/token") {
        const token = await tokenFor(new URLSearchParams(body), request.headers.authorization ?? "").catch(() => undefined);
        return token ? json(200, token) : json(401, { error: "invalid_client", error_description: `not ${SECRET}` });
      }
      if (!good.has((request.headers.authorization ?? "").replace(/^Bearer /, "")))
        return json(401, {}, { "www-authenticate": `Bearer resource_metadata="${base}/.well-known/oauth-protected-resource/mcp"` });
      const headers = Object.entries(request.headers).map(([name, value]) => [name, String(value)] as [string, string]);
      const answer = await mcp.fetch(
        new Request(`${base}/mcp`, { method: request.method ?? "GET", headers, ...(body !== "" && { body }) }),
      );
      response.writeHead(answer.status, Object.fromEntries(answer.headers));
      if (answer.body) for await (const piece of answer.body) response.write(piece);
      return response.end();
    })().catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
beforeEach(() => {
  asked.length = 0;
  lifeSeconds = 3600;
});

async function within<T>(oauth: object, work: (gateway: TestGateway, call: () => Promise<unknown>) => Promise<T>): Promise<T> {
  const one = { url: `${base}/mcp`, allowPrivateNetwork: true, pin: "first-use", revision: "2025-11-25", oauth };
  const gateway = await startGateway({ config: `mcp: ${JSON.stringify({ publicUrl: "http://127.0.0.1:4100", servers: { one } })}` });
  const client = new Client({ name: "test", version: "1" }, { versionNegotiation: { mode: { pin: "2026-07-28" } } });
  try {
    await client.connect(new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp`)));
    return await work(gateway, () => client.callTool({ name: "one__echo", arguments: { text: "hello" } }).then(({ content }) => content));
  } finally {
    await client.close();
    await gateway.close();
  }
}

async function admin(gateway: TestGateway, method: string, path: string): Promise<Record<string, unknown>> {
  const headers = { authorization: `Bearer ${gateway.house.adminToken.reveal()}` };
  return (await (await fetch(`${gateway.url}/admin/api/mcp${path}`, { method, headers })).json()) as Record<string, unknown>;
}
const HELLO = [{ type: "text", text: "hello" }];

it("gets a token by its secret, once, and gets another before it is over and when it is refused", async () => {
  await within({ clientId: "robot", clientSecret: SECRET, scope: "read" }, async (gateway, call) => {
    expect(await call()).toEqual(HELLO);
    expect(await call()).toEqual(HELLO);
    expect(asked.map(({ grant, body }) => [grant, body.get("scope"), body.get("resource")])).toEqual([
      ["client_credentials", "read", `${base}/mcp`],
    ]);
    // Refused though it has time left: somebody took it back.
    good.clear();
    expect(await call()).toEqual(HELLO);
    expect(asked).toHaveLength(2);
    good.clear();
    lifeSeconds = 5;
    expect(await call()).toEqual(HELLO);
    // Nearly over: another is asked for before the server has to refuse it.
    const before = asked.length;
    lifeSeconds = 3600;
    expect(await call()).toEqual(HELLO);
    expect(asked.length).toBeGreaterThan(before);
    const row = JSON.stringify([await gateway.rows(), gateway.logs, await admin(gateway, "GET", "")]);
    expect(row).not.toContain("nobody-may-see");
  });
});

it("proves itself by a signature", async () => {
  const oauth = { clientId: "robot", privateKey: await exportPKCS8(keys.privateKey), algorithm: "ES256" };
  expect(await within(oauth, (_gateway, call) => call())).toEqual(HELLO);
  expect(asked[0]?.auth).toBe("");
});

it("sends its secret to no other issuer than the one that is configured, and says what is wrong without it", async () => {
  await within({ clientId: "robot", clientSecret: SECRET, issuer: "https://issuer.example" }, async (gateway, call) => {
    await expect(call()).rejects.toThrow(/no tool/);
    expect(asked).toEqual([]);
    expect(JSON.stringify(await admin(gateway, "GET", ""))).toContain("issuer.example");
  });
  await within({ clientId: "robot", clientSecret: `${SECRET}-wrong` }, async (gateway, call) => {
    await expect(call()).rejects.toThrow(/no tool/);
    expect(JSON.stringify([await admin(gateway, "GET", ""), gateway.logs])).toContain("invalid_client");
    expect(JSON.stringify([await admin(gateway, "GET", ""), gateway.logs])).not.toContain("nobody-may-see");
  });
});

it("is signed in by a person, whose answer counts once", async () => {
  await within({ grant: "authorization_code" }, async (gateway, call) => {
    await expect(call()).rejects.toThrow(/no tool/);
    expect(JSON.stringify(await admin(gateway, "GET", ""))).toContain("gimbal mcp login one");
    const { url } = await admin(gateway, "POST", "/one/login");
    const { search } = new URL((await fetch(String(url), { redirect: "manual" })).headers.get("location") ?? "");
    expect((await fetch(`${gateway.url}/mcp/callback?code=a-code&state=made-up`)).status).toBe(404);
    expect((await fetch(`${gateway.url}/mcp/callback${search}`)).status).toBe(200);
    expect(await call()).toEqual(HELLO);
    expect((await fetch(`${gateway.url}/mcp/callback${search}`)).status).toBe(404);
    expect(asked.map(({ grant }) => grant)).toEqual(["authorization_code"]);
  });
});

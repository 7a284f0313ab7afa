import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { readConfig } from "../../src/config/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

interface Heard {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

let upstream: { port: number; heard: Heard[]; act: (heard: Heard, response: ServerResponse) => void; close(): Promise<void> };
let gateway: TestGateway;

async function startUpstream(): Promise<typeof upstream> {
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (piece: Buffer) => (body += piece.toString()));
    request.on("end", () => {
      const heard = { method: request.method ?? "", url: request.url ?? "", headers: request.headers, body };
      made.heard.push(heard);
      made.act(heard, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const made: typeof upstream = {
    port: (server.address() as AddressInfo).port,
    heard: [],
    act: echo,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return made;
}

function echo({ method, url }: Heard, response: ServerResponse): void {
  response.writeHead(200, { "content-type": "application/json", "set-cookie": "a=b", "x-internal": "1", etag: "e1" });
  response.end(JSON.stringify({ method, url, usage: { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 } }));
}

beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startGateway({
    config: `providers:
  lab: { kind: openai-compatible, baseUrl: "http://127.0.0.1:${upstream.port}/v1", apiKey: lab-key-lab-key, allowPrivateNetwork: true }
  other: { kind: openai-compatible, baseUrl: "http://127.0.0.1:${upstream.port}/v1", apiKey: other-key-other, allowPrivateNetwork: true }
passthrough:
  lab: { paths: ["/v1/fine_tuning/*", "/v1/exact"], headers: [x-beta], perCallUsd: 0.25 }
  other: { paths: ["/v1/*"], methods: [GET] }
serve: { limits: { bodyBytes: 100000, answerBytes: 3000000 } }
`,
  });
});
afterEach(() => {
  upstream.heard.length = 0;
  upstream.act = echo;
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

function pass(path: string, init: RequestInit = {}, key?: string): Promise<Response> {
  const headers = new Headers(init.headers);
  if (key !== undefined) headers.set("authorization", `Bearer ${key}`);
  return fetch(`${gateway.url}/passthrough/${path}`, { ...init, headers, redirect: "manual" });
}

describe("what is passed on", () => {
  it.each(["GET", "POST", "PUT", "PATCH", "DELETE"])("%s goes to the provider with its key, and without the client's", async (method) => {
    const key = await gateway.key();
    const body = method === "GET" ? null : '{"any":"thing"}';
    const headers = { "content-type": "application/x-special", "x-beta": "yes", "x-other": "no", cookie: "session=1", "x-api-key": key };
    const response = await pass(`lab/v1/fine_tuning/jobs?limit=2&key=${key}&after=a%20b`, { method, body, headers }, key);
    expect(response.status).toBe(200);
    const [heard] = upstream.heard;
    expect(heard).toMatchObject({ method, url: "/v1/fine_tuning/jobs?limit=2&after=a%20b", body: body ?? "" });
    expect(heard?.headers).toMatchObject({
      authorization: "Bearer lab-key-lab-key",
      "content-type": "application/x-special",
      "x-beta": "yes",
    });
    expect(JSON.stringify(heard?.headers)).not.toMatch(/gk_|session=1|x-other|x-api-key/);
    expect(response.headers.get("etag")).toBe("e1");
    expect(response.headers.get("x-gimbal-target")).toBe("lab/passthrough");
    expect([response.headers.get("set-cookie"), response.headers.get("x-internal")]).toEqual([null, null]);
  });

  it("leaves one row with bytes, status, usage and price, and a note in the audit", async () => {
    const response = await pass("lab/v1/exact", { method: "POST", body: "12345" });
    const text = await response.text();
    const row = await gateway.lastRow();
    expect(row).toMatchObject({
      callId: response.headers.get("x-gimbal-call-id"),
      dialect: "passthrough",
      operation: "passthrough",
      state: "done",
      target: "lab/passthrough",
      costNanodollars: 250_000_000,
      usage: { inputUncached: 7, output: 2 },
      attempts: [{ status: 200 }],
      plan: { method: "POST", path: "/v1/exact", sentBytes: 5, receivedBytes: Buffer.byteLength(text) },
    });
    const described = await fetch(`${gateway.url}/v1/calls/${row.callId}`);
    expect(described.status).toBe(200);
    const audit = await fetch(`${gateway.url}/admin/api/audit?limit=1000`, {
      headers: { authorization: `Bearer ${gateway.house.adminToken.reveal()}` },
    });
    expect(await audit.text()).toContain(row.callId);
  });

  it("streams an answer while it comes, and is taken back when its client leaves", async () => {
    let cancelled!: () => void;
    const gone = new Promise<void>((resolve) => (cancelled = resolve));
    upstream.act = (_heard, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: first\n\n");
      response.on("close", cancelled);
    };
    const leaving = new AbortController();
    const response = await pass("lab/v1/exact", { signal: leaving.signal });
    const first = await response.body?.getReader().read();
    expect(Buffer.from(first?.value ?? []).toString()).toBe("data: first\n\n");
    leaving.abort();
    await gone;
    expect(await gateway.lastRow()).toMatchObject({ state: "cancelled", problem: "cancelled" });
  });

  it("tells what the provider said when it refuses, and follows no redirect", async () => {
    upstream.act = (_heard, response) => response.writeHead(422, { "content-type": "text/plain" }).end("no such job");
    const refused = await pass("lab/v1/exact");
    expect([refused.status, await refused.text()]).toEqual([422, "no such job"]);
    expect(await gateway.lastRow()).toMatchObject({ state: "failed", problem: "upstream_rejected", costNanodollars: 0 });
    upstream.act = (_heard, response) => response.writeHead(307, { location: `http://127.0.0.1:${upstream.port}/stolen` }).end();
    const redirected = await pass("lab/v1/exact");
    expect(redirected.status).toBe(502);
    expect(upstream.heard).toHaveLength(2);
  });

  it("cuts an answer that is larger than the limit, and refuses a body that is", async () => {
    upstream.act = (_heard, response) => response.end(Buffer.alloc(4_000_000));
    const response = await pass("lab/v1/exact");
    await expect(response.arrayBuffer()).rejects.toThrow(/terminated/);
    expect(await gateway.lastRow()).toMatchObject({ state: "failed", problem: "upstream_broken" });
    expect((await pass("lab/v1/exact", { method: "POST", body: "x".repeat(100_001) })).status).toBe(413);
  });
});

describe("what is not", () => {
  it.each([
    ["lab/v1/chat/completions", 403],
    ["lab/v1/exactly", 403],
    ["lab/v1/fine_tuning/../chat/completions%2e", 403],
    ["lab/v1/fine_tuning/%2e%2e/chat/completions", 400],
    ["lab/v1/fine_tuning/..%2fchat", 400],
    ["lab/v1/fine_tuning/%252e%252e/x", 400],
    ["lab/v1/fine_tuning//evil.test/x", 400],
    ["lab/v1/fine_tuning/a%5c..%5cb", 400],
    ["lab/v1/fine_tuning/a%00b", 400],
    ["lab/http://evil.test/v1/fine_tuning/x", 400],
    ["lab", 403],
    ["nobody/v1/x", 404],
    ["sim/v1/x", 404],
  ])("%s is refused with %i", async (path, status) => {
    // Written out, because a client's own library would tidy the path first.
    const { request } = await import("node:http");
    const { port } = new URL(gateway.url);
    const got = await new Promise<number>((resolve, reject) => {
      request({ host: "127.0.0.1", port, path: `/passthrough/${path}` }, (answer) => resolve(answer.resume().statusCode ?? 0))
        .on("error", reject)
        .end();
    });
    expect(upstream.heard).toEqual([]);
    expect(got).toBe(path.includes("/../") ? 400 : status);
  });

  it("other methods, and WebSockets", async () => {
    expect((await pass("other/v1/x", { method: "POST", body: "x" })).status).toBe(405);
    const socket = new WebSocket(`${gateway.url.replace("http", "ws")}/passthrough/lab/v1/exact`);
    const message = await new Promise((resolve) => socket.on("error", (error) => resolve(error.message)));
    expect(message).toContain("501");
    expect(upstream.heard).toEqual([]);
  });

  it.each([
    ["another surface", { scopes: { surfaces: ["openai-chat"] } }, 403],
    ["one model", { models: ["lab/small"] }, 403],
    ["another provider", { models: ["other/*"] }, 403],
    ["all of the provider", { models: ["lab/*"] }, 200],
    ["a tier", { tier: 1 }, 403],
  ])("a key for %s", async (_what, spec, status) => {
    const given = "scopes" in spec ? { surfaces: spec.scopes?.surfaces } : spec;
    expect((await pass("lab/v1/exact", {}, await gateway.key(given))).status).toBe(status);
  });

  it("an unknown key, a used-up budget, a budget without a price, a limit, a kill switch", async () => {
    expect((await pass("lab/v1/exact", {}, "gk_unknown")).status).toBe(401);
    const poor = await gateway.key({ budgets: [{ usd: 0.6, per: "month", hard: true }] });
    const statuses = [];
    for (let nth = 0; nth < 3; nth++) statuses.push((await pass("lab/v1/exact", {}, poor)).status);
    expect(statuses).toEqual([200, 200, 402]);
    const unpriced = await pass("other/v1/x", {}, poor);
    expect(unpriced.status).toBe(402);
    expect(await unpriced.text()).toContain("passthrough.other.perCallUsd");
    const limited = await gateway.key({ limits: [{ requests: 1, per: "minute" }] });
    expect((await pass("lab/v1/exact", {}, limited)).status).toBe(200);
    expect((await pass("lab/v1/exact", {}, limited)).status).toBe(429);
    const admin = { authorization: `Bearer ${gateway.house.adminToken.reveal()}`, "content-type": "application/json" };
    const kill = { method: "POST", headers: admin, body: JSON.stringify({ scope: "provider", value: "lab" }) };
    const { id } = (await (await fetch(`${gateway.url}/admin/api/kill`, kill)).json()) as { id: string };
    const killed = await pass("lab/v1/exact");
    expect([killed.status, killed.headers.get("x-gimbal-problem")]).toEqual([503, "killed"]);
    await fetch(`${gateway.url}/admin/api/kill/${id}`, { method: "DELETE", headers: admin });
    expect((await pass("lab/v1/exact")).status).toBe(200);
  });

  it("what the configuration cannot mean", () => {
    const problems = (passthrough: string): string => {
      const read = readConfig(`version: 1\nproviders: { lab: { kind: openai, apiKey: k } }\npassthrough: ${passthrough}\n`, {});
      return read.ok ? "" : read.problems.map(({ message }) => message).join(" ");
    };
    expect(problems('{ lab: { paths: ["/v1/*"] } }')).toBe("");
    expect(problems('{ labb: { paths: ["/v1/*"] } }')).toContain('There is no provider "labb"');
    expect(problems('{ lab: { paths: ["v1"] } }')).toContain("Begins with a slash");
    expect(problems('{ lab: { paths: ["/v1/*"], headers: [Authorization] } }')).toContain("s never passed on");
  });
});

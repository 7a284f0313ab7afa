import { connect, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { jsonAnswer, startUpstream, type TestUpstream } from "../support/upstream.ts";
import { LANGUAGES, type Language } from "./languages.ts";

const SECRET = "sk-provider-secret-4711";
const MIB = 1024 * 1024;
/** Short, so that a client that trickles is given up soon. */
const BODY_LIMIT_MS = 150;

let gateway: TestGateway;
let upstream: TestUpstream;
beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startGateway({
    config: `
providers:
  chat: { kind: openai-compatible, baseUrl: "${upstream.url}/v1", apiKey: ${SECRET}, dialects: [openai-chat], allowPrivateNetwork: true }
  responses: { kind: openai, baseUrl: "${upstream.url}/v1", apiKey: ${SECRET}, dialects: [openai-responses], allowPrivateNetwork: true }
  messages: { kind: anthropic, baseUrl: "${upstream.url}", apiKey: ${SECRET}, allowPrivateNetwork: true }
serve: { limits: { requestBodyMs: ${BODY_LIMIT_MS} } }
`,
  });
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});
afterEach(async () => {
  expect((await fetch(`${gateway.url}/healthz`)).status).toBe(200);
  expect(gateway.logs.filter((line) => /defect|unhandled/i.test(line))).toEqual([]);
  expect(gateway.logs.join("\n")).not.toContain(SECRET);
});

interface Expected {
  readonly status: number;
  readonly kind: string;
  /** Words of the message that say what to do. */
  readonly says: RegExp;
}

describe.each(LANGUAGES)("$id refuses", (language) => {
  const send = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(gateway.url + language.path, {
      method: "POST",
      headers: { "content-type": "application/json", ...language.headers, ...headers },
      body,
      redirect: "manual",
    });
  const sendJson = (body: unknown, headers?: Record<string, string>): Promise<Response> => send(JSON.stringify(body), headers);

  /** Sends something wrong; it is refused natively, is one row, and the gateway lives on. */
  async function refused(answer: () => Promise<Response>, { status, kind, says }: Expected): Promise<Response> {
    const before = (await gateway.rows()).length;
    const response = await answer();
    const text = await response.text();
    expect(response.status, text).toBe(status);
    expect(response.headers.get("x-gimbal-problem")).toBe(kind);
    expect(language.errorMessage(JSON.parse(text))).toMatch(says);
    expect(text).not.toContain(SECRET);
    const rows = (await gateway.rows()).slice(before);
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({
      callId: response.headers.get("x-gimbal-call-id"),
      state: "failed",
      problem: kind,
      dialect: language.id,
    });
    return response;
  }

  it.each([
    ["a cut body", '{"model": "sim/echo", '],
    ["a word", "hello"],
    ["nothing", ""],
    ["a list", "[]"],
    ["null", "null"],
  ])("%s instead of a JSON object", async (_title, body) => {
    await refused(() => send(body), { status: 400, kind: "invalid_request", says: /JSON/ });
  });

  it("a key that comes twice", async () => {
    const good = JSON.stringify(language.call("sim/echo", "hi"));
    await refused(() => send(`{"model":"sim/other",${good.slice(1)}`), { status: 400, kind: "invalid_request", says: /"model" twice/ });
  });

  it("invalid UTF-8", async () => {
    const bytes: Uint8Array<ArrayBuffer> = Buffer.concat([Buffer.from('{"model":"'), Buffer.from([0xff, 0xc3]), Buffer.from('"}')]);
    await refused(() => send(bytes), { status: 400, kind: "invalid_request", says: /UTF-8/ });
  });

  it.each([127, 129, 100_000])("JSON nested %i levels too deep or nearly so, without falling over", async (depth) => {
    const nested = "[".repeat(depth) + "]".repeat(depth);
    const body = JSON.stringify(language.call("sim/echo", "hi", { metadata: "NESTED" })).replace('"NESTED"', `{"deep":${nested}}`);
    const response = await send(body);
    expect(response.status).toBe(400);
    expect(language.errorMessage(await response.json())).toMatch(depth > 127 ? /deep|JSON/ : /./);
  });

  it("a body of 50 MB", async () => {
    const text = "x".repeat(50 * MIB);
    await refused(() => sendJson(language.call("sim/echo", text)), { status: 413, kind: "too_large", says: /large|bytes|limit/i });
  });

  it.each([
    ["a number for the model", { model: 7 }],
    ["no model", { model: undefined }],
    ["an empty model", { model: "" }],
    ["a word for stream", { stream: "yes" }],
  ])("%s", async (_title, wrong) => {
    await refused(() => sendJson({ ...language.call("sim/echo", "hi"), ...wrong }), {
      status: 400,
      kind: "invalid_request",
      says: new RegExp(Object.keys(wrong)[0] ?? ""),
    });
  });

  it.each([
    ["a number for the list", 7],
    ["nothing for the list", undefined],
    ["numbers in the list", [1, 2]],
    ["an unknown role", [{ role: "wizard", content: "hi" }]],
    ["content of the wrong type", [{ role: "user", content: 7 }]],
    ["an empty list", []],
  ])("%s of messages", async (_title, list) => {
    await refused(() => sendJson({ ...language.call("sim/echo", "hi"), [language.list]: list }), {
      status: 400,
      kind: "invalid_request",
      says: /./,
    });
  });

  it("an unknown model, naming the nearest", async () => {
    await refused(() => sendJson(language.call("sim/ehco", "hi")), { status: 404, kind: "unknown_model", says: /sim\/echo/ });
  });

  it("an unknown provider", async () => {
    await refused(() => sendJson(language.call("nobody/at-all", "hi")), { status: 404, kind: "unknown_model", says: /nobody\/at-all/ });
  });

  it.each(["ftp://example.com/a.png", "data:image/png;base64,???", "not a url", "file:///etc/passwd"])("the image URL %s", async (url) => {
    await refused(() => sendJson(language.withImage("sim/echo", url)), { status: 400, kind: "invalid_request", says: /image|url|data/i });
  });

  it("a tool result without its call", async () => {
    await refused(() => sendJson(language.withOrphan("sim/echo")), { status: 400, kind: "invalid_request", says: /nobody/ });
  });

  it.each(["gk_unknown", "gk_"])("the key %s", async (key) => {
    await refused(() => sendJson(language.call("sim/echo", "hi"), { authorization: `Bearer ${key}` }), {
      status: 401,
      kind: "unauthenticated",
      says: /key/,
    });
  });

  it("a missing key where one is needed", async () => {
    // Relayed by a proxy: not somebody on this machine, whatever the socket says.
    await refused(() => sendJson(language.call("sim/echo", "hi"), { "x-forwarded-for": "203.0.113.7" }), {
      status: 401,
      kind: "unauthenticated",
      says: /key/,
    });
  });

  it("a revoked and an expired key", async () => {
    const expired = await gateway.key({ name: "old", expiresAt: 1 });
    await refused(() => sendJson(language.call("sim/echo", "hi"), { authorization: `Bearer ${expired}` }), {
      status: 401,
      kind: "unauthenticated",
      says: /expired/,
    });
  });

  it("a model, a surface and a rate beyond the key's scopes", async () => {
    const narrow = await gateway.key({ name: "narrow", models: ["sim/lorem"] });
    const elsewhere = await gateway.key({ name: "elsewhere", surfaces: ["admin"] });
    const slow = await gateway.key({ name: "slow", limits: [{ requests: 1, per: "hour" }] });
    const call = (key: string) => () => sendJson(language.call("sim/echo", "hi"), { authorization: `Bearer ${key}` });
    await refused(call(narrow), { status: 403, kind: "forbidden", says: /sim\/echo/ });
    await refused(call(elsewhere), { status: 403, kind: "forbidden", says: /elsewhere/ });
    expect((await call(slow)()).status).toBe(200);
    const limited = await refused(call(slow), { status: 429, kind: "rate_limited", says: /1 requests? per hour/ });
    expect(Number(limited.headers.get("retry-after"))).toBeGreaterThan(0);
  });

  it.each([
    ["x-gimbal-metadata", "{not json"],
    ["x-gimbal-metadata", '{"a":{"b":1}}'],
    ["x-gimbal-on-disconnect", "explode"],
    ["x-gimbal-session", "s".repeat(300)],
  ])("the header %s: %.20s", async (name, value) => {
    await refused(() => sendJson(language.call("sim/echo", "hi"), { [name]: value }), {
      status: 400,
      kind: "invalid_request",
      says: new RegExp(name),
    });
  });

  it("a header that would inject another", async () => {
    const answer = await raw(
      `POST ${language.path} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-gimbal-session: a\rx-evil: b\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).not.toContain("x-evil");
  });

  it("what comes back in a header cannot inject one", async () => {
    const response = await sendJson(language.call("sim/echo\r\nx-evil: 1", "hi"));
    expect(response.status).toBe(404);
    expect(response.headers.get("x-evil")).toBeNull();
    await response.text();
  });

  it("a body that never comes to its end", async () => {
    const before = (await gateway.rows()).length;
    const answer = await raw(
      `POST ${language.path} HTTP/1.1\r\nhost: 127.0.0.1\r\n${headerLines(language)}content-type: application/json\r\ncontent-length: 100\r\n\r\n{"model"`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 4(?:00|08) /);
    expect(answer).toContain("x-gimbal-problem: invalid_request");
    language.errorMessage(JSON.parse(answer.slice(answer.indexOf("\r\n\r\n") + 4)));
    const rows = (await gateway.rows()).slice(before);
    expect(rows).toHaveLength(1);
    expect(rows[0]?.state).toBe("failed");
  });

  it("a client that leaves in the middle of its body", async () => {
    const before = (await gateway.rows()).length;
    const socket = await opened();
    await written(socket, `POST ${language.path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100\r\n\r\n{"mo`);
    await seen(() => gateway.house.gateway.live.running > 0);
    socket.destroy();
    const rows = (await gateway.rows()).slice(before);
    expect(rows).toHaveLength(1);
    expect(["failed", "cancelled"]).toContain(rows[0]?.state);
  });

  it("nothing for a field it does not know: its provider may know it, and is asked", async () => {
    const provider = language.id === "openai-chat" ? "chat" : language.id === "openai-responses" ? "responses" : "messages";
    const words = "Unrecognized field: wizardry";
    upstream.answerWith(
      jsonAnswer(
        provider === "messages"
          ? { type: "error", error: { type: "invalid_request_error", message: words }, request_id: "req_1" }
          : { error: { message: words, type: "invalid_request_error", param: "wizardry", code: "unknown_parameter" } },
        400,
      ),
    );
    await refused(() => sendJson(language.call(`${provider}/any`, "hi", { wizardry: true })), {
      status: 400,
      kind: "upstream_rejected",
      says: /wizardry/,
    });
    expect(upstream.requests.at(-1)?.body).toMatchObject({ wizardry: true });
  });
});

function headerLines(language: Language): string {
  return Object.entries(language.headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("");
}

function opened(): Promise<Socket> {
  const { hostname, port } = new URL(gateway.url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => resolve(socket));
    socket.on("error", reject);
  });
}

function written(socket: Socket, text: string): Promise<void> {
  return new Promise((resolve) => socket.write(text, () => resolve()));
}

/** Sends bytes as they are and returns everything that comes back. */
async function raw(text: string): Promise<string> {
  const socket = await opened();
  let answer = "";
  socket.setEncoding("utf8").on("data", (piece: string) => (answer += piece));
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  socket.write(text);
  await closed;
  return answer;
}

/** Gives other work its turn until something is the case. */
async function seen(test: () => boolean): Promise<void> {
  while (!test()) await new Promise((resolve) => setImmediate(resolve));
}

import { EventStreamCodec } from "@smithy/eventstream-codec";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { jsonAnswer, startUpstream, type TestUpstream, type UpstreamAnswer, type UpstreamRequest } from "../support/upstream.ts";

const MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const EVENT_STREAM = "application/vnd.amazon.eventstream";
const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** The SDK's own reader and writer. */
const codec = new EventStreamCodec(
  (bytes) => (typeof bytes === "string" ? bytes : decoder.decode(bytes)),
  (text) => encoder.encode(text),
);

const USAGE = {
  input_tokens: 10,
  cache_creation_input_tokens: 300,
  cache_read_input_tokens: 2000,
  cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 200 },
  output_tokens: 5,
};
const COUNTED = { inputUncached: 10, cacheRead: 2000, cacheWrite5m: 100, cacheWrite1h: 200, output: 5 };
const ANSWER = {
  model: "claude-sonnet-4-5-20250929",
  id: "msg_bdrk_01",
  type: "message",
  role: "assistant",
  content: [{ type: "text", text: "Hé!" }],
  stop_reason: "end_turn",
  stop_sequence: null,
  usage: USAGE,
};
const EVENTS: readonly Record<string, unknown>[] = [
  { type: "message_start", message: { ...ANSWER, content: [], stop_reason: null, usage: { ...USAGE, output_tokens: 1 } } },
  { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
  { type: "ping" },
  { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "H" } },
  { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "é!" } },
  { type: "content_block_stop", index: 0 },
  { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 5 } },
  { type: "message_stop", "amazon-bedrock-invocationMetrics": { inputTokenCount: 10, outputTokenCount: 5 } },
];

const header = (value: string) => ({ type: "string" as const, value });
function message(kind: "event" | "exception", name: string, body: unknown): Uint8Array {
  return codec.encode({
    headers: { ":message-type": header(kind), [`:${kind}-type`]: header(name), ":content-type": header("application/json") },
    body: encoder.encode(JSON.stringify(body)),
  });
}
const chunk = (event: unknown): Uint8Array =>
  message("event", "chunk", { bytes: Buffer.from(JSON.stringify(event)).toString("base64"), p: "abcdef" });
const bytesOf = (frames: readonly Uint8Array[]): Buffer => Buffer.concat(frames);
const STREAM = bytesOf(EVENTS.map(chunk));

/** Whole, or in pieces of so many bytes. */
const streamed =
  (bytes: Buffer, size = bytes.length): UpstreamAnswer =>
  (response) => {
    response.writeHead(200, { "content-type": EVENT_STREAM, "x-amzn-bedrock-content-type": "application/json" });
    for (let at = 0; at < bytes.length; at += size) response.write(bytes.subarray(at, at + size));
    response.end();
  };

let upstream: TestUpstream;
let gateway: TestGateway;
beforeAll(async () => {
  upstream = await startUpstream();
  const at = `kind: bedrock-anthropic, baseUrl: "${upstream.url}", region: eu-west-1, allowPrivateNetwork: true`;
  gateway = await startGateway({
    config: `
providers:
  hosted: { ${at}, apiKey: "bedrock-api-key-x" }
  signed: { ${at}, accessKeyId: AKIDEXAMPLE, secretAccessKey: wJalrXUtnFEMI }
  direct: { kind: anthropic, baseUrl: "${upstream.url}", apiKey: x, allowPrivateNetwork: true }
`,
    trusting: true,
  });
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});
beforeEach(() => upstream.answerWith(jsonAnswer(ANSWER)));

const post = (path: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Response> =>
  fetch(gateway.url + path, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
const messages = (more: object = {}, headers: Readonly<Record<string, string>> = {}, provider = "hosted"): Promise<Response> =>
  post(
    "/v1/messages",
    { model: `${provider}/${MODEL}`, max_tokens: 50, messages: [{ role: "user", content: "Hé?" }], ...more },
    { "anthropic-version": "2023-06-01", ...headers },
  );
const last = (): UpstreamRequest => {
  const request = upstream.requests.at(-1);
  if (!request) throw new Error("nothing was sent");
  return request;
};
const sse = (text: string): { event: string; data: unknown }[] =>
  text
    .split("\n\n")
    .filter((frame) => frame !== "")
    .map((frame) => {
      const [, event = "", data = ""] = /^event: (.*)\ndata: (.*)$/.exec(frame) ?? [];
      return { event, data: JSON.parse(data) as unknown };
    });

describe("Anthropic's models in Amazon's cloud", () => {
  it("are invoked: model in the path, version and opt-ins in the body, the answer's bytes as they came", async () => {
    const response = await messages(
      { top_k: 5, service_tier: "auto" },
      { "anthropic-beta": "context-1m-2025-08-07,message-threads-2026-08-12,unheard-of-2026-01-01" },
    );
    expect(await response.json()).toEqual(ANSWER);
    const { path, headers, body } = last();
    expect(path).toBe(`/model/${encodeURIComponent(MODEL)}/invoke`);
    expect(body).toEqual({
      anthropic_version: "bedrock-2023-05-31",
      anthropic_beta: ["context-1m-2025-08-07"],
      max_tokens: 50,
      messages: [{ role: "user", content: "Hé?" }],
      top_k: 5,
    });
    expect(headers["authorization"]).toBe("Bearer bedrock-api-key-x");
    expect(headers["anthropic-version"]).toBeUndefined();
    const row = await gateway.lastRow();
    expect(row).toMatchObject({ state: "done", fastPath: true, dialect: "anthropic-messages", usage: COUNTED });
    // Dollars a million in a region: 3.30 read, 0.33 from the cache, 4.125 and 6.60 into it for five minutes and an hour, 16.50 written.
    expect(row.costNanodollars).toBe(10 * 3300 + 2000 * 330 + 100 * 4125 + 200 * 6600 + 5 * 16_500);
  });

  it("are asked in the version of the client", async () => {
    expect((await messages({}, { "anthropic-version": "2026-10-21" })).status).toBe(200);
    expect(last().body["anthropic_version"]).toBe("2026-10-21");
  });

  it("may be signed for", async () => {
    expect((await messages({}, {}, "signed")).status).toBe(200);
    expect(last().headers["authorization"]).toMatch(/^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/\d+\/eu-west-1\/bedrock\/aws4_request/);
  });

  it.each([undefined, 1, 7, 1000])("stream, however their messages are cut (%s bytes at a time)", async (size) => {
    upstream.answerWith(streamed(STREAM, size));
    const response = await messages({ stream: true });
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    expect(sse(await response.text())).toEqual(EVENTS.map((data) => ({ event: data["type"], data })));
    expect(last().path).toBe(`/model/${encodeURIComponent(MODEL)}/invoke-with-response-stream`);
    expect(last().headers["accept"]).toBe(EVENT_STREAM);
    expect(last().body).not.toHaveProperty("stream");
    expect(await gateway.lastRow()).toMatchObject({ state: "done", fastPath: true, usage: COUNTED });
  });

  it("answer clients of other languages", async () => {
    upstream.answerWith(streamed(STREAM));
    const response = await post("/v1/chat/completions", {
      model: `hosted/${MODEL}`,
      stream: true,
      messages: [{ role: "user", content: "Hé?" }],
    });
    const text = await response.text();
    expect([...text.matchAll(/"content":"([^"]*)"/g)].map(([, piece]) => piece).join("")).toBe("Hé!");
    expect(text).toContain("[DONE]");
    expect(await gateway.lastRow()).toMatchObject({ state: "done", fastPath: false, usage: COUNTED });
  });

  it("have their tokens counted by the service", async () => {
    upstream.answerWith(jsonAnswer({ inputTokens: 321 }));
    const response = await post("/v1/messages/count_tokens", {
      model: `hosted/${MODEL}`,
      messages: [{ role: "user", content: "Hé?" }],
      system: "Be brief.",
    });
    expect(await response.json()).toEqual({ input_tokens: 321 });
    expect(last().path).toBe(`/model/${encodeURIComponent(MODEL)}/count-tokens`);
    const { input } = last().body as { input: { invokeModel: { body: string } } };
    expect(JSON.parse(Buffer.from(input.invokeModel.body, "base64").toString())).toEqual({
      anthropic_version: "bedrock-2023-05-31",
      max_tokens: 1,
      messages: [{ role: "user", content: "Hé?" }],
      system: "Be brief.",
    });
  });
});

describe("a failure of the service", () => {
  it.each([
    [429, "ThrottlingException", "Too many tokens", 429, "rate_limited"],
    [400, "ValidationException", "max_tokens: too large", 400, "upstream_rejected"],
    [403, "ExpiredTokenException", "expired", 502, "upstream_rejected"],
    [503, "ServiceUnavailableException", "busy", 502, "upstream_unavailable"],
  ])("%s %s is told in the client's language", async (status, type, words, told, kind) => {
    upstream.answerWith(jsonAnswer({ message: words }, status, { "x-amzn-errortype": `${type}:http://internal.amazon.com/` }));
    const response = await messages();
    expect(response.status).toBe(told);
    expect(response.headers.get("x-gimbal-problem")).toBe(kind);
    expect(await response.json()).toMatchObject({ type: "error", error: { message: expect.stringContaining(words) as string } });
    const row = await gateway.lastRow();
    expect(row.attempts[0]).toMatchObject({ status });
  });

  it("within a stream ends it, with what came before", async () => {
    const exception = message("exception", "throttlingException", { message: "Slow down." });
    upstream.answerWith(streamed(bytesOf([...EVENTS.slice(0, 4).map(chunk), exception])));
    const frames = sse(await (await messages({ stream: true })).text());
    expect(frames.filter(({ event }) => event === "content_block_delta")).toHaveLength(1);
    expect(frames.at(-1)).toMatchObject({ event: "error", data: { error: { type: "rate_limit_error" } } });
    expect(await gateway.lastRow()).toMatchObject({ state: "failed" });
  });

  it.each([
    ["cut short", (whole: Buffer) => whole.subarray(0, whole.length - 9)],
    ["with a byte changed", (whole: Buffer) => Buffer.from(whole).fill(0x7b, whole.length - 40, whole.length - 39)],
    ["with a length that cannot be", (whole: Buffer) => Buffer.concat([whole.subarray(0, 600), Buffer.from([0xff, 0xff, 0xff, 0xff])])],
  ])("by a stream %s is no clean end", async (_, spoil) => {
    upstream.answerWith(streamed(spoil(STREAM)));
    const text = await (await messages({ stream: true })).text();
    expect(text).not.toContain("message_stop");
    expect((await gateway.lastRow()).problem).toBe("upstream_broken");
  });

  it("of its own server says what can be known", async () => {
    upstream.answerWith((response) => void response.writeHead(502, { "content-type": "text/html" }).end("<html>".repeat(20_000)));
    const response = await messages();
    expect([response.status, response.headers.get("x-gimbal-problem")]).toEqual([502, "upstream_unavailable"]);
  });
});

describe("the service's own door for them", () => {
  const BODY = { anthropic_version: "bedrock-2023-05-31", max_tokens: 50, messages: [{ role: "user", content: "Hé?" }] };
  const invoke = (provider: string, verb: string, body: unknown = BODY): Promise<Response> =>
    post(`/model/${encodeURIComponent(`${provider}/${MODEL}`)}/${verb}`, body, {
      authorization: "AWS4-HMAC-SHA256 Credential=AKIDCALLER/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=00",
    });
  /** What a client of the service reads of a stream. */
  const read = (bytes: Buffer): { name: string; body: unknown }[] => {
    const frames: { name: string; body: unknown }[] = [];
    for (let at = 0; at < bytes.length; at += bytes.readUInt32BE(at)) {
      const { headers, body } = codec.decode(bytes.subarray(at, at + bytes.readUInt32BE(at)));
      const said = JSON.parse(decoder.decode(body)) as { bytes?: string };
      const name = String((headers[":event-type"] ?? headers[":exception-type"])?.value);
      frames.push({ name, body: said.bytes === undefined ? said : (JSON.parse(Buffer.from(said.bytes, "base64").toString()) as unknown) });
    }
    return frames;
  };

  it.each(["hosted", "direct"])("answers whole (from %s)", async (provider) => {
    const response = await invoke(provider, "invoke", { ...BODY, anthropic_beta: ["context-1m-2025-08-07"], top_k: 5 });
    expect(await response.json()).toEqual(ANSWER);
    expect(response.headers.get("x-amzn-requestid")).toMatch(/^call_/);
    if (provider === "direct") {
      expect(last()).toMatchObject({
        path: "/v1/messages",
        headers: { "anthropic-version": "2023-06-01", "anthropic-beta": "context-1m-2025-08-07" },
        body: { model: MODEL, max_tokens: 50, top_k: 5 },
      });
      expect(last().body).not.toHaveProperty("anthropic_version");
    } else expect(last().body).toEqual({ ...BODY, anthropic_beta: ["context-1m-2025-08-07"], top_k: 5 });
    expect(await gateway.lastRow()).toMatchObject({ usage: COUNTED });
  });

  it.each(["hosted", "direct"])("answers in chunks (from %s)", async (provider) => {
    const plain = EVENTS.map((data) => `event: ${String(data["type"])}\ndata: ${JSON.stringify(data)}\n\n`).join("");
    upstream.answerWith(
      provider === "hosted"
        ? streamed(STREAM, 11)
        : (response) => void response.writeHead(200, { "content-type": "text/event-stream" }).end(plain),
    );
    const response = await invoke(provider, "invoke-with-response-stream");
    expect(response.headers.get("content-type")).toBe(EVENT_STREAM);
    const frames = read(Buffer.from(await response.arrayBuffer()));
    expect(frames.every(({ name }) => name === "chunk")).toBe(true);
    const bodies = frames.map(({ body }) => body as Record<string, unknown>);
    expect(bodies[0]).toMatchObject({ type: "message_start", message: { id: "msg_bdrk_01" } });
    expect(bodies.filter(({ type }) => type === "content_block_delta").map(({ delta }) => delta)).toEqual([
      { type: "text_delta", text: "H" },
      { type: "text_delta", text: "é!" },
    ]);
    expect(bodies.at(-1)).toMatchObject({ type: "message_stop" });
    expect(await gateway.lastRow()).toMatchObject({ state: "done", usage: COUNTED });
  });

  it("takes a later version by its own name, as the newer SDK sends it", async () => {
    expect((await invoke("direct", "invoke", { ...BODY, anthropic_version: "2026-10-21" })).status).toBe(200);
    expect(last().headers["anthropic-version"]).toBe("2026-10-21");
  });

  it("tells a failure within a stream as the service does", async () => {
    upstream.answerWith(
      streamed(bytesOf([...EVENTS.slice(0, 4).map(chunk), message("exception", "throttlingException", { message: "Slow." })])),
    );
    const frames = read(Buffer.from(await (await invoke("hosted", "invoke-with-response-stream")).arrayBuffer()));
    expect(frames.at(-1)).toMatchObject({ name: "throttlingException" });
  });

  it("refuses what it cannot read, in the service's shape", async () => {
    const { anthropic_version: _version, ...bare } = BODY;
    for (const [body, words] of [
      [bare, "anthropic_version"],
      [{ ...BODY, anthropic_version: "2020-01-01" }, "not a known version"],
      [{ ...BODY, anthropic_beta: ["a\r\nb"] }, "anthropic_beta"],
      [{ ...BODY, messages: 5 }, "messages"],
    ] as const) {
      const response = await invoke("hosted", "invoke", body);
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ __type: "ValidationException", message: expect.stringContaining(words) as string });
    }
  });

  it("is resumed byte for byte", async () => {
    upstream.answerWith(streamed(STREAM));
    const response = await invoke("hosted", "invoke-with-response-stream");
    const whole = Buffer.from(await response.arrayBuffer());
    const again = await fetch(`${gateway.url}/v1/calls/${response.headers.get("x-gimbal-call-id") ?? ""}/events?after=0`);
    const told = Buffer.from(await again.arrayBuffer());
    expect(told.includes(whole.subarray(0, 40))).toBe(true);
  });
});

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { jsonAnswer, startUpstream, streamAnswer, type TestUpstream } from "../support/upstream.ts";

type Part = Readonly<Record<string, unknown>>;

const response = (parts: readonly Part[], more: object = {}) => ({
  candidates: [{ content: { role: "model", parts }, index: 0, ...more }],
  usageMetadata: { promptTokenCount: 5, candidatesTokenCount: 2, totalTokenCount: 7 },
  modelVersion: "gemini-3-pro",
  responseId: "r1",
});
const sse = (...frames: readonly object[]): string => frames.map((frame) => `data: ${JSON.stringify(frame)}\r\n\r\n`).join("");

let upstream: TestUpstream;
let gateway: TestGateway;
let key: string;
beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startGateway({
    config: `
providers:
  lab: { kind: gemini, baseUrl: "${upstream.url}", apiKey: lab-key, allowPrivateNetwork: true, dialects: [gemini] }
  both: { kind: gemini, baseUrl: "${upstream.url}", apiKey: lab-key, allowPrivateNetwork: true }
models:
  brain: lab/gemini-3-pro
sim:
  models:
    talk: { text: "One two three four.", tokensPerSecond: 500 }
`,
    trusting: true,
  });
  key = await gateway.key();
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

const CONTENTS = [{ role: "user", parts: [{ text: "Hi" }] }];

function post(path: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  return fetch(gateway.url + path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

const sent = (): { contents: { role: string; parts: Part[] }[] } => upstream.requests.at(-1)?.body as never;

describe("a signature beside a function call", () => {
  const CALL = { functionCall: { name: "weather", args: { city: "Oslo" } }, thoughtSignature: "c2lnbmVk" };
  const tools = [
    { type: "function", function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } } },
  ];

  it.each([false, true])("is kept beside the call for a client of chat completions (stream: %s)", async (stream) => {
    const answer = response([CALL], { finishReason: "STOP" });
    upstream.answerWith(stream ? streamAnswer(sse(answer)) : jsonAnswer(answer));
    const first = [{ role: "user", content: `Oslo? ${stream}` }];
    const headers = { authorization: `Bearer ${key}` };
    const body = { model: "brain", messages: first, tools, stream };
    const told = await (await post("/v1/chat/completions", body, headers)).text();
    expect(told).not.toContain("c2lnbmVk");
    const id = /call_r1_0|"id":"(call_[^"]+)"/.exec(told)?.[1] ?? "call_r1_0";
    await gateway.lastRow();
    const call = { id, type: "function", function: { name: "weather", arguments: '{"city":"Oslo"}' } };
    const messages = [
      ...first,
      { role: "assistant", content: null, tool_calls: [call] },
      { role: "tool", tool_call_id: id, content: "mild" },
    ];
    upstream.answerWith(jsonAnswer(response([{ text: "Mild." }], { finishReason: "STOP" })));
    expect((await post("/v1/chat/completions", { model: "brain", messages, tools }, headers)).status).toBe(200);
    expect(sent().contents).toEqual([
      { role: "user", parts: [{ text: `Oslo? ${stream}` }] },
      { role: "model", parts: [{ functionCall: { id, name: "weather", args: { city: "Oslo" } }, thoughtSignature: "c2lnbmVk" }] },
      { role: "user", parts: [{ functionResponse: { id, name: "weather", response: { output: "mild" } } }] },
    ]);
  });

  it("of the last words comes back behind them", async () => {
    const words = `Forty-two ${Date.now()}`;
    upstream.answerWith(
      streamAnswer(sse(response([{ text: words }]), response([{ text: "", thoughtSignature: "bGFzdA==" }], { finishReason: "STOP" }))),
    );
    const headers = { authorization: `Bearer ${key}` };
    const first = [{ role: "user", content: "Why?" }];
    expect(await (await post("/v1/chat/completions", { model: "brain", messages: first, stream: true }, headers)).text()).toContain(words);
    await gateway.lastRow();
    upstream.answerWith(jsonAnswer(response([{ text: "Yes." }], { finishReason: "STOP" })));
    const messages = [...first, { role: "assistant", content: words }, { role: "user", content: "Sure?" }];
    await post("/v1/chat/completions", { model: "brain", messages }, headers);
    expect(sent().contents[1]).toEqual({ role: "model", parts: [{ text: words }, { text: "", thoughtSignature: "bGFzdA==" }] });
    // Another caller, who says the same, has no part in it.
    const other = await gateway.key();
    await post("/v1/chat/completions", { model: "brain", messages }, { authorization: `Bearer ${other}` });
    expect(sent().contents[1]).toEqual({ role: "model", parts: [{ text: words }] });
  });

  it("that another model never gave is said to be missing", async () => {
    upstream.answerWith(jsonAnswer(response([{ text: "Mild." }], { finishReason: "STOP" })));
    const call = { id: "call_x", type: "function", function: { name: "weather", arguments: "{}" } };
    const messages = [
      { role: "user", content: "Oslo?" },
      { role: "assistant", content: null, tool_calls: [call, { ...call, id: "call_y" }] },
      { role: "tool", tool_call_id: "call_y", content: "cold" },
    ];
    await post("/v1/chat/completions", { model: "brain", messages, tools });
    expect(sent().contents.slice(1)).toEqual([
      {
        role: "model",
        parts: [
          { functionCall: { id: "call_x", name: "weather", args: {} }, thoughtSignature: "skip_thought_signature_validator" },
          { functionCall: { id: "call_y", name: "weather", args: {} } },
        ],
      },
      {
        role: "user",
        parts: [
          { functionResponse: { id: "call_x", name: "weather", response: { error: "There is no result: the tool was not run." } } },
          { functionResponse: { id: "call_y", name: "weather", response: { output: "cold" } } },
        ],
      },
    ]);
  });
});

describe("the door", () => {
  it("sends a request on byte for byte, but for the model in its path", async () => {
    const bodies: string[] = [];
    const paths: string[] = [];
    const server = createServer((request, answer) => {
      let text = "";
      request.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      request.on("end", () => {
        bodies.push(text);
        paths.push(request.url ?? "");
        answer
          .writeHead(200, { "content-type": "application/json" })
          .end(JSON.stringify(response([{ text: "Hi" }], { finishReason: "STOP" })));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const own = await startGateway({
      config: `providers:\n  lab: { kind: gemini, baseUrl: "${url}", apiKey: k, allowPrivateNetwork: true }\nmodels: { brain: lab/gemini-x }\n`,
    });
    const body = '{ "contents" : [ {"parts":[{"text":"\\u00e9 1e2 12345678901234567890"}], "role":"user"} ],"x_new":{"n":1.0} }';
    const answer = await fetch(`${own.url}/v1beta/models/brain:generateContent`, { method: "POST", body });
    expect(await answer.text()).toBe(JSON.stringify(response([{ text: "Hi" }], { finishReason: "STOP" })));
    expect(bodies).toEqual([body]);
    expect(paths).toEqual(["/v1beta/models/gemini-x:generateContent"]);
    await own.close();
    server.close();
  });

  it("takes the key from the header or the query, and lists models in its own shape", async () => {
    const bad = "gk_nobody";
    expect((await post(`/v1beta/models/sim/talk:generateContent?key=${bad}`, { contents: CONTENTS })).status).toBe(401);
    expect((await post("/v1beta/models/sim/talk:generateContent", { contents: CONTENTS }, { "x-goog-api-key": bad })).status).toBe(401);
    expect((await post(`/v1beta/models/sim/talk:generateContent?key=${key}`, { contents: CONTENTS })).status).toBe(200);
    for (const path of [`/v1beta/models?key=${key}`, `/v1/models?key=${key}`]) {
      const list = (await (await fetch(gateway.url + path)).json()) as { models: { name: string }[] };
      expect(list.models.map(({ name }) => name)).toContain("models/brain");
    }
    expect((await fetch(`${gateway.url}/v1beta/models?key=${bad}`)).status).toBe(401);
    const one = await fetch(`${gateway.url}/v1beta/models/brain`);
    expect(await one.json()).toMatchObject({
      name: "models/brain",
      supportedGenerationMethods: expect.arrayContaining(["generateContent"]) as string[],
    });
    const none = await fetch(`${gateway.url}/v1beta/models/brian`);
    expect(none.status).toBe(404);
    expect(await none.json()).toMatchObject({
      error: { code: 404, status: "NOT_FOUND", message: expect.stringContaining("brain") as string },
    });
    // Other clients of the shared path get what they know.
    expect(await (await fetch(`${gateway.url}/v1/models`)).json()).toMatchObject({ object: "list" });
  });

  it.each(["sim/talk", "brain"])("streams as one JSON array to whom does not ask for events (%s)", async (model) => {
    upstream.answerWith(streamAnswer(sse(response([{ text: "One" }]), response([{ text: " two." }], { finishReason: "STOP" }))));
    const answer = await post(`/v1beta/models/${model}:streamGenerateContent`, { contents: CONTENTS });
    expect(answer.headers.get("content-type")).toContain("application/json");
    const elements = (await answer.json()) as ReturnType<typeof response>[];
    expect(elements.length).toBeGreaterThan(1);
    const words = elements.flatMap((element) => element.candidates[0]?.content.parts.map((part) => part["text"]) ?? []);
    expect(words.join("")).toBe(model === "brain" ? "One two." : "One two three four.");
    expect(elements.at(-1)?.candidates[0]).toMatchObject({ finishReason: "STOP" });
    expect(await gateway.lastRow()).toMatchObject({ state: "done", stream: true });
    if (model === "brain") expect(upstream.requests.at(-1)?.path).toMatch(/:streamGenerateContent\?alt=sse$/);
  });

  it.each(["", "?alt=sse"])("resumes with the very frames that were sent (%j)", async (query) => {
    const headers = { "x-goog-api-key": key };
    const answer = await post(`/v1beta/models/sim/talk:streamGenerateContent${query}`, { contents: CONTENTS }, headers);
    const whole = await answer.text();
    const id = answer.headers.get("x-gimbal-call-id") ?? "";
    const after = async (count: number): Promise<string> => {
      const resumed = await fetch(`${gateway.url}/v1/calls/${id}/events?after=${count}`, { headers });
      expect(resumed.status).toBe(200);
      return (await resumed.text()).replaceAll(/^id: \d+\n/gm, "");
    };
    expect(await after(0)).toBe(whole);
    const rest = await after(1);
    expect(rest.length).toBeGreaterThan(0);
    expect(rest.length).toBeLessThan(whole.length);
    expect(whole.endsWith(rest)).toBe(true);
  });

  it.each(["", "?alt=sse"])("tells of a stream that broke, still well formed (%j)", async (query) => {
    upstream.answerWith(streamAnswer(sse(response([{ text: "One" }]))));
    const text = await (await post(`/v1beta/models/brain:streamGenerateContent${query}`, { contents: CONTENTS })).text();
    const last = query === "" ? (JSON.parse(text) as unknown[]).at(-1) : JSON.parse(text.trim().split("data: ").at(-1) ?? "");
    expect(last).toMatchObject({ error: { code: 502, status: "UNAVAILABLE" } });
    expect(await gateway.lastRow()).toMatchObject({ state: "failed", problem: "upstream_broken" });
  });

  it.each<[unknown, number, string]>([
    ["{", 400, "valid JSON"],
    [{}, 400, "contents"],
    [{ contents: [] }, 400, "no messages"],
    [{ contents: "Hi" }, 400, "contents: must be a list"],
    [{ contents: [{ parts: [{ inlineData: { mimeType: "image/png", data: "%%%" } }] }], tools: [{ googleSearch: {} }] }, 400, "base64"],
    [{ contents: CONTENTS, toolConfig: { functionCallingConfig: { mode: "SOMETIMES" } } }, 400, "AUTO, ANY, NONE or VALIDATED"],
    [{ contents: CONTENTS, generationConfig: { temperature: "hot" } }, 400, "generationConfig.temperature"],
    ['{"contents":[],"contents":[]}', 400, "twice"],
  ])("refuses %j in its own words", async (body, status, message) => {
    // The simulator is asked in canonical form, so that every field is looked at.
    const answer = await post("/v1beta/models/sim/talk:streamGenerateContent", body);
    expect(answer.status).toBe(status);
    expect(await answer.json()).toMatchObject({
      error: {
        code: status,
        status: "INVALID_ARGUMENT",
        message: expect.stringContaining(message) as string,
        details: expect.any(Array) as unknown[],
      },
    });
  });

  it("passes on what the provider refuses, and how long it wants to be left alone", async () => {
    const refused = { error: { code: 400, message: "Bad thing.", status: "INVALID_ARGUMENT", details: [{ "@type": "x" }] } };
    upstream.answerWith(jsonAnswer(refused, 400));
    const answer = await post("/v1beta/models/brain:generateContent", { contents: CONTENTS });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject(refused);
    const info = [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "34.4s" }];
    upstream.answerWith(jsonAnswer({ error: { code: 429, message: "Quota.", status: "RESOURCE_EXHAUSTED", details: info } }, 429));
    const limited = await post("/v1beta/models/brain:generateContent", { contents: CONTENTS });
    expect(limited.status).toBe(429);
    expect(Number(limited.headers.get("retry-after"))).toBeGreaterThanOrEqual(34);
    expect(await limited.json()).toMatchObject({ error: { status: "RESOURCE_EXHAUSTED" } });
  });

  it("never tells a client of the gateway's own key", async () => {
    const details = [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: "API_KEY_INVALID" }];
    upstream.answerWith(
      jsonAnswer({ error: { code: 400, message: "API key lab-key not valid.", status: "INVALID_ARGUMENT", details } }, 400),
    );
    const answer = await post("/v1beta/models/brain:generateContent", { contents: CONTENTS });
    expect(answer.status).toBe(502);
    expect(await answer.text()).not.toContain("lab-key");
  });
});

describe("the provider", () => {
  it("lists its models by the names that calls have, without those that hold no conversation", async () => {
    const names = ["gemini-3-flash", "gemini-embedding-001", "veo-3", "gemini-2.5-flash-preview-tts"].map((name) => `models/${name}`);
    upstream.answerWith(jsonAnswer({ models: names.map((name) => ({ name })) }));
    const provider = gateway.house.snapshot().providers.get("lab");
    expect(await provider?.models(new AbortController().signal)).toEqual(["gemini-3-flash"]);
    expect(upstream.requests.at(-1)).toMatchObject({ path: "/v1beta/models?pageSize=1000", headers: { "x-goog-api-key": "lab-key" } });
    expect(await provider?.check(new AbortController().signal)).toMatchObject({ ok: true });
    upstream.answerWith(jsonAnswer({ totalTokens: 11 }));
    const counted = await post("/v1beta/models/lab/models/gemini-x:countTokens", { contents: CONTENTS });
    expect(await counted.json()).toEqual({ totalTokens: 11 });
    expect(upstream.requests.at(-1)?.path).toBe("/v1beta/models/gemini-x:countTokens");
  });
});

describe("the provider's second language", () => {
  afterEach(() => upstream.answerWith(jsonAnswer({})));

  it("passes chat completions unread to its own endpoint, with the key where that looks for it", async () => {
    const completion = {
      id: "c1",
      object: "chat.completion",
      created: 1,
      model: "gemini-x",
      choices: [{ index: 0, message: { role: "assistant", content: "Hi" }, finish_reason: "stop" }],
      usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
    };
    upstream.answerWith(jsonAnswer(completion));
    const answer = await post("/v1/chat/completions", { model: "both/gemini-x", messages: [{ role: "user", content: "Hi" }] });
    expect(await answer.json()).toEqual(completion);
    const request = upstream.requests.at(-1);
    expect(request?.path).toBe("/v1beta/openai/chat/completions");
    expect(request?.headers["authorization"]).toBe("Bearer lab-key");
    expect(request?.headers["x-goog-api-key"]).toBeUndefined();
    upstream.answerWith(jsonAnswer(response([{ text: "Hi" }], { finishReason: "STOP" })));
    await post("/v1beta/models/both/gemini-x:generateContent", { contents: CONTENTS });
    expect(upstream.requests.at(-1)?.headers["x-goog-api-key"]).toBe("lab-key");
    expect(upstream.requests.at(-1)?.headers["authorization"]).toBeUndefined();
  });
});

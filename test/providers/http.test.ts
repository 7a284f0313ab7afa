import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { Secret, type UpstreamCall } from "../../src/canon/index.ts";
import { ManualClock } from "../../src/kit/index.ts";
import { createModelBook } from "../../src/models/index.ts";
import { createProvider, overlayOf, providerOptions, type ProviderOptions } from "../../src/providers/index.ts";
import { connect } from "../../src/wire/client.ts";
import { answering, fakeWire, type FakeServer, type FakeWire } from "./fake-client.ts";
import { open, textOfSeen } from "./support.ts";

const book = createModelBook();
const signal = new AbortController().signal;

function provider(
  name: string,
  input: object = {},
  env: Record<string, string> = {},
  server: FakeServer = answering(200, "{}"),
): { wire: FakeWire; made: ReturnType<typeof createProvider>; clock: ManualClock } {
  const wire = fakeWire(server);
  const clock = new ManualClock();
  const made = createProvider(name, providerOptions.parse(input), {
    connect: wire.connect,
    clock,
    env,
    facts: (from, model) => book.facts(from, model),
  });
  return { wire, made, clock };
}

const call = (patch: Partial<UpstreamCall> = {}): UpstreamCall => ({
  dialect: "openai-chat",
  operation: "generate",
  model: "m",
  stream: false,
  attempt: 0,
  request: { method: "POST", path: "/chat/completions", headers: {}, body: "{}" },
  ...patch,
});

const unreachable: FakeServer = (_request, sink) =>
  sink.onProblem({ kind: "upstream_unavailable", message: "The host cannot be reached." });

describe("where a request goes", () => {
  it.each([
    ["openai", {}, {}, "https://api.openai.com/v1"],
    ["anthropic", {}, {}, "https://api.anthropic.com/v1"],
    ["anthropic", { baseUrl: "http://127.0.0.1:9998", allowPrivateNetwork: true }, {}, "http://127.0.0.1:9998/v1"],
    ["anthropic", { baseUrl: "https://proxy.example/anthropic/v1/" }, {}, "https://proxy.example/anthropic/v1"],
    ["azure", {}, { AZURE_OPENAI_ENDPOINT: "https://res.openai.azure.com/" }, "https://res.openai.azure.com/openai/v1"],
    ["azure", { baseUrl: "https://res.openai.azure.com/openai" }, {}, "https://res.openai.azure.com/openai/v1"],
    ["vllm", { baseUrl: "http://localhost:9000" }, {}, "http://localhost:9000/v1"],
    ["workers-ai", {}, { CLOUDFLARE_ACCOUNT_ID: "a b" }, "https://api.cloudflare.com/client/v4/accounts/a%20b/ai/v1"],
    ["lab", { kind: "openai-compatible", baseUrl: "https://lab.example/api" }, {}, "https://lab.example/api"],
  ])("%s %j", (name, input, env, baseUrl) => {
    expect(provider(name, input, env).wire.connected[0]?.baseUrl).toBe(baseUrl);
  });
  it("loopback is allowed to local kinds by themselves, and to nobody else", () => {
    expect(provider("ollama").wire.connected[0]?.allowPrivateNetwork).toBe(true);
    expect(provider("ollama", { baseUrl: "https://10.0.0.1" }).wire.connected[0]?.allowPrivateNetwork).toBe(false);
    expect(provider("lab", { kind: "openai-compatible", baseUrl: "https://127.0.0.1/v1" }).wire.connected[0]?.allowPrivateNetwork).toBe(
      false,
    );
  });
  it.each([
    ["opnai", {}, 'Did you mean "openai"?'],
    ["lab", { kind: "openai-compatible" }, "needs a baseUrl"],
    ["azure", {}, "AZURE_OPENAI_ENDPOINT"],
    ["workers-ai", {}, "CLOUDFLARE_ACCOUNT_ID"],
    ["lab", { kind: "openai-compatible", baseUrl: "http://lab.example/v1" }, "in the clear"],
    ["lab", { kind: "openai-compatible", baseUrl: "https://user:pass@lab.example/v1" }, "apiKey"],
  ])("%s %j is refused with what to write", (name, input, message) => {
    expect(() => provider(name, input)).toThrow(message);
  });
  it("a dated API has one path a deployment", async () => {
    const { wire, made } = provider("azure", { baseUrl: "https://res.openai.azure.com", apiKey: "k", apiVersion: "2024-10-21" });
    await open(made, call({ model: "my deployment" })).over;
    expect(wire.connected[0]?.baseUrl).toBe("https://res.openai.azure.com");
    expect(wire.requests[0]?.path).toBe("/openai/deployments/my%20deployment/chat/completions?api-version=2024-10-21");
    expect(made.dialects).toEqual(["openai-chat"]);
  });
  it("a version stands in the path once", async () => {
    const { wire, made } = provider("anthropic", { apiKey: "k" });
    await open(made, call({ request: { method: "POST", path: "/v1/messages", headers: {}, body: "{}" } })).over;
    expect(wire.requests[0]?.path).toBe("/messages");
  });
});

describe("what a request carries", () => {
  it("the key in the provider's own way, the configured headers, the dialect's headers, and nothing else", async () => {
    const { wire, made } = provider("anthropic", { apiKey: "sk-1", headers: { "X-Team": "search" } });
    const request = {
      method: "POST",
      path: "/messages",
      headers: { "anthropic-version": "2026-10-21", "x-api-key": "stolen" },
      body: '{"a":1}',
    } as const;
    await open(made, call({ request, stream: true })).over;
    expect(wire.requests[0]).toEqual({
      method: "POST",
      path: "/messages",
      headers: {
        "content-type": "application/json",
        accept: "text/event-stream",
        "user-agent": "gimbal",
        "anthropic-version": "2026-10-21",
        "x-api-key": "sk-1",
        "x-team": "search",
      },
      body: '{"a":1}',
    });
  });
  it("a bearer key from the environment, only to the provider's own address", async () => {
    const env = { GROQ_API_KEY: " gsk-1 " };
    const own = provider("groq", {}, env);
    await open(own.made, call()).over;
    expect(own.wire.requests[0]?.headers["authorization"]).toBe("Bearer gsk-1");
    const elsewhere = provider("groq", { baseUrl: "https://evil.example/v1" }, env);
    await open(elsewhere.made, call()).over;
    expect(elsewhere.wire.requests[0]?.headers["authorization"]).toBeUndefined();
  });
  it("no header that a client could smuggle a line into", async () => {
    const { wire, made } = provider("openai", { apiKey: "k" });
    await open(made, call({ request: { method: "POST", path: "/x", headers: { "openai-beta": "a\r\nx-evil: 1" }, body: "" } })).over;
    expect(wire.requests[0]?.headers).not.toHaveProperty("openai-beta");
  });
});

describe("redirects", () => {
  it.each([301, 302, 307, 308])("%i is a problem that names the host and is not followed", async (status) => {
    const { wire, made } = provider(
      "openai",
      { apiKey: "sk-secret" },
      {},
      answering(status, "moved", { location: "https://evil.example/steal" }),
    );
    const seen = await open(made, call()).over;
    expect(seen.order).toEqual(["problem"]);
    expect(seen.problem).toMatchObject({ kind: "upstream_rejected", code: "redirect" });
    expect(seen.problem?.message).toContain("evil.example");
    expect(JSON.stringify(seen.problem)).not.toContain("sk-secret");
    expect([wire.requests.length, wire.cancelled]).toEqual([1, 1]);
  });
});

describe("models and check", () => {
  it.each([
    ['{"data":[{"id":"a"},{"id":"text-embedding-3"},{"id":"b"},{}]}', ["a", "b"]],
    ['{"models":[{"name":"a"}]}', ["a"]],
    ['[{"id":"a"}]', ["a"]],
    ["<html>", []],
    ["{}", []],
  ])("a list %s", async (body, names) => {
    expect(await provider("openai", { apiKey: "k" }, {}, answering(200, body)).made.models(signal)).toEqual(names);
  });
  it.each([
    [answering(200, '{"data":[{"id":"a"}]}'), true, "lists 1 model."],
    [answering(401, "{}"), false, "refused the key"],
    [answering(503, ""), false, "HTTP 503"],
    [answering(404, ""), true, "unproven"],
    [answering(302, "", { location: "https://login.example/" }), false, "login.example"],
    [unreachable, false, "cannot be reached"],
  ])("%#: check", async (server, ok, detail) => {
    const outcome = await provider("openai", { apiKey: "k" }, {}, server).made.check(signal);
    expect(outcome.ok).toBe(ok);
    expect(outcome.detail).toContain(detail);
  });
  it("says which variable is missing", async () => {
    expect((await provider("mistral").made.check(signal)).detail).toContain("MISTRAL_API_KEY");
  });
  it("gives up after its bound, when it is told to, and on endless lists", async () => {
    const silent = provider("openai", { apiKey: "k" }, {}, () => {});
    const waiting = silent.made.models(signal);
    silent.clock.advance(10_000);
    expect(await waiting).toEqual([]);
    expect(silent.wire.cancelled).toBe(1);
    const stop = new AbortController();
    const stopped = silent.made.models(stop.signal);
    stop.abort();
    expect(await stopped).toEqual([]);
    const endless: FakeServer = (_request, sink) => {
      sink.onHead(200, {});
      for (let at = 0; at < 5; at++) sink.onData(Buffer.alloc(1024 * 1024));
    };
    expect(await provider("openai", { apiKey: "k" }, {}, endless).made.models(signal)).toEqual([]);
  });
});

describe("capabilities", () => {
  it("are what is known of the model, as the server speaks, with the configuration's corrections", () => {
    const { made } = provider("openai");
    expect(made.capabilities("gpt-5")).toMatchObject({
      reasoning: true,
      maxTokensField: "max_completion_tokens",
      instructionsRole: "developer",
    });
    expect(made.capabilities("gpt-5").refuses).toContain("temperature");
    expect(made.capabilities("gpt-4o").reasoning).toBe(false);
    expect(provider("openrouter").made.capabilities("openai/gpt-5")).toMatchObject({
      instructionsRole: "system",
      reasoningField: "reasoning",
    });
    expect(provider("groq").made.capabilities("unheard-of")).toMatchObject({ tools: true });
    expect(provider("groq").made.capabilities("unheard-of").reasoning).toBeUndefined();
    const corrected = provider("groq", {
      capabilities: { tools: false, streamUsage: false },
      models: { a: { capabilities: { tools: true } } },
    }).made;
    expect([corrected.capabilities("a").tools, corrected.capabilities("b").tools, corrected.capabilities("a").streamUsage]).toEqual([
      true,
      false,
      false,
    ]);
  });
});

describe("options", () => {
  it("refuse what they do not know, secrets with line breaks, and headers that are not theirs to set", () => {
    const bad = [
      { baseURL: "https://x" },
      { apiKey: "a\nb" },
      { headers: { Host: "x" } },
      { headers: { "a b": "x" } },
      { headers: { a: "x\r\ny" } },
      { baseUrl: "ftp://x" },
      { models: { a: { price: {} } } },
      { models: { a: { price: { free: true, inputUsd: 1 } } } },
    ];
    expect(bad.filter((input) => providerOptions.safeParse(input).success)).toEqual([]);
  });
  it("never show a key", () => {
    const options: ProviderOptions = providerOptions.parse({ apiKey: "sk-secret", headers: { "x-key": "sk-other" } });
    expect(options.apiKey).toBeInstanceOf(Secret);
    expect(JSON.stringify(options)).not.toContain("sk-");
  });
  it("become prices and facts of the book", () => {
    const parsed = providerOptions.parse({
      kind: "openai-compatible",
      baseUrl: "https://lab.example/v1",
      models: { small: { price: { inputUsd: 1 } }, plain: {} },
    });
    const own = createModelBook(
      overlayOf([
        ["lab", parsed],
        ["mine", providerOptions.parse({ kind: "openai" })],
      ]),
    );
    const used = { inputUncached: 1_000_000, cacheRead: 0, cacheWrite5m: 0, cacheWrite1h: 0, output: 0, reasoning: 0 };
    expect(own.cost("lab", "small", used, 0)).toBe(1_000_000_000);
    expect(own.cost("lab", "plain", used, 0)).toBeUndefined();
    expect(own.cost("mine", "gpt-5", used, Date.UTC(2026, 1, 1))).toBe(1_250_000_000);
  });
});

describe("over a real connection", () => {
  it("sends, streams and lists", async () => {
    const server = createServer((request, response) => {
      response.setHeader("content-type", "application/json");
      response.end(
        request.method === "GET"
          ? JSON.stringify({ data: [{ id: "m1" }] })
          : JSON.stringify({ path: request.url, key: request.headers.authorization }),
      );
    });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    const { port } = server.address() as AddressInfo;
    const options = providerOptions.parse({
      kind: "openai-compatible",
      baseUrl: `http://127.0.0.1:${port}/v1`,
      apiKey: "k",
      allowPrivateNetwork: true,
    });
    const made = createProvider("lab", options, { connect, clock: new ManualClock(), env: {}, facts: () => undefined });
    const seen = await open(made, call()).over;
    expect([seen.status, JSON.parse(textOfSeen(seen))]).toEqual([200, { path: "/v1/chat/completions", key: "Bearer k" }]);
    expect(await made.models(signal)).toEqual(["m1"]);
    await made.close();
    server.closeAllConnections();
    server.close();
  });
});

describe("several keys", () => {
  const several = {
    kind: "openai-compatible",
    baseUrl: "https://lab.example/v1",
    apiKeys: ["one", { key: "two", weight: 3, requestsPerMinute: 60, concurrency: 5 }],
  };

  it("are known by ids, and used as asked; an unknown id is the first", async () => {
    const { wire, made } = provider("lab", several);
    expect(made.credentials).toEqual([
      { id: "lab#1", weight: 1 },
      { id: "lab#2", weight: 3, requestsPerMinute: 60, concurrency: 5 },
    ]);
    for (const credential of ["lab#2", "lab#1", "lab#9"]) await open(made, call({ credential })).over;
    await open(made, call({ credential: "lab#2", request: { method: "POST", path: "/x", headers: { "x-own": "1" }, body: "{}" } })).over;
    await open(made, call()).over;
    expect(wire.requests.map(({ headers }) => headers["authorization"])).toEqual(
      ["two", "one", "one", "two", "one"].map((key) => `Bearer ${key}`),
    );
  });
  it("are all checked, and the one that is refused is named", async () => {
    const { made } = provider("lab", several, {}, (request, sink) => {
      sink.onHead(request.headers["authorization"] === "Bearer two" ? 401 : 200, {});
      sink.onData(Buffer.from('{"data":[]}'));
      sink.onEnd();
    });
    expect(await made.check(signal)).toEqual({ ok: false, detail: "lab.example refused the key lab#2 (HTTP 401)." });
  });
  it("never show their secrets", () => {
    const options = providerOptions.parse(several);
    const { made } = provider("lab", several);
    for (const shown of [JSON.stringify(options), JSON.stringify(made), JSON.stringify(made.credentials)])
      expect(shown).not.toMatch(/"(one|two)"/);
  });
  it.each([
    [{ apiKey: "a", apiKeys: ["b"] }, "either"],
    [{ apiKeys: [] }, "apiKeys"],
    [{ apiKeys: [{ key: "a", weight: 0 }] }, "apiKeys"],
    [{ apiKeys: [{ key: "a", weigth: 2 }] }, "apiKeys"],
    [{ concurrency: 0 }, "concurrency"],
  ])("%j is refused", (input, message) => {
    const parsed = providerOptions.safeParse(input);
    expect(parsed.success ? "taken" : JSON.stringify(parsed.error.issues)).toContain(message);
  });
  it("how much may run at once is told by model and over all", () => {
    const { made } = provider("lab", { ...several, concurrency: 9, models: { small: { concurrency: 2 }, big: {} } });
    expect(made.capacity).toEqual({ concurrency: 9, models: new Map([["small", 2]]) });
  });
});

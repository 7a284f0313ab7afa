import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { readInteractions, readRecording, recordings } from "../support/shared.ts";
import { jsonAnswer, startUpstream, streamAnswer, type TestUpstream, type UpstreamAnswer } from "../support/upstream.ts";

/** Kinds of the catalogue whose language is chat completions, each with the one upstream behind it. */
const KINDS = [
  "mistral",
  "groq",
  "deepseek",
  "xai",
  "openrouter",
  "cerebras",
  "perplexity",
  "together",
  "fireworks",
  "workers-ai",
] as const;

let upstream: TestUpstream;
let gateway: TestGateway;
beforeAll(async () => {
  upstream = await startUpstream();
  const at = `baseUrl: "${upstream.url}/v1", apiKey: x, allowPrivateNetwork: true`;
  gateway = await startGateway({
    trusting: true,
    config: `
providers:
${KINDS.map((kind) => `  ${kind}: { ${at}, dialects: [openai-chat] }`).join("\n")}
  azure: { baseUrl: "${upstream.url}", apiKey: x, allowPrivateNetwork: true, dialects: [openai-chat] }
  azuredated: { kind: azure, baseUrl: "${upstream.url}", apiKey: x, allowPrivateNetwork: true, apiVersion: 2024-10-21 }
  # A vendor that is in no catalogue, each of whose habits is said here.
  odd:
    kind: openai-compatible
    baseUrl: "${upstream.url}/v1"
    apiKey: x
    allowPrivateNetwork: true
    capabilities:
      maxTokensField: max_completion_tokens
      streamUsage: false
      reasoning: true
      reasoningField: content
      reasoningRequest: reasoning
      renames: { seed: random_seed }
      prefill: true
      prefillField: partial
      callIdLength: 9
      instructionsRole: developer
      refuses: [user, logit_bias]
`,
  });
});
afterAll(async () => {
  await gateway.close();
  await upstream.close();
});

const openai = () => new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: "none", maxRetries: 0 });
const anthropic = () => new Anthropic({ baseURL: gateway.url, apiKey: "none", maxRetries: 0 });
const lastBody = (): Record<string, unknown> => upstream.requests.at(-1)?.body ?? {};
const HELLO = [{ role: "user" as const, content: "Hello." }];

const completion = (message: object, rest: object = {}): object => ({
  id: "a",
  object: "chat.completion",
  created: 1,
  model: "m",
  choices: [{ index: 0, message: { role: "assistant", ...message }, finish_reason: "stop", logprobs: null }],
  usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
  ...rest,
});
const sse = (...chunks: object[]): string =>
  [...chunks.map((chunk) => JSON.stringify(chunk)), "[DONE]"].map((data) => `data: ${data}\n\n`).join("");
const chunk = (delta: object, rest: object = {}): object => ({
  id: "a",
  object: "chat.completion.chunk",
  created: 1,
  model: "m",
  choices: [{ index: 0, delta: { role: "assistant", ...delta }, finish_reason: null }],
  ...rest,
});
const over = (rest: object = {}): object => ({
  id: "a",
  object: "chat.completion.chunk",
  created: 1,
  model: "m",
  choices: [{ index: 0, delta: {}, finish_reason: "stop" }],
  ...rest,
});
const either =
  (plain: object, stream: string): UpstreamAnswer =>
  (out, request) =>
    (request.body["stream"] === true ? streamAnswer(stream) : jsonAnswer(plain))(out, request);

/** The same question in the provider's own language and in another, plain and streamed. */
async function askAll(model: string): Promise<void> {
  const body = { model, messages: HELLO };
  await openai().chat.completions.create(body);
  await openai().chat.completions.stream(body).finalChatCompletion();
  await anthropic().messages.create({ ...body, max_tokens: 99 });
  await anthropic()
    .messages.stream({ ...body, max_tokens: 99 })
    .finalMessage();
}

describe("what a provider says that a call cost", () => {
  it.each([
    ["openrouter", { cost: 0.00093, is_byok: false }, 930_000],
    ["openrouter", { cost: 0.00005, is_byok: true, cost_details: { upstream_inference_cost: 0.001 } }, 1_050_000],
    ["xai", { cost_in_usd_ticks: 1_466_250 }, 146_625],
    ["perplexity", { cost: { total_cost: 0.005403 } }, 5_403_000],
  ] as const)("%s %j stands in the row, whatever path it took", async (kind, cost, expected) => {
    const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5, ...cost };
    upstream.answerWith(either(completion({ content: "Hi." }, { usage }), sse(chunk({ content: "Hi." }), over({ usage }))));
    const before = (await gateway.rows()).length;
    await askAll(`${kind}/m`);
    const rows = (await gateway.rows()).slice(before);
    expect(rows.map(({ fastPath, usage: { providerCost } }) => [fastPath, providerCost])).toEqual(
      [true, true, false, false].map((fast) => [fast, expected]),
    );
  });
});

describe("an error inside a good status", () => {
  const failing = {
    "numbered, as JSON": either(
      { error: { code: 429, message: "slow down" }, user_id: "u" },
      sse({ error: { code: 429, message: "slow down" } }),
    ),
    "in the first choice": either(
      {
        id: "a",
        choices: [
          { index: 0, error: { code: 429, message: "slow down" }, message: { role: "assistant", content: "" }, finish_reason: "error" },
        ],
      },
      sse({ id: "a", choices: [{ index: 0, delta: {}, error: { code: 429, message: "slow down" }, finish_reason: "error" }] }),
    ),
  };
  it.each(Object.entries(failing))("%s, is a failed call on every path", async (_name, answer) => {
    upstream.answerWith(answer);
    const clients = [
      () => openai().chat.completions.create({ model: "openrouter/m", messages: HELLO }),
      () => openai().chat.completions.stream({ model: "openrouter/m", messages: HELLO }).finalChatCompletion(),
      () => anthropic().messages.create({ model: "openrouter/m", messages: HELLO, max_tokens: 9 }),
      () => anthropic().messages.stream({ model: "openrouter/m", messages: HELLO, max_tokens: 9 }).finalMessage(),
    ];
    for (const ask of clients) {
      const failed = await ask().then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(failed).toMatchObject({ status: 429 });
      expect(await gateway.lastRow()).toMatchObject({ state: "failed", problem: "rate_limited" });
    }
  });
});

describe("reasoning that a client cannot carry", () => {
  const call = { id: "call_1", type: "function", function: { name: "get_weather", arguments: '{"city":"Oslo"}' } };
  const tools = [{ name: "get_weather", input_schema: { type: "object" as const, properties: { city: { type: "string" } } } }];

  /** A Messages client that asks, and sends the tool's result without any thought; `city` keeps one test's anchors from another's. */
  async function loop(model: string, stream: boolean, id: string): Promise<unknown> {
    const body = { model, max_tokens: 99, tools, messages: HELLO };
    const first = stream ? await anthropic().messages.stream(body).finalMessage() : await anthropic().messages.create(body);
    const asked = first.content.filter((block) => block.type === "tool_use");
    expect(asked).toMatchObject([{ id, name: "get_weather" }]);
    upstream.answerWith(either(completion({ content: "Mild." }), sse(chunk({ content: "Mild." }), over())));
    const messages: Anthropic.MessageParam[] = [
      ...HELLO,
      { role: "assistant", content: asked },
      { role: "user", content: [{ type: "tool_result", tool_use_id: id, content: "mild" }] },
    ];
    await anthropic().messages.create({ ...body, messages });
    return (lastBody()["messages"] as object[])[1];
  }
  const asking = (id: string, thought: object): UpstreamAnswer =>
    either(
      completion({ content: null, ...thought, tool_calls: [{ ...call, id }] }),
      sse(chunk(thought), chunk({ tool_calls: [{ index: 0, ...call, id }] }), over()),
    );

  it.each([false, true])("comes back signed and sealed (stream: %s)", async (stream) => {
    const id = `call_signed_${stream}`;
    const thought = {
      reasoning: "Cities first.",
      reasoning_details: [
        { type: "reasoning.text", text: "Cities first.", signature: "c2lnbmVk", format: "anthropic-claude-v1", index: 0 },
        { type: "reasoning.encrypted", data: "c2VhbGVk", id: "rs_1", format: "openai-responses-v1", index: 1 },
      ],
    };
    upstream.answerWith(asking(id, thought));
    expect(await loop("openrouter/m", stream, id)).toMatchObject({ role: "assistant", ...thought, tool_calls: [{ id }] });
  });

  it.each([false, true])("comes back in plain words where results are refused without it (stream: %s)", async (stream) => {
    const id = `call_plain_${stream}`;
    upstream.answerWith(asking(id, { reasoning_content: "Cities first." }));
    expect(await loop("deepseek/m", stream, id)).toMatchObject({
      role: "assistant",
      reasoning_content: "Cities first.",
      tool_calls: [{ id }],
    });
  });

  it.each([false, true])("comes back as parts of the content (stream: %s)", async (stream) => {
    const id = stream ? "abcdefgh1" : "abcdefgh2";
    const content = [{ type: "thinking", thinking: [{ type: "text", text: "Cities first." }], signature: "s" }];
    upstream.answerWith(asking(id, { content }));
    expect(await loop("mistral/m", stream, id)).toMatchObject({ role: "assistant", content, tool_calls: [{ id }] });
  });

  it("is shown to no other provider", async () => {
    upstream.answerWith(asking("call_other", { reasoning_content: "Cities first." }));
    await loop("deepseek/m", false, "call_other");
    await anthropic().messages.create({
      model: "fireworks/m",
      max_tokens: 9,
      tools,
      messages: [
        ...HELLO,
        { role: "assistant", content: [{ type: "tool_use", id: "call_other", name: "get_weather", input: {} }] },
        { role: "user", content: [{ type: "tool_result", tool_use_id: "call_other", content: "mild" }] },
      ],
    });
    expect(JSON.stringify(lastBody())).not.toContain("Cities first.");
  });
});

describe("Azure", () => {
  const filtered = {
    prompt_filter_results: [{ prompt_index: 0, content_filter_results: { hate: { filtered: false, severity: "safe" } } }],
  };
  const found = { content_filter_results: { hate: { filtered: false, severity: "safe" } } };
  const opening = { id: "", object: "", created: 0, model: "", choices: [], ...filtered };
  const stream = sse(opening, chunk({ role: "assistant", content: "" }), chunk({ content: "Hi." }), {
    ...over(),
    choices: [{ index: 0, delta: {}, finish_reason: "stop", ...found }],
  });

  it.each([
    ["azure", "/openai/v1/chat/completions"],
    ["azuredated", "/openai/deployments/gpt%205/chat/completions?api-version=2024-10-21"],
  ])("%s is reached at its own path, with its own header", async (provider, path) => {
    upstream.answerWith(jsonAnswer(completion({ content: "Hi." })));
    await openai().chat.completions.create({ model: `${provider}/gpt 5`, messages: HELLO });
    expect(upstream.requests.at(-1)).toMatchObject({ path, headers: { "api-key": "x" } });
  });

  it("opens streams with what its filters found, which clients of its language get", async () => {
    upstream.answerWith(streamAnswer(stream));
    const seen: object[] = [];
    for await (const one of await openai().chat.completions.create({ model: "azure/m", messages: HELLO, stream: true })) seen.push(one);
    expect(seen[0]).toMatchObject(filtered);
    expect(JSON.stringify(seen.at(-1))).toContain(JSON.stringify(found).slice(1, -1));
    expect(await gateway.lastRow()).toMatchObject({ state: "done", fastPath: true });
  });

  it("and others get the words", async () => {
    upstream.answerWith(streamAnswer(stream));
    const message = await anthropic().messages.stream({ model: "azure/m", messages: HELLO, max_tokens: 9 }).finalMessage();
    expect(message).toMatchObject({ id: "a", content: [{ type: "text", text: "Hi." }] });
  });

  it("says why a filter refused, in its own words for clients of its language", async () => {
    const body = {
      error: {
        message: "Filtered.",
        type: null,
        param: "prompt",
        code: "content_filter",
        status: 400,
        innererror: { code: "ResponsibleAIPolicyViolation", content_filter_result: found },
      },
    };
    upstream.answerWith(jsonAnswer(body, 400));
    const failed = await openai()
      .chat.completions.create({ model: "azure/m", messages: HELLO })
      .catch((error: unknown) => error);
    expect(failed).toMatchObject({ status: 400, code: "content_filter", error: body.error });
    await expect(anthropic().messages.create({ model: "azure/m", messages: HELLO, max_tokens: 9 })).rejects.toMatchObject({ status: 400 });
  });
});

describe("a provider made of YAML alone", () => {
  const capability = (body: Record<string, unknown>) => ({ ...body, stream: undefined });

  it("is asked in its own words by clients of its language", async () => {
    upstream.answerWith(jsonAnswer(completion({ content: "Hi." })));
    await openai().chat.completions.create({
      model: "odd/m",
      max_tokens: 50,
      seed: 7,
      user: "u",
      reasoning_effort: "low",
      messages: [{ role: "system", content: "Be brief." }, ...HELLO, { role: "assistant", content: "Well," }],
    });
    expect(capability(lastBody())).toEqual({
      model: "m",
      max_completion_tokens: 50,
      random_seed: 7,
      reasoning_effort: "low",
      messages: [{ role: "developer", content: "Be brief." }, ...HELLO, { role: "assistant", content: "Well,", partial: true }],
    });
    expect(await gateway.lastRow()).toMatchObject({ fastPath: true, state: "done" });
  });

  it("and by those of others", async () => {
    upstream.answerWith(
      either(completion({ content: "Hi." }), sse(chunk({ content: "Hi." }), over({ usage: { prompt_tokens: 3, completion_tokens: 2 } }))),
    );
    await anthropic()
      .messages.stream({
        model: "odd/m",
        max_tokens: 5000,
        thinking: { type: "enabled", budget_tokens: 3000 },
        system: "Be brief.",
        messages: [
          ...HELLO,
          { role: "assistant", content: [{ type: "tool_use", id: "toolu_0123456789", name: "f", input: {} }] },
          { role: "user", content: [{ type: "tool_result", tool_use_id: "toolu_0123456789", content: "x" }] },
        ],
      })
      .finalMessage();
    const body = lastBody();
    expect(body).toMatchObject({ max_completion_tokens: 5000, reasoning: { max_tokens: 3000 }, stream: true });
    expect(body).not.toHaveProperty("stream_options");
    const [first, , asked, result] = body["messages"] as Record<string, unknown>[];
    expect(first).toEqual({ role: "developer", content: "Be brief." });
    expect(asked).toMatchObject({ tool_calls: [{ id: expect.stringMatching(/^[a-z0-9]{9}$/) as string }] });
    expect(asked).toMatchObject({ tool_calls: [{ id: result?.["tool_call_id"] }] });
    expect((await gateway.lastRow()).usage).toMatchObject({ output: 2 });
  });

  it("tells what became of each field", async () => {
    upstream.answerWith(jsonAnswer(completion({ content: "Hi." })));
    await openai().chat.completions.create({
      model: "odd/m",
      seed: 7,
      user: "u",
      messages: [{ role: "system", content: "Be brief." }, ...HELLO],
    });
    const { callId } = await gateway.lastRow();
    const told = (await (await fetch(`${gateway.url}/v1/calls/${callId}`)).json()) as { diagnostics: { field: string; action: string }[] };
    expect(told.diagnostics.map(({ field, action }) => `${field} ${action}`).toSorted()).toEqual([
      "items[].role renamed",
      "seed renamed",
      "user dropped",
    ]);
  });
});

describe("further models that may answer instead", () => {
  it("reach the one who routes, where the key may use them, and nobody else", async () => {
    upstream.answerWith(jsonAnswer(completion({ content: "Hi." })));
    const key = await gateway.key({ models: ["openrouter/x/a", "openrouter/y/*", "groq/*"] });
    const ask = (model: string, models: string[]) =>
      fetch(`${gateway.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
        body: JSON.stringify({ model, messages: HELLO, models }),
      });
    expect((await ask("openrouter/x/a", ["y/b"])).status).toBe(200);
    expect(lastBody()["models"]).toEqual(["y/b"]);
    const refused = await ask("openrouter/x/a", ["y/b", "z/c"]);
    expect([refused.status, refused.headers.get("x-gimbal-problem")]).toEqual([403, "forbidden"]);
    expect((await ask("groq/m", ["n"])).status).toBe(200);
    expect(lastBody()).not.toHaveProperty("models");
  });
});

const VENDORS = ["mistral", "groq", "deepseek", "xai", "openrouter", "cerebras", "perplexity"] as const;
const played = VENDORS.flatMap((provider) =>
  recordings([provider], ["exchange-stream", "exchange", "response", "stream"]).map(({ file, kind }) => ({ provider, file, kind })),
);

describe.skipIf(played.length === 0)("recorded traffic of each vendor, through its own row", () => {
  interface Played {
    readonly stream: boolean;
    readonly answer: UpstreamAnswer;
  }
  const plain = (body: unknown): Played => ({ stream: false, answer: jsonAnswer(body) });
  const stream = (text: string): Played => ({ stream: true, answer: streamAnswer(text) });

  /** The answers of a file that are chat completions. */
  function answersOf({ file, kind }: { readonly file: string; readonly kind: string }): Played[] {
    if (kind === "response") {
      const json = JSON.parse(readRecording(file)) as Record<string, unknown>;
      return Array.isArray(json["choices"]) ? [plain(json)] : [];
    }
    if (kind === "stream") {
      const lines = readRecording(file)
        .split("\n")
        .filter((line) => line.startsWith("{"));
      return lines[0]?.includes('"choices":') ? [stream(sse(...lines.map((line) => JSON.parse(line) as object)))] : [];
    }
    return readInteractions(file).flatMap(({ request, response }) => {
      if (!request.path.includes("chat/completions") || response.status >= 400) return [];
      return [response.sse === undefined ? plain(response.json) : stream(response.sse)];
    });
  }

  it.each(VENDORS)("%s: reaches clients of two languages with the same usage and cost", async (provider) => {
    let compared = 0;
    for (const entry of played.filter((one) => one.provider === provider)) {
      for (const { stream: streams, answer } of answersOf(entry)) {
        upstream.answerWith(answer);
        const from = (await gateway.rows()).length;
        for (const path of ["/v1/chat/completions", "/v1/messages"]) {
          const body = JSON.stringify({ model: `${provider}/m`, messages: HELLO, max_tokens: 9, stream: streams });
          const response = await fetch(gateway.url + path, { method: "POST", headers: { "content-type": "application/json" }, body });
          await response.text();
        }
        const [own, foreign] = (await gateway.rows()).slice(from);
        expect([entry.file, own?.fastPath, foreign?.fastPath, own?.state]).toEqual([entry.file, true, false, foreign?.state]);
        expect([entry.file, own?.usage]).toEqual([entry.file, foreign?.usage]);
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(0);
  });
});

import { describe, expect, it } from "vitest";
import type { Dialect, JsonObject, Usage } from "../../src/canon/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { FrameSplitter } from "../../src/kit/index.ts";
import { createModelBook } from "../../src/models/index.ts";
import { decodeStream } from "../support/streams.ts";

/**
 * One test for each way in which gateways are known to bill wrongly. Frames have the shapes that providers send; prices are the price
 * book's of this day, written out, so that a changed price list fails here by name and not by riddle.
 */
const AT = Date.UTC(2026, 5, 1, 12);
const FRAME_BYTES = 1024 * 1024;

const book = createModelBook({ kinds: { bedrock: "aws" } });

function dialectOf(id: string): Dialect {
  const dialect = dialects.get(id);
  if (!dialect) throw new Error(`there is no dialect ${id}`);
  return dialect;
}

type Frame = readonly [event: string | undefined, data: JsonObject | "[DONE]"];

function streamOf(frames: readonly Frame[]): Buffer {
  const lines = frames.map(
    ([event, data]) =>
      `${event === undefined ? "" : `event: ${event}\n`}data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`,
  );
  return Buffer.from(lines.join(""));
}

/** Usage as the fast path reads it, which must be what decoding reads. */
function usageOfStream(id: string, frames: readonly Frame[]): Usage {
  const dialect = dialectOf(id);
  const bytes = streamOf(frames);
  const meter = dialect.usageFrames({ withholdUsage: false });
  const splitter = new FrameSplitter(FRAME_BYTES);
  splitter.push(bytes, (frame) => meter.frame(Buffer.from(frame)));
  const decoded = decodeStream(dialect, [bytes]).findLast((event) => event.type === "usage");
  const metered = meter.usage();
  if (!metered) throw new Error("no usage was metered");
  if (decoded) expect(decoded.usage).toEqual(metered);
  return metered;
}

function usageOfAnswer(id: string, body: JsonObject): Usage {
  const dialect = dialectOf(id);
  const { usage } = dialect.readAnswer(body);
  if (!usage) throw new Error("no usage was read");
  expect(dialect.decodeAnswer(body, { operation: "generate" }).usage).toEqual(usage);
  return usage;
}

const chatAnswer = (model: string, usage: JsonObject, more: JsonObject = {}): JsonObject => ({
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1_780_000_000,
  model,
  choices: [{ index: 0, message: { role: "assistant", content: "Yes." }, finish_reason: "stop" }],
  usage,
  ...more,
});
const chatStream = (model: string, usage: JsonObject, more: JsonObject = {}, delta: JsonObject = { content: "Yes." }): readonly Frame[] => {
  const chunk = (rest: JsonObject): Frame => [
    undefined,
    { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1_780_000_000, model, ...more, ...rest },
  ];
  return [
    chunk({ choices: [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }] }),
    chunk({ choices: [{ index: 0, delta, finish_reason: null }] }),
    chunk({ choices: [{ index: 0, delta: {}, finish_reason: "tool_calls" in delta ? "tool_calls" : "stop" }] }),
    chunk({ choices: [], usage }),
    [undefined, "[DONE]"],
  ];
};

const messagesAnswer = (usage: JsonObject): JsonObject => ({
  id: "msg_1",
  type: "message",
  role: "assistant",
  model: "claude-sonnet-4-5",
  content: [{ type: "text", text: "Yes." }],
  stop_reason: "end_turn",
  stop_sequence: null,
  usage,
});
const messagesStream = (first: JsonObject, last: JsonObject): readonly Frame[] => [
  ["message_start", { type: "message_start", message: { ...messagesAnswer(first), content: [], stop_reason: null } }],
  ["content_block_start", { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } }],
  ["content_block_delta", { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "Yes." } }],
  ["content_block_stop", { type: "content_block_stop", index: 0 }],
  ["message_delta", { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: last }],
  ["message_stop", { type: "message_stop" }],
];

const responsesAnswer = (model: string, usage: JsonObject, more: JsonObject = {}): JsonObject => ({
  id: "resp_1",
  object: "response",
  created_at: 1_780_000_000,
  status: "completed",
  model,
  output: [
    {
      type: "message",
      id: "msg_1",
      role: "assistant",
      status: "completed",
      content: [{ type: "output_text", text: "Yes.", annotations: [] }],
    },
  ],
  usage,
  ...more,
});
const responsesStream = (model: string, usage: JsonObject, more: JsonObject = {}): readonly Frame[] => [
  [
    "response.created",
    {
      type: "response.created",
      sequence_number: 0,
      response: { ...responsesAnswer(model, {}), status: "in_progress", output: [], usage: null },
    },
  ],
  ["response.completed", { type: "response.completed", sequence_number: 1, response: responsesAnswer(model, usage, more) }],
];

describe("stream = plain = batch", () => {
  const cost = (usage: Usage): number | undefined => book.cost("openai", "gpt-5-mini", usage, AT);
  const chat = {
    prompt_tokens: 1000,
    completion_tokens: 200,
    total_tokens: 1200,
    prompt_tokens_details: { cached_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 0 },
  };

  it("costs the same in one piece and in many, in both languages of one provider", () => {
    // gpt-5-mini: 0.25 and 2 dollars a million. 1,000 x 250 + 200 x 2,000 = 250,000 + 400,000 nanodollars.
    const expected = 650_000;
    expect(cost(usageOfAnswer("openai-chat", chatAnswer("gpt-5-mini", chat)))).toBe(expected);
    expect(cost(usageOfStream("openai-chat", chatStream("gpt-5-mini", chat)))).toBe(expected);
    const responses = {
      input_tokens: 1000,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: 200,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: 1200,
    };
    expect(cost(usageOfAnswer("openai-responses", responsesAnswer("gpt-5-mini", responses)))).toBe(expected);
    expect(cost(usageOfStream("openai-responses", responsesStream("gpt-5-mini", responses)))).toBe(expected);
  });

  it("has the same tokens in a batch, and half the price", () => {
    const usage = usageOfAnswer("openai-chat", chatAnswer("gpt-5-mini", chat));
    // 650,000 / 2.
    expect(cost({ ...usage, serviceTier: "batch" })).toBe(325_000);
    const messages = usageOfAnswer("anthropic-messages", messagesAnswer({ input_tokens: 1000, output_tokens: 200, service_tier: "batch" }));
    // Sonnet 4.5: 3 and 15 dollars a million. (1,000 x 3,000 + 200 x 15,000) / 2 = (3,000,000 + 3,000,000) / 2.
    expect(book.cost("anthropic", "claude-sonnet-4-5", messages, AT)).toBe(3_000_000);
  });
});

describe("Anthropic's prompt cache", () => {
  const cost = (usage: Usage): number | undefined => book.cost("anthropic", "claude-sonnet-4-5", usage, AT);
  const first = {
    input_tokens: 100,
    cache_creation_input_tokens: 5000,
    cache_read_input_tokens: 20_000,
    cache_creation: { ephemeral_5m_input_tokens: 3000, ephemeral_1h_input_tokens: 2000 },
    output_tokens: 1,
    service_tier: "standard",
  };
  const last = { input_tokens: 100, cache_creation_input_tokens: 5000, cache_read_input_tokens: 20_000, output_tokens: 50 };
  // 100 x 3,000 + 20,000 x 300 + 3,000 x 3,750 + 2,000 x 6,000 + 50 x 15,000
  // = 300,000 + 6,000,000 + 11,250,000 + 12,000,000 + 750,000.
  const expected = 30_300_000;

  it("counts what was read, written for five minutes and written for an hour, each once and by its own price", () => {
    expect(cost(usageOfAnswer("anthropic-messages", messagesAnswer({ ...first, output_tokens: 50 })))).toBe(expected);
  });
  it("keeps the split of the first frame when the last repeats the totals alone, and adds nothing twice", () => {
    expect(cost(usageOfStream("anthropic-messages", messagesStream(first, last)))).toBe(expected);
  });
  it("does not take cached input for input once more: as input alone it would have cost nearly three times as much", () => {
    const all = usageOfAnswer("anthropic-messages", messagesAnswer({ input_tokens: 25_100, output_tokens: 50 }));
    expect(cost(all)).toBe(25_100 * 3000 + 50 * 15_000);
  });
});

describe("Bedrock cache", () => {
  it("keeps what was read, written for five minutes and written for an hour apart, each at its own price", () => {
    const usage = usageOfAnswer("bedrock-converse", {
      output: { message: { role: "assistant", content: [{ text: "Yes." }] } },
      stopReason: "end_turn",
      usage: {
        inputTokens: 100,
        outputTokens: 50,
        totalTokens: 25_150,
        cacheReadInputTokens: 20_000,
        cacheWriteInputTokens: 5000,
        cacheDetails: [
          { ttl: "5m", inputTokens: 3000 },
          { ttl: "1h", inputTokens: 2000 },
        ],
      },
    });
    expect(usage).toMatchObject({ inputUncached: 100, cacheRead: 20_000, cacheWrite5m: 3000, cacheWrite1h: 2000, output: 50 });
    const parts = usage.inputUncached + usage.cacheRead + usage.cacheWrite5m + usage.cacheWrite1h + usage.output;
    expect(parts).toBe(25_150);
    // 100 x 3,000 + 20,000 x 300 + 3,000 x 3,750 + 2,000 x 6,000 + 50 x 15,000, wherever it runs; a region costs a tenth more.
    const cost = (model: string) => book.cost("bedrock", model, usage, AT);
    expect(cost("global.anthropic.claude-sonnet-4-5-20250929-v1:0")).toBe(30_300_000);
    expect(cost("us.anthropic.claude-sonnet-4-5-20250929-v1:0")).toBe(33_330_000);
  });
});

describe("OpenAI's prompt cache", () => {
  it("takes cached tokens out of the input that includes them", () => {
    const usage = { prompt_tokens: 10_000, completion_tokens: 100, total_tokens: 10_100, prompt_tokens_details: { cached_tokens: 8000 } };
    // gpt-5-mini: 2,000 x 250 + 8,000 x 25 + 100 x 2,000 = 500,000 + 200,000 + 200,000.
    const expected = 900_000;
    for (const read of [
      usageOfAnswer("openai-chat", chatAnswer("gpt-5-mini", usage)),
      usageOfStream("openai-chat", chatStream("gpt-5-mini", usage)),
    ]) {
      expect(read).toMatchObject({ inputUncached: 2000, cacheRead: 8000 });
      expect(book.cost("openai", "gpt-5-mini", read, AT)).toBe(expected);
    }
  });
  it("has a price for writing where the model has one", () => {
    const usage = {
      input_tokens: 10_000,
      input_tokens_details: { cached_tokens: 6000, cache_write_tokens: 3000 },
      output_tokens: 100,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: 10_100,
    };
    const read = usageOfAnswer("openai-responses", responsesAnswer("gpt-5.6-sol", usage));
    expect(read).toMatchObject({ inputUncached: 1000, cacheRead: 6000, cacheWrite5m: 3000 });
    // gpt-5.6-sol before its price of August 2026: 5, 0.5, 6.25 and 30 dollars a million.
    // 1,000 x 5,000 + 6,000 x 500 + 3,000 x 6,250 + 100 x 30,000 = 5,000,000 + 3,000,000 + 18,750,000 + 3,000,000.
    expect(book.cost("openai", "gpt-5.6-sol", read, AT)).toBe(29_750_000);
    // And from then on 4, 0.4, 5 and 20: 4,000,000 + 2,400,000 + 15,000,000 + 2,000,000.
    expect(book.cost("openai", "gpt-5.6-sol", read, Date.UTC(2026, 8, 1))).toBe(23_400_000);
    expect(usageOfStream("openai-responses", responsesStream("gpt-5.6-sol", usage))).toEqual(read);
  });
});

describe("Gemini's thoughts", () => {
  it("stand beside the answer in its own language, and what its tools read beside the prompt", () => {
    const usageMetadata = {
      promptTokenCount: 1000,
      cachedContentTokenCount: 400,
      candidatesTokenCount: 200,
      thoughtsTokenCount: 300,
      toolUsePromptTokenCount: 50,
      totalTokenCount: 1550,
      trafficType: "ON_DEMAND",
    };
    const candidates = [{ content: { role: "model", parts: [{ text: "Yes." }] }, finishReason: "STOP", index: 0 }];
    const body = { candidates, usageMetadata, modelVersion: "gemini-2.5-flash", responseId: "r" };
    const read = usageOfAnswer("gemini", body);
    expect(read).toMatchObject({ inputUncached: 650, cacheRead: 400, output: 500, reasoning: 300 });
    // gemini-2.5-flash: 0.30, cached 0.03 and 2.50 dollars a million.
    // 650 x 300 + 400 x 30 + (200 + 300) x 2,500 = 195,000 + 12,000 + 1,250,000; without the thoughts 707,000.
    for (const kind of ["gemini", "vertex"]) expect(book.cost(kind, "gemini-2.5-flash", read, AT)).toBe(1_457_000);
    expect(usageOfStream("gemini", [[undefined, body]])).toEqual(read);
  });

  it("and sound have prices of their own: what was read from the cache is counted once", () => {
    const usageMetadata = {
      promptTokenCount: 1000,
      promptTokensDetails: [
        { modality: "TEXT", tokenCount: 600 },
        { modality: "AUDIO", tokenCount: 400 },
      ],
      cachedContentTokenCount: 300,
      cacheTokensDetails: [
        { modality: "AUDIO", tokenCount: 100 },
        { modality: "TEXT", tokenCount: 200 },
      ],
      candidatesTokenCount: 10,
      totalTokenCount: 1010,
    };
    const candidates = [{ content: { role: "model", parts: [{ text: "Yes." }] }, finishReason: "STOP" }];
    const read = usageOfAnswer("gemini", { candidates, usageMetadata, modelVersion: "gemini-2.5-flash", responseId: "r" });
    expect(read.media).toEqual({ input_audio_tokens: 300, cached_audio_tokens: 100 });
    // Sound 1.00 read and 0.10 cached: 400 x 300 + 300 x 1,000 + 200 x 30 + 100 x 100 + 10 x 2,500 = 461,000.
    expect(book.cost("gemini", "gemini-2.5-flash", read, AT)).toBe(461_000);
  });

  it("are output, though its chat language leaves them out of the completion and only the total has them", () => {
    const usage = { prompt_tokens: 1000, completion_tokens: 100, total_tokens: 1600 };
    const read = usageOfAnswer("openai-chat", chatAnswer("gemini-2.5-pro", usage));
    expect(read).toMatchObject({ inputUncached: 1000, output: 600, reasoning: 500 });
    // gemini-2.5-pro: 1.25 and 10 dollars a million. 1,000 x 1,250 + 600 x 10,000 = 1,250,000 + 6,000,000; without the thoughts 2,250,000.
    expect(book.cost("google", "gemini-2.5-pro", read, AT)).toBe(7_250_000);
    expect(usageOfStream("openai-chat", chatStream("gemini-2.5-pro", usage))).toEqual(read);
  });
  it("are not added where the completion has them already", () => {
    const usage = { prompt_tokens: 1000, completion_tokens: 600, total_tokens: 1600, completion_tokens_details: { reasoning_tokens: 500 } };
    const read = usageOfAnswer("openai-chat", chatAnswer("gemini-2.5-pro", usage));
    expect(book.cost("google", "gemini-2.5-pro", read, AT)).toBe(7_250_000);
  });
});

describe("Bedrock's prompt cache", () => {
  const model = "global.anthropic.claude-sonnet-4-5-20250929-v1:0";
  const usage = {
    input_tokens: 100,
    cache_creation_input_tokens: 5000,
    cache_read_input_tokens: 20_000,
    cache_creation: { ephemeral_5m_input_tokens: 3000, ephemeral_1h_input_tokens: 2000 },
    output_tokens: 50,
  };
  it("costs what it costs at the maker's, an hour of it included, which the price package takes for five minutes", () => {
    const read = usageOfAnswer("anthropic-messages", messagesAnswer(usage));
    // 3, 0.3, 3.75, 6 (twice the input) and 15 dollars a million: as above.
    expect(book.cost("bedrock", model, read, AT)).toBe(30_300_000);
  });
});

describe("tools alone", () => {
  it("an answer without a word of text costs its tokens, streamed and plain", () => {
    const call = { tool_calls: [{ index: 0, id: "call_1", type: "function", function: { name: "look", arguments: '{"at":"sky"}' } }] };
    const usage = { prompt_tokens: 500, completion_tokens: 40, total_tokens: 540 };
    const plain = chatAnswer("gpt-5-mini", usage, {
      choices: [{ index: 0, message: { role: "assistant", content: null, ...call }, finish_reason: "tool_calls" }],
    });
    // 500 x 250 + 40 x 2,000 = 125,000 + 80,000.
    expect(book.cost("openai", "gpt-5-mini", usageOfAnswer("openai-chat", plain), AT)).toBe(205_000);
    expect(book.cost("openai", "gpt-5-mini", usageOfStream("openai-chat", chatStream("gpt-5-mini", usage, {}, call)), AT)).toBe(205_000);
  });
});

describe("service tiers", () => {
  const usage = { prompt_tokens: 1000, completion_tokens: 100, total_tokens: 1100 };
  const cost = (tier: string): number | undefined =>
    book.cost("openai", "gpt-5", usageOfAnswer("openai-chat", chatAnswer("gpt-5", usage, { service_tier: tier })), AT);
  it("have the price of the tier that answered", () => {
    // gpt-5: 1,000 x 1,250 + 100 x 10,000 = 1,250,000 + 1,000,000.
    expect(cost("default")).toBe(2_250_000);
    expect(cost("flex")).toBe(1_125_000);
    expect(cost("priority")).toBe(4_500_000);
  });
  it("are unknown where nobody knows them, and never 0", () => {
    expect(cost("turbo")).toBeUndefined();
  });
  it("are read from a stream's frames too", () => {
    const streamed = usageOfStream("openai-chat", chatStream("gpt-5", usage, { service_tier: "flex" }));
    expect(book.cost("openai", "gpt-5", streamed, AT)).toBe(1_125_000);
  });
});

describe("prices by the size of the input", () => {
  it("hold for all tokens of the call, and cached ones count for the size", () => {
    const of = (input: number, cached: number): number | undefined => {
      const usage = { input_tokens: input, cache_read_input_tokens: cached, cache_creation_input_tokens: 0, output_tokens: 1000 };
      return book.cost("anthropic", "claude-sonnet-4-5", usageOfAnswer("anthropic-messages", messagesAnswer(usage)), AT);
    };
    // Up to 200,000: 150,000 x 3,000 + 50,000 x 300 + 1,000 x 15,000.
    expect(of(150_000, 50_000)).toBe(450_000_000 + 15_000_000 + 15_000_000);
    // One more, and each has the higher price: 150,000 x 6,000 + 50,001 x 600 + 1,000 x 22,500.
    expect(of(150_000, 50_001)).toBe(900_000_000 + 30_000_600 + 22_500_000);
  });
});

describe("rounding", () => {
  it("is half up, once for each attempt, after everything was added", () => {
    const cheap = createModelBook({ models: { "lab/dust": { price: { inputUsd: 0.0005, outputUsd: 0.0005 } } } });
    const used = (inputUncached: number, output: number): Usage => ({
      inputUncached,
      cacheRead: 0,
      cacheWrite5m: 0,
      cacheWrite1h: 0,
      output,
      reasoning: 0,
    });
    // 0.0005 dollars a million are half a nanodollar a token: one token is rounded up, and two are one and not two.
    expect(cheap.cost("lab", "dust", used(1, 0), AT)).toBe(1);
    expect(cheap.cost("lab", "dust", used(1, 1), AT)).toBe(1);
    expect(cheap.cost("lab", "dust", used(2, 1), AT)).toBe(2);
    expect(cheap.cost("lab", "dust", used(0, 0), AT)).toBe(0);
  });
});

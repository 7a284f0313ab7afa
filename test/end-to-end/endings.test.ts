import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROUTES, startPair, type GatewayPair } from "../support/gateway.ts";

const SIM = `
sim:
  models:
    refuser: { refusal: "I cannot help with that." }
    counted: { text: "Four.", usage: { input: 100, cached: 40, cacheWrite: 30, cacheWrite1h: 20, output: 50 } }
`;

let pair: GatewayPair;
let openai: OpenAI;
let anthropic: Anthropic;
beforeAll(async () => {
  pair = await startPair({ config: SIM });
  openai = new OpenAI({ baseURL: `${pair.front.url}/v1`, apiKey: "sk-none", maxRetries: 0 });
  anthropic = new Anthropic({ baseURL: pair.front.url, apiKey: "none", maxRetries: 0 });
});
afterAll(() => pair.close());

const HELLO = [{ role: "user" as const, content: "hi" }];

describe.each(ROUTES)("an answer from %s", (route) => {
  it.each([false, true])("that refuses is never told as an ordinary one (stream: %s)", async (stream) => {
    const chat = { model: `${route}refuser`, messages: HELLO };
    const completion = stream
      ? await openai.chat.completions.stream(chat).finalChatCompletion()
      : await openai.chat.completions.create(chat);
    const [choice] = completion.choices;
    expect([choice?.message.refusal, choice?.finish_reason]).toSatisfy(
      ([refusal, finish]: unknown[]) => typeof refusal === "string" || finish === "content_filter",
    );
    const said = { model: `${route}refuser`, max_tokens: 50, messages: HELLO };
    const message = stream ? await anthropic.messages.stream(said).finalMessage() : await anthropic.messages.create(said);
    expect(message).toMatchObject({ stop_reason: "refusal", stop_details: { type: "refusal" } });
  });

  it("says the same of its tokens as a stream and in one piece", async () => {
    const said = { model: `${route}counted`, max_tokens: 50, messages: HELLO };
    const plain = await anthropic.messages.create(said);
    const streamed = await anthropic.messages.stream(said).finalMessage();
    const counts = ({ usage }: Anthropic.Message) => [
      usage.input_tokens,
      usage.cache_read_input_tokens,
      usage.cache_creation_input_tokens,
      usage.output_tokens,
    ];
    // Cohere has no word for what was written to a cache: there it is input like any other.
    expect(counts(plain)).toEqual(route.startsWith("labcohere") ? [150, 40, 0, 50] : [100, 40, 50, 50]);
    expect(counts(streamed)).toEqual(counts(plain));
    // Only this language tells short-lived cache writes from long-lived ones, and says so at the start of a stream.
    if (route === "sim/" || route.startsWith("labclaude")) {
      expect(plain.usage.cache_creation).toEqual({ ephemeral_5m_input_tokens: 30, ephemeral_1h_input_tokens: 20 });
      expect(streamed.usage.cache_creation).toEqual(plain.usage.cache_creation);
    }
  });
});

describe("a stop sequence", () => {
  it.each(["sim/", "labclaude/sim/"])("is named where only one was asked for, at %s", async (route) => {
    const message = await anthropic.messages.create({
      model: `${route}echo`,
      max_tokens: 50,
      stop_sequences: ["STOP"],
      messages: [{ role: "user", content: "before STOP after" }],
    });
    expect(message).toMatchObject({ stop_reason: "stop_sequence", stop_sequence: "STOP", content: [{ text: "before " }] });
  });
});

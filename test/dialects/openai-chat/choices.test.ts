import { ChatCompletionStream } from "openai/lib/ChatCompletionStream";
import { describe, expect, it } from "vitest";
import { AnswerFold, type AnswerContext, type Diagnostic, type Event, type Json, type JsonObject } from "../../../src/canon/index.ts";
import anthropic from "../../../src/dialects/anthropic-messages/index.ts";
import chat from "../../../src/dialects/openai-chat/index.ts";
import responses from "../../../src/dialects/openai-responses/index.ts";
import { byteByByte, decodeStream } from "../../support/streams.ts";

const door = { operation: "generate", headers: {}, params: {} } as const;
const call = chat.decodeCall(
  { model: "m", n: 3, messages: [{ role: "user", content: "x" }], stream: true, stream_options: { include_usage: true } },
  door,
);
const context: AnswerContext = { call, createdAt: 1 };
const USAGE = { prompt_tokens: 5, completion_tokens: 21, total_tokens: 26 };
const CALL = { id: "call_a", type: "function", function: { name: "look", arguments: '{"at":1}' } };
const LOGPROBS = { content: [{ token: "Two", logprob: -0.1, bytes: null, top_logprobs: [] }], refusal: null };

/** The answer of three choices as it comes when nobody streams. */
const PLAIN: JsonObject = {
  id: "c1",
  object: "chat.completion",
  created: 7,
  model: "m-1",
  system_fingerprint: "fp",
  choices: [
    { index: 0, message: { role: "assistant", content: "One two." }, logprobs: null, finish_reason: "stop" },
    { index: 1, message: { role: "assistant", content: "Two" }, logprobs: LOGPROBS, finish_reason: "length" },
    {
      index: 2,
      message: { role: "assistant", content: null, tool_calls: [CALL] },
      logprobs: null,
      finish_reason: "tool_calls",
    },
  ],
  usage: USAGE,
};

function chunk(choices: readonly Json[], rest: JsonObject = {}): JsonObject {
  return { id: "c1", object: "chat.completion.chunk", created: 7, model: "m-1", system_fingerprint: "fp", choices, ...rest };
}

function piece(index: number, delta: JsonObject, rest: JsonObject = {}): JsonObject {
  return { index, delta, logprobs: null, finish_reason: null, ...rest };
}

const CHUNKS: readonly JsonObject[] = [
  ...[0, 1, 2].map((index) => chunk([piece(index, { role: "assistant", content: index === 2 ? null : "", refusal: null })])),
  chunk([piece(1, { content: "Tw" }, { logprobs: LOGPROBS })]),
  chunk([piece(0, { content: "One" })]),
  chunk([piece(2, { tool_calls: [{ index: 0, id: "call_a", type: "function", function: { name: "look", arguments: "" } }] })]),
  chunk([piece(0, { content: " two" }), piece(1, { content: "o" })]),
  chunk([piece(2, { tool_calls: [{ index: 0, function: { arguments: '{"at":' } }] })]),
  chunk([piece(1, {}, { finish_reason: "length" })]),
  chunk([piece(2, { tool_calls: [{ index: 0, function: { arguments: "1}" } }] })]),
  chunk([piece(0, { content: "." })]),
  chunk([piece(0, {}, { finish_reason: "stop" })]),
  chunk([piece(2, {}, { finish_reason: "tool_calls" })]),
  chunk([], { usage: USAGE }),
];

function framed(chunks: readonly JsonObject[]): Buffer {
  return Buffer.from([...chunks.map((one) => JSON.stringify(one)), "[DONE]"].map((data) => `data: ${data}\n\n`).join(""));
}

const STREAM = framed(CHUNKS);

function folded(events: readonly Event[]): AnswerFold {
  const fold = new AnswerFold({ dialect: chat.id, provider: "p" });
  for (const event of events) fold.event(event);
  return fold;
}

function written(events: readonly Event[]): string[] {
  const frames: string[] = [];
  const encoder = chat.encodeEvents((_event, data) => frames.push(data), context);
  for (const event of events) encoder.event(event);
  return frames;
}

async function official(frames: readonly string[]): Promise<JsonObject> {
  const lines = frames.filter((frame) => frame !== "[DONE]").map((frame) => `${frame}\n`);
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const line of lines) controller.enqueue(new TextEncoder().encode(line));
      controller.close();
    },
  });
  return JSON.parse(JSON.stringify(await ChatCompletionStream.fromReadableStream(body).finalChatCompletion())) as JsonObject;
}

/** The choices by number, without what the official client adds. */
function choicesOf(answer: JsonObject): unknown[] {
  return (answer["choices"] as JsonObject[])
    .toSorted((a, b) => Number(a["index"]) - Number(b["index"]))
    .map(({ index, finish_reason, message }) => ({ index, finish_reason, message: JSON.parse(JSON.stringify(message)) as unknown }));
}

describe("a stream of several choices", () => {
  const events = decodeStream(chat, [STREAM]);

  it("folds into what a plain answer holds, every choice of it", () => {
    expect(chat.encodeAnswer(folded(events).answer(), context)).toEqual(PLAIN);
    expect(folded(events).answer().items).toEqual(folded(decodeStream(chat, byteByByte(STREAM))).answer().items);
  });

  it("has the first choice's items, like a plain answer, so that a kept turn goes on from it", () => {
    const plain = chat.decodeAnswer(PLAIN, { operation: "generate" });
    const streamed = folded(events).answer();
    expect(streamed.items.map(({ type }) => type)).toEqual(plain.items.map(({ type }) => type));
    expect(streamed.items).toMatchObject([{ type: "message", parts: [{ type: "text", text: "One two." }] }]);
    expect([streamed.stop, streamed.usage]).toEqual([plain.stop, plain.usage]);
    expect((streamed.native["choices"] as Json[]).slice(1)).toEqual((plain.native["choices"] as Json[]).slice(1));
  });

  it("reaches clients of its own language with every choice, each once", async () => {
    const frames = written(events);
    const direct = await official(CHUNKS.map((one) => JSON.stringify(one)));
    const passed = await official(frames);
    expect(choicesOf(passed)).toEqual(choicesOf(direct));
    expect(passed["usage"]).toEqual(USAGE);
    // What was sent on chunk by chunk is not told once more at the end.
    expect(frames.filter((frame) => frame.includes('"index":1')).length).toBe(4);
    expect(frames.at(-1)).toBe("[DONE]");
  });

  it("reaches other languages with its first choice", () => {
    for (const dialect of [anthropic, responses]) {
      let text = "";
      const encoder = dialect.encodeEvents((_event, data) => (text += data), context);
      for (const event of events) encoder.event(event);
      expect(text).toContain("One");
      expect(text).not.toContain("look");
      expect(text).not.toContain('"Tw');
    }
  });

  it("is asked of other languages with a diagnostic, because they answer once", () => {
    for (const dialect of [anthropic, responses]) {
      const noted: Diagnostic[] = [];
      dialect.encodeCall(call, { provider: "p", model: "m", capabilities: {} }, (one) => noted.push(one));
      expect(noted.map(({ field }) => field)).toContain("sampling.n");
    }
  });

  it("is metered whole: all of it is paid for", () => {
    const meter = chat.usageFrames({ withholdUsage: false });
    for (const frame of STREAM.toString().split(/(?<=\n\n)/)) meter.frame(Buffer.from(frame));
    const told = "One two.".length + "Two".length + '{"at":1}'.length;
    expect(meter.outputCharacters()).toBe(told);
    expect([meter.stop(), meter.called()]).toEqual(["end", true]);
    expect(meter.usage()).toEqual(folded(events).usage);
    let characters = 0;
    for (const event of events) {
      if (event.type === "native") characters += event.characters ?? 0;
      else if ("text" in event) characters += event.text.length;
    }
    expect(characters).toBe(told);
  });

  it("may have calls without ids, and a choice that fails", () => {
    const bare = (index: number): JsonObject => piece(index, { tool_calls: [{ index: 0, function: { name: "f", arguments: "{}" } }] });
    const answer = folded(
      decodeStream(chat, [framed([chunk([bare(0), bare(1)]), chunk([piece(1, {}, { finish_reason: "error" })])])]),
    ).answer();
    expect(answer.items).toMatchObject([{ type: "tool_call", name: "f" }]);
    expect(answer.native["choices"]).toMatchObject([
      {},
      { index: 1, message: { tool_calls: [{ function: { name: "f", arguments: "{}" } }] } },
    ]);
  });

  it("keeps so many choices and no more", () => {
    const many = Array.from({ length: 200 }, (_, index) => chunk([piece(index, { content: "x" })]));
    const all = decodeStream(chat, [framed([...many, chunk([piece(0, {}, { finish_reason: "stop" })])])]);
    expect(folded(all).answer().native["choices"]).toHaveLength(129);
    expect(all.filter((event) => event.type === "native")).toHaveLength(199);
  });
});

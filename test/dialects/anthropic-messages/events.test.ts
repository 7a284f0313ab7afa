import { createAnthropic } from "@ai-sdk/anthropic";
import Anthropic from "@anthropic-ai/sdk";
import { streamText } from "ai";
import { describe, expect, it } from "vitest";
import { AnswerFold, NO_USAGE, unfold, type Answer, type Event, type Item, type JsonObject } from "../../../src/canon/index.ts";
import dialect from "../../../src/dialects/anthropic-messages/index.ts";
import { formatFrame } from "../../../src/kit/index.ts";
import { decodeStream } from "../../support/streams.ts";
import { foreignCall } from "./corpus.ts";

const told = { call: foreignCall({}), createdAt: 0 };
const usage = { ...NO_USAGE, inputUncached: 3, cacheRead: 4, cacheWrite5m: 5, output: 7, reasoning: 2 };

function frames(events: Iterable<Event>): { event: string | undefined; data: string }[] {
  const out: { event: string | undefined; data: string }[] = [];
  const encoder = dialect.encodeEvents((event, data) => out.push({ event, data }), told);
  for (const event of events) encoder.event(event);
  return out;
}

function bytesOf(events: Iterable<Event>): Buffer {
  return Buffer.from(
    frames(events)
      .map(({ event, data }) => formatFrame(event, data))
      .join(""),
  );
}

function respond(bytes: Buffer): typeof fetch {
  return () => Promise.resolve(new Response(new Uint8Array(bytes), { headers: { "content-type": "text/event-stream" } }));
}

function final(events: Iterable<Event>): Promise<Anthropic.Message> {
  const client = new Anthropic({ apiKey: "none", maxRetries: 0, fetch: respond(bytesOf(events)) });
  return client.messages.stream({ model: "m", max_tokens: 1, messages: [{ role: "user", content: "x" }] }).finalMessage();
}

const message: Item = { type: "message", role: "assistant", parts: [] };
const text = (index: number, words: string, part = 0): Event => ({ type: "text", index, part, text: words });
const start: Event = { type: "start", id: "resp_1", model: "gpt", createdAt: 5 };
const done: Event = { type: "done", stop: "end" };
const call = (callId: string, name = "f"): Item => ({ type: "tool_call", callId, name, kind: "function", input: "" });

describe("a stream of another language", () => {
  it("is one that the vendor's client understands", async () => {
    const result = await final([
      start,
      { type: "item_start", index: 0, item: { type: "reasoning", parts: [] } },
      { type: "reasoning", index: 0, part: 0, kind: "summary", text: "First." },
      { type: "reasoning", index: 0, part: 1, kind: "summary", text: "Second" },
      { type: "reasoning", index: 0, part: 1, kind: "summary", text: "ly." },
      { type: "item_end", index: 0, item: { type: "reasoning", parts: [], encrypted: "gAAA", origin: { dialect: "openai-responses" } } },
      { type: "item_start", index: 1, item: message },
      text(1, "Hel"),
      text(1, 'lo "\n'),
      { type: "annotation", index: 1, part: 0, annotation: { type: "url_citation" } },
      { type: "item_end", index: 1, item: { ...message, parts: [{ type: "text", text: 'Hello "\n' }] } as Item },
      { type: "native", dialect: "openai-responses", event: "response.in_progress", raw: {} },
      { type: "usage", usage },
      done,
    ]);
    expect(result.content).toEqual([
      { type: "thinking", thinking: "First.\n\nSecondly.", signature: "" },
      { type: "text", text: 'Hello "\n' },
    ]);
    expect(result).toMatchObject({
      id: "resp_1",
      model: "gpt",
      stop_reason: "end_turn",
      usage: {
        input_tokens: 3,
        cache_read_input_tokens: 4,
        cache_creation_input_tokens: 5,
        output_tokens: 7,
        output_tokens_details: { thinking_tokens: 2 },
      },
    });
  });

  it("has its overlapping items one after the other", async () => {
    const result = await final([
      start,
      { type: "item_start", index: 0, item: call("a") },
      { type: "item_start", index: 1, item: call("b") },
      { type: "input", index: 1, text: '{"n":' },
      { type: "input", index: 0, text: '{"n":1' },
      { type: "item_start", index: 2, item: message },
      text(2, "late"),
      { type: "input", index: 1, text: "2}" },
      { type: "item_end", index: 1, item: { ...call("b"), input: '{"n":2}' } as Item },
      { type: "input", index: 0, text: "}" },
      { type: "item_end", index: 0, item: { ...call("a"), input: '{"n":1}' } as Item },
      text(2, "r"),
      { type: "item_end", index: 2, item: { ...message, parts: [{ type: "text", text: "later" }] } as Item },
      done,
    ]);
    expect(result.content).toEqual([
      { type: "tool_use", id: "a", name: "f", input: { n: 1 } },
      { type: "tool_use", id: "b", name: "f", input: { n: 2 } },
      { type: "text", text: "later" },
    ]);
    expect(result.stop_reason).toBe("tool_use");
  });

  it("ends well when items were never finished", async () => {
    const result = await final([
      start,
      { type: "item_start", index: 0, item: message },
      text(0, "cut"),
      { type: "item_start", index: 1, item: call("a") },
      { type: "done", stop: "max_tokens" },
    ]);
    expect(result.content).toMatchObject([{ text: "cut" }, { type: "tool_use", id: "a", input: {} }]);
    expect(result.stop_reason).toBe("max_tokens");
  });

  it("takes what the finished item holds and no delta told", async () => {
    const answer: Answer = {
      id: "x",
      model: "m",
      createdAt: 0,
      items: [
        { type: "reasoning", parts: [], encrypted: "gAAA", origin: { dialect: "other" } },
        {
          type: "message",
          role: "assistant",
          parts: [
            { type: "text", text: "a" },
            { type: "refusal", text: "no" },
          ],
        },
        { type: "tool_call", callId: "c", name: "shell", kind: "custom", input: "ls\n" },
        { type: "unknown", kind: "web_search_call", role: "assistant", raw: {}, origin: { dialect: "other" } },
      ],
      stop: "unknown",
      usage,
      origin: { dialect: "other" },
      native: { object: "response", usage: 5 },
    };
    const result = await final(unfold(answer));
    expect(result.content).toEqual([
      { type: "text", text: "a" },
      { type: "text", text: "no" },
      { type: "tool_use", id: "c", name: "shell", input: { input: "ls\n" } },
    ]);
    const plain = dialect.encodeAnswer(answer, told) as unknown as Anthropic.Message;
    expect(plain.content.map((block) => ({ ...block, citations: undefined }))).toEqual(
      result.content.map((block) => ({ ...block, citations: undefined })),
    );
    expect(plain.stop_reason).toBe("tool_use");
    expect(plain.usage).toEqual(result.usage);
  });

  it("is one that the AI SDK understands", async () => {
    const events: Event[] = [
      start,
      { type: "item_start", index: 0, item: message },
      text(0, "Hello"),
      { type: "item_end", index: 0, item: message },
      { type: "item_start", index: 1, item: call("a") },
      { type: "input", index: 1, text: '{"n":1}' },
      { type: "item_end", index: 1, item: { ...call("a"), input: '{"n":1}' } as Item },
      { type: "usage", usage },
      { type: "done", stop: "tool_calls" },
    ];
    const result = streamText({ model: createAnthropic({ apiKey: "none", fetch: respond(bytesOf(events)) })("m"), prompt: "x" });
    expect(await result.text).toBe("Hello");
    expect(await result.finishReason).toBe("tool-calls");
    expect(await result.usage).toMatchObject({ inputTokens: 12, outputTokens: 7 });
  });

  it("comes back as it was told", () => {
    const fold = new AnswerFold({ dialect: dialect.id });
    for (const event of decodeStream(dialect, [
      bytesOf([
        start,
        { type: "item_start", index: 0, item: message },
        text(0, "a"),
        text(0, "b"),
        { type: "usage", usage },
        { type: "done", stop: "refusal" },
      ]),
    ]))
      fold.event(event);
    expect(fold.answer()).toMatchObject({ id: "resp_1", model: "gpt", stop: "refusal", usage, items: [{ parts: [{ text: "ab" }] }] });
  });

  it("bears the id that the gateway promised", () => {
    const out: string[] = [];
    const encoder = dialect.encodeEvents((_event, data) => out.push(data), { ...told, id: "msg_promised" });
    encoder.event(start);
    encoder.event({ type: "done", stop: "end" });
    expect(JSON.parse(out[0] ?? "")).toMatchObject({ message: { id: "msg_promised" } });
    expect(
      dialect.encodeAnswer(
        { id: "x", model: "m", createdAt: 0, items: [], stop: "end", usage, origin: { dialect: dialect.id }, native: { id: "x" } },
        { ...told, id: "msg_promised" },
      ),
    ).toMatchObject({ id: "msg_promised" });
  });
});

describe("a stream that is not what it should be", () => {
  const begin = 'event: message_start\ndata: {"type":"message_start","message":{"id":"i","model":"m","usage":{"input_tokens":9}}}\n\n';
  const frame = (data: string): string => `data: ${data}\n\n`;
  const decoded = (stream: string): Event[] => decodeStream(dialect, [Buffer.from(stream)]);

  it.each([
    ["nothing at all", "", "upstream_broken"],
    ["no JSON", `${begin}event: content_block_delta\ndata: {"type":"conte\n\n`, "upstream_broken"],
    ["a web page", frame("<html>"), "upstream_broken"],
    ["JSON that is no object", frame("[1]"), "upstream_broken"],
    [
      "a delta without its block",
      begin + frame('{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}'),
      "upstream_broken",
    ],
    [
      "a block without its message",
      frame('{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'),
      "upstream_broken",
    ],
    ["a stop alone", frame('{"type":"message_stop"}'), "upstream_broken"],
    [
      "a delta of the wrong type",
      `${begin}${frame('{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}')}${frame('{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":5}}')}`,
      "upstream_broken",
    ],
    [
      "a tool call without a name",
      begin + frame('{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a"}}'),
      "upstream_broken",
    ],
    [
      "overload",
      `${begin}event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n`,
      "upstream_unavailable",
    ],
    ["a rate limit", frame('{"type":"error","error":{"type":"rate_limit_error","message":"Slow"}}'), "rate_limited"],
    ["a refused key", frame('{"type":"error","error":{"type":"authentication_error","message":"sk-ant-secret"}}'), "upstream_rejected"],
    ["a timeout", frame('{"type":"error","error":{"type":"timeout_error","message":"Late"}}'), "upstream_timeout"],
    ["an unknown error", frame('{"type":"error"}'), "upstream_unavailable"],
  ])("%s ends in one problem", (_name, stream, kind) => {
    const events = decoded(stream + frame('{"type":"message_stop"}'));
    const problems = events.filter((event) => event.type === "problem");
    expect(problems).toMatchObject([{ problem: { kind } }]);
    expect(events.at(-1)).toBe(problems[0]);
    expect(JSON.stringify(events)).not.toContain("sk-ant-secret");
  });

  it("passes on frames that nobody knows yet, and nothing after the end", () => {
    const events = decoded(`${begin}event: ping\ndata: {"type":"ping"}\n\n${frame('{"type":"message_stop"}')}${frame("[DONE]")}`);
    expect(events.map((event) => event.type)).toEqual(["start", "usage", "native", "done"]);
    expect(frames(events).map(({ event }) => event)).toEqual(["message_start", "ping", "message_delta", "message_stop"]);
  });

  it("keeps arguments that are cut off as the model wrote them", () => {
    const stream = `${begin}${frame('{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}')}${frame('{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\\"n\\": 1"}}')}${frame('{"type":"content_block_stop","index":0}')}${frame('{"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"output_tokens":2}}')}${frame('{"type":"message_stop"}')}`;
    expect(decoded(stream)).toContainEqual({ type: "item_end", index: 0, item: expect.objectContaining({ input: '{"n": 1' }) as Item });
  });

  it("has the meter see problems, too", () => {
    const meter = () => dialect.usageFrames({ withholdUsage: false });
    const failing = meter();
    expect(failing.frame(Buffer.from(begin))).toBe("quiet");
    expect(
      failing.frame(Buffer.from('event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Busy"}}\n\n')),
    ).toBe("problem");
    expect(failing.problem()).toMatchObject({ kind: "upstream_unavailable" });
    expect(failing.usage()).toMatchObject({ inputUncached: 9 });
    expect(meter().frame(Buffer.from(": keep-alive\n\n"))).toBe("quiet");
    expect(meter().frame(Buffer.from('event: message_start\ndata: {"type":"mess\n\n'))).toBe("problem");
    expect(meter().frame(Buffer.from('event: message_stop\ndata: {"type":"message_stop"}\n\n'))).toBe("problem");
    const spaced = meter();
    spaced.frame(Buffer.from(begin));
    expect(
      spaced.frame(
        Buffer.from(
          'event: content_block_delta\ndata: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "four"}}\n\n',
        ),
      ),
    ).toBe("output");
    expect(spaced.outputCharacters()).toBe(4);
  });
});

describe("usage", () => {
  const read = (wire: JsonObject) => dialect.readAnswer({ usage: wire }).usage;

  it("is disjoint, with the cache writes by lifetime", () => {
    expect(
      read({
        input_tokens: 1,
        cache_read_input_tokens: 2,
        cache_creation_input_tokens: 7,
        cache_creation: { ephemeral_5m_input_tokens: 3, ephemeral_1h_input_tokens: 4 },
        output_tokens: 9,
        output_tokens_details: { thinking_tokens: 5 },
        service_tier: "priority",
        server_tool_use: { web_search_requests: 2, web_fetch_requests: 0 },
      }),
    ).toEqual({
      inputUncached: 1,
      cacheRead: 2,
      cacheWrite5m: 3,
      cacheWrite1h: 4,
      output: 9,
      reasoning: 5,
      media: { web_search_requests: 2 },
      serviceTier: "priority",
    });
    expect(read({ cache_creation_input_tokens: 6, output_tokens: 1 })).toEqual({ ...NO_USAGE, cacheWrite5m: 6, output: 1 });
    expect(read({ input_tokens: null, output_tokens: -1, cache_creation: null })).toEqual(NO_USAGE);
  });

  it("adds what a compaction used, which the totals leave out, and keeps an advisor's apart", () => {
    const iterations = [
      { type: "compaction", input_tokens: 100, output_tokens: 10 },
      { type: "message", input_tokens: 5, output_tokens: 6 },
      { type: "advisor_message", input_tokens: 30, output_tokens: 4, cache_read_input_tokens: 2 },
    ];
    expect(read({ input_tokens: 5, output_tokens: 6, iterations })).toEqual({
      ...NO_USAGE,
      inputUncached: 105,
      output: 16,
      media: { advisor_input_tokens: 30, advisor_cache_read_tokens: 2, advisor_output_tokens: 4 },
    });
  });

  it("is written anew where the gateway's figures differ from the provider's", () => {
    const body = {
      type: "message",
      id: "i",
      model: "m",
      content: [],
      stop_reason: "end_turn",
      usage: { input_tokens: 5, output_tokens: 6, extra: 1 },
    };
    const answer = dialect.decodeAnswer(body, { operation: "generate" });
    expect(dialect.encodeAnswer({ ...answer, usage: { ...answer.usage, output: 60 }, stop: "max_tokens" }, told)).toMatchObject({
      stop_reason: "max_tokens",
      usage: { input_tokens: 5, output_tokens: 60, extra: 1 },
    });
  });
});

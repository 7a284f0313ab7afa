import { describe, expect, it } from "vitest";
import {
  amend,
  AnswerFold,
  unfold,
  type AnswerContext,
  type Call,
  type Diagnostic,
  type Event,
  type FrameRole,
  type Item,
  type JsonObject,
} from "../../../src/canon/index.ts";
import dialect from "../../../src/dialects/cohere-chat/index.ts";
import { formatFrame, FrameSplitter, SeededRandomness } from "../../../src/kit/index.ts";
import { byteByByte, cutPlaces, decodeStream } from "../../support/streams.ts";
import { foreignCall } from "../bedrock-converse/corpus.ts";
import { answers, context, present, requests, streams, target } from "./corpus.ts";

const told: AnswerContext = { call: foreignCall({ origin: { dialect: dialect.id } }), createdAt: 0 };

function fold(events: readonly Event[]): AnswerFold {
  const folded = new AnswerFold({ dialect: dialect.id, provider: "recorded" });
  for (const event of events) folded.event(event);
  return folded;
}

function encodeStream(events: Iterable<Event>): Buffer {
  const frames: string[] = [];
  const encoder = dialect.encodeEvents((event, data) => frames.push(formatFrame(event, data)), told);
  for (const event of events) encoder.event(event);
  return Buffer.from(frames.join(""));
}

function framesOf(pieces: Iterable<Uint8Array>): Uint8Array[] {
  const frames: Uint8Array[] = [];
  const splitter = new FrameSplitter(1 << 20);
  for (const piece of pieces) splitter.push(piece, (frame) => frames.push(Uint8Array.from(frame)));
  return frames;
}

function roundTrip(body: JsonObject): unknown {
  const call = dialect.decodeCall(body, context);
  return JSON.parse(dialect.encodeCall(call, { ...target, model: call.model }, () => undefined).body);
}

describe("a request of this language comes out as it went in", () => {
  it.runIf(present)("finds the recordings", () => expect(requests.length).toBeGreaterThanOrEqual(14));
  it.each(requests)("$name", ({ body }) => {
    expect(roundTrip(body)).toEqual(body);
    expect(dialect.outline(body, context).stream).toBe(body["stream"] ?? false);
  });

  const FULL: JsonObject = {
    model: "m",
    messages: [
      { role: "system", content: [{ type: "text", text: "s" }] },
      {
        role: "user",
        content: [
          { type: "text", text: "a" },
          { type: "image_url", image_url: { url: "https://example.com/a.png", detail: "low" } },
        ],
      },
      {
        role: "assistant",
        content: [
          { type: "thinking", thinking: "hm" },
          { type: "text", text: "b" },
          { type: "text", text: "c" },
        ],
        citations: [{ start: 0, end: 1, text: "b", sources: [{ type: "document", id: "d" }], content_index: 1 }],
      },
      { role: "user", content: "" },
      { role: "assistant", tool_plan: "plan", tool_calls: [{ id: "t1", type: "function", function: { name: "f", arguments: "null" } }] },
      {
        role: "tool",
        tool_call_id: "t1",
        content: [{ type: "document", document: { id: "1", data: { text: "x" } } }, { type: "brand_new" }],
      },
      { role: "assistant", content: "" },
      { role: "assistant" },
    ],
    documents: [{ data: { text: "x" } }, "words"],
    citation_options: { mode: "FAST" },
    safety_mode: "STRICT",
    response_format: { type: "json_object", json_schema: { type: "object" } },
    strict_tools: true,
    tools: [{ type: "function", function: { name: "f", parameters: { type: "object" } } }],
    tool_choice: "REQUIRED",
    thinking: { type: "enabled", token_budget: 100 },
    logprobs: true,
    k: 3,
    p: 0.5,
    temperature: 0,
    seed: 1,
    frequency_penalty: 0.1,
    presence_penalty: 0.2,
    stop_sequences: ["x"],
    max_tokens: 5,
    priority: 3,
    unheardOf: 1,
  };

  it("holds for every shape that the recordings lack", () => {
    expect(roundTrip(FULL)).toEqual(FULL);
    expect(roundTrip({ model: "m", messages: [], tools: [] })).toEqual({ model: "m", messages: [], tools: [] });
    const call = dialect.decodeCall(FULL, context);
    expect(call).toMatchObject({
      sampling: { topK: 3, topP: 0.5, seed: 1, stop: ["x"], topLogprobs: 0 },
      reasoning: { mode: "enabled", budgetTokens: 100 },
      output: { format: { type: "json_schema", schema: { type: "object" } } },
      toolChoice: { type: "required" },
      tools: [{ name: "f", strict: true }],
      unspoken: ["documents", "citation_options", "safety_mode", "priority", "unheardOf"],
    });
    expect(dialect.needs?.(FULL)).toMatchObject({ vision: true, tools: true, structuredOutput: true });
    expect(call.items[2]).toMatchObject({ type: "reasoning", parts: [{ text: "hm" }] });
    expect(call.items[3]).toMatchObject({ parts: [{ text: "b", annotations: [{ content_index: 1 }] }, { text: "c" }] });
  });

  it("writes what was changed over what came", () => {
    const call = dialect.decodeCall(FULL, context);
    const items = call.items.map((item): Item => {
      if (item.type === "tool_call") return { ...item, input: '{"a":1}' };
      if (item.type === "message")
        return { ...item, parts: item.parts.map((part) => (part.type === "text" ? { ...part, text: part.text && "***" } : part)) };
      return item;
    });
    const sent = JSON.parse(
      dialect.encodeCall(amend(call, { items, maxOutputTokens: undefined, toolChoice: undefined }), target, () => undefined).body,
    ) as JsonObject;
    expect(sent["messages"]).toEqual([
      { role: "system", content: "***" },
      {
        role: "user",
        content: [
          { type: "text", text: "***" },
          { type: "image_url", image_url: { url: "https://example.com/a.png", detail: "low" } },
        ],
      },
      {
        role: "assistant",
        content: [
          { type: "thinking", thinking: "hm" },
          { type: "text", text: "******" },
        ],
      },
      { role: "user", content: "" },
      { role: "assistant", tool_plan: "***", tool_calls: [{ id: "t1", type: "function", function: { name: "f", arguments: '{"a":1}' } }] },
      {
        role: "tool",
        tool_call_id: "t1",
        content: [{ type: "document", document: { id: "1", data: { text: "x" } } }, { type: "brand_new" }],
      },
      { role: "assistant", content: "" },
      { role: "assistant" },
    ]);
    expect([sent["max_tokens"], sent["tool_choice"], sent["unheardOf"]]).toEqual([undefined, undefined, 1]);
  });

  it.each<[JsonObject, string]>([
    [{ messages: [] }, "model"],
    [{ model: "m" }, "messages"],
    [{ model: "m", messages: [{ role: "robot" }] }, "messages[0].role"],
    [{ model: "m", messages: [{ role: "tool", content: "x" }] }, "messages[0].tool_call_id"],
    [{ model: "m", messages: [], tool_choice: "MAYBE" }, "tool_choice"],
    [{ model: "m", messages: [], thinking: { type: "some" } }, "thinking.type"],
    [
      { model: "m", messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "ftp://x" } }] }] },
      "messages[0].content[0].image_url.url",
    ],
  ])("refuses %j and names %s", (body, param) => {
    try {
      dialect.decodeCall(body, context);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ problem: { kind: "invalid_request", param } });
    }
  });
});

describe("a request of another language", () => {
  const encode = (patch: Partial<Call>) => {
    const notes: Diagnostic[] = [];
    const { body } = dialect.encodeCall(foreignCall(patch), target, (note) => notes.push(note));
    return { body: JSON.parse(body) as JsonObject, fields: notes.map(({ field }) => field) };
  };
  const tool = (name: string, strict?: boolean) => ({
    type: "function" as const,
    name,
    schema: {},
    ...(strict !== undefined && { strict }),
  });

  it("says beside calls what was said as the plan, and forces one tool by offering it alone", () => {
    const { body, fields } = encode({
      items: [
        { type: "message", role: "user", parts: [{ type: "text", text: "Hi" }] },
        { type: "reasoning", parts: [{ kind: "text", text: "hm" }] },
        { type: "message", role: "assistant", parts: [{ type: "text", text: "I look." }] },
        { type: "tool_call", callId: "c1", name: "f", kind: "function", input: "{}" },
        {
          type: "tool_result",
          callId: "c1",
          kind: "function",
          parts: [
            { type: "text", text: "x" },
            { type: "image", source: { data: "AAAA", mediaType: "image/png" } },
          ],
          isError: true,
        },
      ],
      tools: [tool("f", true), tool("g")],
      toolChoice: { type: "tool", kind: "function", name: "f" },
    });
    expect(body).toMatchObject({
      messages: [
        { role: "user", content: "Hi" },
        { role: "assistant", tool_plan: "I look.", tool_calls: [{ id: "c1", function: { name: "f", arguments: "{}" } }] },
        { role: "tool", tool_call_id: "c1", content: "x" },
        { role: "user", content: [{ type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } }] },
      ],
      tool_choice: "REQUIRED",
      strict_tools: true,
    });
    expect(body["tools"]).toHaveLength(1);
    expect(fields).toEqual(expect.arrayContaining(["toolChoice", "items[].reasoning", "items[].isError", "items[].toolResult.parts"]));
  });

  it("asks for JSON only where no tools are offered", () => {
    const output = { format: { type: "json_schema", name: "n", schema: { type: "object" } } } as const;
    expect(encode({ output }).body["response_format"]).toEqual({ type: "json_object", json_schema: { type: "object" } });
    const both = encode({ output, tools: [tool("f")] });
    expect(both.body["response_format"]).toBeUndefined();
    expect(both.fields).toContain("output.format");
  });
});

describe("an answer of this language comes out as it went in", () => {
  it.runIf(present)("finds the recordings", () => expect(answers.length).toBeGreaterThanOrEqual(10));
  it.each(answers)("$name", ({ body }) => {
    const answer = dialect.decodeAnswer(body, { provider: "recorded", operation: "generate" });
    expect(dialect.encodeAnswer(answer, told)).toEqual(body);
    expect(dialect.readAnswer(body)).toEqual({ usage: answer.usage, id: answer.id, stop: answer.stop });
    const again = fold(decodeStream(dialect, [encodeStream(unfold(answer))])).answer();
    const seen = (items: readonly Item[]) =>
      items.map((item) =>
        item.type === "message" ? item.parts : item.type === "tool_call" ? [item.callId, item.name, item.input] : item.type,
      );
    expect(seen(again.items)).toEqual(seen(answer.items));
    expect([again.stop, again.usage, again.id]).toEqual([answer.stop, answer.usage, answer.id]);
  });

  it("counts what is billed, and tokens only where nothing is", () => {
    const usage = (fields: JsonObject) => dialect.readAnswer({ usage: fields }).usage;
    const tokens = { input_tokens: 1445, output_tokens: 43 };
    expect(usage({ billed_units: { input_tokens: 46, output_tokens: 14 }, tokens, cached_tokens: 704 })).toMatchObject({
      inputUncached: 46,
      cacheRead: 0,
      output: 14,
    });
    expect(usage({ tokens, cached_tokens: 704 })).toMatchObject({ inputUncached: 741, cacheRead: 704, output: 43 });
    // All that was read is billed: what was cached is of it.
    expect(usage({ billed_units: tokens, tokens, cached_tokens: 704 })).toMatchObject({ inputUncached: 741, cacheRead: 704, output: 43 });
  });

  it("of another language keeps the order of what was said before the answer and of the answer", () => {
    const body = { id: "i", message: { role: "assistant", content: "x" }, finish_reason: "COMPLETE" };
    const answer = dialect.decodeAnswer(body, { operation: "generate" });
    const said = (text: string, phase?: string): Item => ({
      type: "message",
      role: "assistant",
      ...(phase !== undefined && { phase }),
      parts: [{ type: "text", text }],
    });
    const items = [said("I look.", "commentary"), said("Found.")];
    const { message } = dialect.encodeAnswer({ ...answer, items, origin: { dialect: "other" } }, told) as JsonObject;
    expect(message).toEqual({
      role: "assistant",
      content: [
        { type: "text", text: "I look." },
        { type: "text", text: "Found." },
      ],
    });
  });

  it("that is a failure is one", () => {
    const body = { id: "i", message: { role: "assistant" }, finish_reason: "ERROR" };
    expect(() => dialect.decodeAnswer(body, { operation: "generate" })).toThrow("ended with an error");
    expect(() => dialect.decodeAnswer({ finish_reason: "COMPLETE" }, { operation: "generate" })).toThrow("no message");
  });
});

describe("recorded streams", () => {
  it.runIf(present)("are there", () => expect(streams.length).toBeGreaterThanOrEqual(2));
  it.each(streams)("$name: cut anywhere, broken off, metered and told again", ({ bytes }) => {
    const whole = decodeStream(dialect, [bytes]);
    const complete = fold(whole);
    expect(complete.problem).toBeUndefined();
    expect(decodeStream(dialect, byteByByte(bytes))).toEqual(whole);
    for (const place of cutPlaces(bytes.length))
      expect(decodeStream(dialect, [bytes.subarray(0, place), bytes.subarray(place)])).toEqual(whole);
    const meter = dialect.usageFrames({ withholdUsage: false });
    const roles: FrameRole[] = framesOf([bytes]).map((frame) => meter.frame(Buffer.from(frame)));
    expect(roles.at(-1)).toBe("done");
    expect([meter.usage(), meter.stop(), meter.id()]).toEqual([complete.usage, complete.stop, complete.id]);
    const random = new SeededRandomness(bytes.length);
    for (let copy = 0; copy < 12; copy++) {
      const cut = Math.floor(random.number() * (bytes.length - 4));
      const ends = decodeStream(dialect, [bytes.subarray(0, cut)]).filter(({ type }) => type === "done" || type === "problem");
      expect(ends).toMatchObject([{ type: "problem", problem: { kind: "upstream_broken" } }]);
    }
    const again = fold(decodeStream(dialect, [encodeStream(whole)]));
    expect(again.answer()).toEqual(complete.answer());
  });
});

describe("a stream", () => {
  const frame = (type: string, body: JsonObject) => formatFrame(type, JSON.stringify({ type, ...body }));
  const start = frame("message-start", { id: "i", delta: { message: { role: "assistant" } } });
  const content = (index: number, words: JsonObject) => frame("content-delta", { index, delta: { message: { content: words } } });
  const end = frame("message-end", {
    delta: { finish_reason: "COMPLETE", usage: { billed_units: { input_tokens: 1, output_tokens: 2 } } },
  });
  const events = (...frames: readonly string[]): Event[] => decodeStream(dialect, [Buffer.from(frames.join(""))]);

  it("brings thoughts, parts of the content, and citations", () => {
    const citation = { start: 0, end: 2, text: "It", sources: [{ type: "tool", id: "t:0" }], type: "TEXT_CONTENT", content_index: 1 };
    const folded = fold(
      events(
        start,
        frame("content-start", { index: 0, delta: { message: { content: { type: "thinking", thinking: "" } } } }),
        content(0, { thinking: "Hm" }),
        content(0, { thinking: "m." }),
        frame("content-end", { index: 0 }),
        frame("content-start", { index: 1, delta: { message: { content: { type: "text", text: "" } } } }),
        content(1, { text: "It " }),
        content(1, { text: "is." }),
        frame("citation-start", { index: 0, delta: { message: { citations: citation } } }),
        frame("citation-end", { index: 0 }),
        frame("content-end", { index: 1 }),
        frame("debug", { prompt: "x" }),
        end,
      ),
    );
    expect(folded.items()).toMatchObject([
      { type: "reasoning", parts: [{ text: "Hmm." }] },
      { type: "message", parts: [{ text: "It is.", annotations: [citation] }] },
    ]);
    expect(fold(decodeStream(dialect, [encodeStream(unfold(folded.answer()))])).answer().items).toEqual(folded.items());
    const answer = dialect.encodeAnswer(folded.answer(), told) as JsonObject;
    expect(answer["message"]).toEqual({
      role: "assistant",
      content: [
        { type: "thinking", thinking: "Hmm." },
        { type: "text", text: "It is." },
      ],
      citations: [citation],
    });
  });

  it("of calls that overlap tells one after the other, whole", () => {
    const call = (callId: string): Item => ({ type: "tool_call", callId, name: "f", kind: "function", input: "" });
    const bytes = encodeStream([
      { type: "start", id: "i", model: "m", createdAt: 0 },
      { type: "item_start", index: 0, item: call("a") },
      { type: "item_start", index: 1, item: call("b") },
      { type: "input", index: 0, text: '{"x":' },
      { type: "input", index: 1, text: "{}" },
      { type: "input", index: 0, text: "1}" },
      { type: "item_end", index: 0, item: { ...call("a"), type: "tool_call", name: "f", kind: "function", callId: "a", input: '{"x":1}' } },
      { type: "item_end", index: 1, item: { ...call("b"), type: "tool_call", name: "f", kind: "function", callId: "b", input: "{}" } },
      { type: "done", stop: "tool_calls" },
    ]);
    const deltas = framesOf([bytes])
      .map(
        (one) =>
          JSON.parse(Buffer.from(one).toString().split("data: ")[1] ?? "") as {
            type: string;
            index: number;
            delta: { message: { tool_calls: { function: { arguments: string } } } };
          },
      )
      .filter(({ type }) => type === "tool-call-delta");
    const said = (index: number) =>
      deltas
        .filter((delta) => delta.index === index)
        .map(({ delta }) => delta.message.tool_calls.function.arguments)
        .join("");
    expect([said(0), said(1)]).toEqual(['{"x":1}', "{}"]);
    expect(deltas.map(({ index }) => index)).toEqual([0, 0, 1]);
  });

  it.each([
    ["ERROR", "upstream_unavailable"],
    ["TIMEOUT", "upstream_timeout"],
  ])("that ends with %s is a problem", (reason, kind) => {
    const bad = frame("message-end", { delta: { finish_reason: reason, error: "The model broke." } });
    expect(fold(events(start, content(0, { text: "x" }), bad)).problem).toMatchObject({
      kind,
      message: expect.stringContaining("The model broke.") as string,
    });
    const meter = dialect.usageFrames({ withholdUsage: false });
    expect(meter.frame(Buffer.from(bad))).toBe("problem");
  });

  it.each([
    ["no JSON", "data: {\n\n"],
    ["a list", "data: []\n\n"],
    ["a call without a name", frame("tool-call-start", { index: 0, delta: { message: { tool_calls: { id: "x" } } } })],
    ["arguments of no call", frame("tool-call-delta", { index: 0, delta: { message: { tool_calls: { function: { arguments: "{" } } } } })],
  ])("that brings %s is garbled", (_, bad) => {
    expect(fold(events(start, bad, end)).problem?.kind).toBe("upstream_broken");
  });
});

describe("a refusal", () => {
  it.each([
    [400, "upstream_rejected"],
    [422, "upstream_rejected"],
    [429, "rate_limited"],
    [500, "upstream_unavailable"],
    [504, "upstream_timeout"],
  ])("%i is %s", (status, kind) => {
    const body = { id: "i", message: "No: max_tokens." };
    const problem = dialect.decodeProblem({ status, headers: {}, body, text: "", provider: "p" });
    expect(problem).toMatchObject({ kind });
    expect(problem.message).toContain("No: max_tokens.");
    if (kind === "upstream_rejected") expect(dialect.encodeProblem(problem, "call_1")).toEqual({ status, body });
  });
  it.each([401, 403, 498])("%i is of the gateway's own key", (status) => {
    expect(dialect.decodeProblem({ status, headers: {}, body: { message: "invalid api token" }, text: "", provider: "p" })).toMatchObject({
      fault: "credentials",
    });
  });
});

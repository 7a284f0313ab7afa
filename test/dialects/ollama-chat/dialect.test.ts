import { describe, expect, it } from "vitest";
import { AnswerFold, checkCall, ProblemError, type Call, type Event, type JsonObject } from "../../../src/canon/index.ts";
import ollama from "../../../src/dialects/ollama-chat/index.ts";
import { jsonLines } from "../../../src/kit/index.ts";
import { CAPABLE } from "../../../scripts/generate/loss-table.ts";
import { byteByByte, cutPlaces, decodeStream } from "../../support/streams.ts";
import { ANSWERS, CHATS, PROMPTS, RESPONSES, STREAMS } from "./samples.ts";

const target = { provider: "p", model: "m", capabilities: CAPABLE };
const doorOf = (shape: string) => ({ operation: "generate" as const, headers: {}, params: { shape } });
const decode = (body: JsonObject, shape = "chat"): Call => ollama.decodeCall(body, doorOf(shape));
const encoder = new TextEncoder();

function fold(events: readonly Event[]): AnswerFold {
  const folded = new AnswerFold({ dialect: ollama.id, provider: "recorded" });
  for (const event of events) folded.event(event);
  return folded;
}

describe("a call of this language", () => {
  it.each(Object.entries(CHATS))("is written as it was read: chat, %s", (_name, body) => {
    const notes: unknown[] = [];
    const request = ollama.encodeCall(decode(body), target, (note) => notes.push(note));
    expect(request.path).toBe("/api/chat");
    expect(JSON.parse(request.body)).toEqual(body);
    expect(notes).toEqual([]);
  });

  it.each(Object.entries(PROMPTS))("is written as it was read: generate, %s", (_name, body) => {
    const request = ollama.encodeCall(decode(body, "generate"), target, () => {});
    expect(request.path).toBe("/api/generate");
    expect(JSON.parse(request.body)).toEqual(body);
  });

  it("says what it holds", () => {
    const call = decode(CHATS["everything"] ?? {});
    expect(checkCall(call)).toBeUndefined();
    expect(call.items.map((item) => item.type)).toEqual([
      "message",
      "message",
      "reasoning",
      "message",
      "message",
      "tool_call",
      "tool_call",
      "tool_result",
      "tool_result",
      "message",
    ]);
    // The result without an id answers the oldest call of its tool.
    const [first, second] = call.items.flatMap((item) => (item.type === "tool_call" ? [item.callId] : []));
    expect(call.items.flatMap((item) => (item.type === "tool_result" ? [item.callId] : []))).toEqual([first, second]);
    expect(second).toBe("call_b");
    expect(call).toMatchObject({
      stream: false,
      reasoning: { effort: "low" },
      maxOutputTokens: 10,
      sampling: { temperature: 0.5, stop: ["END"], topLogprobs: 2 },
      output: { format: { type: "json_schema" } },
    });
    expect(call.unspoken).toEqual(["options.num_ctx", "options.mirostat", "unknown"]);
    expect(call.items[1]).toMatchObject({ parts: [{ type: "text" }, { type: "image", source: { mediaType: "image/png" } }] });
  });

  it("streams unless it says that it does not", () => {
    for (const [stream, expected] of [
      [undefined, true],
      [null, true],
      [true, true],
      [false, false],
    ] as const) {
      const body = { model: "m", messages: [], ...(stream !== undefined && { stream }) };
      expect(ollama.outline(body, doorOf("chat")).stream).toBe(expected);
      expect(decode(body).stream).toBe(expected);
    }
    expect(ollama.outline({ model: "m", prompt: "x", options: { num_predict: 5 } }, doorOf("generate")).maxOutputTokens).toBe(5);
    expect(ollama.outline({ model: "m", prompt: "x", options: { num_predict: -1 } }, doorOf("generate")).maxOutputTokens).toBeUndefined();
  });

  it.each<[string, JsonObject]>([
    ["model", { messages: [] }],
    ["messages", { model: "m", messages: "x" }],
    ["messages[0]", { model: "m", messages: [1] }],
    ["messages[0].role", { model: "m", messages: [{ role: "robot", content: "x" }] }],
    ["messages[0].content", { model: "m", messages: [{ role: "user", content: [] }] }],
    ["messages[0].images[0]", { model: "m", messages: [{ role: "user", content: "x", images: ["no base64!"] }] }],
    ["messages[0].tool_calls[0].function.name", { model: "m", messages: [{ role: "assistant", tool_calls: [{ function: {} }] }] }],
    ["messages[0]", { model: "m", messages: [{ role: "tool", tool_name: "weather", content: "x" }] }],
    ["tools[0].function", { model: "m", messages: [], tools: [{ type: "function" }] }],
    ["format", { model: "m", messages: [], format: "yaml" }],
    ["think", { model: "m", messages: [], think: 3 }],
    ["options.stop", { model: "m", messages: [], options: { stop: [1] } }],
    ["options.temperature", { model: "m", messages: [], options: { temperature: "hot" } }],
    ["stream", { model: "m", messages: [], stream: "yes" }],
  ])("is refused with the place of its fault: %s", (param, body) => {
    expect(() => decode(body)).toThrow(ProblemError);
    try {
      decode(body);
    } catch (error) {
      expect((error as ProblemError).problem).toMatchObject({ kind: "invalid_request", param });
    }
  });

  it("keeps what was not changed when something was", () => {
    const call = { ...decode(CHATS["everything"] ?? {}), maxOutputTokens: 5, touched: new Set(["maxOutputTokens" as const]) };
    const body = JSON.parse(ollama.encodeCall(call, target, () => {}).body) as JsonObject;
    expect(body).toEqual({
      ...CHATS["everything"],
      options: { temperature: 0.5, num_predict: 5, num_ctx: 8192, stop: ["END"], mirostat: 1 },
    });
  });
});

describe("an answer of this language", () => {
  const context = (shape: string) => ({
    call: decode(shape === "chat" ? { model: "m", messages: [] } : { model: "m" }, shape),
    createdAt: 1,
  });
  it.each(Object.entries(ANSWERS))("is written as it was read: chat, %s", (_name, body) => {
    const answer = ollama.decodeAnswer(body, { operation: "generate", provider: "p" });
    expect(ollama.encodeAnswer(answer, context("chat"))).toEqual(body);
  });
  it.each(Object.entries(RESPONSES))("is written as it was read: generate, %s", (_name, body) => {
    const answer = ollama.decodeAnswer(body, { operation: "generate", provider: "p" });
    const done = { done_reason: "stop", ...body };
    expect(ollama.encodeAnswer(answer, context("generate"))).toEqual(done);
  });
  it("tells usage, stop and calls", () => {
    const answer = ollama.decodeAnswer(ANSWERS["thought"] ?? {}, { operation: "generate", provider: "p" });
    expect(answer).toMatchObject({ stop: "tool_calls", usage: { inputUncached: 26, output: 290 }, createdAt: 1784110210 });
    expect(answer.items).toMatchObject([
      { type: "reasoning", parts: [{ text: "Hm." }] },
      { type: "tool_call", callId: "call_1", name: "weather", input: '{"city":"Oslo"}' },
    ]);
    expect(ollama.readAnswer(ANSWERS["cut"] ?? {})).toMatchObject({ stop: "max_tokens", model: "m", usage: { output: 1 } });
    expect(ollama.readAnswer(ANSWERS["load"] ?? {}).usage).toBeUndefined();
  });
  it.each([[null], [[]], ["x"], [{}], [{ message: "x" }], [{ error: "out of memory" }]])("is refused when it is none: %j", (body) => {
    expect(() => ollama.decodeAnswer(body, { operation: "generate" })).toThrow(ProblemError);
  });
});

describe.each(Object.entries(STREAMS))("a stream of this language: %s", (shape, text) => {
  const bytes = encoder.encode(text);
  const whole = decodeStream(ollama, [bytes]);
  const folded = fold(whole);

  it("is understood", () => {
    expect(whole.at(-1)).toMatchObject({ type: "done" });
    expect(folded.usage).toMatchObject({ inputUncached: 26, output: 290 });
    expect(folded.stop).toBe(shape === "chat" ? "tool_calls" : "max_tokens");
    const texts = folded.items().flatMap((item) => (item.type === "message" ? item.parts : []));
    expect(texts).toMatchObject([{ text: shape === "chat" ? 'Hello "you" \u{1f600}\n.' : "Hello there" }]);
  });

  it("is the same wherever it is cut", () => {
    expect(decodeStream(ollama, byteByByte(bytes))).toEqual(whole);
    for (const at of cutPlaces(bytes.length))
      expect(decodeStream(ollama, [bytes.subarray(0, at), bytes.subarray(at)]), `cut at ${at}`).toEqual(whole);
  });

  it("ends in one problem when the rest of it is missing, and in nothing else", () => {
    for (const at of cutPlaces(bytes.length)) {
      const events = decodeStream(ollama, [bytes.subarray(0, at)]);
      expect(
        events.filter(({ type }) => type === "problem" || type === "done"),
        `cut at ${at}`,
      ).toMatchObject([{ type: "problem" }]);
    }
  });

  it("is counted without being decoded, and with every frame the same", () => {
    const meter = ollama.usageFrames({ withholdUsage: false });
    const roles: string[] = [];
    jsonLines.cutter(1e6).push(bytes, (frame) => roles.push(meter.frame(Buffer.from(frame))));
    expect(roles.at(-1)).toBe("done");
    expect(roles.slice(0, -1).every((role) => role === "output")).toBe(true);
    expect(meter.usage()).toEqual(folded.usage);
    expect(meter.stop()).toBe(folded.stop);
    expect(meter.id()).toBe(folded.id);
    expect(meter.called()).toBe(shape === "chat");
    let characters = 0;
    for (const event of whole)
      if (event.type === "text" || event.type === "reasoning" || event.type === "input") characters += event.text.length;
    expect(meter.outputCharacters()).toBe(characters);
  });

  it("is told again in frames that say the same", () => {
    const frames: Uint8Array[] = [];
    const body = shape === "chat" ? { model: "m", messages: [] } : { model: "m" };
    const writer = ollama.encodeEvents((event, data) => frames.push(jsonLines.format(event, data)), {
      call: decode(body, shape),
      createdAt: 1,
    });
    for (const event of whole) writer.event(event);
    const again = fold(decodeStream(ollama, frames));
    expect({ ...again.answer(), id: "", native: {} }).toEqual({ ...folded.answer(), id: "", native: {} });
    const last = JSON.parse(new TextDecoder().decode(frames.at(-1))) as JsonObject;
    const original = JSON.parse(text.trim().split("\n").at(-1) ?? "") as JsonObject;
    expect(last).toEqual(original);
  });
});

describe("an error", () => {
  it.each([
    ["no JSON", "{nonsense\n", "upstream_broken"],
    ["no object", "[1]\n", "upstream_broken"],
    ["the server's own", '{"error":"the runner died: key sk-12345678901"}\n', "upstream_broken"],
  ])("inside a stream ends it: %s", (_name, text, kind) => {
    const events = decodeStream(ollama, [encoder.encode(text + (STREAMS["chat"] ?? ""))]);
    expect(events).toMatchObject([{ type: "problem", problem: { kind } }]);
    expect(JSON.stringify(events)).not.toContain("sk-12345678901");
    const meter = ollama.usageFrames({ withholdUsage: false });
    expect(meter.frame(Buffer.from(text))).toBe("problem");
    expect(meter.problem()).toMatchObject({ kind });
  });

  it("of a response is read and written in the language's own shape", () => {
    const body = { error: 'model "x" not found, try pulling it first' };
    const problem = ollama.decodeProblem({ status: 404, headers: {}, body, text: "", provider: "p" });
    expect(problem).toMatchObject({ kind: "upstream_rejected", status: 404 });
    expect(ollama.encodeProblem(problem, "call_1")).toEqual({ status: 404, body });
    const own = ollama.encodeProblem({ kind: "rate_limited", message: "Slowly." }, "call_1");
    expect(own).toMatchObject({ status: 429, body: { error: expect.stringMatching(/^Slowly\. /) as string, gimbal_call_id: "call_1" } });
    expect(ollama.decodeProblem({ status: 401, headers: {}, body, text: "", provider: "p" }).fault).toBe("credentials");
  });
});

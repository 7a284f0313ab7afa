import { describe, expect, it } from "vitest";
import {
  problemFrom,
  PROBLEM_KINDS,
  ProblemError,
  type DoorContext,
  type Item,
  type Json,
  type JsonObject,
  type Problem,
  type ProblemKind,
} from "../../../src/canon/index.ts";
import dialect from "../../../src/dialects/openai-responses/index.ts";

const door: DoorContext = { operation: "generate", headers: {}, params: {} };
const ask = (input: Json, more: JsonObject = {}): JsonObject => ({ model: "m", input, ...more });
const part = (raw: JsonObject): JsonObject => ask([{ role: "user", content: [raw] }]);

function problemOf(run: () => unknown): Problem {
  try {
    run();
  } catch (error) {
    if (error instanceof ProblemError) return problemFrom(error);
    throw error;
  }
  return expect.fail("nothing was refused");
}

describe("a request that is wrong", () => {
  it.each<[string, JsonObject, string]>([
    ["no model", { input: "hi" }, "model"],
    ["an empty model", { model: "", input: "hi" }, "model"],
    ["a model that is a number", { model: 3, input: "hi" }, "model"],
    ["a stream that is a word", ask("hi", { stream: "yes" }), "stream"],
    ["input of the wrong type", ask(7), "input"],
    ["a background that is a word", ask("hi", { background: "yes" }), "background"],
  ])("%s is refused by the outline", (_name, body, param) => {
    expect(problemOf(() => dialect.outline(body, door))).toMatchObject({ kind: "invalid_request", param });
  });

  it.each<[string, JsonObject, string]>([
    ["an item that is a word", ask(["hi"]), "input[0]"],
    ["an item without a type", ask([{ id: "x", text: "hi" }]), "input[0].type"],
    ["a role nobody has", ask([{ role: "robot", content: "hi" }]), "input[0].role"],
    ["a message without content", ask([{ role: "user" }]), "input[0].content"],
    ["content of the wrong type", ask([{ role: "user", content: 3 }]), "input[0].content"],
    ["a part that is a word", ask([{ role: "user", content: ["hi"] }]), "input[0].content[0]"],
    ["a part without a type", part({ text: "hi" }), "input[0].content[0].type"],
    ["a text that is a number", part({ type: "input_text", text: 3 }), "input[0].content[0].text"],
    ["an image without a place", part({ type: "input_image" }), "input[0].content[0].image_url"],
    ["an image in a file of this machine", part({ type: "input_image", image_url: "file:///etc/passwd" }), "input[0].content[0].image_url"],
    ["an image without base64", part({ type: "input_image", image_url: "data:image/png;base64,%%%" }), "input[0].content[0].image_url"],
    ["a broken web address", part({ type: "input_image", image_url: "http://" }), "input[0].content[0].image_url"],
    ["a file from a strange place", part({ type: "input_file", file_url: "ftp://x/y" }), "input[0].content[0].file_url"],
    ["a file of bad base64", part({ type: "input_file", filename: "a.pdf", file_data: "not base64!" }), "input[0].content[0].file_data"],
    ["a file from nowhere", part({ type: "input_file", filename: "a.pdf" }), "input[0].content[0].file_id"],
    ["sound without data", part({ type: "input_audio", input_audio: {} }), "input[0].content[0].input_audio.data"],
    ["a call without its id", ask([{ type: "function_call", name: "f", arguments: "{}" }]), "input[0].call_id"],
    ["a call with parsed arguments", ask([{ type: "function_call", call_id: "c", name: "f", arguments: {} }]), "input[0].arguments"],
    ["a result without output", ask([{ type: "function_call_output", call_id: "c" }]), "input[0].output"],
    [
      "an image in a result that is bad",
      ask([{ type: "function_call_output", call_id: "c", output: [{ type: "input_image", image_url: "x" }] }]),
      "input[0].output[0].image_url",
    ],
    ["reasoning with a text for a summary", ask([{ type: "reasoning", summary: "x" }]), "input[0].summary"],
    ["tools that are no list", ask("hi", { tools: {} }), "tools"],
    ["a tool without a type", ask("hi", { tools: [{ name: "f" }] }), "tools[0].type"],
    ["a function without a name", ask("hi", { tools: [{ type: "function" }] }), "tools[0].name"],
    ["parameters that are a word", ask("hi", { tools: [{ type: "function", name: "f", parameters: "x" }] }), "tools[0].parameters"],
    [
      "a nameless tool in a namespace",
      ask("hi", { tools: [{ type: "namespace", name: "n", tools: [{ type: "function" }] }] }),
      "tools[0].tools[0].name",
    ],
    ["a choice that is no choice", ask("hi", { tool_choice: "maybe" }), "tool_choice"],
    ["a choice of nothing", ask("hi", { tool_choice: { type: "function" } }), "tool_choice.name"],
    ["a cap of nothing", ask("hi", { max_output_tokens: 0 }), "max_output_tokens"],
    ["a temperature in words", ask("hi", { temperature: "hot" }), "temperature"],
    ["metadata that is nested", ask("hi", { metadata: { a: { b: "c" } } }), "metadata.a"],
    ["a format without a schema", ask("hi", { text: { format: { type: "json_schema", name: "n" } } }), "text.format.schema"],
    ["an effort that is a number", ask("hi", { reasoning: { effort: 3 } }), "reasoning.effort"],
    ["instructions that are a number", ask("hi", { instructions: 3 }), "instructions"],
  ])("%s is refused, and said where", (_name, body, param) => {
    expect(problemOf(() => dialect.decodeCall(body, door))).toMatchObject({ kind: "invalid_request", param });
  });

  it("does not fall over names of JavaScript's own", () => {
    const decoder = dialect.decodeEvents(() => {}, {});
    for (const type of ["constructor", "__proto__", "toString"]) decoder.frame({ data: JSON.stringify({ type }) });
    const meter = dialect.usageFrames({ withholdUsage: false });
    expect(meter.frame(Buffer.from('data: {"type":"constructor"}\n\n'))).toBe("quiet");
  });
});

describe("an outline", () => {
  it("tells what the pipeline must know", () => {
    expect(dialect.outline(ask("hi"), door)).toEqual({ model: "m", stream: false, keep: true, background: false });
    const body = ask("hi", { stream: true, store: false, background: true, max_output_tokens: 9, previous_response_id: "resp_1" });
    expect(dialect.outline(body, door)).toEqual({
      model: "m",
      stream: true,
      keep: false,
      background: true,
      maxOutputTokens: 9,
      previousId: "resp_1",
    });
    expect(dialect.outline(ask("hi", { generate: false }), door)).toMatchObject({ warmUp: true, slow: expect.any(String) as string });
    expect(dialect.outline(ask([{ type: "item_reference", id: "msg_1" }]), door).slow).toBeDefined();
    expect(dialect.outline(body, { ...door, operation: "compact" })).toMatchObject({ stream: false, keep: false, background: false });
  });

  it("forwards everything but what the provider refuses and the gateway does itself", () => {
    const forwarded = dialect.forwardCall(ask("hi", { user: "u", reasoning: {}, background: false }), door, {
      provider: "p",
      model: "m",
      capabilities: { refuses: ["user", "absent"], reasoning: false },
    });
    expect(forwarded).toEqual({
      path: "/responses",
      headers: {},
      replace: { user: undefined, reasoning: undefined, background: undefined },
    });
    expect(Object.keys(forwarded.replace)).toEqual(["user", "reasoning", "background"]);
  });

  it("finds the key", () => {
    expect(dialect.credentials({ authorization: "Bearer gk_1" })).toBe("gk_1");
    expect(dialect.credentials({ authorization: "Basic x" })).toBeUndefined();
    expect(dialect.credentials({})).toBeUndefined();
  });
});

describe("an upstream's error", () => {
  const decode = (status: number, body?: Json, headers: Record<string, string> = {}, text = ""): Problem =>
    dialect.decodeProblem({ status, headers, body, text, provider: "p" });

  it.each<[number, ProblemKind]>([
    [400, "upstream_rejected"],
    [404, "upstream_rejected"],
    [422, "upstream_rejected"],
    [401, "upstream_rejected"],
    [403, "upstream_rejected"],
    [408, "upstream_timeout"],
    [504, "upstream_timeout"],
    [429, "rate_limited"],
    [500, "upstream_unavailable"],
    [502, "upstream_unavailable"],
    [503, "upstream_unavailable"],
    [529, "upstream_unavailable"],
    [302, "upstream_broken"],
  ])("%i is %s", (status, kind) => {
    expect(decode(status, { error: { message: "m", type: "t", code: "c", param: "q" } }).kind).toBe(kind);
  });

  it("never shows the gateway's own key", () => {
    const problem = decode(401, { error: { message: "Incorrect API key provided: sk-abcd" } });
    expect(JSON.stringify(problem)).not.toContain("sk-");
    expect(dialect.encodeProblem(problem, "call_1").status).toBe(502);
  });

  it("says how long to wait", () => {
    expect(decode(429, {}, { "retry-after": "2" }).retryAfterMs).toBe(2000);
    expect(decode(429, {}, { "retry-after": "2", "retry-after-ms": "150" }).retryAfterMs).toBe(150);
    expect(decode(429, {}, { "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" }).retryAfterMs).toBeUndefined();
  });

  it.each<[string, Json | undefined, string, string]>([
    [
      "a page",
      undefined,
      "<html><head><title>502 Bad\nGateway</title></head></html>",
      '"p" answered with status 502 and no JSON: 502 Bad Gateway.',
    ],
    ["a page without a title", undefined, "<html></html>", '"p" answered with status 502 and no JSON.'],
    ["a bare word", { error: "model is sleeping" }, "", "model is sleeping"],
    ["a detail", { detail: "no such route" }, "", "no such route"],
    ["nothing", {}, "", '"p" answered with status 502.'],
  ])("in the form of %s becomes a clean sentence", (_name, body, text, message) => {
    expect(decode(502, body, {}, text).message).toBe(message);
  });

  it("inside a stream is mapped by its code", () => {
    const tell = (event: JsonObject): unknown => {
      const kinds: string[] = [];
      const decoder = dialect.decodeEvents((told) => told.type === "problem" && kinds.push(told.problem.kind), { provider: "p" });
      decoder.frame({ data: JSON.stringify(event) });
      decoder.end();
      return kinds;
    };
    expect(tell({ type: "error", error: { code: "rate_limit_exceeded", message: "m" } })).toEqual(["rate_limited"]);
    expect(tell({ type: "error", code: "server_is_overloaded", message: "m" })).toEqual(["upstream_unavailable"]);
    expect(tell({ type: "response.failed", response: { error: { code: "context_length_exceeded", message: "m" } } })).toEqual([
      "upstream_rejected",
    ]);
    expect(tell({ type: "error" })).toEqual(["upstream_broken"]);
    expect(tell({ error: { message: "overloaded", code: "503" } })).toEqual(["upstream_unavailable"]);
  });

  it("in a whole answer that failed is thrown", () => {
    const failed = { id: "resp_1", object: "response", status: "failed", output: [], error: { code: "server_error", message: "m" } };
    expect(problemOf(() => dialect.decodeAnswer(failed, { provider: "p", operation: "generate" })).kind).toBe("upstream_unavailable");
    expect(problemOf(() => dialect.decodeAnswer([], { operation: "generate" })).kind).toBe("upstream_broken");
    expect(problemOf(() => dialect.decodeAnswer({ id: "x" }, { operation: "generate" })).kind).toBe("upstream_broken");
  });
});

describe("a problem for the client", () => {
  it.each(Object.keys(PROBLEM_KINDS) as ProblemKind[])("%s has its native form, what to do, and the call's id", (kind) => {
    const { status, body } = dialect.encodeProblem({ kind, message: "It is so." }, "call_1");
    expect(status).toBe(PROBLEM_KINDS[kind].status);
    const { error } = body as { error: Record<string, unknown> };
    expect(error["message"]).toContain(PROBLEM_KINDS[kind].remedy);
    expect(error["gimbal_call_id"]).toBe("call_1");
    expect(error["type"]).toMatch(/^[a-z_]+$/);
    expect(error).toHaveProperty("param", null);
    const frames: [string | undefined, JsonObject][] = [];
    dialect.encodeProblemFrames({ kind, message: "It is so." }, "call_1", (event, data) =>
      frames.push([event, JSON.parse(data) as JsonObject]),
    );
    expect(frames.map(([event]) => event)).toEqual(["error", "response.failed"]);
    for (const [event, data] of frames) expect(data["type"]).toBe(event);
    expect(JSON.parse(dialect.socket?.problem({ kind, message: "It is so." }, "call_1") ?? "{}")).toMatchObject({
      type: "error",
      status,
      error,
    });
  });

  it("names an unknown earlier turn as clients expect it", () => {
    const problem: Problem = { kind: "not_found", code: "turn_not_found", message: 'The earlier turn "resp_x" is unknown here.' };
    expect(dialect.encodeProblem(problem, "c")).toMatchObject({ status: 404, body: { error: { code: "previous_response_not_found" } } });
  });
});

describe("a WebSocket's messages", () => {
  const read = (message: Json): unknown => dialect.socket?.read(JSON.stringify(message));

  it("are requests, beside their type or below `response`", () => {
    const call = { type: "call", body: { model: "m", input: "hi", stream: true } };
    expect(read({ type: "response.create", model: "m", input: "hi" })).toEqual(call);
    expect(read({ type: "response.create", response: { model: "m", input: "hi" } })).toEqual(call);
    expect(read({ type: "response.create", event_id: "e", stream: null, model: "m", input: "hi", generate: false })).toEqual({
      type: "call",
      body: { ...call.body, generate: false },
    });
    expect(read({ type: "response.cancel", response_id: "resp_1" })).toEqual({ type: "cancel", id: "resp_1" });
    expect(read({ type: "response.cancel" })).toEqual({ type: "cancel" });
  });

  it.each<[string, string, ProblemKind]>([
    ["no JSON", "hello", "invalid_request"],
    ["a list", "[]", "invalid_request"],
    ["an unknown type", '{"type":"response.sing"}', "invalid_request"],
    ["a background call", '{"type":"response.create","model":"m","background":true}', "invalid_request"],
    ["a second lane", '{"type":"response.create","model":"m","stream_id":"a"}', "unsupported"],
    ["steering", '{"type":"response.steer","previous_response_id":"r","input":"x"}', "unsupported"],
  ])("%s is refused", (_name, text, kind) => {
    expect(problemOf(() => dialect.socket?.read(text)).kind).toBe(kind);
  });
});

describe("kept answers", () => {
  const call = dialect.decodeCall(ask("hi"), door);
  const items: Item[] = [
    ...call.items,
    { type: "message", role: "assistant", parts: [{ type: "text", text: "hello" }], origin: { dialect: "elsewhere" } },
    { type: "unknown", kind: "their_item", role: "assistant", raw: {}, origin: { dialect: "elsewhere" } },
    ...dialect.decodeCall(ask([{ id: "msg_9", role: "user", content: [{ type: "input_text", text: "more" }] }]), door).items,
  ];

  it("are listed in pages", () => {
    const first = { type: "message", id: "msg_input0", status: "completed", role: "user", content: [{ type: "input_text", text: "hi" }] };
    const last = { type: "message", id: "msg_9", status: "completed", role: "user", content: [{ type: "input_text", text: "more" }] };
    expect(dialect.encodeItems?.(items, {})).toMatchObject({
      object: "list",
      data: [last, { id: "msg_input1", role: "assistant" }, first],
      first_id: "msg_9",
      last_id: "msg_input0",
      has_more: false,
    });
    expect(dialect.encodeItems?.(items, { order: "asc", limit: "1" })).toMatchObject({ data: [first], has_more: true });
    expect(dialect.encodeItems?.(items, { after: "msg_9", limit: "1" })).toMatchObject({ first_id: "msg_input1", has_more: true });
    for (const params of [{ limit: "0" }, { limit: "x" }, { order: "up" }, { after: "nobody" }])
      expect(problemOf(() => dialect.encodeItems?.(items, params as Record<string, string>)).kind).toBe("invalid_request");
  });

  it("are told of before they are there, and when they never come", () => {
    const context = { call, createdAt: 9, id: dialect.newAnswerId?.("abc") ?? "" };
    expect(dialect.encodePending?.("queued", context)).toMatchObject({
      id: "resp_abc",
      object: "response",
      status: "queued",
      created_at: 9,
      output: [],
      error: null,
      usage: null,
    });
    expect(dialect.encodePending?.("failed", context, { kind: "upstream_timeout", message: "slow" })).toMatchObject({
      status: "failed",
      error: { code: "timeout" },
    });
    expect(dialect.encodePending?.("cancelled", context, { kind: "cancelled", message: "x" })).toMatchObject({
      status: "cancelled",
      error: null,
    });
    expect(dialect.encodeDeleted?.("resp_abc")).toEqual({ id: "resp_abc", object: "response", deleted: true });
  });
});

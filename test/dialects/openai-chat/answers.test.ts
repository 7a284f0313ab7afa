import { ChatCompletionStream } from "openai/lib/ChatCompletionStream";
import { describe, expect, it } from "vitest";
import {
  AnswerFold,
  NO_USAGE,
  PROBLEM_KINDS,
  ProblemError,
  unfold,
  type Answer,
  type AnswerContext,
  type Call,
  type Event,
  type Item,
  type Json,
  type JsonObject,
  type Problem,
  type ProblemKind,
  type ToolSpec,
} from "../../../src/canon/index.ts";
import { nanodollars, decodeUsage } from "../../../src/dialects/openai-chat/usage.ts";
import chat from "../../../src/dialects/openai-chat/index.ts";

const FOREIGN = { dialect: "elsewhere" };

function callWith(patch: JsonObject = {}, tools: readonly ToolSpec[] = []): Call {
  return {
    ...chat.decodeCall({ model: "m", messages: [], stream: true, ...patch }, { operation: "generate", headers: {}, params: {} }),
    tools,
  };
}

function encodeAll(events: Iterable<Event>, context: AnswerContext): string[] {
  const frames: string[] = [];
  const encoder = chat.encodeEvents((event, data) => {
    expect(event).toBeUndefined();
    frames.push(data);
  }, context);
  for (const event of events) encoder.event(event);
  return frames;
}

async function official(
  frames: readonly string[],
): Promise<{ choices: { message: JsonObject; finish_reason: string }[]; usage?: Json; id: string }> {
  const lines = frames.filter((frame) => frame !== "[DONE]").map((frame) => `${frame}\n`);
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const line of lines) controller.enqueue(new TextEncoder().encode(line));
      controller.close();
    },
  });
  return JSON.parse(JSON.stringify(await ChatCompletionStream.fromReadableStream(body).finalChatCompletion())) as Awaited<
    ReturnType<typeof official>
  >;
}

function decodeFrames(frames: readonly string[]): { events: Event[]; fold: AnswerFold } {
  const events: Event[] = [];
  const fold = new AnswerFold({ dialect: chat.id });
  const decoder = chat.decodeEvents((event) => {
    events.push(event);
    fold.event(event);
  }, {});
  for (const data of frames) decoder.frame({ data });
  decoder.end();
  return { events, fold };
}

function chunk(delta: JsonObject, more: JsonObject = {}, top: JsonObject = {}): string {
  return JSON.stringify({
    id: "c",
    object: "chat.completion.chunk",
    created: 1,
    model: "m",
    choices: [{ index: 0, delta, finish_reason: null, ...more }],
    ...top,
  });
}
const FINISH = chunk({}, { finish_reason: "stop" });

const foreignAnswer: Answer = {
  id: "msg_1",
  model: "other",
  createdAt: 0,
  stop: "tool_calls",
  usage: { ...NO_USAGE, inputUncached: 10, cacheRead: 5, cacheWrite5m: 2, output: 7, reasoning: 3 },
  origin: FOREIGN,
  native: { type: "message", usage: { odd: 1 } },
  items: [
    { type: "reasoning", parts: [{ kind: "text", text: "hm" }], signature: "secret", origin: FOREIGN },
    {
      type: "message",
      role: "assistant",
      parts: [
        { type: "text", text: "Hé\n", annotations: [{ type: "url_citation", url: "https://x", title: "X" }, { type: "char_location" }] },
      ],
      origin: FOREIGN,
    },
    { type: "tool_call", callId: "t1", name: "f", kind: "function", input: '{"a":1}', origin: FOREIGN },
    { type: "tool_call", callId: "t2", name: "patch", kind: "function", input: '{"input":"*** \\"x\\""}', origin: FOREIGN },
  ],
};
const withPatch = callWith({ stream_options: { include_usage: true } }, [
  { type: "custom", name: "patch" },
  { type: "function", name: "f" },
]);

describe("answers of other languages", () => {
  const message = {
    content: "Hé\n",
    reasoning_content: "hm",
    annotations: [{ type: "url_citation", url_citation: { url: "https://x", title: "X", start_index: 0, end_index: 0 } }],
    tool_calls: [
      { id: "t1", type: "function", function: { name: "f", arguments: '{"a":1}' } },
      { id: "t2", type: "custom", custom: { name: "patch", input: '*** "x"' } },
    ],
  };
  const usage = {
    prompt_tokens: 17,
    completion_tokens: 7,
    total_tokens: 24,
    prompt_tokens_details: { cached_tokens: 5, cache_write_tokens: 2 },
    completion_tokens_details: { reasoning_tokens: 3 },
  };

  it("become one plain message", () => {
    const json = chat.encodeAnswer(foreignAnswer, { call: withPatch, createdAt: 99, id: "promised" });
    expect(json).toMatchObject({
      id: "promised",
      object: "chat.completion",
      created: 99,
      model: "other",
      choices: [{ index: 0, message: { role: "assistant", refusal: null, ...message }, finish_reason: "tool_calls" }],
      usage,
    });
    expect(JSON.stringify(json)).not.toContain("secret");
    expect(chat.decodeAnswer(json, { operation: "generate" }).usage).toEqual(foreignAnswer.usage);
  });

  it("stream to the same message in the official client, with usage only for those who ask", async () => {
    const frames = encodeAll(unfold(foreignAnswer), { call: withPatch, createdAt: 99 });
    expect(frames.at(-1)).toBe("[DONE]");
    const whole = await official(frames);
    expect(whole).toMatchObject({
      id: "msg_1",
      choices: [{ finish_reason: "tool_calls", message: { role: "assistant", ...message } }],
      usage,
    });
    const silent = encodeAll(unfold(foreignAnswer), { call: callWith(), createdAt: 99 });
    expect(silent.join("")).not.toContain('"usage"');
  });

  it("stream a refusal, and end each stop in the language's own word", async () => {
    const refused: Answer = {
      ...foreignAnswer,
      stop: "refusal",
      items: [{ type: "message", role: "assistant", parts: [{ type: "refusal", text: "No." }], origin: FOREIGN }],
    };
    const whole = await official(encodeAll(unfold(refused), { call: callWith(), createdAt: 1 }));
    expect(whole.choices[0]).toMatchObject({ finish_reason: "stop", message: { refusal: "No." } });
    expect(chat.decodeAnswer(chat.encodeAnswer(refused, { call: callWith(), createdAt: 1 }), { operation: "generate" })).toMatchObject({
      stop: "refusal",
      items: refused.items.map(({ origin: _origin, ...item }) => item),
    });
    const finishes = { end: "stop", max_tokens: "length", content_filter: "content_filter", pause: "stop", unknown: "stop" } as const;
    for (const [stop, finish] of Object.entries(finishes)) {
      const json = chat.encodeAnswer({ ...foreignAnswer, items: [], stop: stop as Answer["stop"] }, { call: callWith(), createdAt: 1 });
      expect(json).toMatchObject({ choices: [{ finish_reason: finish }] });
    }
  });

  it("interleaved calls keep their own arguments", async () => {
    const item = (callId: string): Item => ({ type: "tool_call", callId, name: callId, kind: "function", input: "" });
    const events: Event[] = [
      { type: "start", id: "a", model: "m", createdAt: 0 },
      { type: "item_start", index: 0, item: item("x") },
      { type: "item_start", index: 1, item: item("y") },
      { type: "input", index: 1, text: '{"y":' },
      { type: "input", index: 0, text: '{"x":' },
      { type: "input", index: 1, text: "1}" },
      { type: "input", index: 0, text: "2}" },
      { type: "item_end", index: 1, item: { ...item("y"), input: '{"y":1}' } as Item },
      // More than the deltas told: the rest follows.
      { type: "item_end", index: 0, item: { ...item("x"), input: '{"x":2} ' } as Item },
      { type: "done", stop: "tool_calls" },
    ];
    const whole = await official(encodeAll(events, { call: callWith(), createdAt: 1 }));
    expect(whole.choices[0]?.message["tool_calls"]).toMatchObject([
      { id: "x", function: { arguments: '{"x":2} ' } },
      { id: "y", function: { arguments: '{"y":1}' } },
    ]);
  });
});

describe("streams of the language itself", () => {
  it("parallel calls by index, a call named late, and calls that share the index 0", () => {
    const call = (index: number, id: string | undefined, fn: JsonObject): JsonObject => ({
      tool_calls: [{ index, ...(id !== undefined && { id, type: "function" }), function: fn }],
    });
    const parallel = decodeFrames([
      chunk(call(0, "a", { name: "f", arguments: "" })),
      chunk(call(1, "b", { arguments: '{"b"' })),
      chunk(call(0, undefined, { arguments: "{}" })),
      chunk(call(1, undefined, { name: "g", arguments: ":1}" })),
      FINISH,
      "[DONE]",
    ]);
    expect(parallel.fold.answer()).toMatchObject({
      stop: "tool_calls",
      items: [
        { callId: "a", name: "f", input: "{}" },
        { callId: "b", name: "g", input: '{"b":1}' },
      ],
    });
    const shared = decodeFrames([
      chunk(call(0, "a", { name: "f", arguments: "{}" })),
      chunk(call(0, "b", { name: "g", arguments: "[]" })),
      FINISH,
      "[DONE]",
    ]);
    expect(shared.fold.items()).toMatchObject([
      { callId: "a", input: "{}" },
      { callId: "b", input: "[]" },
    ]);
  });

  it("custom calls, legacy calls, refusals, probabilities, sound", () => {
    const { fold, events } = decodeFrames([
      chunk({ content: "a" }, { logprobs: { content: [{ token: "a", logprob: -1 }], refusal: null } }),
      chunk({ refusal: "no" }),
      chunk({ audio: { id: "s", data: "AA" } }),
      chunk({ audio: { data: "BB", transcript: "hey" } }),
      chunk({ tool_calls: [{ index: 0, id: "c", type: "custom", custom: { name: "p", input: "x" } }] }),
      chunk({ tool_calls: [{ index: 0, custom: { input: "y" } }] }),
      FINISH,
      "[DONE]",
    ]);
    expect(fold.items()).toMatchObject([
      {
        type: "message",
        parts: [
          { type: "text", text: "a", logprobs: [{ token: "a" }] },
          { type: "refusal", text: "no" },
          { type: "audio", source: { data: "AABB" }, transcript: "hey" },
        ],
      },
      { type: "tool_call", kind: "custom", name: "p", input: "xy" },
    ]);
    expect(events.filter((event) => event.type === "native")).toHaveLength(2);
    const legacy = decodeFrames([
      chunk({ function_call: { name: "f", arguments: "" } }),
      chunk({ function_call: { arguments: "{}" } }),
      FINISH,
      "[DONE]",
    ]);
    expect(legacy.fold.answer()).toMatchObject({ stop: "tool_calls", items: [{ type: "tool_call", name: "f", input: "{}" }] });
    expect(chat.encodeAnswer(legacy.fold.answer(), { call: callWith(), createdAt: 1 })).toMatchObject({
      choices: [{ message: { function_call: { name: "f", arguments: "{}" } } }],
    });
  });

  it("further choices and unknown frames reach a client of the same language", () => {
    const second = { index: 1, delta: { content: "two" }, finish_reason: null };
    const frames = [
      chunk({ content: "one" }, {}, { citations: ["u"] }),
      JSON.stringify({ id: "c", choices: [second] }),
      '{"kind":"odd"}',
      FINISH,
      "[DONE]",
    ];
    const { events } = decodeFrames(frames);
    const encoded = encodeAll(events, { call: callWith(), createdAt: 1 }).join("\n");
    expect(encoded).toContain(JSON.stringify(second));
    expect(encoded).toContain('"kind":"odd"');
    expect(encoded.match(/"citations"/g)?.length).toBe(2);
  });

  it("a plain answer with further choices keeps them, plain and streamed", () => {
    const choice = (index: number, content: string): JsonObject => ({
      index,
      message: { role: "assistant", content },
      finish_reason: "stop",
      logprobs: null,
    });
    const json = {
      id: "a",
      object: "chat.completion",
      created: 1,
      model: "m",
      choices: [choice(0, "x"), choice(1, "y")],
      usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 },
    };
    const answer = chat.decodeAnswer(json, { operation: "generate" });
    expect(chat.encodeAnswer(answer, { call: callWith(), createdAt: 1 })).toEqual(json);
    const streamed = encodeAll(unfold(answer), { call: callWith({ n: 2 }), createdAt: 1 });
    expect(streamed.find((frame) => frame.includes('"y"'))).toContain('"index":1');
  });

  it.each([
    [["{broken"], "upstream_broken"],
    [["[1]"], "upstream_broken"],
    [[chunk({ content: "a" })], "upstream_broken"],
    [[chunk({ content: "a" }), FINISH], "upstream_broken"],
    [["[DONE]"], "upstream_broken"],
    [[chunk({ content: "a" }), chunk({}, { finish_reason: "error" }), "[DONE]"], "upstream_broken"],
    [[chunk({ content: "a" }), '{"error":{"message":"slow down","code":"rate_limit_exceeded"}}', "[DONE]"], "rate_limited"],
    [['{"error":{"message":"busy","code":503}}'], "upstream_unavailable"],
    [['{"error":{"message":"bad","type":"invalid_request_error"}}'], "upstream_rejected"],
    [['{"error":"odd"}'], "upstream_broken"],
  ] as const)("%j ends in one problem", (frames, kind) => {
    const { events } = decodeFrames(frames);
    const ends = events.filter((event) => event.type === "problem" || event.type === "done");
    expect(ends).toMatchObject([{ type: "problem", problem: { kind } }]);
  });
});

describe("the meter", () => {
  const meter = (frames: readonly string[], withholdUsage = false): { roles: string[]; meter: ReturnType<typeof chat.usageFrames> } => {
    const made = chat.usageFrames({ withholdUsage });
    return {
      roles: frames.map((frame) =>
        made.frame(Buffer.from(frame.startsWith(":") || frame.startsWith("event") ? frame : `data: ${frame}\n\n`)),
      ),
      meter: made,
    };
  };
  const usageOnly = JSON.stringify({ id: "c", choices: [], usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 } });

  it("withholds only the frame that holds nothing but usage", () => {
    const last = chunk({}, { finish_reason: "stop" }, { usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 } });
    expect(
      meter([": wait\n\n", chunk({ role: "assistant", content: "" }), chunk({ content: "a" }), FINISH, usageOnly, "[DONE]"], true).roles,
    ).toEqual(["quiet", "quiet", "output", "quiet", "withhold", "done"]);
    expect(meter([chunk({ content: "a" }), last, "[DONE]"], true).roles).toEqual(["output", "quiet", "done"]);
    expect(meter([chunk({ content: "a" }), FINISH, usageOnly, "[DONE]"]).roles[2]).toBe("quiet");
  });

  it("is not deceived by what the model says", () => {
    const said = 'x","usage":{"prompt_tokens":9},"error":{"message":"no"},"finish_reason":"length"';
    const { roles, meter: made } = meter([
      chunk({ content: "plain" }),
      chunk({ content: said }),
      chunk({ content: "plain \\" }),
      FINISH,
      "[DONE]",
    ]);
    expect(roles).toEqual(["output", "output", "output", "quiet", "done"]);
    expect(made.usage()).toBeUndefined();
    expect(made.stop()).toBe("end");
    expect(made.problem()).toBeUndefined();
  });

  it("counts characters, not bytes, also of frames known by their shape", () => {
    const frames = Array.from({ length: 5 }, (_, at) => chunk({ content: "é".repeat(at + 1) }));
    expect(meter(frames).meter.outputCharacters()).toBe(15);
  });

  it("takes frames as plain bytes, as they come when a frame spans two chunks", () => {
    const made = chat.usageFrames({ withholdUsage: false });
    const roles = [chunk({ content: "a" }), chunk({ content: "b" }), FINISH, "[DONE]"].map((frame) =>
      made.frame(new TextEncoder().encode(`data: ${frame}\n\n`) as Buffer),
    );
    expect(roles).toEqual(["output", "output", "quiet", "done"]);
  });

  it("sees errors, named or not", () => {
    expect(meter([chunk({ content: "a" }), '{"error":{"message":"x","code":429}}']).roles).toEqual(["output", "problem"]);
    const named = meter(['event: error\ndata: {"message":"x","type":"server_error"}\n\n']);
    expect(named.roles).toEqual(["problem"]);
    expect(named.meter.problem()?.kind).toBe("upstream_unavailable");
    expect(meter(["[DONE]"]).roles).toEqual(["problem"]);
  });
});

describe("usage", () => {
  it("is disjoint, whatever the vendor counts", () => {
    const of = (usage: JsonObject): unknown => decodeUsage(usage, undefined);
    expect(
      of({
        prompt_tokens: 100,
        completion_tokens: 20,
        total_tokens: 120,
        prompt_tokens_details: { cached_tokens: 60, cache_write_tokens: 30, audio_tokens: 4 },
        completion_tokens_details: { reasoning_tokens: 8, audio_tokens: 2 },
      }),
    ).toEqual({
      inputUncached: 10,
      cacheRead: 60,
      cacheWrite5m: 30,
      cacheWrite1h: 0,
      output: 20,
      reasoning: 8,
      media: { audio_input_tokens: 4, audio_output_tokens: 2 },
    });
    expect(
      of({ prompt_tokens: 12, completion_tokens: 1, total_tokens: 241, completion_tokens_details: { reasoning_tokens: 228 } }),
    ).toMatchObject({ inputUncached: 12, output: 229, reasoning: 228 });
    expect(of({ prompt_tokens: 35, completion_tokens: 12, total_tokens: 109 })).toMatchObject({ output: 74, reasoning: 62 });
    expect(of({ prompt_tokens: 10, completion_tokens: 1, prompt_cache_hit_tokens: 4, prompt_cache_miss_tokens: 6 })).toMatchObject({
      inputUncached: 6,
      cacheRead: 4,
    });
    expect(of({ prompt_tokens: null, completion_tokens: null })).toEqual(NO_USAGE);
  });

  it.each([
    ["0.0076509169000000005", 0, 7_650_917],
    ["0.0145476", 0, 14_547_600],
    ["1e-7", 0, 100],
    ["4.5e-10", 0, 0],
    ["5e-10", 0, 1],
    ["12", 0, 12_000_000_000],
    ["1330505", 10, 133_051],
    ["-1", 0, undefined],
    ["NaN", 0, undefined],
    ["1e300", 0, undefined],
  ])("%s dollars below 10^-%d is %s nanodollars", (text, decimals, expected) => {
    expect(nanodollars(text, decimals)).toBe(expected);
  });
});

describe("problems", () => {
  const upstream = (status: number, body?: Json, headers = {}): Problem =>
    chat.decodeProblem({ status, headers, body, text: body === undefined ? "<html>Bad</html>" : "", provider: "lab" });

  it.each([
    [400, "upstream_rejected", 400],
    [404, "upstream_rejected", 404],
    [413, "upstream_rejected", 413],
    [422, "upstream_rejected", 422],
    [402, "upstream_rejected", 502],
    [401, "upstream_rejected", 502],
    [403, "upstream_rejected", 502],
    [408, "upstream_timeout", undefined],
    [504, "upstream_timeout", undefined],
    [429, "rate_limited", undefined],
    [500, "upstream_unavailable", undefined],
    [502, "upstream_unavailable", undefined],
    [503, "upstream_unavailable", undefined],
    [529, "upstream_unavailable", undefined],
  ] as const)("%d is %s", (status, kind, told) => {
    const problem = upstream(status);
    expect(problem.kind).toBe(kind);
    expect(problem.status).toBe(told);
    expect(problem.upstream).toMatchObject({ status, dialect: "openai-chat", provider: "lab" });
    expect(problem.message).not.toContain("<");
  });

  it("never repeats a key", () => {
    const key = "sk-proj-abcdefghijklmnop1234";
    const refused = upstream(401, { error: { message: `Incorrect API key provided: ${key}` } });
    const rejected = upstream(400, { error: { message: `bad ${key}`, param: "x", code: 7 } });
    expect(JSON.stringify([refused, rejected, chat.encodeProblem(refused, "c"), chat.encodeProblem(rejected, "c")])).not.toContain(key);
    expect(rejected).toMatchObject({ param: "x", code: "7" });
  });

  it("reads how long to wait, and bounds what a vendor says", () => {
    expect(upstream(429, {}, { "retry-after-ms": "1500.2" }).retryAfterMs).toBe(1501);
    expect(upstream(429, {}, { "retry-after": "3" }).retryAfterMs).toBe(3000);
    expect(upstream(429, {}, { "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" }).retryAfterMs).toBeUndefined();
    expect(upstream(400, { error: { message: "x".repeat(50_000) } }).message.length).toBeLessThan(1200);
    expect(upstream(400, { detail: [{ loc: ["body"], msg: "field required" }] }).message).toContain("field required");
  });

  it("are written in the language's own shape, each with what to do and the call's id", () => {
    for (const kind of Object.keys(PROBLEM_KINDS) as ProblemKind[]) {
      const { status, body } = chat.encodeProblem({ kind, message: "It failed.", param: "a.b" }, "call_1");
      expect(status).toBe(PROBLEM_KINDS[kind].status);
      expect(body).toMatchObject({
        error: {
          message: `It failed. ${PROBLEM_KINDS[kind].remedy}`,
          param: "a.b",
          gimbal_call_id: "call_1",
          type: expect.any(String) as string,
        },
      });
    }
  });

  it("inside a good answer are thrown as what they are", () => {
    const thrown = (body: Json): Problem | undefined => {
      try {
        chat.decodeAnswer(body, { operation: "generate" });
      } catch (error) {
        return error instanceof ProblemError ? error.problem : undefined;
      }
      return undefined;
    };
    expect(thrown({ error: { code: 429, message: "x" } })?.kind).toBe("rate_limited");
    for (const body of [
      null,
      [],
      "x",
      {},
      { choices: [] },
      { choices: [{}] },
      { choices: [{ message: { role: "assistant" }, finish_reason: "error" }] },
    ] as const)
      expect(thrown(body)?.kind).toBe("upstream_broken");
  });

  it("end a stream in a frame that the official client raises", async () => {
    const frames: string[] = [];
    chat.encodeProblemFrames({ kind: "upstream_broken", message: "Cut." }, "call_1", (_event, data) => frames.push(data));
    expect(frames).toHaveLength(1);
    expect(JSON.parse(frames[0] ?? "")).toMatchObject({ error: { code: "upstream_broken", gimbal_call_id: "call_1" } });
  });
});

describe("the door", () => {
  it("finds the client's key", () => {
    expect(chat.credentials({ authorization: "Bearer gk_1" })).toBe("gk_1");
    expect(chat.credentials({ authorization: "bearer  gk_1 " })).toBe("gk_1");
    expect(chat.credentials({ "api-key": "gk_2" })).toBe("gk_2");
    expect(chat.credentials({ authorization: "Basic x" })).toBeUndefined();
    expect(chat.credentials({})).toBeUndefined();
  });

  it("lists models", () => {
    const model = { id: "p/m", provider: "p", createdAt: 5, displayName: "M" };
    expect(chat.encodeModels?.([model], {})).toEqual({ object: "list", data: [{ id: "p/m", object: "model", created: 5, owned_by: "p" }] });
    expect(chat.encodeModel?.(model, {})).toEqual({ id: "p/m", object: "model", created: 5, owned_by: "p" });
  });

  it("outlines a call", () => {
    const door = { operation: "generate", headers: {}, params: {} } as const;
    expect(chat.outline({ model: "m", messages: [], stream: true, max_tokens: 4 }, door)).toEqual({
      model: "m",
      stream: true,
      maxOutputTokens: 4,
      keep: false,
      background: false,
    });
    expect(chat.outline({ model: "m", messages: [], tools: [{ type: "custom" }] }, door).slow).toContain("custom");
  });
});

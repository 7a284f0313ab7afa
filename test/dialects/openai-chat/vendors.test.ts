import { describe, expect, it } from "vitest";
import {
  AnswerFold,
  ProblemError,
  type AnswerContext,
  type Capabilities,
  type Diagnostic,
  type Item,
  type Json,
  type JsonObject,
  type Problem,
} from "../../../src/canon/index.ts";
import gemini from "../../../src/dialects/gemini/index.ts";
import chat from "../../../src/dialects/openai-chat/index.ts";
import responses from "../../../src/dialects/openai-responses/index.ts";
import { readCorpus, type Named } from "./corpus.ts";

const door = { operation: "generate", headers: {}, params: {} } as const;
const corpus = readCorpus();
const context: AnswerContext = { call: chat.decodeCall({ model: "m", messages: [] }, door), createdAt: 1 };

const answerOf = (message: JsonObject, rest: JsonObject = {}): JsonObject => ({
  id: "a",
  object: "chat.completion",
  created: 1,
  model: "m",
  choices: [{ index: 0, message: { role: "assistant", ...message }, finish_reason: "stop" }],
  ...rest,
});
const decoded = (body: JsonObject) => chat.decodeAnswer(body, { provider: "lab", operation: "generate" });

function problemOf(body: JsonObject): Problem | undefined {
  try {
    decoded(body);
  } catch (error) {
    return error instanceof ProblemError ? error.problem : undefined;
  }
  return undefined;
}

const sse = (...chunks: Json[]): string =>
  [...chunks.map((chunk) => JSON.stringify(chunk)), "[DONE]"].map((data) => `data: ${data}\n\n`).join("");
const framesOf = (text: string): string[] => text.split("\n\n").flatMap((frame) => (frame.startsWith("data: ") ? [frame.slice(6)] : []));

interface Told {
  readonly fold: AnswerFold;
  /** The same stream, written again for a client of this language. */
  readonly again: readonly JsonObject[];
}
function streamed(text: string): Told {
  const fold = new AnswerFold({ dialect: "openai-chat", provider: "lab" });
  const again: JsonObject[] = [];
  const encoder = chat.encodeEvents((_event, data) => data !== "[DONE]" && again.push(JSON.parse(data) as JsonObject), context);
  const decoder = chat.decodeEvents(
    (event) => {
      fold.event(event);
      encoder.event(event);
    },
    { provider: "lab" },
  );
  for (const data of framesOf(text)) decoder.frame({ data });
  decoder.end();
  return { fold, again };
}
function metered(text: string) {
  const meter = chat.usageFrames({ withholdUsage: false });
  for (const data of framesOf(text)) meter.frame(Buffer.from(`data: ${data}\n\n`));
  return meter;
}
const chunk = (delta: JsonObject, rest: JsonObject = {}): JsonObject => ({ id: "a", model: "m", choices: [{ index: 0, delta }], ...rest });
const over = (rest: JsonObject = {}): JsonObject => ({
  id: "a",
  model: "m",
  choices: [{ index: 0, delta: {}, finish_reason: "stop" }],
  ...rest,
});

function sent(body: JsonObject, capabilities: Capabilities, items?: readonly Item[]) {
  const notes: Diagnostic[] = [];
  const call = chat.decodeCall({ model: "m", messages: [{ role: "user", content: "hi" }], ...body }, door);
  const wire = chat.encodeCall({ ...call, ...(items && { items }) }, { provider: "lab", model: "m", capabilities }, (note) =>
    notes.push(note),
  );
  return { body: JSON.parse(wire.body) as JsonObject, notes };
}
function forwarded(body: JsonObject, capabilities: Capabilities) {
  const notes: Diagnostic[] = [];
  const whole: JsonObject = { model: "m", messages: [{ role: "user", content: "hi" }], ...body };
  const { replace } = chat.forwardCall(whole, door, { provider: "lab", model: "m", capabilities }, (note) => notes.push(note));
  return { body: JSON.parse(JSON.stringify({ ...whole, ...replace })) as JsonObject, notes };
}

describe("errors in vendors' own forms", () => {
  const refusal = (status: number, body: Json) => chat.decodeProblem({ status, headers: {}, body, text: "", provider: "lab" });

  it.each([
    [400, { code: "Client specified an invalid argument", error: "No such model." }, "No such model."],
    [400, { success: false, errors: [{ code: 7009, message: "No such model." }], messages: [], result: {} }, "No such model."],
    [
      422,
      { object: "error", message: { detail: [{ type: "missing", loc: ["body", "messages", 0], msg: "Field required" }] } },
      "body.messages.0: Field required",
    ],
    [
      422,
      { detail: [{ type: "extra", loc: ["body", "seed"], msg: "Not permitted", input: "the secret prompt" }] },
      "body.seed: Not permitted",
    ],
    [
      400,
      {
        error: {
          message: "Provider returned error",
          code: 400,
          metadata: { provider_name: "Far", raw: '{"error":{"message":"Too long."}}' },
        },
      },
      "Provider returned error (Far: Too long.)",
    ],
    [
      429,
      { error: { message: "Provider returned error", code: 429, metadata: { provider_name: "Far", raw: "slow down" } } },
      "(Far: slow down)",
    ],
  ] as const)("%d %j", (status, body, words) => {
    const problem = refusal(status, body);
    expect(problem.message).toContain(words);
    expect(problem.message).not.toContain("secret prompt");
  });

  it("a request that was flagged is no refused key, though its status is", () => {
    const flagged = refusal(403, {
      error: {
        code: 403,
        message: "Flagged.",
        metadata: { reasons: ["violence"], flagged_input: "the secret prompt", provider_name: "Far" },
      },
    });
    expect(flagged).toMatchObject({ kind: "upstream_rejected", status: 403 });
    expect(flagged.fault).toBeUndefined();
    expect(flagged.message).toContain("(Far: flagged for violence)");
    expect(flagged.message).not.toContain("secret");
    expect(refusal(403, { error: { code: 403, message: "Key limit exceeded" } }).fault).toBe("credentials");
  });

  it.each([
    [{ error: { code: 429, message: "slow" }, user_id: "u" }, "rate_limited"],
    [{ id: "a", error: { code: 502, message: "down" }, choices: [] }, "upstream_unavailable"],
    [
      {
        id: "a",
        choices: [{ error: { code: 429, message: "slow" }, message: { role: "assistant", content: "" }, finish_reason: "error" }],
      },
      "rate_limited",
    ],
    [{ id: "a", choices: [{ message: { role: "assistant", content: "x" }, finish_reason: "error" }] }, "upstream_broken"],
    [
      { id: "a", x_groq: { error: "over capacity" }, choices: [{ message: { role: "assistant", content: "x" }, finish_reason: "stop" }] },
      "upstream_broken",
    ],
    [{ id: "a", choices: [] }, "upstream_broken"],
  ] as const)("inside a good answer are the same on both paths: %j", (body, kind) => {
    expect(problemOf(body)?.kind).toBe(kind);
    expect(chat.readAnswer(body).problem?.kind).toBe(kind);
  });

  it("a good answer has none", () => {
    expect(chat.readAnswer(answerOf({ content: "x" })).problem).toBeUndefined();
    expect(chat.readAnswer(answerOf({ content: "x" }, { error: null, x_groq: { id: "r" } })).problem).toBeUndefined();
  });

  it.each([
    [
      { id: "a", error: { code: 429, message: "slow" }, choices: [{ index: 0, delta: { content: "" }, finish_reason: "error" }] },
      "rate_limited",
    ],
    [{ id: "a", x_groq: { id: "r", error: "over capacity" }, choices: [{ index: 0, delta: {} }] }, "upstream_broken"],
    [{ error: { message: "no", type: "too_many_requests_error", code: "queue_exceeded" } }, "rate_limited"],
  ] as const)("inside a stream end it in the same problem on both paths: %j", (failure, kind) => {
    const text = sse(chunk({ content: "Hi" }), failure);
    expect(streamed(text).fold.problem?.kind).toBe(kind);
    expect(metered(text).problem()?.kind).toBe(kind);
  });

  it("what a model wrote that is no tool call reaches clients of this language, and nobody's log", () => {
    const failure = {
      error: {
        message: "Tool call validation failed",
        type: "invalid_request_error",
        code: "tool_use_failed",
        failed_generation: "maybe",
        status_code: 400,
      },
    };
    const { fold, again } = streamed(sse(chunk({ content: "Hi" }), failure));
    expect(fold.problem).toMatchObject({ kind: "upstream_rejected", status: 400, code: "tool_use_failed" });
    expect(fold.problem?.message).not.toContain("maybe");
    expect(again.at(-1)).toMatchObject({ error: { failed_generation: "maybe", code: "tool_use_failed" } });
    if (fold.problem) expect(chat.encodeProblem(fold.problem, "c").body).toMatchObject(failure);
    const elsewhere = responses.encodeProblem({ kind: "internal", message: "x", ...fold.problem }, "c");
    expect(JSON.stringify(elsewhere)).not.toContain("maybe");
  });

  it("numbers stay numbers for clients that compare them", () => {
    const problem = refusal(429, { error: { code: 429, message: "slow" } });
    expect(problem).toMatchObject({ kind: "rate_limited", code: "429" });
    expect(chat.encodeProblem(problem, "c")).toMatchObject({ status: 429, body: { error: { code: 429 } } });
  });

  it.skipIf(corpus.refusals.length === 0)("recorded refusals name what the vendor behind a router said", () => {
    const [refused] = corpus.refusals.filter(({ provider }) => provider === "openrouter");
    const problem = refusal(refused?.value.status ?? 0, refused?.value.body ?? null);
    expect(problem.message).toContain("(Google: google/gemini-2.0-flash-exp:free is temporarily rate-limited upstream.");
  });
});

describe("sources beside an answer", () => {
  const sources = {
    citations: ["https://a.example", "https://b.example"],
    search_results: [
      { title: "A", url: "https://a.example" },
      { title: "B", url: "https://b.example" },
    ],
  };
  const cited = [
    { type: "url_citation", url: "https://a.example", title: "A", start_index: 5, end_index: 8 },
    { type: "url_citation", url: "https://b.example", title: "B", start_index: 0, end_index: 0 },
  ];
  const body = answerOf({ content: "Mild.[1]" }, sources);
  const stream = sse(
    chunk({ content: "Mild" }, sources),
    chunk({ content: ".[1]" }, sources),
    over({ ...sources, usage: { prompt_tokens: 1, completion_tokens: 1 } }),
  );

  it("are its citations, plain and streamed, and stay in the vendor's place for clients of this language", () => {
    const answer = decoded(body);
    expect(answer.items).toMatchObject([{ parts: [{ text: "Mild.[1]", annotations: cited }] }]);
    expect(chat.encodeAnswer(answer, context)).toEqual(body);
    const { fold, again } = streamed(stream);
    expect(fold.items()).toMatchObject([{ parts: [{ text: "Mild.[1]", annotations: cited }] }]);
    expect(JSON.stringify(again)).not.toContain("url_citation");
    expect(again.at(-1)).toMatchObject(sources);
  });

  it("may be bare addresses, and are never made up", () => {
    expect(decoded(answerOf({ content: "Mild." }, { citations: ["https://a.example", 7, {}] })).items).toMatchObject([
      { parts: [{ annotations: [{ url: "https://a.example", title: "" }] }] },
    ]);
    for (const odd of [{ citations: [] }, { citations: "x" }, { search_results: [{}] }, {}])
      expect(decoded(answerOf({ content: "Mild." }, odd)).items[0]).not.toHaveProperty("parts.0.annotations");
  });

  it("give way to citations of the text's own", () => {
    const own = { type: "url_citation", url_citation: { url: "https://c.example", title: "C", start_index: 0, end_index: 1 } };
    expect(decoded(answerOf({ content: "Mild.", annotations: [own] }, sources)).items).toMatchObject([{ parts: [{ annotations: [own] }] }]);
    const { fold, again } = streamed(sse(chunk({ content: "Mild." }), chunk({ annotations: [own] }), over(sources)));
    expect(fold.items()).toMatchObject([{ parts: [{ annotations: [own] }] }]);
    expect(again.filter((one) => JSON.stringify(one).includes("url_citation"))).toHaveLength(1);
  });

  it("reach clients of languages that have citations", () => {
    const answer = decoded(body);
    expect(responses.encodeAnswer(answer, context)).toMatchObject({ output: [{ content: [{ annotations: cited }] }] });
    expect(JSON.stringify(gemini.encodeAnswer(answer, context))).toContain("https://a.example");
    const told: JsonObject[] = [];
    const encoder = responses.encodeEvents((_event, data) => told.push(JSON.parse(data) as JsonObject), context);
    const decoder = chat.decodeEvents((event) => encoder.event(event), { provider: "lab" });
    for (const data of framesOf(stream)) decoder.frame({ data });
    expect(told.filter(({ type }) => type === "response.output_text.annotation.added").map(({ annotation }) => annotation)).toEqual(cited);
    expect(told.at(-1)).toMatchObject({ response: { output: [{ content: [{ annotations: cited }] }] } });
  });

  it("a vendor's own kinds of annotation pass through a stream unchanged", () => {
    const document = { type: "document_citation", document_citation: { document_id: "d", start_index: 0, end_index: 1 } };
    const { again } = streamed(sse(chunk({ content: "Mild." }), chunk({ annotations: [document] }), over()));
    expect(JSON.stringify(again)).toContain(JSON.stringify([document]));
  });
});

describe("what a vendor says that a call cost", () => {
  it.each([
    [{ cost: 0.00093, is_byok: false, cost_details: { upstream_inference_cost: 0.00093 } }, 930_000],
    [{ cost: 0.00005, is_byok: true, cost_details: { upstream_inference_cost: 0.001 } }, 1_050_000],
    [{ cost: 0, is_byok: true, cost_details: { upstream_inference_cost: null } }, 0],
    [{ cost_in_usd_ticks: 1_466_250 }, 146_625],
    [{ cost: { input_tokens_cost: 0.000011, output_tokens_cost: 0.000392, request_cost: 0.005, total_cost: 0.005403 } }, 5_403_000],
  ] as const)("%j is %d nanodollars", (cost, expected) => {
    const usage = { prompt_tokens: 1, completion_tokens: 1, ...cost };
    expect(chat.readAnswer(answerOf({ content: "x" }, { usage })).usage?.providerCost).toBe(expected);
    expect(metered(sse(chunk({ content: "x" }), over({ usage }))).usage()?.providerCost).toBe(expected);
  });

  it("and the units it counts beside tokens", () => {
    const usage = {
      prompt_tokens: 1,
      completion_tokens: 1,
      num_search_queries: 3,
      citation_tokens: 40,
      prompt_audio_seconds: 7,
      service_tier: "priority",
    };
    expect(decoded(answerOf({ content: "x" }, { usage })).usage).toMatchObject({
      media: { num_search_queries: 3, citation_tokens: 40, input_audio_seconds: 7 },
      serviceTier: "priority",
    });
  });
});

describe("clients that read their own vendor's streams alone", () => {
  const headers = { "user-agent": "mistral-client-typescript/2.7.0" };
  const tools = [{ type: "function", function: { name: "f" } }];

  it("see nothing of usage that was asked for on their behalf", () => {
    const frame = (withholdUsage: boolean, data: string): string => {
      const meter = chat.usageFrames({ withholdUsage });
      const buffer = Buffer.from(`data: ${data}\n\n`);
      meter.frame(buffer);
      return (meter.shown?.(buffer) ?? buffer).toString("utf8");
    };
    const asked = JSON.stringify(chunk({ content: 'é,"usage":null' }, { usage: null, z: 1 }));
    expect(frame(false, asked)).toContain('"usage":null,"z":1');
    expect(frame(true, asked)).toBe(`data: ${asked.replace(',"usage":null,"z"', ',"z"')}\n\n`);
    expect(frame(true, JSON.stringify(chunk({ content: "x" })))).toBe(`data: ${JSON.stringify(chunk({ content: "x" }))}\n\n`);
  });

  it("get tool calls whole and usage in the last chunk", () => {
    const body = { model: "m", messages: [], stream: true, tools };
    expect(chat.outline(body, { ...door, headers }).slow).toContain("whole");
    expect(chat.outline(body, door).slow).toBeUndefined();
    expect(chat.outline({ ...body, tools: [] }, { ...door, headers }).slow).toBeUndefined();
    const told: JsonObject[] = [];
    const call = chat.decodeCall(body, { ...door, headers });
    const encoder = chat.encodeEvents((_event, data) => data !== "[DONE]" && told.push(JSON.parse(data) as JsonObject), {
      call,
      createdAt: 1,
    });
    const decoder = chat.decodeEvents((event) => encoder.event(event), { provider: "lab" });
    const piece = (index: number, rest: JsonObject): JsonObject => chunk({ tool_calls: [{ index, ...rest }] });
    const pieces = [
      piece(0, { id: "a", type: "function", function: { name: "f", arguments: "" } }),
      piece(1, { id: "b", type: "function", function: { name: "f", arguments: '{"x":' } }),
      piece(0, { function: { arguments: "{}" } }),
      piece(1, { function: { arguments: "1}" } }),
      over({ usage: { prompt_tokens: 3, completion_tokens: 2 } }),
    ];
    for (const data of framesOf(sse(...pieces))) decoder.frame({ data });
    const calls = told.flatMap(
      ({ choices }) => (object((choices as JsonObject[])[0]?.["delta"])["tool_calls"] as JsonObject[] | undefined) ?? [],
    );
    expect(calls).toMatchObject([
      { index: 0, id: "a", function: { name: "f", arguments: "{}" } },
      { index: 1, id: "b", function: { name: "f", arguments: '{"x":1}' } },
    ]);
    expect(told.at(-1)).toMatchObject({ usage: { prompt_tokens: 3, completion_tokens: 2 }, choices: [{ finish_reason: "stop" }] });
    expect(told.slice(0, -1).some((one) => "usage" in one)).toBe(false);
  });
});

describe("the models that a request lets answer instead", () => {
  it("are told to those who decide what a caller may use", () => {
    expect(chat.outline({ model: "m", messages: [], models: ["x/a", 7, "x/b"] }, door).otherModels).toEqual(["x/a", "x/b"]);
    expect(chat.outline({ model: "m", messages: [] }, door).otherModels).toBeUndefined();
  });
});

describe("fields by another name", () => {
  it("are renamed on both paths, and never sent twice", () => {
    for (const path of [sent, forwarded]) {
      const { body, notes } = path({ seed: 7 }, { renames: { seed: "random_seed" } });
      expect(body).toMatchObject({ random_seed: 7 });
      expect(body).not.toHaveProperty("seed");
      expect(notes).toMatchObject([{ field: "seed", action: "renamed" }]);
      expect(path({ seed: 7, random_seed: 8 }, { renames: { seed: "random_seed" } }).body).toMatchObject({ random_seed: 8 });
      expect(path({ random_seed: 7 }, { renames: { random_seed: "seed" } }).body).toMatchObject({ seed: 7 });
      expect(path({ random_seed: 7 }, {}).body).toMatchObject({ random_seed: 7 });
    }
  });

  it("mean the same to other languages", () => {
    const call = chat.decodeCall(
      { model: "m", messages: [], random_seed: 7, safe_prompt: false, prompt_mode: "reasoning", reasoning_format: "hidden" },
      door,
    );
    expect(call).toMatchObject({ sampling: { seed: 7 }, reasoning: { mode: "enabled", summary: "omitted" } });
    expect(call.unspoken).toBeUndefined();
    expect(chat.decodeCall({ model: "m", messages: [], safe_prompt: true, plugins: [] }, door).unspoken).toEqual([
      "safe_prompt",
      "plugins",
    ]);
  });
});

describe("how a request asks for reasoning", () => {
  const asked = [
    [{ reasoning: { effort: "low" } }, { reasoning_effort: "low" }, { reasoning: { effort: "low" } }, { reasoning_effort: "low" }],
    [
      { thinking: { type: "disabled" } },
      { reasoning_effort: "none" },
      { reasoning: { enabled: false } },
      { thinking: { type: "disabled" } },
    ],
    [{ thinking: { type: "enabled", budget_tokens: 2000 } }, { reasoning_effort: "low" }, { reasoning: { max_tokens: 2000 } }, undefined],
    [{ enable_thinking: true }, { reasoning_effort: "medium" }, { reasoning: { enabled: true } }, { thinking: { type: "enabled" } }],
    [{ reasoning_effort: "high" }, { reasoning_effort: "high" }, { reasoning_effort: "high" }, { reasoning_effort: "high" }],
  ] as const;
  const spellings = ["reasoning_effort", "reasoning", "thinking"] as const;

  it.each(asked)("%j", (given, ...expected) => {
    for (const [at, reasoningRequest] of spellings.entries()) {
      const wanted = expected[at] ?? given;
      for (const path of [sent, forwarded]) {
        const { body } = path(given, { reasoning: true, reasoningRequest });
        const { model: _model, messages: _messages, ...rest } = body;
        expect([reasoningRequest, rest]).toEqual([reasoningRequest, wanted]);
      }
    }
  });

  it("is left as it is where nothing is known", () => {
    for (const path of [sent, forwarded])
      expect(path({ thinking: { type: "enabled" } }, {}).body).toMatchObject({ thinking: { type: "enabled" } });
  });

  it("keeps a foreign caller's budget where the vendor takes one", () => {
    const call = responses.decodeCall({ model: "m", input: "hi" }, door);
    const thinking = { ...call, reasoning: { budgetTokens: 3000 }, touched: new Set<never>() };
    const encode = (capabilities: Capabilities) =>
      JSON.parse(chat.encodeCall(thinking, { provider: "p", model: "m", capabilities }, () => {}).body) as JsonObject;
    expect(encode({ reasoningRequest: "reasoning" })).toMatchObject({ reasoning: { max_tokens: 3000 } });
    expect(encode({})).toMatchObject({ reasoning_effort: "low" });
  });
});

describe("earlier reasoning stands where the vendor reads it", () => {
  const details = [{ type: "reasoning.text", text: "hm", signature: "s", index: 0 }];
  const parts = [
    { type: "thinking", thinking: [{ type: "text", text: "hm" }] },
    { type: "text", text: "yes" },
  ];
  const said = (message: JsonObject): JsonObject => ({
    messages: [
      { role: "user", content: "hi" },
      { role: "assistant", ...message },
      { role: "user", content: "go on" },
    ],
  });
  const spoken = (body: JsonObject) => (body["messages"] as JsonObject[])[1];

  it.each([
    ["reasoning", { content: "yes", reasoning_content: "hm" }, { content: "yes", reasoning: "hm" }],
    ["reasoning_content", { content: parts }, { content: [parts[1]], reasoning_content: "hm" }],
    ["content", { content: "yes", reasoning_content: "hm" }, { content: parts }],
    [
      "content",
      { content: null, reasoning: "hm", tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }] },
      { content: [parts[0]], tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }] },
    ],
    ["reasoning", { content: "yes", reasoning: "hm", reasoning_details: details }, { content: "yes", reasoning: "hm" }],
    [undefined, { content: parts }, { content: [parts[1]] }],
    [undefined, { content: "yes", reasoning_content: "hm", reasoning_details: details }, { content: "yes" }],
  ] as const)("in `%s`: %j", (reasoningField, message, expected) => {
    const capabilities: Capabilities = { reasoningRequest: "reasoning_effort", ...(reasoningField !== undefined && { reasoningField }) };
    for (const path of [sent, forwarded]) {
      const { body, notes } = path(said(message), capabilities);
      expect(spoken(body)).toEqual({ role: "assistant", ...expected });
      expect(notes.filter(({ field }) => field === "items[].reasoning")).toHaveLength(1);
    }
  });

  it("with its signatures, where the vendor knows them, and untouched where nothing is known", () => {
    const message = { content: "yes", reasoning: "hm", reasoning_details: details };
    for (const path of [sent, forwarded]) {
      expect(spoken(path(said(message), { reasoningRequest: "reasoning", reasoningField: "reasoning" }).body)).toEqual({
        role: "assistant",
        ...message,
      });
      expect(spoken(path(said({ content: parts }), {}).body)).toEqual({ role: "assistant", content: parts });
    }
  });

  it("also when a client of another language carried it, which knows nothing of its message", () => {
    const all = [...details, { type: "reasoning.encrypted", data: "sealed", id: "rs_1", format: "x", index: 1 }];
    const [reasoning, text] = decoded(answerOf({ content: "yes", reasoning: "hm", reasoning_details: all })).items;
    if (!reasoning || !text) throw new Error("no items");
    const { envelope: _lost, ...carried } = reasoning;
    const { body } = sent({}, {}, [carried, { type: "message", role: "assistant", parts: [{ type: "text", text: "yes" }] }]);
    expect(body["messages"]).toEqual([{ role: "assistant", content: "yes", reasoning: "hm", reasoning_details: all }]);
  });

  it("two sealed thoughts of a stream stay two", () => {
    const sealed = (id: string, data: string): JsonObject => ({ type: "reasoning.encrypted", id, data, format: "x" });
    const { fold } = streamed(
      sse(
        chunk({ reasoning_details: [sealed("a", "1")] }),
        chunk({ reasoning_details: [sealed("b", "2")] }),
        chunk({ content: "yes" }),
        over(),
      ),
    );
    expect(fold.items()[0]).toMatchObject({
      type: "reasoning",
      encrypted: "1",
      raw: { reasoning_details: [sealed("a", "1"), sealed("b", "2")] },
    });
  });

  it("thinking parts keep their signature through a stream", () => {
    const part = (text: string, more: JsonObject = {}): JsonObject => ({
      content: [{ type: "thinking", thinking: [{ type: "text", text }], ...more }],
    });
    const { fold, again } = streamed(
      sse(chunk(part("h")), chunk(part("m", { signature: "s", closed: true })), chunk({ content: "yes" }), over()),
    );
    expect(fold.items()[0]).toMatchObject({
      signature: "s",
      raw: { content: [{ type: "thinking", thinking: [{ type: "text", text: "hm" }], signature: "s", closed: true }] },
    });
    expect(JSON.stringify(again)).toContain('"signature":"s"');
  });
});

describe("an answer that was begun", () => {
  const begun = {
    messages: [
      { role: "user", content: "hi" },
      { role: "assistant", content: "Well," },
    ],
  };

  it("is marked where the vendor wants a mark", () => {
    for (const path of [sent, forwarded]) {
      const last = (body: JsonObject) => (body["messages"] as JsonObject[]).at(-1);
      expect(last(path(begun, { prefillField: "prefix" }).body)).toEqual({ role: "assistant", content: "Well,", prefix: true });
      expect(last(path(begun, {}).body)).toEqual({ role: "assistant", content: "Well," });
      expect(last(path({ messages: [...begun.messages, { role: "user", content: "x" }] }, { prefillField: "prefix" }).body)).toEqual({
        role: "user",
        content: "x",
      });
      const denied = {
        messages: [
          { role: "user", content: "hi" },
          { role: "assistant", content: "Well,", prefix: false },
        ],
      };
      expect(last(path(denied, { prefillField: "prefix" }).body)).toMatchObject({ prefix: false });
    }
  });
});

describe("ids of tool calls", () => {
  const long = "call_0123456789abcdef";
  const history = {
    messages: [
      { role: "user", content: "hi" },
      {
        role: "assistant",
        content: null,
        tool_calls: [
          { id: long, type: "function", function: { name: "f", arguments: "{}" } },
          { id: "abcdefgh9", type: "function", function: { name: "f", arguments: "{}" } },
        ],
      },
      { role: "tool", tool_call_id: long, content: "a" },
      { role: "tool", tool_call_id: "abcdefgh9", content: "b" },
    ],
  };

  it("are of the form that the vendor insists on, and still belong together", () => {
    for (const path of [sent, forwarded]) {
      const messages = path(history, { callIdLength: 9 }).body["messages"] as JsonObject[];
      const calls = messages[1]?.["tool_calls"] as JsonObject[];
      expect(calls[0]?.["id"]).toMatch(/^[a-z0-9]{9}$/);
      expect(calls[1]?.["id"]).toBe("abcdefgh9");
      expect(messages[2]?.["tool_call_id"]).toBe(calls[0]?.["id"]);
      expect(messages[3]?.["tool_call_id"]).toBe("abcdefgh9");
    }
    expect(forwarded(history, {}).body["messages"]).toEqual(history.messages);
  });

  it("differ where they differed", () => {
    const made = new Set<unknown>();
    for (let at = 0; at < 5000; at++)
      made.add(
        (
          forwarded({ messages: [{ role: "tool", tool_call_id: `call_${at}`, content: "" }] }, { callIdLength: 9 }).body[
            "messages"
          ] as JsonObject[]
        )[0]?.["tool_call_id"],
      );
    expect(made.size).toBe(5000);
  });
});

describe.skipIf(corpus.answers.length === 0)("recorded answers of each vendor", () => {
  const of = <T>(provider: string, list: readonly Named<T>[]): readonly Named<T>[] => list.filter((entry) => entry.provider === provider);

  it("with costs have them in the usage, plain and streamed", () => {
    for (const provider of ["openrouter", "xai"]) {
      const plain = of(provider, corpus.answers).map(({ value }) => chat.readAnswer(value).usage?.providerCost);
      const streams = of(provider, corpus.streams).map(({ value }) => metered(value).usage()?.providerCost);
      expect([provider, [...plain, ...streams].filter((cost) => cost !== undefined && cost > 0).length]).not.toEqual([provider, 0]);
      expect([...plain, ...streams].every((cost) => cost === undefined || Number.isSafeInteger(cost))).toBe(true);
    }
  });

  it("that reason beside their output count it once", () => {
    const [answer] = of("xai", corpus.answers).filter(({ name }) => name.endsWith("xai-text.json"));
    // 12 read, 1 written, 241 in all: what is left was thought.
    expect(chat.readAnswer(answer?.value ?? {}).usage).toMatchObject({
      inputUncached: 10,
      cacheRead: 2,
      output: 229,
      reasoning: 228,
      providerCost: 117_650,
    });
  });

  it("with sources have citations", () => {
    const answers = of("perplexity", corpus.answers);
    expect(answers.length).toBeGreaterThan(0);
    for (const { value } of answers) expect(JSON.stringify(decoded(value).items)).toContain("url_citation");
    for (const { value } of of("perplexity", corpus.streams))
      expect(JSON.stringify(streamed(value).fold.items())).toContain("url_citation");
  });

  it("with signed or sealed reasoning give it back whole", () => {
    let seen = 0;
    for (const { value } of of("openrouter", corpus.answers)) {
      const message = object(object((value["choices"] as Json[])[0])["message"]);
      if (message["reasoning_details"] === undefined) continue;
      seen++;
      const { items } = decoded(value);
      expect(items[0]).toMatchObject({ type: "reasoning" });
      const { body } = sent(
        {},
        { reasoningRequest: "reasoning", reasoningField: "reasoning" },
        items.map(({ envelope: _lost, ...item }) => item as Item),
      );
      expect((body["messages"] as JsonObject[])[0]?.["reasoning_details"]).toEqual(message["reasoning_details"]);
    }
    expect(seen).toBeGreaterThan(1);
  });
});

function object(value: Json | undefined): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
}

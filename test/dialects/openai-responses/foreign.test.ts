import { describe, expect, it } from "vitest";
import { accumulateResponse } from "openai/lib/responses/ResponseAccumulator";
import {
  amend,
  NO_USAGE,
  unfold,
  type Answer,
  type AnswerContext,
  type Call,
  type Diagnostic,
  type EncodeTarget,
  type Item,
  type JsonObject,
} from "../../../src/canon/index.ts";
import dialect from "../../../src/dialects/openai-responses/index.ts";

const target: EncodeTarget = { provider: "p", model: "the-target", capabilities: {} };
const foreign = { dialect: "elsewhere", provider: "q" };

function callWith(patch: Partial<Call>): Call {
  return {
    operation: "generate",
    origin: { dialect: "elsewhere" },
    model: "m",
    stream: false,
    items: [{ type: "message", role: "user", parts: [{ type: "text", text: "hi" }] }],
    tools: [],
    sampling: {},
    native: { elsewhere_only: 1 },
    touched: new Set(),
    ...patch,
  };
}

function encode(call: Call, to: EncodeTarget = target): { body: JsonObject; notes: Diagnostic[] } {
  const notes: Diagnostic[] = [];
  const wire = dialect.encodeCall(call, to, (note) => notes.push(note));
  expect(wire.method).toBe("POST");
  return { body: JSON.parse(wire.body) as JsonObject, notes };
}

describe("a call of another language", () => {
  it("is written from its canonical fields, and nothing is left with the provider", () => {
    const { body, notes } = encode(
      callWith({
        instructions: {
          parts: [
            { type: "text", text: "one" },
            { type: "text", text: "two" },
          ],
        },
        stream: true,
        tools: [
          { type: "function", name: "f", schema: { type: "object" } },
          { type: "native", kind: "their_search", raw: {}, origin: foreign },
        ],
        toolChoice: { type: "tool", kind: "function", name: "f" },
        parallelToolCalls: false,
        output: { format: { type: "json_schema", name: "n", schema: { type: "object" } }, verbosity: "low" },
        sampling: { temperature: 0.5, topP: 0.9, topK: 3, stop: ["x"] },
        maxOutputTokens: 3,
        metadata: { a: "b" },
        endUser: "u",
        serviceTier: "standard_only",
      }),
    );
    expect(body).toEqual({
      model: "the-target",
      stream: true,
      store: false,
      instructions: "one\n\ntwo",
      input: [{ type: "message", role: "user", content: [{ type: "input_text", text: "hi" }] }],
      tools: [{ type: "function", name: "f", parameters: { type: "object" }, strict: false }],
      tool_choice: { type: "function", name: "f" },
      parallel_tool_calls: false,
      text: { format: { type: "json_schema", name: "n", schema: { type: "object" }, strict: false }, verbosity: "low" },
      temperature: 0.5,
      top_p: 0.9,
      max_output_tokens: 16,
      metadata: { a: "b" },
      safety_identifier: "u",
      service_tier: "default",
    });
    expect(notes.map(({ field, action }) => `${action} ${field}`)).toEqual([
      "dropped sampling.topK",
      "dropped sampling.stop",
      "degraded maxOutputTokens",
      "renamed serviceTier",
      "dropped tools[].their_search",
    ]);
  });

  it("keeps text, tool calls, results and files; drops what only its own side can read", () => {
    const items: Item[] = [
      { type: "message", role: "system", parts: [{ type: "text", text: "s" }] },
      {
        type: "message",
        role: "user",
        parts: [
          { type: "text", text: "look", cacheTtlSeconds: 300 },
          { type: "image", source: { data: "aGk=", mediaType: "image/jpeg" } },
          { type: "image", source: { fileId: "file_theirs" } },
          { type: "file", source: { data: "aGk=", mediaType: "application/pdf" }, filename: "a.pdf" },
          { type: "file", source: {}, text: "plain", filename: "a.txt" },
        ],
      },
      { type: "reasoning", parts: [{ kind: "text", text: "hm" }], signature: "sig", origin: foreign },
      { type: "message", role: "assistant", parts: [{ type: "text", text: "calling" }], phase: "commentary", origin: foreign },
      { type: "tool_call", callId: "c1", name: "f", kind: "function", input: "", signature: "sig", origin: foreign },
      { type: "tool_call", callId: "c2", name: "g", namespace: "n", kind: "custom", input: "free", origin: foreign },
      {
        type: "tool_result",
        callId: "c1",
        kind: "function",
        parts: [
          { type: "text", text: "21" },
          { type: "text", text: "C" },
        ],
        isError: true,
      },
      { type: "tool_result", callId: "c2", kind: "function", parts: [{ type: "image", source: { url: "https://example.org/a.png" } }] },
      { type: "unknown", kind: "their_item", role: "assistant", raw: {}, origin: foreign },
      { type: "compaction", text: "what was", origin: foreign },
      { type: "compaction", encrypted: "sealed", origin: foreign },
    ];
    const { body, notes } = encode(callWith({ items }));
    expect(body["input"]).toEqual([
      { type: "message", role: "system", content: [{ type: "input_text", text: "s" }] },
      {
        type: "message",
        role: "user",
        content: [
          { type: "input_text", text: "look" },
          { type: "input_image", image_url: "data:image/jpeg;base64,aGk=", detail: "auto" },
          { type: "input_file", filename: "a.pdf", file_data: "data:application/pdf;base64,aGk=" },
          { type: "input_text", text: "a.txt\n\nplain" },
        ],
      },
      { type: "message", role: "assistant", content: [{ type: "output_text", text: "calling" }], phase: "commentary" },
      { type: "function_call", call_id: "c1", name: "f", arguments: "{}" },
      { type: "custom_tool_call", call_id: "c2", name: "g", namespace: "n", input: "free" },
      { type: "function_call_output", call_id: "c1", output: "21C" },
      {
        type: "custom_tool_call_output",
        call_id: "c2",
        output: [{ type: "input_image", image_url: "https://example.org/a.png", detail: "auto" }],
      },
      { type: "message", role: "user", content: [{ type: "input_text", text: "Summary of the conversation so far:\n\nwhat was" }] },
    ]);
    expect(notes.map(({ field }) => field)).toEqual([
      "items[].parts[].cacheTtlSeconds",
      "items[].parts[].image",
      "items[].parts[].file",
      "items[].reasoning",
      "items[].toolCall.signature",
      "items[].toolResult.isError",
      "items[].their_item",
      "items[].compaction",
      "items[].compaction",
    ]);
  });

  it.each([
    [{ effort: "high" }, "high"],
    [{ effort: "max" }, "xhigh"],
    [{ budgetTokens: 1024, mode: "enabled" }, "low"],
    [{ budgetTokens: 8192, mode: "enabled" }, "medium"],
    [{ budgetTokens: 20_000, mode: "enabled" }, "high"],
    [{ mode: "disabled" }, undefined],
    [{ mode: "adaptive" }, undefined],
  ] as const)("thinks as hard as asked: %j", (reasoning, effort) => {
    const { body } = encode(callWith({ reasoning }));
    expect((body["reasoning"] as JsonObject | undefined)?.["effort"]).toBe(effort);
    expect(body["include"]).toEqual(["reasoning.encrypted_content"]);
    const refused = encode(callWith({ reasoning }), { ...target, capabilities: { reasoning: false } });
    expect(refused.body).not.toHaveProperty("reasoning");
    expect(refused.body).not.toHaveProperty("include");
    expect(refused.notes.map(({ field }) => field)).toContain("reasoning");
  });
});

describe("a call whose earlier turns were filled in", () => {
  const own = dialect.decodeCall(
    {
      model: "m",
      input: "and now?",
      previous_response_id: "resp_1",
      reasoning: { effort: "low", context: "all_turns" },
      include: ["file_search_call.results"],
      custom_field: 1,
    },
    { operation: "generate", headers: {}, params: {} },
  );
  const origin = { dialect: dialect.id, provider: "p" };
  const answered = (provider: string, encrypted: string | undefined): Item[] => {
    const from = { ...origin, provider };
    const sealed = encrypted === undefined ? {} : { encrypted };
    return [
      { type: "message", role: "user", parts: [{ type: "text", text: "hi" }], origin: { dialect: dialect.id }, raw: "hi" },
      {
        type: "reasoning",
        id: "rs_1",
        parts: [],
        origin: from,
        raw: { type: "reasoning", id: "rs_1", summary: [], ...(encrypted !== undefined && { encrypted_content: encrypted }) },
        ...sealed,
      },
      {
        type: "tool_call",
        id: "fc_1",
        callId: "c1",
        name: "f",
        kind: "function",
        input: "{}",
        origin: from,
        raw: { type: "function_call", id: "fc_1", call_id: "c1", name: "f", arguments: "{}" },
      },
    ];
  };
  const expanded = (items: Item[]): Call => amend(own, { items: [...items, ...own.items], previousId: undefined });

  it("asks the provider to keep nothing and to seal its reasoning", () => {
    const { body, notes } = encode(expanded(answered("p", "sealed")));
    expect(body).toEqual({
      model: "the-target",
      store: false,
      include: ["file_search_call.results", "reasoning.encrypted_content"],
      reasoning: { effort: "low", context: "all_turns" },
      custom_field: 1,
      input: [
        { type: "message", role: "user", content: "hi" },
        { type: "reasoning", id: "rs_1", summary: [], encrypted_content: "sealed" },
        { type: "function_call", id: "fc_1", call_id: "c1", name: "f", arguments: "{}" },
        { type: "message", role: "user", content: "and now?" },
      ],
    });
    expect(notes).toEqual([]);
  });

  it.each([
    ["reasoning that was not sealed", answered("p", undefined)],
    ["another provider's reasoning", answered("q", "sealed")],
  ])("leaves out %s, and the id of what followed it", (_name, items) => {
    const { body, notes } = encode(expanded(items));
    expect((body["input"] as JsonObject[])[1]).toEqual({ type: "function_call", call_id: "c1", name: "f", arguments: "{}" });
    expect(notes.map(({ field, action }) => `${action} ${field}`)).toEqual(["dropped items[].reasoning"]);
  });

  it("never sends an id of a kept item upstream", () => {
    const call = dialect.decodeCall(
      {
        model: "m",
        input: [
          { type: "item_reference", id: "msg_of_somebody" },
          { role: "user", content: "hi" },
        ],
      },
      { operation: "generate", headers: {}, params: {} },
    );
    const { body, notes } = encode(call);
    expect(body["input"]).toEqual([{ role: "user", content: "hi" }]);
    expect(notes).toHaveLength(1);
  });

  it("opens summaries of our own making", () => {
    const compacted = dialect.encodeAnswer(
      {
        ...emptyAnswer(),
        items: [{ type: "message", role: "assistant", parts: [{ type: "text", text: "it went – well" }], origin: foreign }],
      },
      {
        call: { ...own, operation: "compact", items: [{ type: "message", role: "user", parts: [{ type: "text", text: "hi" }] }] },
        createdAt: 5,
      },
    ) as { object: string; output: JsonObject[] };
    expect(compacted.object).toBe("response.compaction");
    expect(compacted.output.map((item) => item["type"])).toEqual(["message", "compaction"]);
    const next = dialect.decodeCall({ model: "m", input: compacted.output }, { operation: "generate", headers: {}, params: {} });
    expect(next.items[1]).toMatchObject({ type: "compaction", text: "it went – well" });
    expect(JSON.stringify(encode(next).body["input"])).toContain("it went – well");
    expect(dialect.outline({ model: "m", input: compacted.output }, { operation: "generate", headers: {}, params: {} }).slow).toBeDefined();
  });
});

function emptyAnswer(): Answer {
  return {
    id: "chat-1",
    model: "their-model",
    createdAt: 7,
    items: [],
    stop: "end",
    usage: NO_USAGE,
    origin: foreign,
    native: { object: "their.answer" },
  };
}

describe("an answer of another language", () => {
  const call = dialect.decodeCall(
    {
      model: "m",
      input: "hi",
      instructions: "brief",
      metadata: { a: "b" },
      tools: [
        { type: "function", name: "f", parameters: {} },
        { type: "custom", name: "write" },
        { type: "namespace", name: "ns", description: "", tools: [{ type: "function", name: "go", parameters: {} }] },
      ],
      text: { verbosity: "low" },
      tool_choice: { type: "allowed_tools", mode: "auto", tools: [] },
    },
    { operation: "generate", headers: {}, params: {} },
  );
  const context: AnswerContext = { call, createdAt: 100, previousId: "resp_before" };
  const answer: Answer = {
    ...emptyAnswer(),
    items: [
      {
        type: "reasoning",
        parts: [
          { kind: "text", text: "let me" },
          { kind: "summary", text: "thought" },
        ],
        signature: "sig",
        origin: foreign,
      },
      {
        type: "message",
        role: "assistant",
        parts: [
          { type: "text", text: 'Hé "you"\n', annotations: [{ theirs: 1 }] },
          { type: "refusal", text: "no" },
        ],
        origin: foreign,
      },
      { type: "unknown", kind: "their_item", role: "assistant", raw: {}, origin: foreign },
      { type: "tool_call", callId: "c1", name: "f", kind: "function", input: "", origin: foreign },
      { type: "tool_call", callId: "c2", name: "write", kind: "function", input: '{"input":"free \\"text\\""}', origin: foreign },
      { type: "tool_call", callId: "c3", name: "ns__go", kind: "function", input: '{"a":1}', origin: foreign },
    ],
    stop: "tool_calls",
    usage: { inputUncached: 5, cacheRead: 3, cacheWrite5m: 2, cacheWrite1h: 1, output: 9, reasoning: 4 },
  };
  const expected = [
    {
      type: "reasoning",
      id: "rs_chat10",
      summary: [{ type: "summary_text", text: "thought" }],
      content: [{ type: "reasoning_text", text: "let me" }],
    },
    {
      type: "message",
      id: "msg_chat11",
      status: "completed",
      role: "assistant",
      content: [
        { type: "output_text", text: 'Hé "you"\n', annotations: [], logprobs: [] },
        { type: "refusal", refusal: "no" },
      ],
    },
    { type: "function_call", id: "fc_chat12", call_id: "c1", name: "f", arguments: "{}", status: "completed" },
    { type: "custom_tool_call", id: "ctc_chat13", call_id: "c2", name: "write", input: 'free "text"', status: "completed" },
    { type: "function_call", id: "fc_chat14", call_id: "c3", name: "go", namespace: "ns", arguments: '{"a":1}', status: "completed" },
  ];

  it("is a complete response", () => {
    expect(dialect.encodeAnswer(answer, context)).toEqual({
      id: "resp_chat1",
      object: "response",
      created_at: 7,
      completed_at: 100,
      status: "completed",
      background: false,
      error: null,
      incomplete_details: null,
      instructions: "brief",
      max_output_tokens: null,
      max_tool_calls: null,
      metadata: { a: "b" },
      model: "their-model",
      output: expected,
      parallel_tool_calls: true,
      previous_response_id: "resp_before",
      prompt_cache_key: null,
      reasoning: { effort: null, summary: null },
      safety_identifier: null,
      service_tier: "default",
      store: true,
      temperature: 1,
      text: { format: { type: "text" }, verbosity: "low" },
      tool_choice: { type: "allowed_tools", mode: "auto", tools: [] },
      tools: [
        { type: "function", name: "f", description: null, parameters: {}, strict: true },
        { type: "custom", name: "write" },
        { type: "namespace", name: "ns", description: "", tools: [{ type: "function", name: "go", parameters: {} }] },
      ],
      top_logprobs: 0,
      top_p: 1,
      presence_penalty: 0,
      frequency_penalty: 0,
      truncation: "disabled",
      usage: {
        input_tokens: 11,
        input_tokens_details: { cached_tokens: 3, cache_write_tokens: 3 },
        output_tokens: 9,
        output_tokens_details: { reasoning_tokens: 4 },
        total_tokens: 20,
      },
      user: null,
    });
  });

  it("is streamed so that the official SDK puts the same response together", () => {
    const frames: { event: string | undefined; data: string }[] = [];
    const encoder = dialect.encodeEvents((event, data) => frames.push({ event, data }), context);
    for (const event of unfold(answer)) encoder.event(event);
    let snapshot: Parameters<typeof accumulateResponse>[1];
    let beforeLast: unknown;
    for (const [at, { event, data }] of frames.entries()) {
      const parsed = JSON.parse(data) as Parameters<typeof accumulateResponse>[0];
      expect([parsed.type, parsed.sequence_number]).toEqual([event, at]);
      snapshot = accumulateResponse(parsed, snapshot);
      if (at === frames.length - 2) beforeLast = snapshot.output;
    }
    // What was put together from the deltas is what the last event says.
    expect(beforeLast).toEqual(expected);
    const { output_text: text, ...response } = { output_text: "", ...snapshot };
    expect(text).toBe('Hé "you"\n');
    expect(response).toEqual(dialect.encodeAnswer(answer, context));
  });

  it.each([
    ["max_tokens", "incomplete", { reason: "max_output_tokens" }],
    ["content_filter", "incomplete", { reason: "content_filter" }],
    ["stop_sequence", "completed", null],
    ["pause", "completed", null],
  ] as const)("that stopped for %s is %s", (stop, status, details) => {
    const stopped = { ...answer, stop };
    expect(dialect.encodeAnswer(stopped, context)).toMatchObject({ status, incomplete_details: details });
    const events: string[] = [];
    const encoder = dialect.encodeEvents((event) => events.push(event ?? ""), context);
    for (const event of unfold(stopped)) encoder.event(event);
    expect(events.at(-1)).toBe(`response.${status}`);
  });

  it("bears the id that was promised", () => {
    expect(dialect.encodeAnswer(answer, { ...context, id: "resp_promised" })).toMatchObject({ id: "resp_promised", created_at: 100 });
    const ids = new Set<string>();
    const encoder = dialect.encodeEvents(
      (_event, data) => ids.add((JSON.parse(data) as { response?: { id: string } }).response?.id ?? "resp_promised"),
      { ...context, id: "resp_promised" },
    );
    for (const event of unfold(answer)) encoder.event(event);
    expect([...ids]).toEqual(["resp_promised"]);
  });
});

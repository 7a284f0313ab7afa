import { describe, expect, it } from "vitest";
import {
  amend,
  checkCall,
  ProblemError,
  type Call,
  type Capabilities,
  type Diagnostic,
  type Item,
  type Json,
  type JsonObject,
  type Problem,
  type ToolSpec,
} from "../../../src/canon/index.ts";
import chat from "../../../src/dialects/openai-chat/index.ts";

const door = { operation: "generate", headers: {}, params: {} } as const;
const FOREIGN = { dialect: "elsewhere" };

function decode(body: JsonObject): Call {
  return chat.decodeCall({ model: "m", messages: [{ role: "user", content: "hi" }], ...body }, door);
}

function encode(call: Call, capabilities: Capabilities = {}, provider = "p"): { body: JsonObject; notes: Diagnostic[] } {
  const notes: Diagnostic[] = [];
  const wire = chat.encodeCall(call, { provider, model: "target", capabilities }, (note) => notes.push(note));
  return { body: JSON.parse(wire.body) as JsonObject, notes };
}

function foreign(items: readonly Item[], patch: Partial<Call> = {}): Call {
  return {
    operation: "generate",
    origin: FOREIGN,
    model: "m",
    stream: false,
    items: items.map((item) => ({ origin: FOREIGN, ...item })),
    tools: [],
    sampling: {},
    native: { foreign: true },
    touched: new Set(),
    ...patch,
  };
}

function refusal(action: () => unknown): Problem {
  try {
    action();
  } catch (error) {
    if (error instanceof ProblemError) return error.problem;
    throw error;
  }
  throw new Error("nothing was refused");
}

const user = (text: string): Item => ({ type: "message", role: "user", parts: [{ type: "text", text }] });

describe("bad requests are refused with the field's own name", () => {
  const image = (url: Json): JsonObject => ({ messages: [{ role: "user", content: [{ type: "image_url", image_url: { url } }] }] });
  const cases: readonly (readonly [JsonObject, string])[] = [
    [{ model: 7 }, "model"],
    [{ model: "" }, "model"],
    [{ messages: "hi" }, "messages"],
    [{ messages: ["hi"] }, "messages[0]"],
    [{ messages: [{ content: "x" }] }, "messages[0].role"],
    [{ messages: [{ role: "wizard", content: "x" }] }, "messages[0].role"],
    [{ messages: [{ role: "user", content: 7 }] }, "messages[0].content"],
    [{ messages: [{ role: "user" }] }, "messages[0].content"],
    [{ messages: [{ role: "user", content: ["x"] }] }, "messages[0].content[0]"],
    [{ messages: [{ role: "user", content: [{ type: "text", text: 1 }] }] }, "messages[0].content[0].text"],
    [{ messages: [{ role: "tool", content: "x" }] }, "messages[0].tool_call_id"],
    [{ messages: [{ role: "function", name: "f", content: "x" }] }, "messages[0].name"],
    [{ messages: [{ role: "assistant", content: null, tool_calls: {} }] }, "messages[0].tool_calls"],
    [
      { messages: [{ role: "assistant", content: null, tool_calls: [{ id: "a", type: "function" }] }] },
      "messages[0].tool_calls[0].function",
    ],
    [image("ftp://host/x.png"), "messages[0].content[0].image_url.url"],
    [image("data:image/png,plain"), "messages[0].content[0].image_url.url"],
    [image("data:image/png;base64,@@@@"), "messages[0].content[0].image_url.url"],
    [image("http://"), "messages[0].content[0].image_url.url"],
    [image(3), "messages[0].content[0].image_url.url"],
    [
      { messages: [{ role: "user", content: [{ type: "input_audio", input_audio: { data: "?", format: "wav" } }] }] },
      "messages[0].content[0].input_audio.data",
    ],
    [{ messages: [{ role: "user", content: [{ type: "file", file: {} }] }] }, "messages[0].content[0].file.file_data"],
    [{ stream: "yes" }, "stream"],
    [{ temperature: "hot" }, "temperature"],
    [{ max_tokens: "5" }, "max_tokens"],
    [{ stop: [1] }, "stop"],
    [{ tools: {} }, "tools"],
    [{ tools: [{ type: "function", function: {} }] }, "tools[0].function.name"],
    [{ tools: [{ type: "function", function: { name: "f", parameters: [] } }] }, "tools[0].function.parameters"],
    [{ tool_choice: "sometimes" }, "tool_choice"],
    [{ response_format: { type: "json_schema" } }, "response_format.json_schema"],
    [{ response_format: { type: "json_schema", json_schema: { name: "x" } } }, "response_format.json_schema.schema"],
  ];

  it.each(cases)("%j", (body, param) => {
    const problem = refusal(() => decode(body));
    expect(problem.kind).toBe("invalid_request");
    expect(problem.param).toBe(param);
    expect(problem.message).toContain(param);
  });

  it("already by the outline, where it reads the field", () => {
    expect(refusal(() => chat.outline({ model: 1, messages: [] }, door)).param).toBe("model");
    expect(refusal(() => chat.outline({ model: "m", messages: {} }, door)).param).toBe("messages");
    expect(refusal(() => chat.outline({ model: "m", messages: [], stream: 1 }, door)).param).toBe("stream");
  });

  it("checks large inline images without running out of stack", () => {
    const url = `data:image/png;base64,${"A".repeat(24_000_000)}`;
    expect(decode(image(url)).items).toHaveLength(1);
  });
});

describe("what a request says", () => {
  it("in canonical terms", () => {
    const call = decode({
      messages: [
        { role: "developer", content: "be brief" },
        {
          role: "user",
          content: [
            { type: "text", text: "look" },
            { type: "image_url", image_url: { url: "data:image/png;base64,AAAA", detail: "low" } },
            { type: "file", file: { file_id: "file-1" } },
          ],
        },
        {
          role: "assistant",
          content: "ok",
          reasoning_content: "hm",
          tool_calls: [
            { id: "c1", type: "function", function: { name: "f", arguments: "{}" } },
            { id: "c2", type: "custom", custom: { name: "g", input: "go" } },
          ],
        },
        { role: "tool", tool_call_id: "c2", content: "done" },
      ],
      tools: [
        { type: "custom", custom: { name: "g", format: { type: "grammar", grammar: { syntax: "lark", definition: "d" } } } },
        { type: "function", function: { name: "f", parameters: { type: "object" }, strict: true } },
      ],
      tool_choice: { type: "function", function: { name: "f" } },
      max_completion_tokens: 9,
      reasoning_effort: "low",
      verbosity: "high",
      stop: "END",
      response_format: { type: "json_schema", json_schema: { name: "x", schema: { type: "object" }, strict: true } },
      user: "u",
      metadata: { a: "b" },
    });
    expect(call.items.map((item) => item.type)).toEqual([
      "message",
      "message",
      "reasoning",
      "message",
      "tool_call",
      "tool_call",
      "tool_result",
    ]);
    expect(call.items[1]).toMatchObject({
      parts: [
        { type: "text" },
        { type: "image", source: { data: "AAAA", mediaType: "image/png" }, detail: "low" },
        { type: "file", source: { fileId: "file-1" } },
      ],
    });
    expect(call.items[5]).toMatchObject({ kind: "custom", callId: "c2", name: "g", input: "go" });
    expect(call.tools[0]).toMatchObject({ type: "custom", format: { type: "grammar", syntax: "lark", definition: "d" } });
    expect(call).toMatchObject({
      maxOutputTokens: 9,
      reasoning: { effort: "low" },
      output: { verbosity: "high", format: { name: "x", strict: true } },
      sampling: { stop: ["END"] },
      endUser: "u",
      metadata: { a: "b" },
    });
    expect(call.toolChoice).toEqual({ type: "tool", name: "f", kind: "function" });
    expect(checkCall(call)).toBeUndefined();
  });

  it("legacy functions and calls without ids find their results", () => {
    const messages = [
      { role: "user", content: "go" },
      { role: "assistant", content: null, function_call: { name: "f", arguments: "{}" } },
      { role: "function", name: "f", content: "1" },
      { role: "assistant", content: null, tool_calls: [{ id: "", type: "function", function: { name: "f", arguments: "{}" } }] },
      { role: "tool", tool_call_id: "", content: "2" },
    ];
    const body = { model: "target", messages, functions: [{ name: "f", parameters: { type: "object" } }], function_call: { name: "f" } };
    const call = chat.decodeCall(body, door);
    expect(checkCall(call)).toBeUndefined();
    expect(call.toolChoice).toEqual({ type: "tool", name: "f", kind: "function" });
    expect(encode(call).body).toEqual(body);
  });

  it("amended fields replace the client's own, the rest stays", () => {
    const call = amend(decode({ max_tokens: 5, temperature: 1, seed: 3, custom_field: { a: 1 }, reasoning_effort: "high" }), {
      maxOutputTokens: 7,
      reasoning: undefined,
    });
    expect(encode(call).body).toMatchObject({ max_tokens: 7, temperature: 1, seed: 3, custom_field: { a: 1 } });
    expect(encode(call).body).not.toHaveProperty("reasoning_effort");
  });

  it("a changed item keeps its message's other fields and shape", () => {
    const call = decode({
      messages: [
        { role: "user", name: "ann", content: [{ type: "text", text: "secret", cache_control: { type: "ephemeral" } }] },
        {
          role: "assistant",
          content: "secret",
          prefix: true,
          tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }],
        },
      ],
    });
    const items = call.items.map((item) => {
      if (item.type !== "message") return item;
      const { raw: _raw, ...rest } = item;
      return { ...rest, parts: rest.parts.map((part) => (part.type === "text" ? { ...part, text: "[1]" } : part)) };
    });
    expect(encode(amend(call, { items })).body["messages"]).toEqual([
      { role: "user", name: "ann", content: [{ type: "text", text: "[1]", cache_control: { type: "ephemeral" } }] },
      {
        role: "assistant",
        content: "[1]",
        prefix: true,
        tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }],
      },
    ]);
  });
});

describe("what an upstream needs", () => {
  const body = {
    model: "m",
    messages: [
      { role: "developer", content: "x" },
      { role: "user", content: "y" },
    ],
    stream: true,
    max_tokens: 5,
    reasoning_effort: "low",
    seed: 1,
  };
  const capabilities: Capabilities = {
    maxTokensField: "max_completion_tokens",
    reasoning: false,
    refuses: ["seed"],
    instructionsRole: "system",
  };
  const adapted = {
    model: "m",
    messages: [
      { role: "system", content: "x" },
      { role: "user", content: "y" },
    ],
    stream: true,
    max_completion_tokens: 5,
    stream_options: { include_usage: true },
  };

  it("is the same on both paths", () => {
    const target = { provider: "p", model: "m", capabilities };
    const { replace, path, withholdUsage } = chat.forwardCall(body, door, target);
    expect(withholdUsage).toBe(true);
    const forwarded: Record<string, Json | undefined> = { ...body, ...replace };
    expect(JSON.parse(JSON.stringify(forwarded))).toEqual(adapted);
    expect(path).toBe("/chat/completions");
    const notes: Diagnostic[] = [];
    expect(JSON.parse(chat.encodeCall(chat.decodeCall(body, door), target, (note) => notes.push(note)).body)).toEqual(adapted);
    expect(notes.map((note) => note.field)).toEqual(
      expect.arrayContaining(["maxOutputTokens", "reasoning_effort", "seed", "items[].role"]),
    );
  });

  it("is nothing for a plain call to an upstream that takes everything", () => {
    expect(chat.forwardCall({ model: "m", messages: [] }, door, { provider: "p", model: "m", capabilities: {} }).replace).toEqual({});
    const asked = { model: "m", messages: [], stream: true, stream_options: { include_usage: true } };
    expect(chat.forwardCall(asked, door, { provider: "p", model: "m", capabilities: {} })).toEqual({
      path: "/chat/completions",
      headers: {},
      replace: {},
    });
    expect(
      chat.forwardCall({ model: "m", messages: [], stream: true }, door, {
        provider: "p",
        model: "m",
        capabilities: { streamUsage: false },
      }).replace,
    ).toEqual({});
  });

  it("reasoning is shown again in the provider's own field, and only to its author", () => {
    const answer = chat.decodeAnswer(
      {
        id: "a",
        model: "r",
        choices: [
          {
            index: 0,
            finish_reason: "stop",
            message: { role: "assistant", content: "yes", reasoning: "hm", annotations: [], refusal: null },
          },
        ],
      },
      { provider: "lab", operation: "generate" },
    );
    const call = { ...decode({}), items: [...decode({}).items, ...answer.items] };
    expect(encode(call, {}, "lab").body["messages"]).toEqual([
      { role: "user", content: "hi" },
      { role: "assistant", content: "yes", reasoning: "hm" },
    ]);
    expect(encode(call, { reasoningField: "reasoning_content" }, "lab").body["messages"]).toEqual([
      { role: "user", content: "hi" },
      { role: "assistant", content: "yes", reasoning_content: "hm" },
    ]);
    const other = encode(call, {}, "other");
    expect(other.body["messages"]).toEqual([
      { role: "user", content: "hi" },
      { role: "assistant", content: "yes" },
    ]);
    expect(other.notes).toMatchObject([{ field: "items[].reasoning", action: "dropped" }]);
  });

  it("restored reasoning joins the client's own message", () => {
    const call = decode({
      messages: [
        { role: "user", content: "go" },
        { role: "assistant", content: null, tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }] },
      ],
    });
    const answer = chat.decodeAnswer(
      {
        id: "a",
        choices: [
          {
            index: 0,
            finish_reason: "tool_calls",
            message: {
              role: "assistant",
              content: null,
              reasoning_content: "hm",
              tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }],
            },
          },
        ],
      },
      { provider: "p", operation: "generate" },
    );
    const [first, ...rest] = call.items;
    const items = [...(first ? [first] : []), ...answer.items.slice(0, 1), ...rest];
    expect(encode({ ...call, items }).body["messages"]).toEqual([
      { role: "user", content: "go" },
      {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }],
        reasoning_content: "hm",
      },
    ]);
  });

  it("custom tools become functions where they are refused, and come back as what they were", () => {
    const call = decode({
      tools: [{ type: "custom", custom: { name: "patch", description: "d" } }],
      tool_choice: { type: "custom", custom: { name: "patch" } },
    });
    const { body: sent, notes } = encode(amend(call, { toolChoice: call.toolChoice }), { refuses: ["tools[].custom"] });
    expect(sent["tools"]).toMatchObject([{ type: "function", function: { name: "patch", parameters: { required: ["input"] } } }]);
    expect(sent["tool_choice"]).toEqual({ type: "function", function: { name: "patch" } });
    expect(notes).toMatchObject([{ field: "tools[].custom", action: "degraded" }]);
    const answer = chat.decodeAnswer(
      {
        id: "a",
        choices: [
          {
            index: 0,
            finish_reason: "tool_calls",
            message: {
              role: "assistant",
              content: null,
              tool_calls: [{ id: "c", type: "function", function: { name: "patch", arguments: '{"input":"*** go"}' } }],
            },
          },
        ],
      },
      { operation: "generate" },
    );
    expect(chat.encodeAnswer(answer, { call, createdAt: 1 })).toMatchObject({
      choices: [{ message: { tool_calls: [{ id: "c", type: "custom", custom: { name: "patch", input: "*** go" } }] } }],
    });
  });
});

describe("calls of other languages", () => {
  it("merge a turn's items into one message and keep ids, text and order", () => {
    const call = foreign(
      [
        user("go"),
        { type: "reasoning", parts: [{ kind: "summary", text: "thinking" }], signature: "s" },
        { type: "message", role: "assistant", parts: [{ type: "text", text: "I look." }] },
        { type: "tool_call", callId: "a", name: "find", namespace: "crm", kind: "function", input: "" },
        { type: "tool_call", callId: "b", name: "patch", kind: "custom", input: "*** x" },
        {
          type: "tool_result",
          callId: "a",
          kind: "function",
          parts: [
            { type: "text", text: "1" },
            { type: "image", source: { data: "AAAA", mediaType: "image/jpeg" } },
          ],
          isError: true,
        },
        { type: "tool_result", callId: "b", kind: "custom", parts: [{ type: "text", text: "2" }] },
        { type: "unknown", kind: "web_search_call", role: "assistant", raw: { type: "web_search_call" } },
        { type: "message", role: "assistant", parts: [{ type: "text", text: "Done." }] },
        { type: "compaction", text: "so far" },
      ],
      {
        instructions: {
          parts: [
            { type: "text", text: "one" },
            { type: "text", text: "two" },
          ],
        },
      },
    );
    const { body, notes } = encode(call);
    expect(body["messages"]).toEqual([
      {
        role: "system",
        content: [
          { type: "text", text: "one" },
          { type: "text", text: "two" },
        ],
      },
      { role: "user", content: "go" },
      {
        role: "assistant",
        content: "I look.",
        tool_calls: [
          { id: "a", type: "function", function: { name: "crm__find", arguments: "{}" } },
          { id: "b", type: "custom", custom: { name: "patch", input: "*** x" } },
        ],
      },
      { role: "tool", tool_call_id: "a", content: "1" },
      { role: "tool", tool_call_id: "b", content: "2" },
      { role: "user", content: [{ type: "image_url", image_url: { url: "data:image/jpeg;base64,AAAA" } }] },
      { role: "assistant", content: "Done." },
      { role: "user", content: "so far" },
    ]);
    expect(notes.map(({ field, action }) => `${field} ${action}`).toSorted()).toEqual([
      "items[].compaction degraded",
      "items[].isError dropped",
      "items[].reasoning dropped",
      "items[].tool_result.parts degraded",
      "items[].unknown dropped",
    ]);
    expect(JSON.stringify(body)).not.toContain("thinking");
    expect(body).not.toHaveProperty("foreign");
  });

  it("write parameters by the language's own names", () => {
    const tools: ToolSpec[] = [
      { type: "function", name: "f", description: "d", schema: { type: "object" }, strict: true, origin: FOREIGN, raw: { foreign: 1 } },
      { type: "namespace", name: "crm", tools: [{ type: "function", name: "find" }] },
      { type: "native", kind: "web_search", raw: { type: "web_search" } },
    ];
    const { body, notes } = encode(
      foreign([user("x")], {
        stream: true,
        tools,
        toolChoice: { type: "tool", name: "find", namespace: "crm", kind: "function" },
        parallelToolCalls: false,
        maxOutputTokens: 10,
        reasoning: { mode: "enabled", budgetTokens: 5000 },
        sampling: { temperature: 0.5, topP: 0.9, topK: 3, stop: ["a", "b", "c", "d", "e"] },
        output: { format: { type: "json_schema", name: "n", schema: { type: "object" } }, verbosity: "low" },
        endUser: "u",
        store: true,
        serviceTier: "standard_only",
      }),
      { reasoning: true, streamUsage: true },
    );
    expect(body).toEqual({
      model: "target",
      messages: [{ role: "user", content: "x" }],
      stream: true,
      stream_options: { include_usage: true },
      tools: [
        { type: "function", function: { name: "f", description: "d", parameters: { type: "object" }, strict: true } },
        { type: "function", function: { name: "crm__find" } },
      ],
      tool_choice: { type: "function", function: { name: "crm__find" } },
      parallel_tool_calls: false,
      max_tokens: 10,
      reasoning_effort: "medium",
      temperature: 0.5,
      top_p: 0.9,
      stop: ["a", "b", "c", "d"],
      response_format: { type: "json_schema", json_schema: { name: "n", schema: { type: "object" } } },
      verbosity: "low",
      user: "u",
    });
    expect(notes.map((note) => note.field).toSorted()).toEqual([
      "reasoning.budgetTokens",
      "sampling.stop",
      "sampling.topK",
      "serviceTier",
      "tools[].namespace",
      "tools[].native",
    ]);
  });

  it.each([
    [{ effort: "xhigh" }, {}, "xhigh"],
    [{ mode: "enabled" }, {}, "medium"],
    [{ mode: "disabled" }, { reasoning: true }, "none"],
    [{ mode: "disabled" }, {}, undefined],
    [{ mode: "adaptive" }, {}, undefined],
    [{ budgetTokens: 1000 }, {}, "minimal"],
    [{ budgetTokens: 2000 }, {}, "low"],
    [{ budgetTokens: 32_000 }, {}, "high"],
    [{ effort: "high" }, { reasoning: false }, undefined],
  ] as const)("reasoning %j with %j is the effort %s", (reasoning, capabilities, effort) => {
    expect(encode(foreign([user("x")], { reasoning }), capabilities).body["reasoning_effort"]).toBe(effort);
  });

  it("offer tools that an item brought in", () => {
    const items: Item[] = [
      user("x"),
      {
        type: "unknown",
        kind: "tool_search_output",
        role: "user",
        raw: {},
        tools: [{ type: "namespace", name: "crm", tools: [{ type: "function", name: "find" }] }],
      },
    ];
    expect(encode(foreign(items, { parallelToolCalls: true })).body).toMatchObject({
      tools: [{ type: "function", function: { name: "crm__find" } }],
      parallel_tool_calls: true,
    });
  });

  it("leave out what no part can say, with a note", () => {
    const parts = [
      { type: "text", text: "see" },
      { type: "file", source: { url: "https://host/x.pdf" } },
      { type: "file", source: { fileId: "file_x" } },
      { type: "file", source: { data: "AAAA" }, text: "plain" },
      { type: "audio", source: { data: "AAAA", mediaType: "audio/mpeg" } },
      { type: "unknown", kind: "search_result", raw: {} },
    ] as const;
    const { body, notes } = encode(foreign([{ type: "message", role: "user", parts }]));
    expect(body["messages"]).toEqual([
      {
        role: "user",
        content: [
          { type: "text", text: "see" },
          { type: "text", text: "plain" },
          { type: "input_audio", input_audio: { data: "AAAA", format: "mp3" } },
        ],
      },
    ]);
    expect(notes).toHaveLength(4);
  });
});

import { describe, expect, it } from "vitest";
import {
  amend,
  type Call,
  type Capabilities,
  type Diagnostic,
  type Item,
  type Json,
  type JsonObject,
  type WireRequest,
} from "../../../src/canon/index.ts";
import dialect from "../../../src/dialects/anthropic-messages/index.ts";
import { parseJson } from "../../../src/kit/index.ts";
import { context, foreignCall } from "./corpus.ts";

interface Sent {
  readonly request: WireRequest;
  readonly body: JsonObject;
  readonly messages: Json | undefined;
  readonly notes: readonly string[];
  readonly diagnostics: readonly Diagnostic[];
}

function send(call: Call, capabilities: Capabilities = {}): Sent {
  const diagnostics: Diagnostic[] = [];
  const request = dialect.encodeCall(call, { provider: "p", model: "claude", capabilities }, (note) => diagnostics.push(note));
  const body = parseJson(request.body) as JsonObject;
  return { request, body, messages: body["messages"], notes: diagnostics.map((note) => `${note.field} ${note.action}`), diagnostics };
}

const user = (text: string): Item => ({ type: "message", role: "user", parts: [{ type: "text", text }] });
const assistant = (text: string): Item => ({ type: "message", role: "assistant", parts: [{ type: "text", text }] });
const system = (text: string, role: "system" | "developer" = "system"): Item => ({
  type: "message",
  role,
  parts: [{ type: "text", text }],
});
const toolCall = (callId: string, input = "{}"): Item => ({ type: "tool_call", callId, name: "f", kind: "function", input });
const result = (callId: string, text: string): Item => ({
  type: "tool_result",
  callId,
  kind: "function",
  parts: text ? [{ type: "text", text }] : [],
});
const use = (id: string, input: Json = {}): Json => ({ type: "tool_use", id, name: "f", input });
const res = (id: string, content?: Json, more: JsonObject = {}): Json => ({
  type: "tool_result",
  tool_use_id: id,
  ...(content !== undefined && { content }),
  ...more,
});

describe("a call of another language", () => {
  it("needs an output cap, which the caller, the model or the house gives", () => {
    expect(send(foreignCall({})).body).toEqual({ model: "claude", max_tokens: 4096, messages: [{ role: "user", content: "hi" }] });
    expect(send(foreignCall({}), { maxOutputTokens: 999 }).body["max_tokens"]).toBe(999);
    expect(send(foreignCall({ maxOutputTokens: 5 }), { maxOutputTokens: 999 }).body["max_tokens"]).toBe(5);
    const capped = send(foreignCall({ maxOutputTokens: 5000 }), { maxOutputTokens: 999 });
    expect([capped.body["max_tokens"], capped.notes]).toEqual([999, ["maxOutputTokens degraded"]]);
  });

  it("has its instructions at the start as system, and later ones where the model takes them", () => {
    const items = [system("a"), system("b", "developer"), user("x"), system("c", "developer"), user("y")];
    const plain = send(foreignCall({ items, instructions: { parts: [{ type: "text", text: "first" }] } }));
    expect(plain.body["system"]).toEqual([
      { type: "text", text: "first" },
      { type: "text", text: "a" },
      { type: "text", text: "b" },
    ]);
    expect(plain.messages).toEqual([
      {
        role: "user",
        content: [
          { type: "text", text: "x" },
          { type: "text", text: "<developer>\nc\n</developer>" },
          { type: "text", text: "y" },
        ],
      },
    ]);
    expect(plain.notes).toEqual(["items[].role degraded"]);
    const able = send(foreignCall({ items }), { laterInstructions: true });
    expect(able.messages).toEqual([
      { role: "user", content: "x" },
      { role: "system", content: "c" },
      { role: "user", content: "y" },
    ]);
    expect(able.notes).toEqual([]);
    expect(send(foreignCall({ items: [system("only")] })).body).toMatchObject({ system: "only", messages: [{ role: "user" }] });
  });

  it("has the results of parallel tool calls at the head of one user message, wherever they stood", () => {
    const call = foreignCall({
      items: [user("go"), toolCall("a", '{"x":1}'), toolCall("b"), user("and?"), result("b", "B"), result("a", ""), assistant("ok")],
    });
    expect(send(call).messages).toEqual([
      { role: "user", content: "go" },
      { role: "assistant", content: [use("a", { x: 1 }), use("b")] },
      { role: "user", content: [res("a"), res("b", "B"), { type: "text", text: "and?" }] },
      { role: "assistant", content: "ok" },
    ]);
  });

  it("has every tool call answered, late ones at once and lost ones with a word", () => {
    const late = send(
      foreignCall({ items: [user("go"), toolCall("a"), assistant("wait"), user("hm"), assistant("yes"), result("a", "A"), user("end")] }),
    );
    expect(late.messages).toEqual([
      { role: "user", content: "go" },
      { role: "assistant", content: [use("a"), { type: "text", text: "wait" }] },
      { role: "user", content: [res("a", "A"), { type: "text", text: "hm" }] },
      { role: "assistant", content: "yes" },
      { role: "user", content: "end" },
    ]);
    const lost = send(foreignCall({ items: [user("go"), toolCall("a"), user("never mind")] }));
    expect(lost.notes).toEqual(["items[].toolResult restored"]);
    expect(lost.messages).toMatchObject([
      {},
      { content: [use("a")] },
      {
        content: [
          { type: "tool_result", tool_use_id: "a", is_error: true },
          { type: "text", text: "never mind" },
        ],
      },
    ]);
    const last = send(foreignCall({ items: [user("go"), toolCall("a")] }));
    expect(last.messages).toMatchObject([{}, {}, { role: "user", content: [{ tool_use_id: "a", is_error: true }] }]);
  });

  it("keeps tool call ids, and bends those that the API refuses the same way on both sides", () => {
    const kept = send(foreignCall({ items: [user("x"), toolCall("call_A-1"), result("call_A-1", "r")] }));
    expect(kept.messages).toMatchObject([{}, { content: [{ id: "call_A-1" }] }, { content: [{ tool_use_id: "call_A-1" }] }]);
    const bent = send(
      foreignCall({
        items: [
          user("x"),
          toolCall("functions.f:0"),
          toolCall("functions.f.0"),
          result("functions.f:0", "r"),
          result("functions.f.0", "s"),
        ],
      }),
    );
    const [, calls, results] = bent.messages as { content: { id: string; tool_use_id: string }[] }[];
    const ids = calls?.content.map((block) => block.id) ?? [];
    expect(new Set(ids).size).toBe(2);
    for (const id of ids) expect(id).toMatch(/^[\w-]+$/);
    expect(results?.content.map((block) => block.tool_use_id)).toEqual(ids);
    expect(bent.notes).toContain("items[].callId renamed");
  });

  it("lets the user speak first", () => {
    expect(send(foreignCall({ items: [assistant("a"), user("b")] })).messages).toMatchObject([
      { role: "user" },
      { role: "assistant" },
      { role: "user", content: "b" },
    ]);
  });

  it("drops reasoning that it cannot prove, without turning it into words", () => {
    const items: Item[] = [
      user("x"),
      { type: "reasoning", parts: [{ kind: "text", text: "hmm" }] },
      { type: "reasoning", parts: [], encrypted: "gAAA", origin: { dialect: "openai-responses" } },
      {
        type: "reasoning",
        parts: [{ kind: "summary", text: "signed elsewhere" }],
        signature: "s",
        origin: { dialect: dialect.id, provider: "q" },
      },
      {
        type: "reasoning",
        parts: [{ kind: "summary", text: "signed here" }],
        signature: "s",
        origin: { dialect: dialect.id, provider: "p" },
      },
      { type: "reasoning", parts: [], encrypted: "zz", origin: { dialect: dialect.id, provider: "p" } },
      {
        type: "unknown",
        kind: "web_search_call",
        role: "assistant",
        raw: { type: "web_search_call" },
        origin: { dialect: "openai-responses" },
      },
      assistant("y"),
      user("z"),
    ];
    const sent = send(foreignCall({ items }));
    expect(sent.messages).toEqual([
      { role: "user", content: "x" },
      {
        role: "assistant",
        content: [
          { type: "thinking", thinking: "signed here", signature: "s" },
          { type: "redacted_thinking", data: "zz" },
          { type: "text", text: "y" },
        ],
      },
      { role: "user", content: "z" },
    ]);
    expect(sent.notes).toEqual([
      "items[].reasoning dropped",
      "items[].reasoning dropped",
      "items[].reasoning dropped",
      "items[].web_search_call dropped",
    ]);
  });

  it("carries images and files, and says which it cannot", () => {
    const parts = [
      { type: "image", source: { url: "https://e.com/a.png" } },
      { type: "image", source: { data: "aGk=", mediaType: "image/png" } },
      { type: "image", source: { fileId: "file-1" } },
      { type: "file", source: { data: "aGk=", mediaType: "application/pdf" }, filename: "a.pdf" },
      { type: "file", source: {}, text: "words" },
      { type: "audio", source: { data: "aGk=" }, format: "wav" },
      { type: "audio", source: { data: "aGk=" }, transcript: "said" },
      { type: "refusal", text: "no" },
      { type: "text", text: "" },
    ] as const;
    const sent = send(foreignCall({ items: [{ type: "message", role: "user", parts }] }));
    expect(sent.messages).toEqual([
      {
        role: "user",
        content: [
          { type: "image", source: { type: "url", url: "https://e.com/a.png" } },
          { type: "image", source: { type: "base64", media_type: "image/png", data: "aGk=" } },
          { type: "document", source: { type: "base64", media_type: "application/pdf", data: "aGk=" }, title: "a.pdf" },
          { type: "document", source: { type: "text", media_type: "text/plain", data: "words" } },
          { type: "text", text: "said" },
          { type: "text", text: "no" },
        ],
      },
    ]);
    expect(sent.notes).toEqual([
      "items[].parts[].image dropped",
      "items[].parts[].audio dropped",
      "items[].parts[].audio degraded",
      "items[].parts[].refusal degraded",
    ]);
    expect(
      send(foreignCall({ items: [{ type: "message", role: "user", parts }] }), { vision: false, files: false }).messages,
    ).toMatchObject([{ content: [{ text: "said" }, { text: "no" }] }]);
  });

  it("offers tools, flat, and the choice among them", () => {
    const tools: Call["tools"] = [
      { type: "function", name: "f", description: "d", schema: { properties: {} }, strict: true },
      { type: "namespace", name: "crm", tools: [{ type: "function", name: "find" }] },
      { type: "custom", name: "shell" },
      { type: "native", kind: "web_search", raw: {}, origin: { dialect: "openai-responses" } },
    ];
    const sent = send(
      foreignCall({
        tools,
        toolChoice: { type: "tool", name: "find", namespace: "crm", kind: "function" },
        parallelToolCalls: false,
        reasoning: { effort: "high" },
      }),
    );
    expect(sent.body["tools"]).toMatchObject([
      { name: "f", description: "d", input_schema: { type: "object", properties: {} } },
      { name: "crm__find", input_schema: { type: "object", properties: {} } },
      { name: "shell", input_schema: { required: ["input"] } },
    ]);
    expect(sent.body["tool_choice"]).toEqual({ type: "tool", name: "crm__find", disable_parallel_tool_use: true });
    expect(sent.body["thinking"]).toBeUndefined();
    expect(sent.notes).toEqual([
      "tools[].namespace renamed",
      "tools[].custom degraded",
      "tools[].strict dropped",
      "tools[].native dropped",
      "reasoning dropped",
    ]);
    expect(send(foreignCall({ tools }), { structuredOutput: true }).body["tools"]).toMatchObject([{ strict: true }, {}, {}]);
    const none = send(foreignCall({ tools: tools.slice(3), toolChoice: { type: "required" } }));
    expect([none.body["tools"], none.body["tool_choice"], none.notes]).toEqual([
      undefined,
      undefined,
      ["tools[].native dropped", "toolChoice dropped"],
    ]);
    const custom: Item = { type: "tool_call", callId: "c", name: "shell", kind: "custom", input: 'echo "x"' };
    expect(
      send(foreignCall({ tools, items: [user("x"), custom, { ...result("c", "r"), kind: "custom" } as Item] })).messages,
    ).toMatchObject([{}, { content: [{ name: "shell", input: { input: 'echo "x"' } }] }, {}]);
  });

  it("writes the fields it has and names those it has not", () => {
    const sent = send(
      foreignCall({
        stream: true,
        sampling: { temperature: 1.7, topP: 0.9, topK: 4, seed: 1, presencePenalty: 1, frequencyPenalty: 0, n: 2, stop: ["END", "\n"] },
        endUser: "u",
        serviceTier: "flex",
        metadata: { a: "b" },
        promptCacheKey: "k",
        output: { verbosity: "low", format: { type: "json_schema", name: "n", schema: { type: "object" } } },
      }),
    );
    expect(sent.body).toEqual({
      model: "claude",
      max_tokens: 4096,
      stream: true,
      temperature: 1,
      top_p: 0.9,
      top_k: 4,
      stop_sequences: ["END"],
      metadata: { user_id: "u" },
      output_config: { format: { type: "json_schema", schema: { type: "object" } } },
      messages: [{ role: "user", content: "hi" }],
    });
    expect(sent.notes.toSorted()).toEqual([
      "metadata dropped",
      "output.verbosity dropped",
      "promptCacheKey dropped",
      "sampling.n dropped",
      "sampling.presencePenalty dropped",
      "sampling.seed dropped",
      "sampling.stop degraded",
      "sampling.temperature degraded",
      "serviceTier dropped",
    ]);
  });

  it("asks for JSON in words where the model cannot be held to it", () => {
    const schema = foreignCall({ output: { format: { type: "json_schema", name: "n", schema: { type: "object" } } } });
    expect(send(schema, { structuredOutput: false }).body).toMatchObject({
      system: expect.stringContaining('{"type":"object"}') as string,
    });
    expect(send(foreignCall({ output: { format: { type: "json_object" } } })).body["system"]).toContain("JSON object");
  });

  it("counts with what the model would read alone", () => {
    const sent = send(
      foreignCall({
        operation: "count_tokens",
        stream: true,
        maxOutputTokens: 5,
        sampling: { temperature: 0 },
        endUser: "u",
        tools: [{ type: "function", name: "f" }],
      }),
    );
    expect(sent.request.path).toBe("/messages/count_tokens");
    expect(Object.keys(sent.body).toSorted()).toEqual(["messages", "model", "tools"]);
  });

  it("can stand in the middle of a call of this language, as after a turn that the gateway kept", () => {
    const call = dialect.decodeCall(
      {
        model: "m",
        max_tokens: 5,
        messages: [{ role: "user", content: [{ type: "tool_result", tool_use_id: "a", content: "A", is_error: false }] }],
      },
      context("/v1/messages"),
    );
    const sent = send(amend(call, { items: [user("go"), toolCall("a"), ...call.items] }));
    expect(sent.messages).toEqual([
      { role: "user", content: "go" },
      { role: "assistant", content: [use("a")] },
      { role: "user", content: [res("a", "A", { is_error: false })] },
    ]);
  });
});

describe("reasoning", () => {
  const encode = (reasoning: Call["reasoning"], capabilities: Capabilities, maxOutputTokens?: number): readonly (Json | undefined)[] => {
    const { body } = send(
      foreignCall({ ...(reasoning && { reasoning }), ...(maxOutputTokens !== undefined && { maxOutputTokens }) }),
      capabilities,
    );
    return [body["thinking"], body["output_config"], body["max_tokens"]];
  };

  it.each([
    [{ effort: "none" }, [{ type: "disabled" }, undefined, 4096]],
    [{ effort: "minimal" }, [{ type: "adaptive" }, { effort: "low" }, 4096]],
    [{ effort: "high", summary: "auto" }, [{ type: "adaptive", display: "summarized" }, { effort: "high" }, 4096]],
    [{ effort: "unheard-of" }, [{ type: "adaptive" }, { effort: "medium" }, 4096]],
    [{ mode: "adaptive" as const, summary: "omitted" }, [{ type: "adaptive", display: "omitted" }, undefined, 4096]],
    [{ budgetTokens: 9000 }, [{ type: "adaptive" }, { effort: "medium" }, 4096]],
    [{ budgetTokens: 100 }, [{ type: "adaptive" }, { effort: "low" }, 4096]],
  ])("as an effort: %j", (reasoning, expected) => {
    expect(encode(reasoning, {})).toEqual(expected);
  });

  it.each([
    [{ effort: "low" }, undefined, [{ type: "enabled", budget_tokens: 2048 }, undefined, 6144]],
    [{ effort: "max" }, undefined, [{ type: "enabled", budget_tokens: 31_999 }, undefined, 32_000]],
    [{ budgetTokens: 5000 }, 4000, [{ type: "enabled", budget_tokens: 3999 }, undefined, 4000]],
    [{ effort: "high" }, 500, [undefined, undefined, 500]],
    [{ effort: "none" }, 500, [{ type: "disabled" }, undefined, 500]],
  ])("as a budget: %j with a cap of %s", (reasoning, cap, expected) => {
    expect(encode(reasoning, { reasoningControl: "budget", maxOutputTokens: 32_000 }, cap)).toEqual(expected);
  });

  it("is left out where the model takes none, and takes sampling with it where it is in", () => {
    const dull = send(foreignCall({ reasoning: { effort: "high" }, sampling: { temperature: 0.2 } }), { reasoning: false });
    expect([dull.body["thinking"], dull.body["temperature"], dull.notes]).toEqual([undefined, 0.2, ["reasoning dropped"]]);
    const bright = send(foreignCall({ reasoning: { effort: "high" }, sampling: { temperature: 0.2 } }));
    expect([bright.body["temperature"], bright.notes]).toEqual([undefined, ["sampling.temperature dropped"]]);
  });
});

describe("versions and betas", () => {
  const body = {
    model: "m",
    max_tokens: 5,
    temperature: 0.3,
    messages: [{ role: "user", content: "x" }],
    context_management: { edits: [] },
    mcp_servers: [],
    speed: "fast",
    output_config: { effort: "low", task_budget: { total: 5 } },
    tools: [
      { type: "mcp_toolset", mcp_server_name: "s" },
      { name: "f", input_schema: { type: "object" } },
    ],
  };
  const headers = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "context-management-2025-06-27, mcp-client-2025-11-20,task-budgets-2026-03-13,other-2026-01-01",
  };
  const decoded = dialect.decodeCall(body, context("/v1/messages", headers));

  it("send everything where nothing is known against it", () => {
    const sent = send(decoded);
    expect(sent.request.headers).toEqual({
      "anthropic-version": "2023-06-01",
      "anthropic-beta": "context-management-2025-06-27,mcp-client-2025-11-20,task-budgets-2026-03-13,other-2026-01-01",
    });
    expect(sent.body).toEqual({ ...body, model: "claude" });
    expect(dialect.forwardCall(body, context("/v1/messages", headers), { provider: "p", model: "m", capabilities: {} }).replace).toEqual(
      {},
    );
  });

  it("strip what the upstream does not take, and the fields that go with it", () => {
    const capabilities = { betas: ["context-management-2025-06-27"], versions: ["2026-10-21"], refuses: ["speed"] };
    const sent = send(decoded, capabilities);
    expect(sent.request.headers).toEqual({ "anthropic-version": "2026-10-21", "anthropic-beta": "context-management-2025-06-27" });
    const { temperature: _t, mcp_servers: _m, speed: _s, ...rest } = body;
    expect(sent.body).toEqual({ ...rest, model: "claude", output_config: { effort: "low" }, tools: body.tools.slice(1) });
    expect(sent.notes.toSorted()).toEqual([
      "mcp_servers dropped",
      "output_config.task_budget dropped",
      "speed dropped",
      "temperature dropped",
      "tools[].native dropped",
    ]);
    const forward = dialect.forwardCall(body, context("/v1/messages", headers), { provider: "p", model: "m", capabilities });
    expect(forward.headers).toEqual(sent.request.headers);
    expect({ ...body, ...forward.replace, model: "claude" }).toEqual({
      ...sent.body,
      temperature: undefined,
      mcp_servers: undefined,
      speed: undefined,
    });
  });

  it("speak the newer version for a client that does, and the older one for clients of other languages", () => {
    expect(
      send(dialect.decodeCall(body, context("/v1/messages", { "anthropic-version": "2026-10-21" })), {
        versions: ["2026-10-21", "2023-06-01"],
      }).request.headers,
    ).toEqual({ "anthropic-version": "2026-10-21" });
    expect(send(foreignCall({ sampling: { temperature: 0 } }), { versions: ["2026-10-21", "2023-06-01"] })).toMatchObject({
      request: { headers: { "anthropic-version": "2023-06-01" } },
      body: { temperature: 0 },
    });
    expect(send(foreignCall({ sampling: { temperature: 0 } }), { versions: ["2026-10-21"] })).toMatchObject({
      request: { headers: { "anthropic-version": "2026-10-21" } },
    });
  });

  it("refuse a version that nobody knows", () => {
    expect(() => dialect.outline(body, context("/v1/messages", { "anthropic-version": "1999-01-01" }))).toThrow("anthropic-version");
  });
});

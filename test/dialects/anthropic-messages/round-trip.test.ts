import { describe, expect, it } from "vitest";
import { amend, type Json, type JsonObject } from "../../../src/canon/index.ts";
import dialect from "../../../src/dialects/anthropic-messages/index.ts";
import { answers, context, requests, target } from "./corpus.ts";

function roundTrip(body: JsonObject, path: string, headers: Readonly<Record<string, string>>): JsonObject {
  const call = dialect.decodeCall(body, context(path, headers));
  return JSON.parse(dialect.encodeCall(call, { ...target, model: call.model }, () => undefined).body) as JsonObject;
}

describe("a request of this language comes out as it went in", () => {
  it.each(requests())("$name", ({ path, headers, body }) => {
    // A thread never goes upstream: the gateway keeps the turns.
    const { thread: _thread, ...expected } = body;
    expect(roundTrip(body, path, headers)).toEqual(expected);
  });

  it("holds for every shape that the recordings lack", () => {
    const png = {
      type: "image",
      source: { type: "url", url: "https://example.com/a.png" },
      cache_control: { type: "ephemeral", ttl: "1h" },
    };
    const messages: Json = [
      { role: "user", content: "" },
      { role: "user", content: [], extra: 1 },
      { role: "assistant", content: [{ type: "text", text: "a" }] },
      {
        role: "user",
        content: [
          png,
          { type: "text", text: "b", cache_control: { type: "ephemeral" } },
          { type: "image", source: { type: "gopher", at: 1 } },
        ],
      },
      {
        role: "assistant",
        content: [
          { type: "compaction", content: "s", signature: "x" },
          { type: "redacted_thinking", data: "zz" },
          { type: "thinking", thinking: "", signature: "sig" },
        ],
      },
      {
        role: "assistant",
        content: [
          { type: "tool_use", id: "t1", name: "f", input: {} },
          { type: "brand_new_block", payload: [1, null] },
        ],
      },
      {
        role: "user",
        content: [
          { type: "text", text: "late" },
          { type: "tool_result", tool_use_id: "t1" },
        ],
      },
      { role: "system", output_config: { effort: "low" }, clear_at: "never" },
      {
        role: "system",
        content: [
          { type: "tool_addition", tool: { type: "tool_definition", definition: { name: "g", input_schema: { type: "object" } } } },
        ],
      },
      {
        role: "user",
        content: [
          { type: "document", title: "t", source: { type: "text", media_type: "text/plain", data: "words" }, citations: { enabled: true } },
          { type: "search_result", source: "s", title: "t", content: [{ type: "text", text: "c" }] },
        ],
      },
    ];
    const rest = {
      model: "m",
      max_tokens: 5,
      system: [],
      tools: [],
      unheard_of: { a: 1 },
      tool_choice: { type: "none" },
      metadata: null,
      stream: false,
    };
    expect(roundTrip({ ...rest, messages }, "/v1/messages", {})).toEqual({ ...rest, messages });
    expect(roundTrip({ model: "m", max_tokens: 0, system: "", messages }, "/v1/messages", {})).toEqual({
      model: "m",
      max_tokens: 0,
      system: "",
      messages,
    });
  });

  it("changes only what was touched", () => {
    const body = {
      model: "m",
      max_tokens: 5,
      temperature: 0.5,
      system: "s",
      output_config: { effort: "low", task_budget: { total: 1 } },
      tools: [{ name: "f", input_schema: { type: "object" } }],
      messages: [{ role: "user", content: "x" }],
    };
    const call = dialect.decodeCall(body, context("/v1/messages"));
    const changed = amend(call, {
      stream: true,
      maxOutputTokens: 9,
      tools: [],
      instructions: undefined,
      output: { format: { type: "json_schema", name: "n", schema: { type: "object" } } },
    });
    expect(JSON.parse(dialect.encodeCall(changed, target, () => undefined).body)).toEqual({
      model: "model",
      max_tokens: 9,
      temperature: 0.5,
      stream: true,
      output_config: { effort: "low", task_budget: { total: 1 }, format: { type: "json_schema", schema: { type: "object" } } },
      messages: [{ role: "user", content: "x" }],
    });
  });

  it("writes changed text over its raw block and keeps the block's other members out of it", () => {
    const body = {
      model: "m",
      max_tokens: 5,
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "secret", cache_control: { type: "ephemeral" } },
            { type: "text", text: "kept", weird: 1 },
          ],
        },
      ],
    };
    const call = dialect.decodeCall(body, context("/v1/messages"));
    const items = call.items.map((item) =>
      item.type === "message"
        ? { ...item, parts: item.parts.map((part) => (part.type === "text" && part.text === "secret" ? { ...part, text: "***" } : part)) }
        : item,
    );
    const sent = JSON.parse(dialect.encodeCall(amend(call, { items }), target, () => undefined).body) as JsonObject;
    expect(sent["messages"]).toEqual([
      {
        role: "user",
        content: [
          { type: "text", text: "***", cache_control: { type: "ephemeral" } },
          { type: "text", text: "kept", weird: 1 },
        ],
      },
    ]);
  });
});

describe("an answer of this language comes out as it went in", () => {
  const call = dialect.decodeCall({ model: "m", max_tokens: 1, messages: [] }, context("/v1/messages"));

  it.each(answers())("$name", ({ body }) => {
    const answer = dialect.decodeAnswer(body, { provider: "recorded", operation: "generate" });
    expect(dialect.encodeAnswer(answer, { call, createdAt: 0 })).toEqual(body);
    expect(dialect.readAnswer(body)).toEqual({ usage: answer.usage, id: answer.id, model: answer.model, stop: answer.stop });
  });

  it("says what is wrong with one that is none", () => {
    const decode = (body: Json) => () => dialect.decodeAnswer(body, { provider: "p", operation: "generate" });
    expect(decode("text")).toThrow("no JSON object");
    expect(decode({ type: "message" })).toThrow("no content");
    expect(decode({ type: "message", content: [{ type: "tool_use" }] })).toThrow("garbled");
    expect(decode({ type: "error", error: { type: "overloaded_error", message: "Busy" } })).toThrow("529: Busy");
  });
});

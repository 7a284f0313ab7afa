import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Diagnostic, Dialect, Json, JsonObject } from "../../src/canon/index.ts";
import messages from "../../src/dialects/anthropic-messages/index.ts";
import chat from "../../src/dialects/openai-chat/index.ts";
import responses from "../../src/dialects/openai-responses/index.ts";

interface Schema {
  readonly dialect: Dialect;
  /** A request to which one field at a time is added. */
  readonly base: JsonObject;
  /** The official client's declarations of the request: file below node_modules, interface. */
  readonly declared: readonly (readonly [file: string, name: string])[];
  /** A value of each field that asks for something. */
  readonly fields: JsonObject;
  /** What is not an ask of the model: the call's frame, and what the gateway does itself or refuses at its door. */
  readonly apart: readonly string[];
}

const tool = { type: "object", properties: { a: { type: "string" } } };
const format = { type: "json_schema", schema: tool };

const SCHEMAS: readonly Schema[] = [
  {
    dialect: chat,
    base: {
      model: "m",
      messages: [{ role: "user", content: "Hi." }],
      tools: [{ type: "function", function: { name: "f", parameters: tool } }],
    },
    declared: [["openai/resources/chat/completions/completions.d.ts", "ChatCompletionCreateParamsBase"]],
    apart: ["model", "messages", "stream", "stream_options"],
    fields: {
      audio: { voice: "alloy", format: "mp3" },
      frequency_penalty: 0.5,
      function_call: { name: "f" },
      functions: [{ name: "g", parameters: tool }],
      logit_bias: { "50256": -100 },
      logprobs: true,
      max_completion_tokens: 99,
      max_tokens: 99,
      metadata: { a: "b" },
      modalities: ["text", "audio"],
      moderation: { model: "x" },
      n: 2,
      parallel_tool_calls: false,
      prediction: { type: "content", content: "x" },
      presence_penalty: 0.5,
      prompt_cache_key: "k",
      prompt_cache_options: { mode: "x" },
      prompt_cache_retention: "24h",
      reasoning_effort: "high",
      response_format: { type: "json_schema", json_schema: { name: "n", schema: tool } },
      safety_identifier: "u",
      seed: 7,
      service_tier: "priority",
      stop: ["x"],
      store: true,
      temperature: 0.5,
      tool_choice: "required",
      tools: [{ type: "function", function: { name: "h" } }],
      top_logprobs: 2,
      top_p: 0.5,
      user: "u",
      verbosity: "low",
      web_search_options: { search_context_size: "low" },
      // Of compatible vendors, and of a later day.
      top_k: 5,
      reasoning: { exclude: true },
      thinking: { type: "enabled", clear_thinking: true },
      provider: { order: ["a"] },
      a_later_field: 1,
    },
  },
  {
    dialect: responses,
    base: { model: "m", input: "Hi.", tools: [{ type: "function", name: "f", parameters: tool }] },
    declared: [["openai/resources/responses/responses.d.ts", "ResponseCreateParamsBase"]],
    apart: ["model", "input", "stream", "stream_options", "conversation", "previous_response_id", "background", "store"],
    fields: {
      access_programs: ["x"],
      context_management: [{ type: "compaction" }],
      image: { x: 1 },
      include: ["web_search_call.action.sources"],
      instructions: "Be kind.",
      max_output_tokens: 99,
      max_tool_calls: 3,
      metadata: { a: "b" },
      moderation: { model: "x" },
      parallel_tool_calls: false,
      prompt: { id: "pmpt_1" },
      prompt_cache_key: "k",
      prompt_cache_options: { mode: "x" },
      prompt_cache_retention: "24h",
      reasoning: { effort: "high" },
      safety_identifier: "u",
      service_tier: "flex",
      temperature: 0.5,
      text: { verbosity: "low" },
      tool_choice: "required",
      tools: [{ type: "function", name: "h" }],
      top_logprobs: 2,
      top_p: 0.5,
      truncation: "auto",
      user: "u",
      presence_penalty: 0.5,
      frequency_penalty: 0.5,
      a_later_field: 1,
    },
  },
  {
    dialect: messages,
    base: {
      model: "m",
      max_tokens: 50,
      messages: [{ role: "user", content: "Hi." }],
      tools: [{ name: "f", input_schema: tool }],
    },
    declared: [
      ["@anthropic-ai/sdk/resources/messages/messages.d.ts", "MessageCreateParamsBase"],
      ["@anthropic-ai/sdk/resources/beta/messages/messages.d.ts", "MessageCreateParamsBase"],
    ],
    // The client turns `betas` into a header.
    apart: ["model", "messages", "stream", "thread", "betas"],
    fields: {
      max_tokens: 99,
      billing_policy: { x: 1 },
      cache_control: { type: "ephemeral" },
      compaction: { x: 1 },
      container: "c",
      context_management: { edits: [] },
      diagnostics: { x: 1 },
      fallback_credit_token: "t",
      fallbacks: [{ model: "o" }],
      inference_geo: "eu",
      mcp_servers: [{ type: "url", url: "https://a.example", name: "a" }],
      metadata: { user_id: "u" },
      output_config: { format },
      output_format: format,
      service_tier: "standard_only",
      speed: "fast",
      stop_sequences: ["x"],
      system: "Be kind.",
      temperature: 0.5,
      thinking: { type: "enabled", budget_tokens: 2000 },
      tool_choice: { type: "any" },
      tools: [{ name: "h", input_schema: {} }],
      top_k: 5,
      top_p: 0.5,
      user_profile_id: "u",
      workspace_id: "w",
      a_later_field: 1,
    },
  },
];

const DIALECTS = [chat, responses, messages];
const target = { provider: "there", model: "m", capabilities: {} };
const headers = { "anthropic-version": "2023-06-01" };

function encode(from: Dialect, body: JsonObject, to: Dialect): { readonly body: string; readonly notes: readonly Diagnostic[] } {
  const notes: Diagnostic[] = [];
  const call = from.decodeCall(body, { operation: "generate", headers, params: {} });
  return { body: to.encodeCall(call, target, (note) => notes.push(note)).body, notes };
}

/** The members of an interface of a declaration file, at its top level. */
function membersOf(file: string, name: string): readonly string[] {
  const text = readFileSync(join(import.meta.dirname, "../../node_modules", file), "utf8").replaceAll(/\/\*[\s\S]*?\*\//g, "");
  const body = new RegExp(`export interface ${name}\\b[^{]*\\{([\\s\\S]*?)\\n\\}`).exec(text)?.[1] ?? "";
  return [...body.matchAll(/^ {4}'?(\w+)'?\??:/gm)].map(([, member]) => member ?? "");
}

describe.each(SCHEMAS)("a request in $dialect.title", ({ dialect, base, declared, fields, apart }) => {
  it("has no field that this test forgot", () => {
    const known = new Set([...Object.keys(fields), ...apart]);
    const members = declared.flatMap(([file, name]) => membersOf(file, name));
    expect(members.length).toBeGreaterThan(15);
    expect(members.filter((member) => !known.has(member))).toEqual([]);
  });

  const others = DIALECTS.filter((other) => other !== dialect);
  const ways = Object.entries(fields).flatMap(([field, value]) => others.map((to) => ({ field, value: value as Json, to, name: to.id })));
  it.each(ways)("loses no `$field` silently to $name", ({ field, value, to }) => {
    const without = encode(dialect, base, to);
    const withField = encode(dialect, { ...base, [field]: value }, to);
    const carried = withField.body !== without.body;
    const told = withField.notes.length > without.notes.length;
    expect({ carried, told }, JSON.stringify(withField.notes)).not.toEqual({ carried: false, told: false });
  });

  it("says nothing of what asks for nothing", () => {
    const harmless: JsonObject = { logit_bias: null, modalities: null, truncation: null, prompt: null, a_later_field: null };
    for (const to of others) expect(encode(dialect, { ...base, ...harmless }, to).notes).toEqual(encode(dialect, base, to).notes);
  });

  it("tells nothing in its own language", () => {
    expect(encode(dialect, { ...base, a_later_field: 1 }, dialect).notes).toEqual([]);
  });
});

describe("two ids of the end user", () => {
  it.each([chat, responses])("in $title: the newer one is carried, the other is told", (from) => {
    const base = { model: "m", ...(from === chat ? { messages: [{ role: "user", content: "Hi." }] } : { input: "Hi." }) };
    const both = encode(from, { ...base, user: "a", safety_identifier: "b" }, messages);
    expect(JSON.parse(both.body)).toMatchObject({ metadata: { user_id: "b" } });
    expect(both.notes.map(({ field }) => field)).toEqual(["user"]);
  });
});

describe("fields whose names a client chose", () => {
  it("are told up to a limit", () => {
    const many = Object.fromEntries(Array.from({ length: 80 }, (_, at) => [`field_${at}`, 1]));
    const { notes } = encode(chat, { model: "m", messages: [{ role: "user", content: "Hi." }], ...many, ["x".repeat(500)]: 1 }, responses);
    expect(notes).toHaveLength(51);
    expect(notes.at(-1)?.reason).toContain("31 more");
  });
});

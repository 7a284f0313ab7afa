import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Alias, Call, JsonObject } from "../../src/canon/index.ts";
import { sorted } from "../../src/cache/canonical-json.ts";
import { cacheKey, tenantOf, versionOf, wireKey, type KeyFacts } from "../../src/cache/key.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";

const ALIAS: Alias = {
  name: "fast",
  targets: [{ provider: "lab", model: "small", weight: 1 }],
  strategy: "fallback",
  retries: 2,
  timeoutMs: 1000,
  continue: "never",
  cache: { ttlMs: 1000, staleMs: 0, share: "key", replay: "burst", keyWith: [] },
};
const FACTS: KeyFacts = { tenant: "t", policy: "p", alias: ALIAS };

function decode(dialect: string, body: JsonObject, headers: Record<string, string> = {}): Call {
  const language = dialects.get(dialect);
  if (!language) throw new Error(`no ${dialect}`);
  return language.decodeCall(body, { operation: "generate", headers: { "anthropic-version": "2023-06-01", ...headers }, params: {} });
}
const key = (dialect: string, body: JsonObject, facts: Partial<KeyFacts> = {}): string =>
  cacheKey(decode(dialect, body), { ...FACTS, ...facts });

const TOOL_SCHEMA = { type: "object", properties: { a: { type: "string" }, b: { type: "number" } } };
const CHAT: JsonObject = {
  model: "fast",
  temperature: 0.5,
  max_tokens: 100,
  tools: [{ type: "function", function: { name: "f", description: "d", parameters: TOOL_SCHEMA } }],
  messages: [
    { role: "system", content: "Be brief." },
    { role: "user", content: "hello" },
    { role: "assistant", content: null, tool_calls: [{ id: "c1", type: "function", function: { name: "f", arguments: '{"a":"x"}' } }] },
    { role: "tool", tool_call_id: "c1", content: "result" },
  ],
};
const MESSAGES: JsonObject = {
  model: "fast",
  temperature: 0.5,
  max_tokens: 100,
  system: "Be brief.",
  tools: [{ name: "f", description: "d", input_schema: TOOL_SCHEMA }],
  messages: [
    { role: "user", content: "hello" },
    { role: "assistant", content: [{ type: "tool_use", id: "c1", name: "f", input: { a: "x" } }] },
    { role: "user", content: [{ type: "tool_result", tool_use_id: "c1", content: "result" }] },
  ],
};
const RESPONSES: JsonObject = {
  model: "fast",
  temperature: 0.5,
  max_output_tokens: 100,
  instructions: "Be brief.",
  tools: [{ type: "function", name: "f", description: "d", parameters: TOOL_SCHEMA }],
  input: [
    { role: "user", content: "hello" },
    { type: "function_call", call_id: "c1", name: "f", arguments: '{ "a": "x" }' },
    { type: "function_call_output", call_id: "c1", output: "result" },
  ],
};
const BODIES = { "openai-chat": CHAT, "anthropic-messages": MESSAGES, "openai-responses": RESPONSES };

/** Every way to change one value somewhere in a body, with the path for the failure's message. */
function* changes(value: unknown, path = ""): Generator<readonly [path: string, changed: unknown]> {
  if (typeof value === "string") yield [path, `${value} changed`];
  if (typeof value === "number") yield [path, value + 0.25];
  if (typeof value !== "object" || value === null) return;
  for (const [member, inner] of Object.entries(value)) {
    for (const [where, changed] of changes(inner, `${path}/${member}`)) {
      yield [where, Array.isArray(value) ? value.with(Number(member), changed) : { ...value, [member]: changed }];
    }
  }
}

describe("the key of a call", () => {
  it("is the same in every language that can say the same", () => {
    const keys = Object.entries(BODIES).map(([dialect, body]) => key(dialect, body));
    expect(new Set(keys).size).toBe(1);
  });

  it.each(Object.entries(BODIES))("%s: changes with every value that can change the answer", (dialect, body) => {
    const before = key(dialect, body);
    const seen = new Set<string>();
    for (const [path, changed] of changes(body)) {
      // What the door itself checks, and the model, which the alias stands for.
      if (/^\/model$|\/(type|role|max_tokens|max_output_tokens)$/.test(path)) continue;
      const after = key(dialect, changed as JsonObject);
      expect(after, path).not.toBe(before);
      seen.add(after);
    }
    expect(seen.size).toBeGreaterThan(9);
  });

  it.each([
    ["openai-chat", { logit_bias: { 5: 1 } }],
    ["openai-chat", { seed: 7 }],
    ["openai-chat", { response_format: { type: "json_object" } }],
    ["openai-chat", { tool_choice: "none" }],
    ["openai-chat", { parallel_tool_calls: false }],
    ["openai-chat", { stop: ["x"] }],
    ["openai-chat", { reasoning_effort: "low" }],
    ["openai-chat", { x_vendor: { a: 1 } }],
    ["openai-chat", { service_tier: "priority" }],
    ["openai-chat", { messages: [{ role: "user", name: "bob", content: "hello" }] }],
    ["anthropic-messages", { thinking: { type: "enabled", budget_tokens: 50 } }],
    ["anthropic-messages", { top_k: 4 }],
    ["anthropic-messages", { tool_choice: { type: "any" } }],
    ["anthropic-messages", { container: "c" }],
    ["openai-responses", { include: ["reasoning.encrypted_content"] }],
    ["openai-responses", { text: { verbosity: "low" } }],
    ["openai-responses", { truncation: "auto" }],
  ] as const)("%s: changes with %j", (dialect, change) => {
    expect(key(dialect, { ...BODIES[dialect], ...change })).not.toBe(key(dialect, BODIES[dialect]));
  });

  it("tells values of fields that only one language has apart, at any depth", () => {
    const values = [{ a: 1 }, { a: 2 }, { b: 1 }, { a: { b: [1, 2] } }, { a: { b: [2, 1] } }];
    expect(new Set(values.map((value) => key("openai-chat", { ...CHAT, x_vendor: value }))).size).toBe(values.length);
    const named = ["bob", "alice"].map((name) => key("openai-chat", { model: "fast", messages: [{ role: "user", name, content: "hi" }] }));
    expect(new Set(named).size).toBe(2);
  });

  it.each([
    ["openai-chat", { stream: true, stream_options: { include_usage: true } }],
    ["openai-chat", { metadata: { a: "b" }, user: "u", prompt_cache_key: "k" }],
    ["anthropic-messages", { metadata: { user_id: "u" }, stream: true }],
    ["openai-responses", { metadata: { a: "b" }, store: false, stream: true, safety_identifier: "s" }],
  ] as const)("%s: stays with %j", (dialect, change) => {
    expect(key(dialect, { ...BODIES[dialect], ...change })).toBe(key(dialect, BODIES[dialect]));
  });

  it("stays when a place for the prompt cache is marked", () => {
    const marked = { ...MESSAGES, system: [{ type: "text", text: "Be brief.", cache_control: { type: "ephemeral" } }] };
    expect(key("anthropic-messages", marked)).toBe(key("anthropic-messages", MESSAGES));
  });

  it("depends on end user and metadata where the alias says so", () => {
    const alias: Alias = { ...ALIAS, cache: { ttlMs: 1000, staleMs: 0, share: "key", replay: "burst", keyWith: ["endUser", "metadata"] } };
    const keys = [
      key("openai-chat", CHAT, { alias }),
      key("openai-chat", { ...CHAT, user: "u" }, { alias }),
      key("openai-chat", { ...CHAT, metadata: { a: "b" } }, { alias }),
      key("openai-chat", CHAT, { alias, labels: { a: "b" } }),
    ];
    expect(new Set(keys).size).toBe(4);
  });

  it("depends on the tenant, the policy and the alias's definition, not on how often it tries", () => {
    const other = { ...ALIAS, targets: [{ provider: "lab", model: "big", weight: 1 }] };
    const keys = [
      key("openai-chat", CHAT),
      key("openai-chat", CHAT, { tenant: "u" }),
      key("openai-chat", CHAT, { policy: "q" }),
      key("openai-chat", CHAT, { alias: other }),
      key("openai-chat", CHAT, { alias: { ...ALIAS, name: "slow" } }),
    ];
    expect(new Set(keys).size).toBe(5);
    expect(versionOf({ ...ALIAS, retries: 9, timeoutMs: 5, continue: "always" })).toBe(versionOf(ALIAS));
  });

  it("tells wire versions and opt-ins apart only where bytes are repeated or the answer differs", () => {
    const older = decode("anthropic-messages", MESSAGES);
    const newer = decode("anthropic-messages", MESSAGES, { "anthropic-version": "2026-10-21" });
    expect(cacheKey(newer, FACTS)).toBe(cacheKey(older, FACTS));
    expect(wireKey(newer)).not.toBe(wireKey(older));
    const opted = decode("anthropic-messages", MESSAGES, { "anthropic-beta": "context-1m" });
    expect(cacheKey(opted, FACTS)).not.toBe(cacheKey(older, FACTS));
  });

  it("does not depend on the order of members", () => {
    const turned = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(turned);
      if (typeof value !== "object" || value === null) return value;
      return Object.fromEntries(
        Object.entries(value)
          .toReversed()
          .map(([member, inner]) => [member, turned(inner)]),
      );
    };
    for (const [dialect, body] of Object.entries(BODIES)) expect(key(dialect, turned(body) as JsonObject)).toBe(key(dialect, body));
  });
});

describe("canonical JSON", () => {
  it("is equal for equal values and keeps others apart", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        const text = (value: unknown): string => JSON.stringify(sorted(value));
        expect(JSON.parse(text(a))).toEqual(JSON.parse(JSON.stringify(a).replaceAll('"__proto__"', '"\\u0000__proto__"')));
        if (text(a) === text(b)) expect(sorted(a)).toEqual(sorted(b));
      }),
    );
  });
  it("sees a member named __proto__", () => {
    expect(JSON.stringify(sorted(JSON.parse('{"__proto__":1}')))).not.toBe(JSON.stringify(sorted({})));
  });
});

describe("the tenant", () => {
  it("never takes one kind for another", () => {
    const all = [
      tenantOf({ scope: "x" }, "key"),
      tenantOf({ scope: "y", team: "x" }, "team"),
      tenantOf({ scope: "y", project: "x" }, "project"),
      tenantOf({ scope: "y", team: "t", project: "x" }, "project"),
      tenantOf({ scope: "x" }, "all"),
    ];
    expect(new Set(all).size).toBe(5);
    expect(tenantOf({ scope: "x" }, "team")).toBe(all[0]);
  });
});

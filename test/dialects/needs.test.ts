import { describe, expect, it } from "vitest";
import type { Call, JsonObject } from "../../src/canon/index.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { needsOf } from "../../src/routing/capabilities.ts";
import { readInteractions, recordings, sharedData } from "../support/shared.ts";

const CHAT = {
  image: { type: "image_url", image_url: { url: "https://example.com/a.png" } },
  file: { type: "file", file: { file_id: "f" } },
};

function both(id: string, body: JsonObject): { readonly shown: object; readonly decoded: object } | undefined {
  const dialect = dialects.get(id);
  if (!dialect?.needs) throw new Error(`${id} does not say what a body needs`);
  let call: Call;
  try {
    call = dialect.decodeCall(body, { operation: "generate", headers: {}, params: { model: "m" } });
  } catch {
    return undefined;
  }
  return { shown: { ...dialect.needs(body) }, decoded: needsOf(call) };
}

describe("what a body shows to be needed", () => {
  const tool = { type: "function", name: "t", parameters: {} };
  it.each<[string, JsonObject]>([
    ["openai-chat", { messages: [{ role: "user", content: "the word image_url is just a word" }] }],
    ["openai-chat", { messages: [{ role: "user", content: [CHAT.image] }], prompt_cache_key: "k" }],
    ["openai-chat", { messages: [{ role: "user", content: [CHAT.file] }], tools: [{ type: "function", function: { name: "t" } }] }],
    [
      "openai-chat",
      { messages: [{ role: "user", content: [{ type: "input_audio", input_audio: { data: "AAAA", format: "wav" } }] }], tools: [] },
    ],
    [
      "openai-chat",
      { messages: [], functions: [{ name: "t" }], response_format: { type: "json_schema", json_schema: { name: "s", schema: {} } } },
    ],
    ["openai-responses", { input: "hello", tools: [tool], text: { format: { type: "json_schema", name: "s", schema: {} } } }],
    ["openai-responses", { input: [{ role: "user", content: [{ type: "input_image", image_url: "https://example.com/a.png" }] }] }],
    ["openai-responses", { input: [{ type: "function_call_output", call_id: "c", output: [{ type: "input_file", file_id: "f" }] }] }],
    [
      "anthropic-messages",
      {
        max_tokens: 5,
        messages: [{ role: "user", content: [{ type: "image", source: { type: "url", url: "https://example.com/a.png" } }] }],
      },
    ],
    [
      "anthropic-messages",
      {
        max_tokens: 5,
        messages: [{ role: "user", content: [{ type: "document", source: { type: "text", media_type: "text/plain", data: "x" } }] }],
      },
    ],
    [
      "anthropic-messages",
      {
        max_tokens: 5,
        tools: [{ name: "t", input_schema: { type: "object" } }],
        messages: [
          {
            role: "user",
            content: [
              {
                type: "tool_result",
                tool_use_id: "c",
                content: [{ type: "image", source: { type: "base64", media_type: "image/png", data: "AAAA" } }],
              },
            ],
          },
        ],
      },
    ],
  ])("%s %#: the same as decoding it", (id, body) => {
    const found = both(id, { model: "m", ...body });
    expect(found?.shown).toEqual(found?.decoded);
    expect(found).toBeDefined();
  });

  it.each([...dialects.keys()])("never throws for %s, whatever the shape", (id) => {
    const odd: JsonObject[] = [
      {},
      { messages: 3, input: 3, tools: "x" },
      { messages: [null, 3, { content: [null, 3, { type: 5 }, { type: "constructor" }] }], input: [[], null, { content: [7] }], tools: {} },
    ];
    for (const body of odd) expect(() => dialects.get(id)?.needs?.(body)).not.toThrow();
  });

  it.skipIf(!sharedData("recordings/MANIFEST.json"))("is what decoding shows, for every recorded request", () => {
    let compared = 0;
    const apart: string[] = [];
    for (const { file } of recordings(["openai", "anthropic", "google", "google-vertex"], ["exchange", "exchange-stream"])) {
      for (const { request } of readInteractions(file)) {
        const id = languageOf(request.path);
        if (id === undefined || typeof request.body !== "object" || request.body === null) continue;
        const found = both(id, request.body as JsonObject);
        if (!found) continue;
        compared++;
        if (JSON.stringify(sorted(found.shown)) !== JSON.stringify(sorted(found.decoded))) apart.push(`${file}: ${JSON.stringify(found)}`);
      }
    }
    expect(apart).toEqual([]);
    expect(compared).toBeGreaterThan(100);
  });
});

function languageOf(path: string): string | undefined {
  if (/\/chat\/completions(?:\?|$)/.test(path)) return "openai-chat";
  if (/\/responses(?:\?|$)/.test(path)) return "openai-responses";
  if (/:(?:stream)?generateContent(?:\?|$)/i.test(path)) return "gemini";
  return /\/messages(?:\?|$)/.test(path) ? "anthropic-messages" : undefined;
}

function sorted(value: object): object {
  return Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

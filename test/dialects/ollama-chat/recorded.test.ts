import { describe, expect, it } from "vitest";
import { amend, textOf, type Item, type Json, type JsonObject } from "../../../src/canon/index.ts";
import { dialects } from "../../../src/dialects/registry.generated.ts";
import { CAPABLE } from "../../../scripts/generate/loss-table.ts";
import { readInteractions, recordings } from "../../support/shared.ts";

const LANGUAGES: readonly (readonly [RegExp, string])[] = [
  [/\/chat\/completions$/, "openai-chat"],
  [/\/responses$/, "openai-responses"],
];
const door = { operation: "generate" as const, headers: {}, params: {} };
const ollama = dialects.get("ollama-chat");

/** What an Ollama, and servers on the recorder's own machine, were asked in other languages, and answered. */
const recorded = recordings(["ollama", "local"], ["exchange"]).flatMap(({ file }) =>
  readInteractions(file).flatMap(({ request, response }) => {
    const id = LANGUAGES.find(([path]) => path.test(request.path))?.[1];
    return id === undefined || response.json === undefined
      ? []
      : [{ file, id, body: request.body as JsonObject, answer: response.json as Json }];
  }),
);

const told = (items: readonly Item[]): readonly string[] =>
  items.map((item) => {
    if (item.type === "message") return `${item.role === "developer" ? "system" : item.role}: ${textOf(item.parts)}`;
    if (item.type === "reasoning") return `thinks: ${item.parts.map((part) => part.text).join("")}`;
    return item.type === "tool_call" ? `calls ${item.name} ${item.input}` : item.type;
  });
const spoken = (items: readonly Item[]): readonly string[] => told(items).filter((one) => one !== "thinks: ");

describe.skipIf(recorded.length === 0)("recorded calls of Ollama and local servers", () => {
  it("are there", () => expect(recorded.length).toBeGreaterThanOrEqual(4));

  it.each(recorded)("$file is asked the same in Ollama's own language", ({ id, body }) => {
    const call = dialects.get(id)?.decodeCall(body, door);
    if (!call || !ollama) throw new Error("no such language");
    const { body: asked } = ollama.encodeCall(amend(call, { model: "m" }), { provider: "p", model: "m", capabilities: CAPABLE }, () => {});
    const again = ollama.decodeCall(JSON.parse(asked) as JsonObject, door);
    // Thoughts of an earlier turn are shown again to their own provider only.
    expect(told(again.items)).toEqual(told(call.items.filter((item) => item.type !== "reasoning")));
    expect(again.stream).toBe(call.stream);
    expect(again.output?.format?.type).toBe(call.output?.format?.type);
    const shapes = (tools: typeof call.tools) =>
      tools.map((tool) => (tool.type === "function" ? [tool.name, tool.description, tool.schema] : tool.type));
    expect(shapes(again.tools)).toEqual(shapes(call.tools));
  });

  it.each(recorded)("$file is answered the same, thoughts included", ({ id, body, answer }) => {
    const from = dialects.get(id);
    if (!from || !ollama) throw new Error("no such language");
    const call = from.decodeCall(body, door);
    const original = from.decodeAnswer(answer, { operation: "generate", provider: "origin" });
    const there = ollama.decodeAnswer(ollama.encodeAnswer(original, { call, createdAt: 1 }), { operation: "generate", provider: "p" });
    expect(spoken(there.items)).toEqual(spoken(original.items));
    expect([there.model, there.stop, there.createdAt]).toEqual([original.model, original.stop, original.createdAt]);
    const { inputUncached, cacheRead, output } = original.usage;
    expect(there.usage).toMatchObject({ inputUncached: inputUncached + cacheRead, output });
  });
});

import { describe, expect, it } from "vitest";
import { ProblemError, type Diagnostic, type Dialect, type Item, type Json, type JsonObject } from "../../src/canon/index.ts";
import messages from "../../src/dialects/anthropic-messages/index.ts";
import chat from "../../src/dialects/openai-chat/index.ts";
import responses from "../../src/dialects/openai-responses/index.ts";

const target = { provider: "there", model: "m", capabilities: {} };
const headers = { "anthropic-version": "2023-06-01" };
const audio = { type: "input_audio", input_audio: { data: "AAAA", format: "wav" } };
const image = { type: "input_image", file_id: "file_1" };
const call = { id: "call_1", type: "function", function: { name: "look", arguments: "{}" } };

function encode(from: Dialect, body: JsonObject, to: Dialect): { readonly body: JsonObject; readonly notes: readonly Diagnostic[] } {
  const notes: Diagnostic[] = [];
  const decoded = from.decodeCall(body, { operation: "generate", headers, params: {} });
  return { body: JSON.parse(to.encodeCall(decoded, target, (note) => notes.push(note)).body) as JsonObject, notes };
}

function refusal(from: Dialect, body: JsonObject, to: Dialect): string {
  try {
    encode(from, body, to);
  } catch (error) {
    if (error instanceof ProblemError && error.problem.kind === "unsupported") return error.problem.message;
    throw error;
  }
  throw new Error("it was not refused");
}

const say = (...content: Json[]): JsonObject => ({ model: "m", max_tokens: 9, messages: [{ role: "user", content }] });
const put = (...input: Json[]): JsonObject => ({ model: "m", input });

describe("a turn of which nothing is left", () => {
  it.each([
    ["sound", chat, say(audio), messages, "audio"],
    ["sound", chat, say(audio), responses, "audio"],
    ["an image in a file store", responses, put({ role: "user", content: [image] }), messages, "image"],
    ["an image in a file store", responses, put({ role: "user", content: [image] }), chat, "image"],
    ["a file in a file store", messages, say({ type: "document", source: { type: "file", file_id: "f" } }), chat, "file"],
    ["a file in a file store", messages, say({ type: "document", source: { type: "file", file_id: "f" } }), responses, "file"],
    ["sound beside an empty text", chat, say(audio, { type: "text", text: "" }), messages, "audio"],
    [
      "the output of a hosted tool",
      responses,
      put({ type: "computer_call_output", call_id: "c", output: {} }),
      chat,
      "computer_call_output",
    ],
    [
      "the output of a hosted tool",
      responses,
      put({ type: "computer_call_output", call_id: "c", output: {} }),
      messages,
      "computer_call_output",
    ],
  ] as const)("is refused: %s", (_what, from, body, to, named) => {
    const message = refusal(from, body, to);
    expect(message).toContain(named);
    expect(message).toContain('"there/m"');
  });

  it("is refused also where standing instructions or earlier turns are left", () => {
    const before = [
      { role: "system", content: "Be kind." },
      { role: "user", content: "Hi." },
      { role: "assistant", content: "Hello." },
    ];
    expect(refusal(chat, { model: "m", messages: [...before, { role: "user", content: [audio] }] }, messages)).toContain("audio");
  });

  it("is refused for a tool's result that showed nothing else", () => {
    const shown: Item[] = [
      { type: "tool_call", callId: "call_1", name: "look", kind: "function", input: "{}" },
      { type: "tool_result", callId: "call_1", kind: "function", parts: [{ type: "audio", source: { data: "AAAA" } }] },
      { type: "message", role: "user", parts: [{ type: "text", text: "Well?" }] },
    ];
    const decoded = chat.decodeCall(say({ type: "text", text: "x" }), { operation: "generate", headers, params: {} });
    for (const to of [messages, responses])
      expect(() => to.encodeCall({ ...decoded, origin: { dialect: "elsewhere" }, items: shown }, target, () => {})).toThrow("audio");
  });
});

describe("what is left of a turn is sent", () => {
  it("with a diagnostic for the part that is lost", () => {
    const { body, notes } = encode(chat, say(audio, { type: "text", text: "What is this?" }), messages);
    expect(JSON.stringify(body["messages"])).toContain("What is this?");
    expect(notes).toContainEqual(expect.objectContaining({ field: "items[].parts[].audio", action: "dropped" }));
  });

  it("when another message of the same turn says something", () => {
    const body = {
      model: "m",
      messages: [
        { role: "user", content: [audio] },
        { role: "user", content: "What is this?" },
      ],
    };
    expect(encode(chat, body, messages).notes).toContainEqual(expect.objectContaining({ field: "items[].parts[].audio" }));
  });

  it("when a tool's result stands beside it", () => {
    const body = {
      model: "m",
      messages: [
        { role: "user", content: "Look." },
        { role: "assistant", content: null, tool_calls: [call] },
        { role: "tool", tool_call_id: "call_1", content: "done" },
        { role: "user", content: [audio] },
      ],
    };
    for (const to of [messages, responses]) expect(encode(chat, body, to).notes.length).toBeGreaterThan(0);
  });

  it("in its own language always", () => {
    expect(encode(chat, say(audio), chat).notes).toEqual([]);
    expect(encode(responses, put({ role: "user", content: [image] }), responses).notes).toEqual([]);
  });

  it("and a conversation that is instructions alone is begun", () => {
    expect(encode(chat, { model: "m", messages: [{ role: "system", content: "Tell a joke." }] }, messages).body["messages"]).toHaveLength(
      1,
    );
  });
});

describe("a prompt that its provider keeps", () => {
  const prompt = { id: "pmpt_1", variables: { a: "b" } };

  it("alone is refused by the others, and passes in its own language", () => {
    for (const to of [chat, messages]) expect(refusal(responses, { model: "m", prompt }, to)).toContain('"pmpt_1"');
    expect(encode(responses, { model: "m", prompt }, responses).body["prompt"]).toEqual(prompt);
  });

  it("beside input is dropped, which is told", () => {
    for (const to of [chat, messages]) {
      const { body, notes } = encode(responses, { model: "m", prompt, input: "Hi." }, to);
      expect(body).not.toHaveProperty("prompt");
      expect(notes).toContainEqual(expect.objectContaining({ field: "prompt", action: "dropped" }));
    }
  });
});

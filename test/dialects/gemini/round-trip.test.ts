import { describe, expect, it } from "vitest";
import { amend, type Json, type JsonObject } from "../../../src/canon/index.ts";
import dialect from "../../../src/dialects/gemini/index.ts";
import { answers, context, foreignCall, requests, target } from "./corpus.ts";

function roundTrip(body: JsonObject, path?: string): JsonObject {
  const call = dialect.decodeCall(body, context(path));
  const request = dialect.encodeCall(call, { ...target, model: call.model }, () => undefined);
  return JSON.parse(request.body) as JsonObject;
}

describe("a request of this language comes out as it went in", () => {
  it("finds the recordings", () => expect(requests().length).toBeGreaterThan(150));

  it.each(requests())("$name", ({ path, body }) => {
    expect(roundTrip(body, path)).toEqual(body);
    const call = dialect.decodeCall(body, context(path));
    const sent = dialect.encodeCall(call, { ...target, model: call.model }, () => undefined).path;
    expect(path.split("?")[0]?.endsWith(sent.split("?")[0] ?? "")).toBe(true);
  });

  it("holds for every shape that the recordings lack", () => {
    const contents: Json = [
      { parts: { text: "a single part" } },
      { role: "user" },
      { role: "user", parts: [] },
      {
        role: "model",
        parts: [
          { text: "a", thoughtSignature: "c2ln" },
          { text: "b", partMetadata: { x: 1 } },
          { thought: true, thoughtSignature: "c2ln" },
        ],
      },
      {
        role: "model",
        parts: [
          { text: "think", thought: true },
          { functionCall: { name: "f" }, thoughtSignature: "c2ln" },
          { functionCall: { name: "f", args: { big: 1 } } },
        ],
      },
      {
        role: "function",
        parts: [{ functionResponse: { name: "f", response: {} } }, { function_response: { name: "f", response: { error: "x" } } }],
      },
      {
        role: "user",
        parts: [
          { inlineData: { mimeType: "video/mp4", data: "AAAA" }, videoMetadata: { fps: 1 } },
          { fileData: { fileUri: "https://www.youtube.com/watch?v=x" } },
          { brandNew: { a: [1, null] } },
        ],
      },
    ];
    const rest = {
      model: "models/gemini-3-pro",
      systemInstruction: { role: "system", parts: { text: "s" } },
      tools: [{ functionDeclarations: [{ name: "f" }], googleSearch: {} }, { codeExecution: {} }, {}],
      toolConfig: { functionCallingConfig: { mode: "ANY", allowedFunctionNames: ["f"] }, retrievalConfig: { latLng: { latitude: 1 } } },
      generationConfig: { speechConfig: {}, stopSequences: [], thinkingConfig: { thinkingBudget: -1 }, temperature: 0 },
      safetySettings: [{ category: "HARM_CATEGORY_HARASSMENT", threshold: "OFF" }],
      cachedContent: "cachedContents/x",
      labels: { team: "a" },
      serviceTier: "flex",
      unheardOf: { a: 1 },
    };
    expect(roundTrip({ ...rest, contents })).toEqual({ ...rest, contents });
    expect(roundTrip({ contents, tools: [], generation_config: { top_p: 1 } })).toEqual({
      contents,
      tools: [],
      generation_config: { top_p: 1 },
    });
    const count = { generateContentRequest: { ...rest, contents } };
    expect(roundTrip(count, "/v1beta/models/gemini-3-pro:countTokens")).toEqual(count);
  });

  it("changes only what was touched", () => {
    const body = {
      contents: [{ role: "user", parts: [{ text: "x" }] }],
      system_instruction: { parts: [{ text: "s" }] },
      tools: [{ functionDeclarations: [{ name: "f" }] }],
      toolConfig: { functionCallingConfig: { mode: "ANY" } },
      generation_config: { max_output_tokens: 5, topP: 0.5, mediaResolution: "LOW" },
    };
    const call = dialect.decodeCall(body, context());
    const changed = amend(call, {
      maxOutputTokens: 9,
      tools: [],
      instructions: undefined,
      output: { format: { type: "json_schema", name: "n", schema: { type: "object" } } },
    });
    expect(JSON.parse(dialect.encodeCall(changed, target, () => undefined).body)).toEqual({
      contents: body.contents,
      generationConfig: {
        maxOutputTokens: 9,
        topP: 0.5,
        mediaResolution: "LOW",
        responseMimeType: "application/json",
        responseJsonSchema: { type: "object" },
      },
    });
  });

  it("writes changed text over its raw part", () => {
    const body = {
      contents: [
        {
          role: "user",
          parts: [
            { text: "secret", partMetadata: {} },
            { text: "kept", partMetadata: {} },
          ],
        },
      ],
    };
    const call = dialect.decodeCall(body, context());
    const items = call.items.map((item) =>
      item.type === "message"
        ? { ...item, parts: item.parts.map((part) => (part.type === "text" && part.text === "secret" ? { ...part, text: "***" } : part)) }
        : item,
    );
    const sent = JSON.parse(dialect.encodeCall(amend(call, { items }), target, () => undefined).body) as JsonObject;
    expect(sent["contents"]).toEqual([{ role: "user", parts: [{ text: "***" }, { text: "kept", partMetadata: {} }] }]);
  });
});

describe("an answer of this language comes out as it went in", () => {
  const call = foreignCall({ origin: { dialect: dialect.id } });

  it("finds the recordings", () => expect(answers().length).toBeGreaterThan(150));

  it.each(answers())("$name", ({ body }) => {
    const answer = dialect.decodeAnswer(body, { provider: "recorded", operation: "generate" });
    expect(dialect.encodeAnswer(answer, { call, createdAt: 0 })).toEqual(body);
    expect(dialect.readAnswer(body)).toEqual({ usage: answer.usage, id: answer.id, model: answer.model, stop: answer.stop });
  });

  it("holds for every shape that the recordings lack", () => {
    const usageMetadata = { promptTokenCount: 3, totalTokenCount: 3 };
    const bodies: JsonObject[] = [
      { promptFeedback: { blockReason: "PROHIBITED_CONTENT" }, usageMetadata, modelVersion: "m", responseId: "r" },
      {
        candidates: [
          {
            content: {
              role: "model",
              parts: [{ text: "a" }, { text: "b", thoughtSignature: "s1" }, { functionCall: { name: "f" }, thoughtSignature: "s2" }],
            },
            finishReason: "STOP",
          },
          { content: { role: "model", parts: [{ text: "other" }] }, index: 1 },
        ],
        usageMetadata,
        modelVersion: "m",
        responseId: "r",
      },
      { candidates: [{ finishReason: "MALFORMED_FUNCTION_CALL", finishMessage: "x" }], usageMetadata, modelVersion: "m", responseId: "r" },
      {
        candidates: [
          {
            content: {
              parts: [
                { text: "a", thoughtSignature: "s1" },
                { text: "b", thoughtSignature: "s2" },
              ],
            },
            finishReason: "SAFETY",
          },
        ],
        usageMetadata,
        modelVersion: "m",
        responseId: "r",
      },
    ];
    for (const body of bodies) {
      const answer = dialect.decodeAnswer(body, { provider: "recorded", operation: "generate" });
      expect(dialect.encodeAnswer(answer, { call, createdAt: 0 })).toEqual(body);
    }
  });

  it("says what is wrong with one that is none", () => {
    const decode = (body: Json) => () => dialect.decodeAnswer(body, { provider: "p", operation: "generate" });
    expect(decode("text")).toThrow("no JSON object");
    expect(decode({ modelVersion: "m" })).toThrow("no candidates");
    expect(decode({ candidates: [{ content: { parts: [{ functionCall: 3 }] } }] })).toThrow("garbled");
    expect(decode({ error: { code: 503, message: "Busy", status: "UNAVAILABLE" } })).toThrow("503: Busy");
  });
});

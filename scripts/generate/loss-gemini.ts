import type { Json, JsonObject } from "../../src/canon/index.ts";

/** How each feature of `loss-features.ts` is said in generateContent, by title; what is missing, the language cannot say. */
export const GEMINI = "gemini";

const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
const SCHEMA = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false } as const;

const user = (...parts: readonly Json[]): JsonObject => ({ role: "user", parts });
const model = (...parts: readonly Json[]): JsonObject => ({ role: "model", parts });
const HI = user({ text: "Hi" });
const GO_ON = user({ text: "Go on" });
const asked = (...parts: readonly Json[]): JsonObject => ({ contents: [user(...parts)] });
const generation = (config: JsonObject): JsonObject => ({ generationConfig: config });

const CALLS: JsonObject = {
  contents: [
    HI,
    model(...[1, 2].map((n) => ({ functionCall: { id: `call_${n}`, name: "weather", args: { city: String(n) } } }))),
    user(...[1, 2].map((n) => ({ functionResponse: { id: `call_${n}`, name: "weather", response: { output: `mild ${n}` } } }))),
  ],
};
const result = (response: JsonObject, more: JsonObject = {}): JsonObject => ({
  contents: [
    HI,
    model({ functionCall: { id: "call_1", name: "see", args: {} } }),
    user({ functionResponse: { id: "call_1", name: "see", response, ...more } }),
  ],
});
const WEATHER = { functionDeclarations: [{ name: "weather", description: "The weather", parametersJsonSchema: SCHEMA }] };

export const GEMINI_SAID: Readonly<Record<string, JsonObject>> = {
  "Standing instructions": { systemInstruction: { parts: [{ text: "Be brief." }] } },
  "Image as data": asked({ inlineData: { mimeType: "image/png", data: PIXEL } }),
  "Image by URL": asked({ fileData: { mimeType: "image/png", fileUri: "https://example.com/a.png" } }),
  "PDF as data": asked({ inlineData: { mimeType: "application/pdf", data: "JVBERi0xLjQK" } }),
  "File by URL": asked({ fileData: { mimeType: "application/pdf", fileUri: "https://example.com/a.pdf" } }),
  "File by the provider's id": asked({ fileData: { mimeType: "application/pdf", fileUri: "gs://bucket/a.pdf" } }),
  Sound: asked({ inlineData: { mimeType: "audio/wav", data: "UklGRgAAAABXQVZF" } }),
  "Parallel tool calls and their ids": CALLS,
  "Tool results": CALLS,
  "A tool result marked as an error": result({ error: "no" }),
  "An image in a tool result": result({ output: "seen" }, { parts: [{ inlineData: { mimeType: "image/png", data: PIXEL } }] }),
  "Readable reasoning of earlier turns": { contents: [HI, model({ text: "A greeting.", thought: true }, { text: "Hello" }), GO_ON] },
  "Signed or sealed reasoning of earlier turns (kept by the gateway, put back for its own provider)": {
    contents: [HI, model({ text: "A greeting.", thought: true, thoughtSignature: "c2VhbGVk" }, { text: "Hello" }), GO_ON],
  },
  "Function tools": { tools: [WEATHER] },
  "Hosted tools (web search)": { tools: [{ googleSearch: {} }] },
  "A forced tool": { tools: [WEATHER], toolConfig: { functionCallingConfig: { mode: "ANY", allowedFunctionNames: ["weather"] } } },
  "JSON Schema output": generation({ responseMimeType: "application/json", responseJsonSchema: SCHEMA }),
  "JSON output without a schema": generation({ responseMimeType: "application/json" }),
  "Reasoning effort": generation({ thinkingConfig: { thinkingLevel: "LOW" } }),
  "A budget of thinking tokens": generation({ thinkingConfig: { thinkingBudget: 2000 } }),
  "Cap on output tokens": generation({ maxOutputTokens: 500 }),
  "`temperature`": generation({ temperature: 0.5 }),
  "`temperature` above 1": generation({ temperature: 1.5 }),
  "`top_p`": generation({ topP: 0.5 }),
  "`top_k`": generation({ topK: 5 }),
  "Stop sequences": generation({ stopSequences: ["END"] }),
  "`seed`": generation({ seed: 7 }),
  "Presence and frequency penalties": generation({ presencePenalty: 0.5, frequencyPenalty: 0.5 }),
  "Log probabilities": generation({ responseLogprobs: true, logprobs: 3 }),
  "More than one answer (`n`)": generation({ candidateCount: 2 }),
  Metadata: { labels: { a: "b" } },
  "Service tier": { serviceTier: "flex" },
};

export const GEMINI_MINIMAL: JsonObject = { contents: [HI] };

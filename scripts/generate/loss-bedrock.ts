import type { Json, JsonObject } from "../../src/canon/index.ts";

/** How each feature of `loss-features.ts` is said in Converse, by title; what is missing, the language cannot say. */
export const BEDROCK = "bedrock-converse";

const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
const SCHEMA = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false } as const;

const user = (...content: readonly Json[]): JsonObject => ({ role: "user", content });
const model = (...content: readonly Json[]): JsonObject => ({ role: "assistant", content });
const HI = user({ text: "Hi" });
const GO_ON = user({ text: "Go on" });
const asked = (...content: readonly Json[]): JsonObject => ({ messages: [user(...content)] });
const inference = (config: JsonObject): JsonObject => ({ inferenceConfig: config });
const makers = (fields: JsonObject): JsonObject => ({ additionalModelRequestFields: fields });
const use = (toolUseId: string, name: string, input: JsonObject): JsonObject => ({ toolUse: { toolUseId, name, input } });
const result = (toolUseId: string, more: JsonObject): JsonObject => ({ toolResult: { toolUseId, ...more } });

const CALLS: JsonObject = {
  messages: [
    HI,
    model(...[1, 2].map((n) => use(`call_${n}`, "weather", { city: String(n) }))),
    user(...[1, 2].map((n) => result(`call_${n}`, { content: [{ text: `mild ${n}` }] }))),
  ],
};
const WEATHER = { name: "weather", description: "The weather", inputSchema: { json: SCHEMA } };
const tools = (more: JsonObject = {}, spec: JsonObject = {}): JsonObject => ({
  toolConfig: { tools: [{ toolSpec: { ...WEATHER, ...spec } }], ...more },
});

export const BEDROCK_SAID: Readonly<Record<string, JsonObject>> = {
  "Standing instructions": { system: [{ text: "Be brief." }] },
  "Image as data": asked({ image: { format: "png", source: { bytes: PIXEL } } }),
  "PDF as data": asked({ text: "Read." }, { document: { format: "pdf", name: "a", source: { bytes: "JVBERi0xLjQK" } } }),
  "File by the provider's id": asked(
    { text: "Read." },
    { document: { format: "pdf", name: "a", source: { s3Location: { uri: "s3://bucket/a.pdf" } } } },
  ),
  Sound: asked({ audio: { format: "wav", source: { bytes: "UklGRgAAAABXQVZF" } } }),
  "Parallel tool calls and their ids": CALLS,
  "Tool results": CALLS,
  "A tool result marked as an error": {
    messages: [HI, model(use("call_1", "weather", {})), user(result("call_1", { content: [{ text: "no" }], status: "error" }))],
  },
  "An image in a tool result": {
    messages: [
      HI,
      model(use("call_1", "see", {})),
      user(result("call_1", { content: [{ image: { format: "png", source: { bytes: PIXEL } } }] })),
    ],
  },
  "Readable reasoning of earlier turns": {
    messages: [HI, model({ reasoningContent: { reasoningText: { text: "A greeting.", signature: "c2ln" } } }, { text: "Hello" }), GO_ON],
  },
  "Signed or sealed reasoning of earlier turns (kept by the gateway, put back for its own provider)": {
    messages: [HI, model({ reasoningContent: { redactedContent: "c2VhbGVk" } }, { text: "Hello" }), GO_ON],
  },
  "Prompt-cache breakpoints": asked({ text: "Hi" }, { cachePoint: { type: "default" } }),
  "Function tools": tools(),
  "Strict function tools": tools({}, { strict: true }),
  "Hosted tools (web search)": { toolConfig: { tools: [{ systemTool: { name: "nova_grounding" } }] } },
  "A forced tool": tools({ toolChoice: { tool: { name: "weather" } } }),
  "JSON Schema output": {
    outputConfig: {
      textFormat: { type: "json_schema", structure: { jsonSchema: { name: "report", schema: JSON.stringify(SCHEMA) } } },
    },
  },
  "Reasoning effort": makers({ output_config: { effort: "low" } }),
  "A budget of thinking tokens": makers({ thinking: { type: "enabled", budget_tokens: 2000 } }),
  "Cap on output tokens": inference({ maxTokens: 500 }),
  "`temperature`": inference({ temperature: 0.5 }),
  "`top_p`": inference({ topP: 0.5 }),
  "`top_k`": makers({ top_k: 5 }),
  "Stop sequences": inference({ stopSequences: ["END"] }),
  Metadata: { requestMetadata: { a: "b" } },
  "Service tier": { serviceTier: { type: "flex" } },
};

export const BEDROCK_MINIMAL: JsonObject = { messages: [HI] };

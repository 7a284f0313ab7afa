import type { Json, JsonObject } from "../../src/canon/index.ts";

/** How each feature of `loss-features.ts` is said in Cohere's chat, by title; what is missing, the language cannot say. */
export const COHERE = "cohere-chat";

const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
const SCHEMA = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false } as const;

const user = (content: Json): JsonObject => ({ role: "user", content });
const HI = user("Hi");
const HELLO = { role: "assistant", content: [{ type: "text", text: "Hello" }] } as const;
const GO_ON = user("Go on");
const image = (url: string, more: JsonObject = {}): JsonObject => ({
  messages: [user([{ type: "image_url", image_url: { url, ...more } }])],
});

const CALLS: JsonObject = {
  messages: [
    HI,
    {
      role: "assistant",
      tool_calls: [1, 2].map((n) => ({ id: `call_${n}`, type: "function", function: { name: "weather", arguments: `{"city":"${n}"}` } })),
    },
    ...[1, 2].map((n) => ({ role: "tool", tool_call_id: `call_${n}`, content: `mild ${n}` })),
  ],
};
const WEATHER = { type: "function", function: { name: "weather", description: "The weather", parameters: SCHEMA } } as const;

export const COHERE_SAID: Readonly<Record<string, JsonObject>> = {
  "Standing instructions": { messages: [{ role: "system", content: "Be brief." }, HI] },
  "Instructions in mid-conversation": { messages: [HI, HELLO, { role: "system", content: "Be brief." }, GO_ON] },
  "Image as data": image(`data:image/png;base64,${PIXEL}`),
  "Image by URL": image("https://example.com/a.png"),
  "Image detail": image("https://example.com/a.png", { detail: "low" }),
  "Parallel tool calls and their ids": CALLS,
  "Tool results": CALLS,
  "Readable reasoning of earlier turns": {
    messages: [
      HI,
      {
        role: "assistant",
        content: [
          { type: "thinking", thinking: "A greeting." },
          { type: "text", text: "Hello" },
        ],
      },
      GO_ON,
    ],
  },
  "Function tools": { tools: [WEATHER] },
  "Strict function tools": { tools: [WEATHER], strict_tools: true },
  "JSON Schema output": { response_format: { type: "json_object", json_schema: SCHEMA } },
  "JSON output without a schema": { response_format: { type: "json_object" } },
  "A budget of thinking tokens": { thinking: { type: "enabled", token_budget: 2000 } },
  "Cap on output tokens": { max_tokens: 500 },
  "`temperature`": { temperature: 0.5 },
  "`top_p`": { p: 0.5 },
  "`top_k`": { k: 5 },
  "Stop sequences": { stop_sequences: ["END"] },
  "`seed`": { seed: 7 },
  "Presence and frequency penalties": { presence_penalty: 0.5, frequency_penalty: 0.5 },
  "Log probabilities": { logprobs: true },
};

export const COHERE_MINIMAL: JsonObject = { model: "m", messages: [HI] };

import type { JsonObject } from "../../../src/canon/index.ts";
import { PIXEL } from "../../clients/simulated.ts";

const WEATHER = {
  type: "function",
  function: { name: "weather", description: "The weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
};

/** Requests of the chat door, as its clients write them. */
export const CHATS: Readonly<Record<string, JsonObject>> = {
  plain: { model: "m", messages: [{ role: "user", content: "Hi" }] },
  everything: {
    model: "m",
    messages: [
      { role: "system", content: "Be brief." },
      { role: "user", content: "What is this?", images: [PIXEL] },
      { role: "assistant", thinking: "A pixel.", content: "A red pixel." },
      { role: "user", content: "And the weather?" },
      {
        role: "assistant",
        content: "",
        tool_calls: [
          { function: { name: "weather", arguments: { city: "Oslo" } } },
          { id: "call_b", function: { index: 1, name: "weather", arguments: {} } },
        ],
      },
      { role: "tool", tool_name: "weather", content: "mild" },
      { role: "tool", tool_call_id: "call_b", content: "cold", name: "x" },
      { role: "assistant" },
    ],
    tools: [WEATHER, { type: "web_search" }],
    think: "low",
    format: { type: "object", properties: {} },
    options: { temperature: 0.5, num_predict: 10, num_ctx: 8192, stop: ["END"], mirostat: 1 },
    keep_alive: "5m",
    stream: false,
    logprobs: true,
    top_logprobs: 2,
    unknown: { kept: true },
    system: "a field of the other door",
  },
  empty: { model: "m", messages: [], tools: [], keep_alive: 0 },
};

/** Requests of the other door. */
export const PROMPTS: Readonly<Record<string, JsonObject>> = {
  plain: { model: "m", prompt: "Why?" },
  everything: {
    model: "m",
    prompt: "Why?",
    suffix: "Because.",
    system: "Be brief.",
    template: "{{ .Prompt }}",
    context: [1, 2, 3],
    raw: true,
    images: [PIXEL],
    think: true,
    format: "json",
    options: { seed: 7, num_predict: -1 },
    keep_alive: -1,
    stream: true,
  },
  load: { model: "m" },
};

const AT = "2026-07-15T10:10:10.123456789Z";
const COUNTS = {
  total_duration: 5043500667,
  load_duration: 5025959,
  prompt_eval_count: 26,
  prompt_eval_duration: 325953000,
  eval_count: 290,
  eval_duration: 4709213000,
};

export const ANSWERS: Readonly<Record<string, JsonObject>> = {
  chat: { model: "m", created_at: AT, message: { role: "assistant", content: "Hello" }, done_reason: "stop", done: true, ...COUNTS },
  thought: {
    model: "m",
    created_at: AT,
    message: {
      role: "assistant",
      content: "",
      thinking: "Hm.",
      tool_calls: [{ id: "call_1", function: { index: 0, name: "weather", arguments: { city: "Oslo" } } }],
    },
    logprobs: [],
    done_reason: "stop",
    done: true,
    ...COUNTS,
  },
  cut: { model: "m", created_at: AT, message: { role: "assistant", content: "Hel" }, done: true, done_reason: "length", eval_count: 1 },
  load: { model: "m", created_at: AT, message: { role: "assistant", content: "" }, done: true, done_reason: "load" },
};

export const RESPONSES: Readonly<Record<string, JsonObject>> = {
  generate: { model: "m", created_at: AT, response: "Hello", thinking: "Hm.", done: true, done_reason: "stop", context: [1, 2], ...COUNTS },
  load: { model: "m", created_at: AT, response: "", done: true },
};

const frame = (more: JsonObject): string => `${JSON.stringify({ model: "m", created_at: AT, ...more })}\n`;
const said = (message: JsonObject): string => frame({ message: { role: "assistant", ...message }, done: false });

/** Streams as the server writes them; every frame has a time of its own. */
export const STREAMS: Readonly<Record<string, string>> = {
  chat: [
    said({ content: "", thinking: "Hm" }),
    said({ content: "", thinking: ", \u00e9\u2026" }),
    ...["Hel", "lo", ' "you"', " \u{1f600}", "\n", "."].map((content, at) => said({ content }).replace("123456789", `12345678${at}`)),
    said({ content: "", tool_calls: [{ id: "call_1", function: { index: 0, name: "weather", arguments: { city: "Oslo" } } }] }),
    said({ content: "", tool_calls: [{ function: { index: 1, name: "weather", arguments: {} } }] }),
    frame({ message: { role: "assistant", content: "" }, done_reason: "stop", done: true, ...COUNTS }),
  ].join(""),
  generate: [
    frame({ response: "", thinking: "Hm", done: false }),
    ...["Hel", "lo", " there"].map((response) => frame({ response, done: false })),
    frame({ response: "", done: true, done_reason: "length", context: [1, 2, 3], ...COUNTS }),
  ].join(""),
};

import type { Call, Item, Json, JsonObject } from "../../src/canon/index.ts";
import { BEDROCK, BEDROCK_MINIMAL, BEDROCK_SAID } from "./loss-bedrock.ts";
import { COHERE, COHERE_MINIMAL, COHERE_SAID } from "./loss-cohere.ts";
import { GEMINI, GEMINI_MINIMAL, GEMINI_SAID } from "./loss-gemini.ts";

/** One thing a language can say: how it is said in each language that can, and where it is found in canonical form. */
export interface Feature {
  readonly title: string;
  /** Fields added to a minimal call, by dialect id. A language that cannot say it is left out. */
  readonly said: Readonly<Record<string, JsonObject>>;
  /** What must survive; undefined when it is not there. */
  readonly found: (call: Call) => Json | undefined;
}

const CHAT = "openai-chat";
const RESPONSES = "openai-responses";
const MESSAGES = "anthropic-messages";
const OLLAMA = "ollama-chat";
const COMPLETIONS = "openai-completions";

const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
const PDF = "JVBERi0xLjQK";
const WAV = "UklGRgAAAABXQVZF";
const SCHEMA = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false } as const;

const user = (content: Json): JsonObject => ({ role: "user", content });
const HI = user("Hi");

/** The same list of messages under each language's own name for it. */
const history = (chat: readonly Json[], responses: readonly Json[], messages: readonly Json[]): Feature["said"] => ({
  [CHAT]: { messages: chat },
  [RESPONSES]: { input: responses },
  [MESSAGES]: { messages },
});

const everywhere = (fields: JsonObject): Feature["said"] => ({ [CHAT]: fields, [RESPONSES]: fields, [MESSAGES]: fields });

/** The same parameter where it stands at the top, and where it is one of the options. */
const option = (fields: JsonObject): Feature["said"] => ({ [CHAT]: fields, [COMPLETIONS]: fields, [OLLAMA]: { options: fields } });

const parts = (call: Call): readonly { readonly type: string }[] =>
  call.items.flatMap((item) => (item.type === "message" || item.type === "tool_result" ? item.parts : []));
const partOf =
  (type: string, seen: (part: Json) => Json | undefined) =>
  (call: Call): Json | undefined => {
    const part = parts(call).find((candidate) => candidate.type === type);
    return part && seen(part);
  };
const field = (value: Json | undefined, ...path: readonly string[]): Json | undefined => {
  let at = value;
  for (const name of path) at = typeof at === "object" && at !== null && !Array.isArray(at) ? (at as JsonObject)[name] : undefined;
  return at;
};
const itemOf =
  <T extends Item["type"]>(type: T, seen: (item: Extract<Item, { type: T }>) => Json | undefined) =>
  (call: Call): Json | undefined => {
    const item = call.items.find((candidate): candidate is Extract<Item, { type: T }> => candidate.type === type);
    return item && seen(item);
  };
const yes = (value: unknown): true | undefined => (value === undefined || value === false ? undefined : true);

const FUNCTION_CALL: Feature["said"] = {
  ...history(
    [
      HI,
      {
        role: "assistant",
        content: null,
        tool_calls: [1, 2].map((n) => ({ id: `call_${n}`, type: "function", function: { name: "weather", arguments: `{"city":"${n}"}` } })),
      },
      ...[1, 2].map((n) => ({ role: "tool", tool_call_id: `call_${n}`, content: `mild ${n}` })),
    ],
    [
      HI,
      ...[1, 2].map((n) => ({ type: "function_call", call_id: `call_${n}`, name: "weather", arguments: `{"city":"${n}"}` })),
      ...[1, 2].map((n) => ({ type: "function_call_output", call_id: `call_${n}`, output: `mild ${n}` })),
    ],
    [
      HI,
      {
        role: "assistant",
        content: [1, 2].map((n) => ({ type: "tool_use", id: `call_${n}`, name: "weather", input: { city: String(n) } })),
      },
      { role: "user", content: [1, 2].map((n) => ({ type: "tool_result", tool_use_id: `call_${n}`, content: `mild ${n}` })) },
    ],
  ),
  [OLLAMA]: {
    messages: [
      HI,
      {
        role: "assistant",
        content: "",
        tool_calls: [1, 2].map((n) => ({ id: `call_${n}`, function: { name: "weather", arguments: { city: String(n) } } })),
      },
      ...[1, 2].map((n) => ({ role: "tool", content: `mild ${n}`, tool_name: "weather", tool_call_id: `call_${n}` })),
    ],
  },
};

const CONTENT: readonly Feature[] = [
  {
    title: "Standing instructions",
    said: {
      [CHAT]: { messages: [{ role: "system", content: "Be brief." }, HI] },
      [RESPONSES]: { instructions: "Be brief." },
      [MESSAGES]: { system: "Be brief." },
      [OLLAMA]: { messages: [{ role: "system", content: "Be brief." }, HI] },
    },
    found: (call) =>
      [
        ...(call.instructions?.parts ?? []),
        ...call.items.flatMap((item) => (item.type === "message" && item.role !== "user" ? item.parts : [])),
      ]
        .map((part) => ("text" in part ? (part.text ?? "") : ""))
        .join(""),
  },
  {
    title: "Instructions in mid-conversation",
    said: {
      [OLLAMA]: { messages: [HI, { role: "assistant", content: "Hello" }, { role: "system", content: "Be brief." }, user("Go on")] },
      ...history(
        [HI, { role: "assistant", content: "Hello" }, { role: "developer", content: "Be brief." }, user("Go on")],
        [HI, { role: "assistant", content: "Hello" }, { role: "developer", content: "Be brief." }, user("Go on")],
        [HI, { role: "assistant", content: "Hello" }, { role: "user", content: "Go on" }, { role: "system", content: "Be brief." }],
      ),
    },
    found: (call) => yes(call.items.some((item) => item.type === "message" && (item.role === "system" || item.role === "developer"))),
  },
  {
    title: "Image as data",
    said: {
      [OLLAMA]: { messages: [{ ...HI, images: [PIXEL] }] },
      ...history(
        [user([{ type: "image_url", image_url: { url: `data:image/png;base64,${PIXEL}` } }])],
        [user([{ type: "input_image", image_url: `data:image/png;base64,${PIXEL}`, detail: "auto" }])],
        [user([{ type: "image", source: { type: "base64", media_type: "image/png", data: PIXEL } }])],
      ),
    },
    found: partOf("image", (part) => field(part, "source", "data")),
  },
  {
    title: "Image by URL",
    said: history(
      [user([{ type: "image_url", image_url: { url: "https://example.com/a.png" } }])],
      [user([{ type: "input_image", image_url: "https://example.com/a.png", detail: "auto" }])],
      [user([{ type: "image", source: { type: "url", url: "https://example.com/a.png" } }])],
    ),
    found: partOf("image", (part) => field(part, "source", "url")),
  },
  {
    title: "Image detail",
    said: {
      [CHAT]: { messages: [user([{ type: "image_url", image_url: { url: "https://example.com/a.png", detail: "low" } }])] },
      [RESPONSES]: { input: [user([{ type: "input_image", image_url: "https://example.com/a.png", detail: "low" }])] },
    },
    found: partOf("image", (part) => field(part, "detail")),
  },
  {
    title: "PDF as data",
    said: history(
      [user([{ type: "file", file: { filename: "a.pdf", file_data: `data:application/pdf;base64,${PDF}` } }])],
      [user([{ type: "input_file", filename: "a.pdf", file_data: `data:application/pdf;base64,${PDF}` }])],
      [user([{ type: "document", title: "a.pdf", source: { type: "base64", media_type: "application/pdf", data: PDF } }])],
    ),
    found: partOf("file", (part) => field(part, "source", "data")),
  },
  {
    title: "File by URL",
    said: {
      [RESPONSES]: { input: [user([{ type: "input_file", file_url: "https://example.com/a.pdf" }])] },
      [MESSAGES]: { messages: [user([{ type: "document", source: { type: "url", url: "https://example.com/a.pdf" } }])] },
    },
    found: partOf("file", (part) => field(part, "source", "url")),
  },
  {
    title: "File by the provider's id",
    said: {
      [CHAT]: { messages: [user([{ type: "file", file: { file_id: "file-1" } }])] },
      [RESPONSES]: { input: [user([{ type: "input_file", file_id: "file-1" }])] },
      [MESSAGES]: { messages: [user([{ type: "document", source: { type: "file", file_id: "file-1" } }])] },
    },
    found: partOf("file", (part) => field(part, "source", "fileId")),
  },
  {
    title: "Sound",
    said: { [CHAT]: { messages: [user([{ type: "input_audio", input_audio: { data: WAV, format: "wav" } }])] } },
    found: partOf("audio", (part) => field(part, "source", "data")),
  },
  {
    title: "Parallel tool calls and their ids",
    said: FUNCTION_CALL,
    found: (call) => call.items.flatMap((item) => (item.type === "tool_call" ? [`${item.callId} ${item.name} ${item.input}`] : [])),
  },
  {
    title: "Tool results",
    said: FUNCTION_CALL,
    found: (call) =>
      call.items.flatMap((item) =>
        item.type === "tool_result" ? [`${item.callId} ${item.parts.map((part) => ("text" in part ? part.text : "")).join("")}`] : [],
      ),
  },
  {
    title: "A tool result marked as an error",
    said: {
      [MESSAGES]: {
        messages: [
          HI,
          { role: "assistant", content: [{ type: "tool_use", id: "call_1", name: "weather", input: {} }] },
          { role: "user", content: [{ type: "tool_result", tool_use_id: "call_1", content: "no", is_error: true }] },
        ],
      },
    },
    found: itemOf("tool_result", (item) => item.isError),
  },
  {
    title: "An image in a tool result",
    said: {
      [RESPONSES]: {
        input: [
          HI,
          { type: "function_call", call_id: "call_1", name: "see", arguments: "{}" },
          {
            type: "function_call_output",
            call_id: "call_1",
            output: [{ type: "input_image", image_url: `data:image/png;base64,${PIXEL}`, detail: "auto" }],
          },
        ],
      },
      [MESSAGES]: {
        messages: [
          HI,
          { role: "assistant", content: [{ type: "tool_use", id: "call_1", name: "see", input: {} }] },
          {
            role: "user",
            content: [
              {
                type: "tool_result",
                tool_use_id: "call_1",
                content: [{ type: "image", source: { type: "base64", media_type: "image/png", data: PIXEL } }],
              },
            ],
          },
        ],
      },
    },
    found: (call) =>
      call.items.flatMap((item) => (item.type === "tool_result" ? item.parts : [])).some((part) => part.type === "image") || undefined,
  },
  {
    title: "Readable reasoning of earlier turns",
    said: {
      [CHAT]: { messages: [HI, { role: "assistant", content: "Hello", reasoning_content: "A greeting." }, user("Go on")] },
      [RESPONSES]: {
        input: [
          HI,
          { type: "reasoning", id: "rs_1", summary: [{ type: "summary_text", text: "A greeting." }] },
          { role: "assistant", content: "Hello" },
          user("Go on"),
        ],
      },
      [MESSAGES]: {
        messages: [
          HI,
          {
            role: "assistant",
            content: [
              { type: "thinking", thinking: "A greeting.", signature: "c2ln" },
              { type: "text", text: "Hello" },
            ],
          },
          user("Go on"),
        ],
      },
    },
    found: itemOf("reasoning", (item) => item.parts.map((part) => part.text).join("") || undefined),
  },
  {
    title: "Signed or sealed reasoning of earlier turns (kept by the gateway, put back for its own provider)",
    said: {
      [RESPONSES]: {
        input: [
          HI,
          { type: "reasoning", id: "rs_1", summary: [], encrypted_content: "c2VhbGVk" },
          { role: "assistant", content: "Hello" },
          user("Go on"),
        ],
      },
      [MESSAGES]: {
        messages: [
          HI,
          {
            role: "assistant",
            content: [
              { type: "redacted_thinking", data: "c2VhbGVk" },
              { type: "text", text: "Hello" },
            ],
          },
          user("Go on"),
        ],
      },
    },
    found: itemOf("reasoning", (item) => item.encrypted ?? item.signature),
  },
  {
    title: "A refusal in an earlier turn",
    said: {
      [CHAT]: { messages: [HI, { role: "assistant", content: null, refusal: "I will not." }, user("Go on")] },
      [RESPONSES]: {
        input: [
          HI,
          { type: "message", id: "msg_1", role: "assistant", status: "completed", content: [{ type: "refusal", refusal: "I will not." }] },
          user("Go on"),
        ],
      },
    },
    found: partOf("refusal", (part) => field(part, "text")),
  },
  {
    title: "Prompt-cache breakpoints",
    said: { [MESSAGES]: { messages: [user([{ type: "text", text: "Hi", cache_control: { type: "ephemeral" } }])] } },
    found: (call) =>
      yes(
        call.items.some(
          (item) =>
            item.cacheTtlSeconds !== undefined ||
            (item.type === "message" && item.parts.some((part) => "cacheTtlSeconds" in part && part.cacheTtlSeconds !== undefined)),
        ),
      ),
  },
];

const chatTool = { type: "function", function: { name: "weather", description: "The weather", parameters: SCHEMA } };
const responsesTool = { type: "function", name: "weather", description: "The weather", parameters: SCHEMA, strict: false };
const messagesTool = { name: "weather", description: "The weather", input_schema: SCHEMA };

const TOOLS: readonly Feature[] = [
  {
    title: "Function tools",
    said: {
      [CHAT]: { tools: [chatTool] },
      [RESPONSES]: { tools: [responsesTool] },
      [MESSAGES]: { tools: [messagesTool] },
      [OLLAMA]: { tools: [chatTool] },
    },
    found: (call) => call.tools.map((tool) => (tool.type === "function" ? { name: tool.name, schema: tool.schema ?? null } : null)),
  },
  {
    title: "Strict function tools",
    said: {
      [CHAT]: { tools: [{ type: "function", function: { ...chatTool.function, strict: true } }] },
      [RESPONSES]: { tools: [{ ...responsesTool, strict: true }] },
      [MESSAGES]: { tools: [{ ...messagesTool, strict: true }] },
    },
    found: (call) => yes(call.tools.some((tool) => tool.type === "function" && tool.strict === true)),
  },
  {
    title: "Custom tools (free text)",
    said: {
      [CHAT]: { tools: [{ type: "custom", custom: { name: "shell" } }] },
      [RESPONSES]: { tools: [{ type: "custom", name: "shell" }] },
    },
    found: (call) => call.tools.map((tool) => `${tool.type} ${tool.type === "native" ? tool.kind : tool.name}`),
  },
  {
    title: "Tool namespaces",
    said: { [RESPONSES]: { tools: [{ type: "namespace", name: "home", description: "At home", tools: [responsesTool] }] } },
    found: (call) => call.tools.map((tool) => `${tool.type} ${tool.type === "native" ? tool.kind : tool.name}`),
  },
  {
    title: "Hosted tools (web search)",
    said: {
      [RESPONSES]: { tools: [{ type: "web_search" }] },
      [MESSAGES]: { tools: [{ type: "web_search_20250305", name: "web_search" }] },
    },
    found: (call) => yes(call.tools.some((tool) => tool.type === "native")),
  },
  {
    title: "A forced tool",
    said: {
      [CHAT]: { tools: [chatTool], tool_choice: { type: "function", function: { name: "weather" } } },
      [RESPONSES]: { tools: [responsesTool], tool_choice: { type: "function", name: "weather" } },
      [MESSAGES]: { tools: [messagesTool], tool_choice: { type: "tool", name: "weather" } },
    },
    found: (call) => (call.toolChoice?.type === "tool" ? `${call.toolChoice.kind} ${call.toolChoice.name}` : undefined),
  },
  {
    title: "One tool call at a time",
    said: {
      [CHAT]: { tools: [chatTool], parallel_tool_calls: false },
      [RESPONSES]: { tools: [responsesTool], parallel_tool_calls: false },
      [MESSAGES]: { tools: [messagesTool], tool_choice: { type: "auto", disable_parallel_tool_use: true } },
    },
    found: (call) => call.parallelToolCalls,
  },
];

const PARAMETERS: readonly Feature[] = [
  {
    title: "JSON Schema output",
    said: {
      [CHAT]: { response_format: { type: "json_schema", json_schema: { name: "report", strict: true, schema: SCHEMA } } },
      [RESPONSES]: { text: { format: { type: "json_schema", name: "report", strict: true, schema: SCHEMA } } },
      [MESSAGES]: { output_config: { format: { type: "json_schema", schema: SCHEMA } } },
      [OLLAMA]: { format: SCHEMA },
    },
    found: (call) => (call.output?.format?.type === "json_schema" ? call.output.format.schema : undefined),
  },
  {
    title: "JSON output without a schema",
    said: {
      [CHAT]: { response_format: { type: "json_object" } },
      [RESPONSES]: { text: { format: { type: "json_object" } } },
      [OLLAMA]: { format: "json" },
    },
    found: (call) => call.output?.format?.type,
  },
  {
    title: "Verbosity",
    said: { [CHAT]: { verbosity: "low" }, [RESPONSES]: { text: { verbosity: "low" } } },
    found: (call) => call.output?.verbosity,
  },
  {
    title: "Reasoning effort",
    said: {
      [CHAT]: { reasoning_effort: "low" },
      [RESPONSES]: { reasoning: { effort: "low" } },
      [MESSAGES]: { output_config: { effort: "low" }, thinking: { type: "adaptive" } },
      [OLLAMA]: { think: "low" },
    },
    found: (call) => call.reasoning?.effort,
  },
  {
    title: "A budget of thinking tokens",
    said: { [MESSAGES]: { thinking: { type: "enabled", budget_tokens: 2000 } } },
    found: (call) => call.reasoning?.budgetTokens,
  },
  {
    title: "Cap on output tokens",
    said: {
      [CHAT]: { max_completion_tokens: 500 },
      [RESPONSES]: { max_output_tokens: 500 },
      [MESSAGES]: { max_tokens: 500 },
      [OLLAMA]: { options: { num_predict: 500 } },
      [COMPLETIONS]: { max_tokens: 500 },
    },
    found: (call) => call.maxOutputTokens,
  },
  {
    title: "`temperature`",
    said: { ...everywhere({ temperature: 0.5 }), ...option({ temperature: 0.5 }) },
    found: (call) => call.sampling.temperature,
  },
  {
    title: "`temperature` above 1",
    said: { ...option({ temperature: 1.5 }), [RESPONSES]: { temperature: 1.5 } },
    found: (call) => call.sampling.temperature,
  },
  { title: "`top_p`", said: { ...everywhere({ top_p: 0.5 }), ...option({ top_p: 0.5 }) }, found: (call) => call.sampling.topP },
  { title: "`top_k`", said: { [MESSAGES]: { top_k: 5 }, [OLLAMA]: { options: { top_k: 5 } } }, found: (call) => call.sampling.topK },
  {
    title: "Stop sequences",
    said: { ...option({ stop: ["END"] }), [MESSAGES]: { stop_sequences: ["END"] } },
    found: (call) => call.sampling.stop,
  },
  { title: "`seed`", said: option({ seed: 7 }), found: (call) => call.sampling.seed },
  {
    title: "Presence and frequency penalties",
    said: option({ presence_penalty: 0.5, frequency_penalty: 0.5 }),
    found: (call) =>
      call.sampling.presencePenalty === undefined ? undefined : [call.sampling.presencePenalty, call.sampling.frequencyPenalty ?? null],
  },
  {
    title: "Log probabilities",
    said: {
      [CHAT]: { logprobs: true, top_logprobs: 3 },
      [RESPONSES]: { top_logprobs: 3, include: ["message.output_text.logprobs"] },
      [OLLAMA]: { logprobs: true, top_logprobs: 3 },
      [COMPLETIONS]: { logprobs: 3 },
    },
    found: (call) => call.sampling.topLogprobs,
  },
  { title: "More than one answer (`n`)", said: { [CHAT]: { n: 2 }, [COMPLETIONS]: { n: 2 } }, found: (call) => call.sampling.n },
  {
    title: "Metadata",
    said: { [CHAT]: { metadata: { a: "b" }, store: true }, [RESPONSES]: { metadata: { a: "b" } } },
    found: (call) => call.metadata,
  },
  {
    title: "The end user's id",
    said: {
      [CHAT]: { safety_identifier: "u1" },
      [RESPONSES]: { safety_identifier: "u1" },
      [MESSAGES]: { metadata: { user_id: "u1" } },
      [COMPLETIONS]: { user: "u1" },
    },
    found: (call) => call.endUser,
  },
  {
    title: "Prompt-cache key",
    said: { [CHAT]: { prompt_cache_key: "k1" }, [RESPONSES]: { prompt_cache_key: "k1" } },
    found: (call) => call.promptCacheKey,
  },
  {
    title: "Service tier",
    said: { [CHAT]: { service_tier: "flex" }, [RESPONSES]: { service_tier: "flex" }, [MESSAGES]: { service_tier: "standard_only" } },
    found: (call) => call.serviceTier,
  },
];

/** Languages that say their features in files of their own. */
const OTHERS = [
  [GEMINI, GEMINI_SAID],
  [BEDROCK, BEDROCK_SAID],
  [COHERE, COHERE_SAID],
] as const;

const withOthers = (features: readonly Feature[]): readonly Feature[] =>
  features.map((feature) => {
    const said: Record<string, JsonObject> = { ...feature.said };
    for (const [language, sayings] of OTHERS) if (sayings[feature.title]) said[language] = sayings[feature.title] ?? {};
    return { ...feature, said };
  });

export const FEATURES: readonly { readonly title: string; readonly features: readonly Feature[] }[] = [
  { title: "Messages", features: withOthers(CONTENT) },
  { title: "Tools", features: withOthers(TOOLS) },
  { title: "Parameters", features: withOthers(PARAMETERS) },
];

/** A small valid call in each language, to which a feature adds its fields. */
export const MINIMAL: Readonly<Record<string, JsonObject>> = {
  [CHAT]: { model: "m", messages: [HI] },
  [RESPONSES]: { model: "m", input: [HI] },
  [MESSAGES]: { model: "m", max_tokens: 4000, messages: [HI] },
  [OLLAMA]: { model: "m", messages: [HI] },
  [COMPLETIONS]: { model: "m", prompt: "Hi" },
  [GEMINI]: GEMINI_MINIMAL,
  [BEDROCK]: BEDROCK_MINIMAL,
  [COHERE]: COHERE_MINIMAL,
};

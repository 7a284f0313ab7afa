import type { Call, Diagnostic, EncodeTarget, Json, JsonObject, ToolSpec, WireRequest } from "../../canon/index.ts";
import { narrowToAllowed } from "../shared-choice.ts";
import { noteUnspoken } from "../shared-fields.ts";
import { CUSTOM_INPUT_PROPERTY } from "../shared-tools.ts";
import { adaptations } from "./adapt.ts";
import { adaptedMessages } from "./adapt-messages.ts";
import { isLegacyDeclaration } from "./decode-tools.ts";
import { EncodeContext } from "./encode-context.ts";
import { encodeMessages } from "./encode-messages.ts";
import { REASONING_FIELDS, reasoningFields } from "./reasoning.ts";
import { ID, isObject, type Draft } from "./shape.ts";
import { isServiceTier } from "./usage.ts";

export const PATH = "/chat/completions";

export function encodeCall(given: Call, target: EncodeTarget, note: (diagnostic: Diagnostic) => void): WireRequest {
  const call = given.origin.dialect === ID ? given : narrowToAllowed(given, note);
  const context = new EncodeContext(call, target, note);
  const own = call.origin.dialect === ID;
  const body: Draft = {
    model: target.model,
    messages: encodeMessages(call, context),
    ...(own && call.native),
    ...encodeTools(context),
  };
  body["model"] = target.model;
  for (const [field, writer] of Object.entries(WRITERS) as [keyof typeof WRITERS, Writer][]) {
    if (own && !call.touched.has(field)) continue;
    for (const key of writer.keys) delete body[key];
    writer.write(call, body, context);
  }
  if (!own) noteForeign(call, context);
  Object.assign(body, adaptations(body, target.capabilities, context.tell));
  body["messages"] = adaptedMessages(body["messages"], target.capabilities, context.tell) ?? body["messages"];
  return { method: "POST", path: PATH, headers: {}, body: JSON.stringify(body) };
}

interface Writer {
  /** Wire fields that hold what this field says; removed before it is written anew. */
  readonly keys: readonly string[];
  write(call: Call, body: Draft, context: EncodeContext): void;
}

/** The longest list of stop sequences that the language defines. */
const STOP_SEQUENCES = 4;

/** How each canonical field is written. Used for calls of other languages, and for fields changed since decoding. */
const WRITERS = {
  stream: {
    keys: ["stream"],
    write(call, body) {
      if (call.stream) body["stream"] = true;
      else delete body["stream_options"];
    },
  },
  maxOutputTokens: {
    keys: ["max_tokens", "max_completion_tokens"],
    write(call, body, { target }) {
      body[target.capabilities.maxTokensField ?? "max_tokens"] = call.maxOutputTokens;
    },
  },
  sampling: {
    keys: [
      "temperature",
      "top_p",
      "top_k",
      "seed",
      "random_seed",
      "presence_penalty",
      "frequency_penalty",
      "stop",
      "n",
      "logprobs",
      "top_logprobs",
    ],
    write: writeSampling,
  },
  toolChoice: { keys: ["tool_choice", "function_call"], write: writeToolChoice },
  parallelToolCalls: {
    keys: ["parallel_tool_calls"],
    write(call, body, { tools }) {
      // Upstreams refuse the field where there are no tools.
      if (tools.length > 0) body["parallel_tool_calls"] = call.parallelToolCalls;
    },
  },
  output: { keys: ["response_format", "verbosity"], write: writeOutput },
  reasoning: {
    keys: REASONING_FIELDS,
    write(call, body, context) {
      Object.assign(body, reasoningFields(call.reasoning, context.target.capabilities, context.tell));
    },
  },
  metadata: {
    keys: ["metadata"],
    write(call, body) {
      body["metadata"] = call.metadata;
    },
  },
  endUser: {
    keys: ["user", "safety_identifier"],
    write(call, body) {
      body["user"] = call.endUser;
    },
  },
  promptCacheKey: {
    keys: ["prompt_cache_key"],
    write(call, body) {
      body["prompt_cache_key"] = call.promptCacheKey;
    },
  },
  serviceTier: { keys: ["service_tier"], write: writeServiceTier },
  store: {
    keys: ["store"],
    write(call, body) {
      // The gateway itself keeps the turns of other languages; upstream nothing needs to be stored for them.
      if (call.origin.dialect === ID) body["store"] = call.store;
    },
  },
} satisfies Partial<Record<keyof Call, Writer>>;

function writeSampling({ sampling, origin }: Call, body: Draft, context: EncodeContext): void {
  const { temperature, topP, topK, seed, presencePenalty, frequencyPenalty, stop, n, topLogprobs } = sampling;
  Object.assign(body, { temperature, top_p: topP, seed, presence_penalty: presencePenalty, frequency_penalty: frequencyPenalty });
  if (origin.dialect === ID) Object.assign(body, { top_k: topK, n });
  else {
    if (topK !== undefined) context.drop("sampling.topK", "Chat completions has no top-k.");
    if ((n ?? 1) > 1) context.drop("sampling.n", "Several answers only survive in their own language.");
  }
  if (stop && stop.length > STOP_SEQUENCES && origin.dialect !== ID) {
    context.note("sampling.stop", "degraded", `Chat completions takes ${STOP_SEQUENCES} stop sequences; the rest are left out.`);
  }
  if (stop && stop.length > 0) body["stop"] = origin.dialect === ID ? stop : stop.slice(0, STOP_SEQUENCES);
  if (topLogprobs !== undefined) Object.assign(body, { logprobs: true, ...(topLogprobs > 0 && { top_logprobs: topLogprobs }) });
}

function writeToolChoice(call: Call, body: Draft, context: EncodeContext): void {
  const choice = call.toolChoice;
  if (!choice || context.tools.length === 0) return;
  if (choice.type === "native") context.drop("toolChoice", "This choice of tools exists only in its own language.");
  else if (choice.type === "tool") {
    const name = context.names.of(choice.namespace, choice.name);
    const kind = choice.kind === "custom" && !context.degradeCustom ? "custom" : "function";
    body["tool_choice"] = { type: kind, [kind]: { name } };
  } else body["tool_choice"] = choice.type;
}

function writeOutput({ output }: Call, body: Draft): void {
  const format = output?.format;
  body["verbosity"] = output?.verbosity;
  if (format?.type === "json_object") body["response_format"] = { type: "json_object" };
  if (format?.type !== "json_schema") return;
  const { name, schema, strict, description } = format;
  body["response_format"] = {
    type: "json_schema",
    json_schema: { name, ...(description !== undefined && { description }), schema, ...(strict !== undefined && { strict }) },
  };
}

function writeServiceTier({ serviceTier, origin }: Call, body: Draft, context: EncodeContext): void {
  if (serviceTier === undefined) return;
  if (origin.dialect === ID || isServiceTier(serviceTier)) body["service_tier"] = serviceTier;
  else context.drop("serviceTier", `The tier "${serviceTier}" exists only in its own language.`);
}

function encodeTools(context: EncodeContext): JsonObject {
  const tools: Json[] = [];
  const functions: Json[] = [];
  for (const tool of context.tools) {
    const raw = context.isNative(tool) ? tool.raw : undefined;
    const degrade = tool.type === "custom" && context.degradeCustom;
    if (raw !== undefined && !degrade) (isLegacyDeclaration(raw) ? functions : tools).push(raw);
    else if (tool.type === "native")
      context.drop("tools[].native", `The tool "${tool.name ?? tool.kind}" is run by another provider itself.`);
    else tools.push(...declarations(tool, context));
  }
  return { ...(tools.length > 0 && { tools }), ...(functions.length > 0 && { functions }) };
}

function declarations(tool: Exclude<ToolSpec, { type: "native" }>, context: EncodeContext): Json[] {
  if (tool.cacheTtlSeconds !== undefined)
    context.drop("tools[].cacheTtlSeconds", "The provider's language has no breakpoints for its prompt cache that all its vendors know.");
  if (tool.type !== "namespace") return [declaration(tool, tool.name, context)];
  context.note("tools[].namespace", "renamed", "Chat completions has no namespaces: tools are called `namespace__name`.");
  return tool.tools.map((inner) => declaration(inner, context.names.of(tool.name, inner.name), context));
}

function declaration(tool: Exclude<ToolSpec, { type: "native" | "namespace" }>, name: string, context: EncodeContext): Json {
  const described = tool.description !== undefined && { description: tool.description };
  if (tool.type === "function") {
    const { schema, strict } = tool;
    return {
      type: "function",
      function: { name, ...described, ...(schema !== undefined && { parameters: schema }), ...(strict !== undefined && { strict }) },
    };
  }
  if (context.degradeCustom) {
    context.note("tools[].custom", "degraded", "The provider knows function tools only: the free text travels as the property `input`.");
    return { type: "function", function: { name, ...described, parameters: inputSchema(tool.format) } };
  }
  return { type: "custom", custom: { name, ...described, ...(tool.format && { format: nestedGrammar(tool.format) }) } };
}

/** A grammar cannot be enforced in a function's argument; the model is at least told of it. */
function inputSchema(format: JsonObject | undefined): JsonObject {
  const definition = format?.["definition"];
  const hint = typeof definition === "string" ? { description: `Text that follows this grammar:\n${definition}` } : {};
  return {
    type: "object",
    properties: { [CUSTOM_INPUT_PROPERTY]: { type: "string", ...hint } },
    required: [CUSTOM_INPUT_PROPERTY],
    additionalProperties: false,
  };
}

function nestedGrammar(format: JsonObject): JsonObject {
  const { type, ...grammar } = format;
  return type === "grammar" && !isObject(grammar["grammar"]) ? { type, grammar } : format;
}

/** What chat completions does not have at all. */
function noteForeign(call: Call, context: EncodeContext): void {
  noteUnspoken(call, context.tell);
  if (call.background) context.drop("background", "Chat completions has no background calls; the gateway waits instead.");
}

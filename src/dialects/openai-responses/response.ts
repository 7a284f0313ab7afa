import type { AnswerContext, Call, Json, JsonObject, ToolSpec } from "../../canon/index.ts";
import { encodeTool } from "./encode-call.ts";
import { encodeParam } from "./params.ts";
import { ID, isObject, type Draft } from "./shape.ts";

/** What of an answer is not an echo of its request. */
export interface ResponseFacts {
  readonly id: string;
  readonly model: string;
  readonly createdAt: number;
  readonly status: string;
  readonly incompleteReason?: string;
  readonly error?: JsonObject;
  readonly output: readonly Json[];
  readonly usage?: Json;
  readonly serviceTier?: string;
}

const NO_NOTE = (): void => {};

/** A complete response object: every field the specification requires, echoing the request. Source: Open Responses, `ResponseResource`. */
export function buildResponse(facts: ResponseFacts, context: AnswerContext): JsonObject {
  const { call } = context;
  const { sampling } = call;
  const finished = facts.status === "completed";
  return {
    id: facts.id,
    object: "response",
    created_at: facts.createdAt,
    completed_at: finished ? context.createdAt : null,
    status: facts.status,
    background: call.native["background"] === true,
    error: facts.error ?? null,
    incomplete_details: facts.incompleteReason === undefined ? null : { reason: facts.incompleteReason },
    instructions: call.instructions ? call.instructions.parts.map((part) => part.text).join("\n\n") : null,
    max_output_tokens: call.maxOutputTokens ?? null,
    max_tool_calls: nativeOr(call, "max_tool_calls", null),
    metadata: call.metadata ?? {},
    model: facts.model,
    output: facts.output,
    parallel_tool_calls: call.parallelToolCalls ?? true,
    previous_response_id: context.previousId ?? null,
    prompt_cache_key: call.promptCacheKey ?? null,
    reasoning: { effort: call.reasoning?.effort ?? null, summary: call.reasoning?.summary ?? null },
    safety_identifier: nativeOr(call, "safety_identifier", null),
    service_tier: facts.serviceTier ?? "default",
    store: call.store !== false,
    temperature: sampling.temperature ?? 1,
    text: textField(call),
    tool_choice: toolChoiceField(call),
    tools: call.tools.map(toolField).filter((tool) => tool !== undefined),
    top_logprobs: sampling.topLogprobs ?? 0,
    top_p: sampling.topP ?? 1,
    presence_penalty: sampling.presencePenalty ?? 0,
    frequency_penalty: sampling.frequencyPenalty ?? 0,
    truncation: nativeOr(call, "truncation", "disabled"),
    usage: facts.usage ?? null,
    user: nativeOr(call, "user", null),
  };
}

/** A field the canonical form does not hold, as the client sent it. */
function nativeOr(call: Call, key: string, otherwise: Json): Json {
  return (call.origin.dialect === ID ? call.native[key] : undefined) ?? otherwise;
}

function textField(call: Call): JsonObject {
  const { text } = encodeParam("output", call, NO_TARGET, NO_NOTE);
  return { format: { type: "text" }, ...(isObject(text) && text) };
}

function toolChoiceField(call: Call): Json {
  const { toolChoice: choice } = call;
  if (!choice) return "auto";
  if (choice.type === "native") return nativeOr(call, "tool_choice", "auto");
  return choice.type === "tool" ? { type: choice.kind, name: choice.name } : choice.type;
}

/** In an answer a function's declaration has all its fields. */
function toolField(tool: ToolSpec): Json | undefined {
  const wire = encodeTool(tool, NO_NOTE);
  if (!isObject(wire) || wire["type"] !== "function") return wire;
  return { description: null, parameters: null, strict: true, ...wire };
}

const NO_TARGET = { provider: "", model: "", capabilities: {} };

/** A response that failed, as far as it got. */
export function failedResponse(id: string, error: JsonObject, createdAt: number, context?: AnswerContext): JsonObject {
  if (context) return buildResponse({ id, model: context.call.model, createdAt, status: "failed", error, output: [] }, context);
  const bare: Draft = {
    id,
    object: "response",
    created_at: createdAt,
    status: "failed",
    error,
    incomplete_details: null,
    output: [],
    usage: null,
  };
  return bare;
}

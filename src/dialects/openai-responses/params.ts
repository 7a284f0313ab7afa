import { offeredTools, type Call, type EncodeTarget, type Json, type Reasoning } from "../../canon/index.ts";
import type { Note } from "./encode-parts.ts";
import { ID, isList, isObject, without, type Draft } from "./shape.ts";

/** Asks for reasoning that can be handed back without being stored. */
export const SEALED_REASONING = "reasoning.encrypted_content";
export const LOGPROBS = "message.output_text.logprobs";
/** The smallest cap on output that the language's home provider takes. */
const MIN_OUTPUT_TOKENS = 16;
const SERVICE_TIERS: ReadonlySet<string> = new Set(["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"]);
const SUMMARIES: ReadonlySet<string> = new Set(["auto", "concise", "detailed"]);

/** Fields of a call that became top-level fields of the request, and those fields. */
export const OVERLAPS = {
  stream: ["stream"],
  toolChoice: ["tool_choice"],
  parallelToolCalls: ["parallel_tool_calls"],
  output: [],
  reasoning: [],
  sampling: ["temperature", "top_p", "top_logprobs", "presence_penalty", "frequency_penalty"],
  maxOutputTokens: ["max_output_tokens"],
  metadata: ["metadata"],
  endUser: ["safety_identifier", "user"],
  promptCacheKey: ["prompt_cache_key"],
  serviceTier: ["service_tier"],
  store: ["store"],
} as const satisfies Partial<Record<keyof Call, readonly string[]>>;
export type ParamName = keyof typeof OVERLAPS;
export const PARAMS = Object.keys(OVERLAPS) as readonly ParamName[];

/** What one field of the call is as top-level fields of the request; `undefined` removes a field. */
export function encodeParam(name: ParamName, call: Call, target: EncodeTarget, note: Note): Draft {
  switch (name) {
    case "stream":
      return call.stream && call.operation === "generate" ? { stream: true } : {};
    case "toolChoice":
      return encodeToolChoice(call, note);
    case "parallelToolCalls":
      // Without tools the field is refused by some.
      return call.parallelToolCalls === undefined || offeredTools(call).length === 0 ? {} : { parallel_tool_calls: call.parallelToolCalls };
    case "output":
      return encodeOutput(call);
    case "reasoning":
      return encodeReasoning(call, target, note);
    case "sampling":
      return encodeSampling(call, note);
    case "maxOutputTokens":
      return encodeMaxTokens(call, note);
    case "metadata":
      return call.metadata ? { metadata: call.metadata } : {};
    case "endUser":
      return call.endUser === undefined ? {} : { safety_identifier: call.endUser };
    case "promptCacheKey":
      return call.promptCacheKey === undefined ? {} : { prompt_cache_key: call.promptCacheKey };
    case "serviceTier":
      return encodeServiceTier(call, note);
    case "store":
      return call.store === undefined ? {} : { store: call.store };
  }
}

function encodeToolChoice(call: Call, note: Note): Draft {
  const { toolChoice: choice } = call;
  if (!choice || call.operation === "compact") return {};
  if (choice.type === "native") {
    if (call.origin.dialect === ID) return { tool_choice: call.native["tool_choice"] };
    note({ field: "toolChoice", action: "dropped", reason: "Only its own language knows this way of choosing tools." });
    return {};
  }
  if (choice.type !== "tool") return offeredTools(call).length > 0 ? { tool_choice: choice.type } : {};
  if (choice.namespace !== undefined) note({ field: "toolChoice.namespace", action: "dropped", reason: "A choice names the tool alone." });
  return { tool_choice: { type: choice.kind, name: choice.name } };
}

/** `text` can hold more than this form knows; the rest of it stays. */
function encodeOutput(call: Call): Draft {
  const before = isObject(call.native["text"]) && call.origin.dialect === ID ? without(call.native["text"], "format", "verbosity") : {};
  const text: Draft = { ...before };
  const format = call.output?.format;
  if (format?.type === "json_schema") {
    text["format"] = {
      type: "json_schema",
      name: format.name,
      schema: format.schema,
      strict: format.strict ?? false,
      ...(format.description !== undefined && { description: format.description }),
    };
  } else if (format) text["format"] = { type: format.type };
  if (call.output?.verbosity !== undefined) text["verbosity"] = call.output.verbosity;
  return Object.keys(text).length > 0 ? { text } : { text: undefined };
}

/**
 * How hard to think, in tokens, as an effort: up to 2,048 is `low`, up to 8,192 `medium`, above that `high`.
 * The steps are the inverse of those by which efforts become budgets elsewhere.
 */
const BUDGET_STEPS: readonly (readonly [upTo: number, effort: string])[] = [
  [2048, "low"],
  [8192, "medium"],
];
const HIGHEST_BUDGET_EFFORT = "high";
/** Efforts this language does not spell. */
const EFFORT_NAMES: Readonly<Record<string, string>> = { max: "xhigh" };

function encodeReasoning(call: Call, target: EncodeTarget, note: Note): Draft {
  const own = call.origin.dialect === ID;
  const before =
    isObject(call.native["reasoning"]) && own ? without(call.native["reasoning"], "effort", "summary", "generate_summary") : {};
  const { reasoning } = call;
  if (target.capabilities.reasoning === false) {
    if (reasoning) note({ field: "reasoning", action: "dropped", reason: `"${target.provider}" cannot be told how to reason.` });
    return { reasoning: undefined };
  }
  const wire: Draft = { ...before };
  if (reasoning) {
    const effort = effortOf(reasoning, note);
    if (effort !== undefined) wire["effort"] = effort;
    const summary = summaryOf(reasoning);
    if (summary !== undefined) wire["summary"] = summary;
  }
  return { reasoning: Object.keys(wire).length > 0 ? wire : undefined };
}

function effortOf(reasoning: Reasoning, note: Note): string | undefined {
  const { effort, budgetTokens, mode } = reasoning;
  if (effort !== undefined) {
    const name = EFFORT_NAMES[effort];
    if (name !== undefined) note({ field: "reasoning.effort", action: "renamed", reason: `"${effort}" is called "${name}" here.` });
    return name ?? effort;
  }
  if (mode === "disabled") {
    note({
      field: "reasoning.mode",
      action: "dropped",
      reason: "Not every model of this language can stop reasoning; ask for effort `none` where it can.",
    });
    return undefined;
  }
  if (budgetTokens === undefined) return undefined;
  const step = BUDGET_STEPS.find(([upTo]) => budgetTokens <= upTo);
  const name = step?.[1] ?? HIGHEST_BUDGET_EFFORT;
  note({ field: "reasoning.budgetTokens", action: "degraded", reason: `A budget of ${budgetTokens} tokens becomes the effort "${name}".` });
  return name;
}

function summaryOf({ summary }: Reasoning): string | undefined {
  if (summary === undefined || summary === "omitted") return undefined;
  return SUMMARIES.has(summary) ? summary : "auto";
}

/** Sampling that the language has no field for is dropped. */
const UNSPOKEN = ["topK", "seed", "presencePenalty", "frequencyPenalty", "stop", "n"] as const;

function encodeSampling(call: Call, note: Note): Draft {
  const { sampling } = call;
  const own = call.origin.dialect === ID;
  const wire: Draft = {};
  if (sampling.temperature !== undefined) wire["temperature"] = sampling.temperature;
  if (sampling.topP !== undefined) wire["top_p"] = sampling.topP;
  if (own && sampling.presencePenalty !== undefined) wire["presence_penalty"] = sampling.presencePenalty;
  if (own && sampling.frequencyPenalty !== undefined) wire["frequency_penalty"] = sampling.frequencyPenalty;
  if (sampling.topLogprobs !== undefined) {
    wire["top_logprobs"] = sampling.topLogprobs;
    const before = own && isList(call.native["include"]) ? call.native["include"] : [];
    if (!own) wire["include"] = [...before, LOGPROBS] satisfies Json[];
  }
  for (const name of UNSPOKEN) {
    const value = sampling[name];
    if (value === undefined || (name === "n" && value === 1) || (own && name.endsWith("Penalty"))) continue;
    note({ field: `sampling.${name}`, action: "dropped", reason: "This language has no such setting." });
  }
  return wire;
}

function encodeMaxTokens(call: Call, note: Note): Draft {
  const { maxOutputTokens: cap } = call;
  if (cap === undefined || call.operation !== "generate") return {};
  if (cap >= MIN_OUTPUT_TOKENS || call.origin.dialect === ID) return { max_output_tokens: cap };
  note({ field: "maxOutputTokens", action: "degraded", reason: `The smallest cap here is ${MIN_OUTPUT_TOKENS} tokens.` });
  return { max_output_tokens: MIN_OUTPUT_TOKENS };
}

function encodeServiceTier(call: Call, note: Note): Draft {
  const { serviceTier } = call;
  if (serviceTier === undefined) return {};
  if (call.origin.dialect === ID || SERVICE_TIERS.has(serviceTier)) return { service_tier: serviceTier };
  if (serviceTier === "standard_only" || serviceTier === "standard") {
    note({ field: "serviceTier", action: "renamed", reason: `"${serviceTier}" is called "default" here.` });
    return { service_tier: "default" };
  }
  note({ field: "serviceTier", action: "dropped", reason: `"${serviceTier.slice(0, 40)}" is no tier of this language.` });
  return {};
}

import {
  amend,
  offeredTools,
  type Call,
  type Diagnostic,
  type EncodeTarget,
  type Json,
  type JsonObject,
  type ToolSpec,
  type WireRequest,
} from "../../canon/index.ts";
import { narrowToAllowed } from "../shared-choice.ts";
import { noteUnspoken } from "../shared-fields.ts";
import { type Draft } from "../shared-shape.ts";
import { flattenTools, type FlatTools } from "../shared-tools.ts";
import { encodeMessages } from "./encode-messages.ts";
import { ID, isNative } from "./shape.ts";

type Note = (diagnostic: Diagnostic) => void;

export const PATH = "/v2/chat";

export function encodeCall(given: Call, target: EncodeTarget, note: Note): WireRequest {
  const own = given.origin.dialect === ID;
  const call = own ? given : chosen(narrowToAllowed(given, note), note);
  const flat = flattenTools(offeredTools(call), note);
  const messages = own && call.items.length === 0 ? undefined : encodeMessages(call, { target, tools: flat, note });
  const tools = own || target.capabilities.tools !== false ? encodeTools(flat, target, note) : [];
  const body: Draft = {
    ...(own && call.native),
    ...(messages && { messages }),
    ...(tools.length > 0 && { tools }),
    model: target.model,
  };
  const { touched } = call;
  if (own && touched.has("tools") && tools.length === 0) delete body["tools"];
  if (!own || touched.has("stream")) body["stream"] = call.stream;
  if (!own || touched.has("sampling")) Object.assign(body, samplingOf(call, own, note));
  if (!own || touched.has("maxOutputTokens")) body["max_tokens"] = capped(call, target, note);
  if (!own || touched.has("toolChoice")) body["tool_choice"] = choiceOf(call, tools.length > 0, note);
  if (!own || touched.has("output")) body["response_format"] = formatOf(call, tools.length > 0, note);
  if (!own || touched.has("reasoning")) body["thinking"] = thinkingOf(call, target, note);
  if (!own) {
    body["strict_tools"] = strictnessOf(flat, note);
    noteLosses(call, note);
  }
  return { method: "POST", path: PATH, headers: {}, body: JSON.stringify(body) };
}

/** One tool that must be called is the only one offered: the language can name none. */
function chosen(call: Call, note: Note): Call {
  const choice = call.toolChoice;
  if (choice?.type !== "tool") return call;
  note({ field: "toolChoice", action: "degraded", reason: "The language can force a tool, but not say which: only that one is offered." });
  const tools = call.tools.flatMap((tool): ToolSpec[] => {
    if (tool.type === "native") return [];
    if (tool.type !== "namespace") return tool.name === choice.name && choice.namespace === undefined ? [tool] : [];
    const { raw: _raw, ...rest } = tool;
    return tool.name === choice.namespace ? [{ ...rest, tools: tool.tools.filter((inner) => inner.name === choice.name) }] : [];
  });
  return amend(call, { ...(tools.length > 0 && { tools }), toolChoice: { type: "required" } });
}

function encodeTools({ tools }: FlatTools, target: EncodeTarget, note: Note): readonly Json[] {
  const written: Json[] = [];
  for (const tool of tools) {
    if (isNative(tool, target) && tool.raw !== undefined) written.push(tool.raw);
    else if (tool.type === "native")
      note({
        field: "tools[].native",
        action: "dropped",
        reason: `The tool "${tool.name ?? tool.kind}" is run by another provider itself.`,
      });
    else {
      const { name, description, schema, cacheTtlSeconds } = tool;
      if (cacheTtlSeconds !== undefined)
        note({ field: "tools[].cacheTtlSeconds", action: "dropped", reason: "The language has no breakpoints for a prompt cache." });
      const parameters = schema ?? { type: "object", properties: {} };
      written.push({ type: "function", function: { name, ...(description !== undefined && { description }), parameters } });
    }
  }
  return written;
}

/** Arguments are held to the schemas of all tools, or of none. */
function strictnessOf({ tools }: FlatTools, note: Note): true | undefined {
  const functions = tools.filter((tool) => tool.type === "function");
  const strict = functions.filter((tool) => tool.strict === true);
  if (strict.length === 0) return undefined;
  if (strict.length === functions.length) return true;
  note({ field: "tools[].strict", action: "dropped", reason: "The language holds all tools to their schemas, or none." });
  return undefined;
}

function samplingOf({ sampling }: Call, own: boolean, note: Note): Draft {
  const { temperature, topP, topK, seed, presencePenalty, frequencyPenalty, stop, topLogprobs } = sampling;
  if (!own && topLogprobs !== undefined && topLogprobs > 0)
    note({
      field: "sampling.topLogprobs",
      action: "degraded",
      reason: "The language tells the log probabilities of the chosen tokens alone.",
    });
  return {
    temperature,
    p: topP,
    k: topK,
    seed,
    presence_penalty: presencePenalty,
    frequency_penalty: frequencyPenalty,
    stop_sequences: stop && stop.length > 0 ? stop : undefined,
    logprobs: topLogprobs === undefined ? undefined : true,
  };
}

function capped(call: Call, target: EncodeTarget, note: Note): number | undefined {
  const { maxOutputTokens: limit } = target.capabilities;
  const { maxOutputTokens: asked } = call;
  if (asked === undefined || limit === undefined || asked <= limit) return asked;
  note({ field: "maxOutputTokens", action: "degraded", reason: `The model writes at most ${limit} tokens.` });
  return limit;
}

function choiceOf({ toolChoice }: Call, offered: boolean, note: Note): string | undefined {
  if (toolChoice?.type === "native") note({ field: "toolChoice", action: "dropped", reason: "Only its own language has this choice." });
  if (!offered) return undefined;
  return toolChoice?.type === "required" ? "REQUIRED" : toolChoice?.type === "none" ? "NONE" : undefined;
}

function formatOf({ output }: Call, offered: boolean, note: Note): JsonObject | undefined {
  const format = output?.format;
  if (!format || format.type === "text") return undefined;
  if (offered) {
    note({ field: "output.format", action: "dropped", reason: "The API writes JSON only where no tools are offered." });
    return undefined;
  }
  return { type: "json_object", ...(format.type === "json_schema" && { json_schema: format.schema }) };
}

function thinkingOf({ reasoning }: Call, { capabilities }: EncodeTarget, note: Note): JsonObject | undefined {
  if (!reasoning) return undefined;
  const { mode, effort, budgetTokens, summary } = reasoning;
  const off = mode === "disabled" || effort === "none";
  if (capabilities.reasoning === false) {
    if (!off) note({ field: "reasoning", action: "dropped", reason: "The model does not reason." });
    return undefined;
  }
  if (off) return { type: "disabled" };
  if (effort !== undefined)
    note({ field: "reasoning.effort", action: "degraded", reason: "The language has no effort: the model just thinks." });
  if (summary !== undefined && summary !== "omitted")
    note({ field: "reasoning.summary", action: "dropped", reason: "The language cannot be asked for summaries of reasoning." });
  if (effort === undefined && budgetTokens === undefined && mode !== "enabled") return undefined;
  return { type: "enabled", ...(budgetTokens !== undefined && { token_budget: budgetTokens }) };
}

/** What the language does not have at all. */
function noteLosses(call: Call, note: Note): void {
  noteUnspoken(call, note);
  const lost: readonly (readonly [field: string, present: boolean])[] = [
    ["sampling.n", (call.sampling.n ?? 1) > 1],
    ["output.verbosity", call.output?.verbosity !== undefined],
    ["parallelToolCalls", call.parallelToolCalls === false && call.tools.length > 0],
    ["metadata", call.metadata !== undefined && Object.keys(call.metadata).length > 0],
    ["endUser", call.endUser !== undefined],
    ["promptCacheKey", call.promptCacheKey !== undefined],
    ["serviceTier", call.serviceTier !== undefined && call.serviceTier !== "auto"],
    ["background", call.background === true],
  ];
  for (const [field, present] of lost) if (present) note({ field, action: "dropped", reason: "The language has no such field." });
}

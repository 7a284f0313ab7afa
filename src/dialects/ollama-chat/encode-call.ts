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
import { object, type Draft } from "../shared-shape.ts";
import { flattenTools, type FlatTools } from "../shared-tools.ts";
import { encodeMessages, isNative, promptOf } from "./encode-messages.ts";
import { ID, shapeOf, type Shape } from "./shape.ts";

type Note = (diagnostic: Diagnostic) => void;

export const PATHS: Readonly<Record<Shape, string>> = { chat: "/api/chat", generate: "/api/generate" };

export function encodeCall(given: Call, target: EncodeTarget, tell: Note): WireRequest {
  const note = once(tell);
  const own = given.origin.dialect === ID;
  const call = own ? given : narrowToAllowed(given, note);
  const prompt = shapeOf(call) === "generate" && !call.touched.has("instructions") ? promptOf(call.items) : undefined;
  const flat = flattenTools(offeredTools(chosen(call, note)), note);
  const { system: _system, ...rest } = call.native;
  const native = shapeOf(call) === "generate" ? rest : call.native;
  const nothing = prompt !== undefined || (own && call.items.length === 0 && !call.instructions);
  const messages = nothing ? undefined : encodeMessages(call, { target, tools: flat, note });
  const said = prompt ? { ...call.native, ...prompt } : { ...(own && native), ...(messages && { messages }) };
  const body: Draft = { ...said, ...encodeTools(flat, target, note), model: target.model };
  // Without the field an answer is a stream.
  if (!own || call.touched.has("stream")) body["stream"] = call.stream;
  if (!own || call.touched.has("sampling") || call.touched.has("maxOutputTokens")) writeOptions(call, body, own);
  if (!own || call.touched.has("output")) writeFormat(call, body);
  if (!own || call.touched.has("reasoning")) writeThink(call, body, target, note);
  if (own && target.capabilities.reasoning === false) delete body["think"];
  if (!own) noteForeign(call, note);
  return { method: "POST", path: PATHS[prompt ? "generate" : "chat"], headers: {}, body: JSON.stringify(body) };
}

/** Says each loss once. */
function once(note: Note): Note {
  const told = new Set<string>();
  return (diagnostic) => {
    const key = JSON.stringify(diagnostic);
    if (told.has(key)) return;
    told.add(key);
    note(diagnostic);
  };
}

/** The language has no choice of tools: what can be said by the list of tools is said by it. */
function chosen(call: Call, note: Note): Call {
  const choice = call.toolChoice;
  if (!choice || choice.type === "auto" || call.tools.length === 0) return call;
  const reason = "The language has no choice of tools: only those that may be called are offered, and none can be forced.";
  note({ field: "toolChoice", action: choice.type === "required" || choice.type === "native" ? "dropped" : "degraded", reason });
  if (choice.type === "none") return amend(call, { tools: [], items: call.items.filter((item) => item.type !== "unknown") });
  if (choice.type !== "tool") return call;
  const { name, namespace } = choice;
  const tools = call.tools.flatMap((tool): ToolSpec[] => {
    if (tool.type === "native") return [];
    if (tool.type !== "namespace") return tool.name === name && namespace === undefined ? [tool] : [];
    const { raw: _raw, ...rest } = tool;
    return tool.name === namespace ? [{ ...rest, tools: tool.tools.filter((inner) => inner.name === name) }] : [];
  });
  return tools.length > 0 ? amend(call, { tools }) : call;
}

function encodeTools({ tools }: FlatTools, target: EncodeTarget, note: Note): JsonObject {
  const written: Json[] = [];
  for (const tool of tools) {
    if (isNative(tool, target) && tool.raw !== undefined) written.push(tool.raw);
    else if (tool.type === "native") {
      const reason = `The tool "${tool.name ?? tool.kind}" is run by another provider itself.`;
      note({ field: "tools[].native", action: "dropped", reason });
    } else {
      const { name, description, schema, strict } = tool;
      if (strict === true)
        note({ field: "tools[].strict", action: "dropped", reason: "The language cannot hold a tool's arguments to their schema." });
      if (tool.cacheTtlSeconds !== undefined)
        note({ field: "tools[].cacheTtlSeconds", action: "dropped", reason: "The language has no breakpoints for a prompt cache." });
      // Templates of models expect both.
      const parameters = schema ?? { type: "object", properties: {} };
      written.push({ type: "function", function: { name, description: description ?? "", parameters } });
    }
  }
  return written.length > 0 ? { tools: written } : {};
}

function writeOptions({ sampling, maxOutputTokens, native }: Call, body: Draft, own: boolean): void {
  const { temperature, topP, topK, seed, presencePenalty, frequencyPenalty, stop, topLogprobs } = sampling;
  const options: Draft = {
    ...(own && object(native["options"])),
    temperature,
    top_p: topP,
    top_k: topK,
    seed,
    presence_penalty: presencePenalty,
    frequency_penalty: frequencyPenalty,
    stop: stop && stop.length > 0 ? stop : undefined,
    num_predict: maxOutputTokens,
  };
  const said = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  delete body["options"];
  if (Object.keys(said).length > 0) body["options"] = said;
  delete body["logprobs"];
  delete body["top_logprobs"];
  if (topLogprobs !== undefined) Object.assign(body, { logprobs: true, ...(topLogprobs > 0 && { top_logprobs: topLogprobs }) });
}

function writeFormat({ output }: Call, body: Draft): void {
  delete body["format"];
  const format = output?.format;
  if (format?.type === "json_object") body["format"] = "json";
  else if (format?.type === "json_schema") body["format"] = format.schema;
}

/** The words that the language knows. Models that know only on and off take every word for on. */
const EFFORTS: ReadonlySet<string> = new Set(["low", "medium", "high"]);
const NEAREST: Readonly<Record<string, string>> = { minimal: "low", xhigh: "high", max: "high" };

function writeThink({ reasoning }: Call, body: Draft, { capabilities }: EncodeTarget, note: Note): void {
  delete body["think"];
  if (!reasoning) return;
  const { effort, budgetTokens, mode, summary } = reasoning;
  if (summary !== undefined && summary !== "omitted")
    note({ field: "reasoning.summary", action: "dropped", reason: "The language cannot be asked for summaries of reasoning." });
  if (capabilities.reasoning === false) {
    if (mode !== "disabled" && effort !== "none") note({ field: "reasoning", action: "dropped", reason: "The model does not reason." });
    return;
  }
  if (mode === "disabled" || effort === "none") body["think"] = false;
  else if (effort !== undefined) {
    const word = EFFORTS.has(effort) ? effort : NEAREST[effort];
    if (word !== effort) note({ field: "reasoning.effort", action: "degraded", reason: "The language knows low, medium and high." });
    body["think"] = word ?? true;
  } else if (budgetTokens !== undefined || mode === "enabled") {
    if (budgetTokens !== undefined)
      note({
        field: "reasoning.budgetTokens",
        action: "degraded",
        reason: "The language has no budget of thoughts: the model just thinks.",
      });
    body["think"] = true;
  } else if (mode === "adaptive")
    note({ field: "reasoning.mode", action: "degraded", reason: "How much to think is left to the model's own default." });
}

/** What the language does not have at all. */
function noteForeign(call: Call, note: Note): void {
  noteUnspoken(call, note);
  const lost: readonly (readonly [field: string, present: boolean])[] = [
    ["sampling.n", (call.sampling.n ?? 1) > 1],
    ["output.verbosity", call.output?.verbosity !== undefined],
    ["parallelToolCalls", call.parallelToolCalls === false && call.tools.length > 0],
    ["metadata", call.metadata !== undefined && Object.keys(call.metadata).length > 0],
    ["endUser", call.endUser !== undefined],
    ["promptCacheKey", call.promptCacheKey !== undefined],
    ["serviceTier", call.serviceTier !== undefined && call.serviceTier !== "auto"],
  ];
  for (const [field, present] of lost) if (present) note({ field, action: "dropped", reason: "The language has no such field." });
  if (call.background)
    note({ field: "background", action: "dropped", reason: "The language has no background calls; the gateway waits instead." });
}

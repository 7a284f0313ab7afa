import {
  offeredTools,
  type Call,
  type Diagnostic,
  type EncodeTarget,
  type Json,
  type JsonObject,
  type WireRequest,
} from "../../canon/index.ts";
import { narrowToAllowed } from "../shared-choice.ts";
import { noteUnspoken } from "../shared-fields.ts";
import { refuseEmptyConversation, refuseForeignTurn, refuseKeptPrompt } from "../shared-lost.ts";
import { object, type Draft } from "../shared-shape.ts";
import { flattenTools } from "../shared-tools.ts";
import { CallIds, encodeParts, type BlockContext } from "./encode-blocks.ts";
import { encodeMessages } from "./encode-messages.ts";
import { makersFields } from "./families.ts";
import { ID, isNative } from "./shape.ts";
import { calledTools, encodeToolChoice, encodeTools } from "./tools.ts";

type Note = (diagnostic: Diagnostic) => void;

/** The model stands in the path; a name with slashes, such as that of an inference profile, is one segment. */
export function pathOf(model: string, stream: boolean): string {
  return `/model/${encodeURIComponent(model)}/converse${stream ? "-stream" : ""}`;
}

export function encodeCall(given: Call, target: EncodeTarget, note: Note): WireRequest {
  const own = given.origin.dialect === ID;
  const call = own ? given : narrowToAllowed(given, note);
  if (!own) {
    refuseKeptPrompt(call, target);
    refuseForeignTurn(call.items, (item) => isNative(item, target), target);
  }
  const flat = flattenTools(offeredTools(call), note);
  const context: BlockContext = { target, flat, note, ids: new CallIds(), documents: { count: 0 } };
  const { messages, system: leading } = encodeMessages(call.items, context);
  if (!own && messages.length === 0) refuseEmptyConversation(call.items, target);
  const system = encodeSystem(call, leading, context);
  const fields = own ? ownFields(call, context) : foreignFields(call, context);
  const spoken =
    own && call.items.length === 0
      ? {}
      : { messages: messages.length === 0 ? [{ role: "user", content: [{ text: "Hello." }] }] : messages };
  const body: Draft = { ...(own && call.native), ...fields, ...(system && { system }), ...spoken };
  return { method: "POST", path: pathOf(target.model, call.stream), headers: {}, body: JSON.stringify(body) };
}

function encodeSystem({ instructions }: Call, leading: readonly Json[], context: BlockContext): readonly Json[] | undefined {
  const own = instructions?.origin?.dialect === ID;
  if (own && leading.length === 0 && Array.isArray(instructions?.raw)) return instructions.raw as readonly Json[];
  const blocks = [...encodeParts(instructions?.parts ?? [], own, context), ...leading];
  return blocks.length > 0 ? blocks : undefined;
}

/** Fields of a call of this language that were changed since it was decoded; `undefined` removes one. */
function ownFields(call: Call, context: BlockContext): Draft {
  const { touched, native, sampling, maxOutputTokens } = call;
  const fields: Draft = {};
  if (touched.has("tools") || touched.has("toolChoice")) {
    const tools = encodeTools(context.flat, context);
    const choice = touched.has("toolChoice")
      ? encodeToolChoice(call, context.flat, context.note)
      : object(native["toolConfig"])?.["toolChoice"];
    fields["toolConfig"] = tools.length > 0 ? { ...object(native["toolConfig"]), tools, toolChoice: choice } : undefined;
  }
  if (touched.has("sampling") || touched.has("maxOutputTokens")) {
    const { temperature, topP, stop } = sampling;
    fields["inferenceConfig"] = {
      ...object(native["inferenceConfig"]),
      maxTokens: maxOutputTokens,
      temperature,
      topP,
      stopSequences: stop,
    };
  }
  if (touched.has("metadata")) fields["requestMetadata"] = call.metadata;
  if (touched.has("serviceTier")) fields["serviceTier"] = call.serviceTier === undefined ? undefined : { type: call.serviceTier };
  if (touched.has("output")) fields["outputConfig"] = encodeFormat(call, context.note);
  if (touched.has("reasoning") && !call.reasoning) {
    const { thinking: _thinking, ...rest } = object(native["additionalModelRequestFields"]) ?? {};
    fields["additionalModelRequestFields"] = Object.keys(rest).length > 0 ? rest : undefined;
  }
  return fields;
}

/** Every field of a call of another language. */
function foreignFields(call: Call, context: BlockContext): Draft {
  const { target, note } = context;
  noteUnspoken(call, note);
  noteLosses(call, note);
  const { capabilities } = target;
  const able = { reasons: capabilities.reasoning !== false, budget: capabilities.reasoningControl === "budget" };
  const { fields: makers, maxTokens } = makersFields(call, target.model, able, note);
  const inferenceConfig = encodeInference(call, maxTokens, "thinking" in makers, target, note);
  const tier = encodeTier(call.serviceTier, note);
  return {
    ...(Object.keys(inferenceConfig).length > 0 && { inferenceConfig }),
    ...encodeToolConfig(call, context),
    ...(Object.keys(makers).length > 0 && { additionalModelRequestFields: makers }),
    ...wrapped("outputConfig", encodeFormat(call, note)),
    ...wrapped("requestMetadata", call.metadata && Object.keys(call.metadata).length > 0 ? call.metadata : undefined),
    ...wrapped("serviceTier", tier),
  };
}

function wrapped(name: string, value: JsonObject | undefined): Draft {
  return value ? { [name]: value } : {};
}

function encodeToolConfig(call: Call, context: BlockContext): Draft {
  const { flat, note, target } = context;
  const called = calledTools(call.items, flat);
  if (target.capabilities.tools === false && flat.tools.length > 0 && called.length === 0) {
    note({ field: "tools", action: "dropped", reason: "The model takes no tools." });
    return {};
  }
  const none = call.toolChoice?.type === "none";
  if (none && flat.tools.length > 0) {
    const reason = "The language cannot forbid the use of tools.";
    note({ field: "toolChoice", action: "degraded", reason: called.length > 0 ? reason : `${reason} None are offered.` });
    if (called.length === 0) return {};
  }
  const tools = encodeTools(flat, context);
  const offered = tools.length > 0 ? tools : called;
  if (offered.length === 0) return {};
  const choice = tools.length > 0 ? encodeToolChoice(call, flat, note) : undefined;
  return { toolConfig: { tools: offered, ...(choice && { toolChoice: choice }) } };
}

function encodeInference(call: Call, maxTokens: number | undefined, thinks: boolean, target: EncodeTarget, note: Note): JsonObject {
  const { temperature, topP, stop } = call.sampling;
  const limit = target.capabilities.maxOutputTokens;
  const asked = maxTokens ?? call.maxOutputTokens;
  const capped = asked !== undefined && limit !== undefined && asked > limit ? limit : asked;
  if (capped !== asked) note({ field: "maxOutputTokens", action: "degraded", reason: `The model writes at most ${limit} tokens.` });
  if (temperature !== undefined && thinks)
    note({ field: "sampling.temperature", action: "dropped", reason: "A model that thinks takes no temperature." });
  else if (temperature !== undefined && temperature > 1)
    note({ field: "sampling.temperature", action: "degraded", reason: "The language's highest temperature is 1." });
  return {
    ...(capped !== undefined && { maxTokens: capped }),
    ...(temperature !== undefined && !thinks && { temperature: Math.min(temperature, 1) }),
    ...(topP !== undefined && { topP }),
    ...(stop && stop.length > 0 && { stopSequences: stop }),
  };
}

function encodeFormat({ output }: Call, note: Note): JsonObject | undefined {
  const format = output?.format;
  if (format?.type === "json_object")
    note({ field: "output.format", action: "dropped", reason: "The language has JSON output only with a schema." });
  if (format?.type !== "json_schema") return undefined;
  const { name, schema, description } = format;
  const jsonSchema = { schema: JSON.stringify(schema), name, ...(description !== undefined && { description }) };
  return { textFormat: { type: "json_schema", structure: { jsonSchema } } };
}

const TIERS: ReadonlySet<string> = new Set(["priority", "default", "flex", "reserved"]);

function encodeTier(tier: string | undefined, note: Note): JsonObject | undefined {
  if (tier === undefined || tier === "auto") return undefined;
  if (TIERS.has(tier)) return { type: tier };
  if (tier === "standard" || tier === "standard_only") {
    note({ field: "serviceTier", action: "renamed", reason: `The tier "${tier}" is called "default".` });
    return { type: "default" };
  }
  note({ field: "serviceTier", action: "dropped", reason: `The language has no service tier "${tier.slice(0, 40)}".` });
  return undefined;
}

/** What the language does not have at all. */
function noteLosses({ sampling, output, parallelToolCalls, tools, endUser, promptCacheKey, background }: Call, note: Note): void {
  const lost: readonly (readonly [field: string, present: boolean])[] = [
    ["sampling.seed", sampling.seed !== undefined],
    ["sampling.presencePenalty", sampling.presencePenalty !== undefined],
    ["sampling.frequencyPenalty", sampling.frequencyPenalty !== undefined],
    ["sampling.topLogprobs", sampling.topLogprobs !== undefined],
    ["sampling.n", (sampling.n ?? 1) > 1],
    ["output.verbosity", output?.verbosity !== undefined],
    ["parallelToolCalls", parallelToolCalls === false && tools.length > 0],
    ["endUser", endUser !== undefined],
    ["promptCacheKey", promptCacheKey !== undefined],
    ["background", background === true],
  ];
  for (const [field, present] of lost) if (present) note({ field, action: "dropped", reason: "The language has no such field." });
}

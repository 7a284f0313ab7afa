import {
  offeredTools,
  type Call,
  type Diagnostic,
  type EncodeTarget,
  type Json,
  type JsonObject,
  type WireRequest,
} from "../../canon/index.ts";
import { noteUnspoken } from "../shared-fields.ts";
import { refuseEmptyConversation, refuseForeignTurn, refuseKeptPrompt } from "../shared-lost.ts";
import { flattenTools } from "../shared-tools.ts";
import { encodeContents } from "./encode-contents.ts";
import { encodeMessageParts, isOwn, type PartContext } from "./encode-parts.ts";
import { encodeReasoning } from "./reasoning.ts";
import { encodeToolChoice, encodeTools } from "./tools.ts";
import { at, DIALECT, isObject, patched } from "./wire.ts";

type Note = (diagnostic: Diagnostic) => void;
type Fields = Record<string, Json | undefined>;

/** Longest list of stop sequences that the API takes. */
const STOP_SEQUENCES = 5;
/** A count for an upstream that takes what else belongs to the request beside its contents, and not within a request of its own. */
const WRAPPED = "generateContentRequest";

/** A path below the provider's base, for a model whose name may hold slashes. Streams are always asked for as events. */
export function pathOf(model: string, method: "generate" | "stream" | "count"): string {
  const name = model
    .replace(/^models\//, "")
    .split("/")
    .map(encodeURIComponent)
    .join("/");
  if (method === "stream") return `/models/${name}:streamGenerateContent?alt=sse`;
  return `/models/${name}:${method === "count" ? "countTokens" : "generateContent"}`;
}

/**
 * A call as a request. In this language it is put together from `native` and the items' own parts, so that what was not changed comes out
 * as it went in; a call of another language is written field by field, and what is lost is noted.
 */
export function encodeCall(call: Call, target: EncodeTarget, note: Note): WireRequest {
  const own = call.origin.dialect === DIALECT;
  const flat = flattenTools(own ? call.tools : offeredTools(call), own ? undefined : note);
  const context: PartContext = { target, flat, note };
  if (!own) {
    refuseKeptPrompt(call, target);
    refuseForeignTurn(call.items, isOwn, target);
    noteUnspoken(call, note);
  }
  const { contents, system } = encodeContents(call.items, context);
  if (contents.length === 0 && !own) refuseEmptyConversation(call.items, target);
  const instructions = encodeInstructions(call, system, context);
  const wrapped = call.native[WRAPPED];
  const native = own ? (isObject(wrapped) ? wrapped : call.native) : {};
  const written = own ? changedFields(call, native, context) : foreignFields(call, context);
  const body = patched(native, {
    ...written,
    ...(native["model"] !== undefined && { model: `models/${target.model}` }),
    ...(instructions !== undefined && { systemInstruction: instructions }),
  });
  const whole = { ...body, contents: contents.length > 0 || own ? contents : [{ role: "user", parts: [{ text: "Hello." }] }] };
  const counts = call.operation === "count_tokens";
  return {
    method: "POST",
    path: pathOf(target.model, counts ? "count" : call.stream ? "stream" : "generate"),
    headers: {},
    body: JSON.stringify(counts ? countBody(whole, target, isObject(wrapped)) : whole),
  };
}

/** A count of contents alone is that; of more it wraps the request, where the upstream knows that form. */
function countBody(request: JsonObject, target: EncodeTarget, wrapped: boolean): JsonObject {
  const flat = target.capabilities.refuses?.includes(WRAPPED) === true;
  if (flat || (!wrapped && Object.keys(request).length === 1)) return request;
  if (!wrapped && at(request, "systemInstruction") === undefined && request["tools"] === undefined) return request;
  return { [WRAPPED]: { ...request, model: `models/${target.model}` } };
}

function encodeInstructions(call: Call, leading: readonly JsonObject[], context: PartContext): Json | undefined {
  const { instructions } = call;
  const own = instructions?.origin?.dialect === DIALECT;
  if (own && leading.length === 0 && instructions?.raw !== undefined) return instructions.raw;
  const parts = [...encodeMessageParts(instructions?.parts ?? [], "system", own, context), ...leading];
  return parts.length > 0 ? { parts } : undefined;
}

/** Fields of a call of this language that were changed since it was decoded; `undefined` removes one. */
function changedFields(call: Call, native: JsonObject, context: PartContext): Fields {
  const { touched } = call;
  const { target, flat, note } = context;
  const fields: Fields = {};
  const { entries, offered } = encodeTools(flat.tools, note);
  if (touched.has("tools")) fields["tools"] = entries.length > 0 ? entries : undefined;
  if (touched.has("tools") && entries.length === 0) fields["toolConfig"] = undefined;
  else if (touched.has("toolChoice"))
    fields["toolConfig"] = changed(at(native, "toolConfig"), { functionCallingConfig: encodeToolChoice(call, flat, offered, note) });
  if (touched.has("metadata")) fields["labels"] = call.metadata;
  if (touched.has("serviceTier")) fields["serviceTier"] = call.serviceTier;
  const generation: Fields = {
    ...(touched.has("sampling") && encodeSampling(call)),
    ...(touched.has("maxOutputTokens") && { maxOutputTokens: call.maxOutputTokens }),
    ...(touched.has("reasoning") && { thinkingConfig: encodeReasoning(call.reasoning, target, note) }),
    ...(touched.has("output") && { responseSchema: undefined, ...encodeFormat(call) }),
  };
  if (Object.keys(generation).length > 0) fields["generationConfig"] = changed(at(native, "generationConfig"), generation);
  return fields;
}

function changed(native: Json | undefined, patch: JsonObject): JsonObject | undefined {
  const result = patched(isObject(native) ? native : {}, patch);
  return Object.keys(result).length > 0 ? result : undefined;
}

/** Every field of a call of another language. */
function foreignFields(call: Call, context: PartContext): Fields {
  const { target, note } = context;
  const { tools, choice } = foreignTools(call, context);
  const fields: Fields = {
    ...(tools.length > 0 && { tools }),
    ...(choice && { toolConfig: { functionCallingConfig: choice } }),
  };
  // Counting takes only what the model would read.
  if (call.operation === "count_tokens") return fields;
  noteLosses(call, note);
  const thinking = encodeReasoning(call.reasoning, target, note);
  const generation = changed(undefined, {
    ...encodeSampling(call, note),
    maxOutputTokens: cappedOutput(call, target, note),
    ...encodeFormat(call),
    thinkingConfig: thinking,
  });
  const tier = encodeTier(call.serviceTier, note);
  return { ...fields, ...(generation && { generationConfig: generation }), ...(tier !== undefined && { serviceTier: tier }) };
}

function foreignTools(
  call: Call,
  { target, flat, note }: PartContext,
): { readonly tools: readonly JsonObject[]; readonly choice: JsonObject | undefined } {
  if (target.capabilities.tools === false) {
    if (call.tools.length > 0) note({ field: "tools", action: "dropped", reason: "The model takes no tools." });
    return { tools: [], choice: undefined };
  }
  const { entries, offered } = encodeTools(flat.tools, note);
  return { tools: entries, choice: encodeToolChoice(call, flat, offered, note) };
}

function cappedOutput(call: Call, target: EncodeTarget, note: Note): number | undefined {
  const { maxOutputTokens: limit } = target.capabilities;
  const { maxOutputTokens: asked } = call;
  if (asked === undefined || limit === undefined || asked <= limit) return asked;
  note({ field: "maxOutputTokens", action: "degraded", reason: `The model writes at most ${limit} tokens.` });
  return limit;
}

function encodeSampling({ sampling, origin }: Call, note: Note = () => {}): Fields {
  const { temperature, topP, topK, seed, presencePenalty, frequencyPenalty, stop, n, topLogprobs } = sampling;
  const foreign = origin.dialect !== DIALECT;
  if (foreign && stop && stop.length > STOP_SEQUENCES)
    note({ field: "sampling.stop", action: "degraded", reason: `The API takes ${STOP_SEQUENCES} stop sequences; the rest are left out.` });
  if (foreign && (n ?? 1) > 1)
    note({ field: "sampling.n", action: "dropped", reason: "Several answers only survive in their own language." });
  return {
    temperature,
    topP,
    topK,
    seed,
    presencePenalty,
    frequencyPenalty,
    stopSequences: stop && stop.length > 0 ? (foreign ? stop.slice(0, STOP_SEQUENCES) : stop) : undefined,
    candidateCount: foreign ? undefined : n,
    responseLogprobs: topLogprobs === undefined ? undefined : true,
    logprobs: topLogprobs === undefined || topLogprobs === 0 ? undefined : topLogprobs,
  };
}

function encodeFormat(call: Call): Fields {
  const format = call.output?.format;
  if (format === undefined || format.type === "text") return { responseMimeType: undefined, responseJsonSchema: undefined };
  return {
    responseMimeType: "application/json",
    responseJsonSchema: format.type === "json_schema" ? format.schema : undefined,
  };
}

const TIERS: ReadonlySet<string> = new Set(["flex", "standard", "priority"]);

function encodeTier(tier: string | undefined, note: Note): string | undefined {
  if (tier === undefined || tier === "auto") return undefined;
  if (tier === "default" || tier === "standard_only") {
    note({ field: "serviceTier", action: "renamed", reason: `The tier "${tier}" is called "standard".` });
    return "standard";
  }
  if (TIERS.has(tier)) return tier;
  note({ field: "serviceTier", action: "dropped", reason: `The language has no service tier "${tier.slice(0, 40)}".` });
  return undefined;
}

function noteLosses(call: Call, note: Note): void {
  const lost: readonly (readonly [field: string, present: boolean])[] = [
    ["output.verbosity", call.output?.verbosity !== undefined],
    ["promptCacheKey", call.promptCacheKey !== undefined],
    ["endUser", call.endUser !== undefined],
    ["metadata", call.metadata !== undefined && Object.keys(call.metadata).length > 0],
  ];
  for (const [field, present] of lost) if (present) note({ field, action: "dropped", reason: "The language has no such field." });
}

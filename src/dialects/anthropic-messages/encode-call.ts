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
import { flattenTools } from "../shared-tools.ts";
import { encodeParts, isOwn, isPlainText, type BlockContext } from "./encode-blocks.ts";
import { encodeMessages } from "./encode-messages.ts";
import { encodeReasoning } from "./reasoning.ts";
import { encodeToolChoice, encodeTools } from "./tools.ts";
import { adaptBody, NEW_VERSION, OLD_VERSION, SAMPLING_FIELDS, upstreamBetas, upstreamVersion, wireHeaders } from "./versions.ts";
import { DIALECT, isObject, textAt, without } from "./wire.ts";

type Note = (diagnostic: Diagnostic) => void;
type Fields = Record<string, Json | undefined>;

/**
 * A call as a request. In this language it is put together from `native` and the items' own blocks, so that what was not changed comes
 * out as it went in; a call of another language is written field by field, and what is lost is noted.
 */
export function encodeCall(given: Call, target: EncodeTarget, note: Note): WireRequest {
  const call = given.origin.dialect === DIALECT ? given : narrowToAllowed(given, note);
  const own = call.origin.dialect === DIALECT;
  const client = {
    version: own ? (call.origin.version ?? OLD_VERSION) : foreignVersion(call, target),
    betas: own ? (call.origin.betas ?? []) : [],
  };
  const flat = flattenTools(own ? call.tools : offeredTools(call), own ? undefined : note);
  const context: BlockContext = { target, flat, note };
  if (!own) {
    refuseKeptPrompt(call, target);
    refuseForeignTurn(call.items, isOwn, target);
    noteUnspoken(call, note);
  }
  const { messages, system } = encodeMessages(call.items, context);
  if (messages.length === 0 && !own) refuseEmptyConversation(call.items, target);
  const tools = target.capabilities.tools === false && !own ? refuseTools(call, note) : encodeTools(flat.tools, target, note);
  const fields: Fields = own ? { ...without(call.native, "thread") } : {};
  const offered = new Set(tools.map((tool) => textAt(tool, "name")));
  const choice = (): JsonObject | undefined => encodeToolChoice(call, flat, offered, note);
  const written = own ? changedFields(call, target, choice, note) : foreignFields(call, target, choice, note);
  const instructions = encodeSystem(call, system, context, own ? [] : outputInstructions(call, target, note));
  const body: Fields = {
    model: target.model,
    ...without(fields, "model"),
    ...written,
    ...(instructions !== undefined && { system: instructions }),
    messages: messages.length > 0 || own ? messages : [{ role: "user", content: "Hello." }],
    ...(tools.length > 0 && { tools }),
  };
  for (const [field, value] of Object.entries(adaptBody(body, client, target.capabilities, note))) body[field] = value;
  const path = call.operation === "count_tokens" ? "/messages/count_tokens" : "/messages";
  const headers = wireHeaders(upstreamVersion(client.version, target.capabilities), upstreamBetas(client.betas, target.capabilities));
  return { method: "POST", path, headers, body: JSON.stringify(body) };
}

/** Other languages have sampling parameters, which only the older version takes; it also is the one that every upstream knows. */
function foreignVersion(call: Call, target: EncodeTarget): string {
  const offered = target.capabilities.versions;
  if (offered === undefined || offered.includes(OLD_VERSION)) return OLD_VERSION;
  return call.origin.version ?? NEW_VERSION;
}

function refuseTools(call: Call, note: Note): JsonObject[] {
  if (call.tools.length > 0) note({ field: "tools", action: "dropped", reason: "The model takes no tools." });
  return [];
}

function encodeSystem(call: Call, leading: readonly JsonObject[], context: BlockContext, added: readonly string[]): Json | undefined {
  const { instructions } = call;
  const own = instructions?.origin?.dialect === DIALECT;
  const raw = own ? instructions?.raw : undefined;
  const extra = [...leading, ...added.map((text): JsonObject => ({ type: "text", text }))];
  if (extra.length === 0 && raw !== undefined) return raw;
  const blocks = [...encodeParts(instructions?.parts ?? [], "system", own, context), ...extra];
  const [first] = blocks;
  if (!first) return undefined;
  return blocks.length === 1 && isPlainText(first) ? first["text"] : blocks;
}

/** The fields of a call of this language that were changed since it was decoded; `undefined` removes one. */
function changedFields(call: Call, target: EncodeTarget, choice: () => JsonObject | undefined, note: Note): Fields {
  const { touched } = call;
  if (touched.size === 0) return {};
  const fields: Fields = {};
  if (touched.has("stream")) fields["stream"] = call.stream;
  if (touched.has("instructions") && !call.instructions) fields["system"] = undefined;
  if (touched.has("tools") && call.tools.length === 0) Object.assign(fields, { tools: undefined, tool_choice: undefined });
  if (touched.has("toolChoice") || touched.has("parallelToolCalls")) fields["tool_choice"] = choice();
  if (touched.has("sampling")) Object.assign(fields, encodeSampling(call));
  if (touched.has("maxOutputTokens")) fields["max_tokens"] = call.maxOutputTokens;
  if (touched.has("endUser")) fields["metadata"] = changed(call.native["metadata"], { user_id: call.endUser });
  if (touched.has("serviceTier")) fields["service_tier"] = call.serviceTier;
  if (touched.has("reasoning") || touched.has("output")) {
    const { thinking, effort } = touched.has("reasoning") ? encodeReasoning(call, isForced(choice()), target, note) : {};
    if (touched.has("reasoning")) fields["thinking"] = thinking;
    fields["output_config"] = changed(call.native["output_config"], {
      ...(touched.has("reasoning") && { effort }),
      ...(touched.has("output") && { format: encodeFormat(call) }),
    });
    if (touched.has("output")) fields["output_format"] = undefined;
  }
  return fields;
}

function changed(native: Json | undefined, patch: JsonObject): JsonObject | undefined {
  const result: Fields = { ...(isObject(native) ? native : {}), ...patch };
  return Object.values(result).some((value) => value !== undefined) ? result : undefined;
}

/** Every field of a call of another language. */
function foreignFields(call: Call, target: EncodeTarget, choice: () => JsonObject | undefined, note: Note): Fields {
  const toolChoice = choice();
  const { thinking, effort, maxTokens } = encodeReasoning(call, isForced(toolChoice), target, note);
  const format = target.capabilities.structuredOutput === false ? undefined : encodeFormat(call);
  const output: Fields = { ...(effort !== undefined && { effort }), ...(format && { format }) };
  const fields: Fields = {
    ...(toolChoice && { tool_choice: toolChoice }),
    ...(thinking && { thinking }),
    ...(Object.keys(output).length > 0 && { output_config: output }),
  };
  // Counting takes only what the model would read.
  if (call.operation === "count_tokens") return fields;
  noteLosses(call, note);
  const tier = encodeTier(call.serviceTier, note);
  return {
    max_tokens: maxTokens,
    ...(call.stream && { stream: true }),
    ...fields,
    ...foreignSampling(call, thinking, note),
    ...(call.endUser !== undefined && { metadata: { user_id: call.endUser } }),
    ...(tier !== undefined && { service_tier: tier }),
  };
}

function isForced(choice: JsonObject | undefined): boolean {
  return choice?.["type"] === "any" || choice?.["type"] === "tool";
}

function encodeSampling({ sampling }: Call): Fields {
  return { temperature: sampling.temperature, top_p: sampling.topP, top_k: sampling.topK, stop_sequences: sampling.stop };
}

const MAX_TEMPERATURE = 1;

function foreignSampling(call: Call, thinking: JsonObject | undefined, note: Note): Fields {
  const fields: Fields = { ...encodeSampling(call) };
  const { temperature } = call.sampling;
  if (temperature !== undefined && temperature > MAX_TEMPERATURE) {
    fields["temperature"] = MAX_TEMPERATURE;
    note({ field: "sampling.temperature", action: "degraded", reason: `The language ends at ${MAX_TEMPERATURE}.` });
  }
  if (thinking && thinking["type"] !== "disabled") {
    for (const field of SAMPLING_FIELDS) {
      if (fields[field] === undefined) continue;
      fields[field] = undefined;
      note({ field: `sampling.${field}`, action: "dropped", reason: "The API takes no sampling parameters while the model thinks." });
    }
  }
  const stop = call.sampling.stop?.filter((text) => text.trim() !== "");
  if (stop && stop.length < (call.sampling.stop?.length ?? 0)) {
    note({ field: "sampling.stop", action: "degraded", reason: "The API refuses stop sequences of white space alone." });
  }
  fields["stop_sequences"] = stop && stop.length > 0 ? stop : undefined;
  return fields;
}

/** Where the model can be held to a schema, it is; otherwise it is told, because a forced tool would change the shape of the answer. */
function outputInstructions(call: Call, target: EncodeTarget, note: Note): string[] {
  const format = call.output?.format;
  if (format?.type === "json_object") {
    note({
      field: "output.format",
      action: "degraded",
      reason: "The language has no plain JSON mode; the model is told to answer in JSON.",
    });
    return ["Answer with one JSON object and nothing else."];
  }
  if (format?.type !== "json_schema" || target.capabilities.structuredOutput !== false) return [];
  note({ field: "output.format", action: "degraded", reason: "The model cannot be held to a schema; it is told to follow it." });
  return [`Answer with one JSON value that matches this JSON Schema, and nothing else:\n${JSON.stringify(format.schema)}`];
}

function encodeFormat(call: Call): JsonObject | undefined {
  const format = call.output?.format;
  return format?.type === "json_schema" ? { type: "json_schema", schema: format.schema } : undefined;
}

function encodeTier(tier: string | undefined, note: Note): string | undefined {
  if (tier === undefined || tier === "auto" || tier === "standard_only") return tier;
  if (tier === "default") return "standard_only";
  note({ field: "serviceTier", action: "dropped", reason: `The language has no service tier "${tier.slice(0, 40)}".` });
  return undefined;
}

function noteLosses(call: Call, note: Note): void {
  const { sampling } = call;
  const lost: readonly (readonly [field: string, present: boolean])[] = [
    ["sampling.seed", sampling.seed !== undefined],
    ["sampling.presencePenalty", (sampling.presencePenalty ?? 0) !== 0],
    ["sampling.frequencyPenalty", (sampling.frequencyPenalty ?? 0) !== 0],
    ["sampling.n", (sampling.n ?? 1) > 1],
    ["sampling.topLogprobs", sampling.topLogprobs !== undefined],
    ["output.verbosity", call.output?.verbosity !== undefined],
    ["promptCacheKey", call.promptCacheKey !== undefined],
    ["metadata", call.metadata !== undefined && Object.keys(call.metadata).length > 0],
  ];
  for (const [field, present] of lost) if (present) note({ field, action: "dropped", reason: "The language has no such field." });
}

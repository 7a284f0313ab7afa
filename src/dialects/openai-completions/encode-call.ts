import type { Call, Capabilities, Diagnostic, EncodeTarget, Json, JsonObject, WireRequest } from "../../canon/index.ts";
import { asksForUsage } from "../openai-chat/adapt.ts";
import { noteUnspoken } from "../shared-fields.ts";
import { object, type Draft } from "../shared-shape.ts";
import { transcriptOf } from "./prompt.ts";
import { ID } from "./shape.ts";

type Note = (diagnostic: Diagnostic) => void;

export const PATH = "/completions";

/** The longest list of stop sequences that the language defines. */
const STOP_SEQUENCES = 4;
/** The most alternatives to a token that it gives. */
const MOST_LOGPROBS = 5;

export function encodeCall(call: Call, target: EncodeTarget, tell: Note): WireRequest {
  const note = once(tell);
  const own = call.origin.dialect === ID;
  const kept = own ? promptKept(call) : undefined;
  const body: Draft = kept ? { ...call.native, ...kept } : { ...(own && call.native), ...writePrompt(call, target, note) };
  body["model"] = target.model;
  if (!own || call.touched.has("stream")) writeStream(call, body);
  if (!own || call.touched.has("maxOutputTokens")) body["max_tokens"] = call.maxOutputTokens;
  if (!own || call.touched.has("sampling")) writeSampling(call, body, note);
  if (!own) {
    body["user"] = call.endUser;
    noteForeign(call, note);
  }
  Object.assign(body, adaptations(body, target.capabilities, note));
  return { method: "POST", path: PATH, headers: {}, body: JSON.stringify(body) };
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

/** The prompt as it came, where nothing was changed. */
function promptKept({ items, instructions }: Call): JsonObject | undefined {
  const [only, ...more] = items;
  if (!only && !instructions) return {};
  if (more.length > 0 || instructions || only?.type !== "message" || only.origin?.dialect !== ID) return undefined;
  const raw = object(only.raw);
  return raw && { prompt: raw["content"] };
}

function writePrompt(call: Call, target: EncodeTarget, note: Note): JsonObject {
  const { prompt, stop } = transcriptOf(call, target, note);
  const stops = [...(stop === undefined ? [] : [stop]), ...(call.sampling.stop ?? [])];
  if (stops.length > STOP_SEQUENCES)
    note({
      field: "sampling.stop",
      action: "degraded",
      reason: `The language takes ${STOP_SEQUENCES} stop sequences; the rest are left out.`,
    });
  return { prompt, ...(stops.length > 0 && { stop: stops.slice(0, STOP_SEQUENCES) }) };
}

function writeStream(call: Call, body: Draft): void {
  delete body["stream"];
  if (call.stream) body["stream"] = true;
  else delete body["stream_options"];
}

function writeSampling({ sampling, origin }: Call, body: Draft, note: Note): void {
  const { temperature, topP, topK, seed, presencePenalty, frequencyPenalty, stop, n, topLogprobs } = sampling;
  Object.assign(body, { temperature, top_p: topP, seed, presence_penalty: presencePenalty, frequency_penalty: frequencyPenalty, n });
  // What ends a turn of the conversation stands there already.
  if (origin.dialect === ID) body["stop"] = stop;
  if (topK !== undefined) note({ field: "sampling.topK", action: "dropped", reason: "The language has no top-k." });
  if (topLogprobs !== undefined) body["logprobs"] = Math.min(topLogprobs, MOST_LOGPROBS);
  if ((topLogprobs ?? 0) > MOST_LOGPROBS)
    note({ field: "sampling.topLogprobs", action: "degraded", reason: `The language gives at most ${MOST_LOGPROBS} alternatives.` });
}

/** What the language does not have at all. */
function noteForeign(call: Call, note: Note): void {
  noteUnspoken(call, note);
  const { reasoning } = call;
  const lost: readonly (readonly [field: string, present: boolean])[] = [
    ["reasoning", reasoning !== undefined && reasoning.mode !== "disabled" && reasoning.effort !== "none"],
    ["output.verbosity", call.output?.verbosity !== undefined],
    ["metadata", call.metadata !== undefined && Object.keys(call.metadata).length > 0],
    ["promptCacheKey", call.promptCacheKey !== undefined],
    ["serviceTier", call.serviceTier !== undefined && call.serviceTier !== "auto"],
    ["parallelToolCalls", call.parallelToolCalls !== undefined],
    ["toolChoice", call.toolChoice !== undefined],
  ];
  for (const [field, present] of lost) if (present) note({ field, action: "dropped", reason: "The language has no such field." });
  if (call.background)
    note({ field: "background", action: "dropped", reason: "The language has no background calls; the gateway waits instead." });
}

/** What a body needs before a particular upstream takes it: the same on both paths. */
export function adaptations(body: JsonObject, capabilities: Capabilities, note: Note): Readonly<Record<string, Json | undefined>> {
  const replace: Draft = {};
  for (const field of capabilities.refuses ?? []) {
    if (body[field] === undefined) continue;
    replace[field] = undefined;
    note({ field, action: "dropped", reason: "The provider refuses this field." });
  }
  const silent = capabilities.streamUsage === false || capabilities.refuses?.includes("stream_options") === true;
  if (body["stream"] === true && !silent && !asksForUsage(body))
    replace["stream_options"] = { ...object(body["stream_options"]), include_usage: true };
  return replace;
}

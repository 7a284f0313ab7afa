import type { Call, Json, JsonObject, StopReason } from "../../canon/index.ts";

const STOPS: Readonly<Record<string, StopReason>> = {
  end_turn: "end",
  max_tokens: "max_tokens",
  stop_sequence: "stop_sequence",
  tool_use: "tool_calls",
  pause_turn: "pause",
  // The context was pressed together and the turn handed back unanswered: like a pause, the client sends it again.
  compaction: "pause",
  refusal: "refusal",
  model_context_window_exceeded: "context_window",
};

const NAMES: Readonly<Record<StopReason, string>> = {
  end: "end_turn",
  max_tokens: "max_tokens",
  stop_sequence: "stop_sequence",
  tool_calls: "tool_use",
  refusal: "refusal",
  content_filter: "refusal",
  pause: "pause_turn",
  context_window: "model_context_window_exceeded",
  unknown: "end_turn",
};

export function decodeStop(reason: Json | undefined): StopReason {
  return typeof reason === "string" ? (STOPS[reason] ?? "unknown") : "unknown";
}

/** The members `stop_reason`, `stop_sequence` and `stop_details`, as far as the wire had them. */
export function stopMembers(source: JsonObject): JsonObject {
  const members: Record<string, Json | undefined> = {};
  for (const key of ["stop_reason", "stop_sequence", "stop_details"]) if (source[key] !== undefined) members[key] = source[key];
  return members;
}

/** The same members for an answer of another language. */
export function encodeStop(stop: StopReason, call: Pick<Call, "sampling">): JsonObject {
  const details = stop === "refusal" || stop === "content_filter" ? { type: "refusal", category: null, explanation: null } : null;
  return { stop_reason: NAMES[stop], stop_sequence: stop === "stop_sequence" ? onlyOne(call.sampling.stop) : null, stop_details: details };
}

/** Other languages do not say which of the stop sequences it was; of one alone it is known. */
function onlyOne(sequences: readonly string[] = []): string | null {
  return sequences.length === 1 ? (sequences[0] ?? null) : null;
}

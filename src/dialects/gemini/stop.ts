import type { Json, StopReason } from "../../canon/index.ts";

/** Source: `FinishReason` of the types of `@google/genai` 3. */
const STOPS: Readonly<Record<string, StopReason>> = {
  STOP: "end",
  MAX_TOKENS: "max_tokens",
  SAFETY: "content_filter",
  RECITATION: "content_filter",
  BLOCKLIST: "content_filter",
  PROHIBITED_CONTENT: "content_filter",
  SPII: "content_filter",
  IMAGE_SAFETY: "content_filter",
  IMAGE_PROHIBITED_CONTENT: "content_filter",
  IMAGE_RECITATION: "content_filter",
  LANGUAGE: "content_filter",
  // The request's own cap is reached, and the client may have the rest by asking again.
  CONTINUATION: "pause",
  // The model went wrong: what it said stands, but it is no regular end.
  OTHER: "unknown",
  MALFORMED_FUNCTION_CALL: "unknown",
  MALFORMED_RESPONSE: "unknown",
  UNEXPECTED_TOOL_CALL: "unknown",
  TOO_MANY_TOOL_CALLS: "unknown",
  NO_IMAGE: "unknown",
  IMAGE_OTHER: "unknown",
  FINISH_REASON_UNSPECIFIED: "unknown",
};

const NAMES: Readonly<Record<StopReason, string>> = {
  end: "STOP",
  max_tokens: "MAX_TOKENS",
  stop_sequence: "STOP",
  tool_calls: "STOP",
  refusal: "SAFETY",
  content_filter: "SAFETY",
  pause: "CONTINUATION",
  context_window: "MAX_TOKENS",
  unknown: "OTHER",
};

/** `calls`: does the answer call tools? The language ends such a turn like any other. */
export function decodeStop(reason: Json | undefined, calls: boolean): StopReason {
  if (typeof reason !== "string") return "unknown";
  const stop = Object.hasOwn(STOPS, reason) ? (STOPS[reason] ?? "unknown") : "unknown";
  return stop === "end" && calls ? "tool_calls" : stop;
}

export function encodeStop(stop: StopReason): string {
  return NAMES[stop];
}

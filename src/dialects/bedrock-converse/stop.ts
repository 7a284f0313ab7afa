import type { JsonObject, StopReason } from "../../canon/index.ts";
import { text } from "../shared-shape.ts";

/** Source: `StopReason` of the service's model. */
const STOPS: Readonly<Record<string, StopReason>> = {
  end_turn: "end",
  tool_use: "tool_calls",
  max_tokens: "max_tokens",
  stop_sequence: "stop_sequence",
  guardrail_intervened: "content_filter",
  content_filtered: "content_filter",
  model_context_window_exceeded: "context_window",
  refusal: "refusal",
  pause_turn: "pause",
};

const REASONS: Readonly<Record<StopReason, string>> = {
  end: "end_turn",
  tool_calls: "tool_use",
  max_tokens: "max_tokens",
  stop_sequence: "stop_sequence",
  refusal: "content_filtered",
  content_filter: "content_filtered",
  pause: "end_turn",
  context_window: "model_context_window_exceeded",
  unknown: "end_turn",
};

export function stopOf(body: JsonObject): StopReason {
  return STOPS[text(body["stopReason"]) ?? ""] ?? "unknown";
}

/** `before`: the reason in this language's own words, which stays where it still says the same. */
export function reasonFor(stop: StopReason, before: JsonObject | undefined): string {
  const said = before && text(before["stopReason"]);
  return said !== undefined && before && stopOf(before) === stop ? said : REASONS[stop];
}

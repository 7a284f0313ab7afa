import type { StopReason } from "../../canon/index.ts";

/** Finish reasons as the language and its compatible vendors spell them, in lower case. */
const STOPS: Readonly<Record<string, StopReason>> = {
  stop: "end",
  end: "end",
  end_turn: "end",
  eos: "end",
  eos_token: "end",
  completed: "end",
  stop_sequence: "stop_sequence",
  length: "max_tokens",
  max_tokens: "max_tokens",
  max_output_tokens: "max_tokens",
  model_length: "context_window",
  tool_calls: "tool_calls",
  tool_call: "tool_calls",
  tool_use: "tool_calls",
  function_call: "tool_calls",
  content_filter: "content_filter",
  safety: "content_filter",
  sensitive: "content_filter",
  recitation: "content_filter",
  refusal: "refusal",
};

/** Finish reasons that are failures in disguise: the answer is not whole. */
const FAILURES = new Set(["error", "network_error", "insufficient_system_resource", "abort", "aborted"]);

export function isFailure(finish: string | undefined): boolean {
  return finish !== undefined && FAILURES.has(finish.toLowerCase());
}

/**
 * What ended the answer. A tool call decides over the word: a forced call ends with `stop`, and some vendors say `stop` or nothing for
 * every call. The same holds for a refusal.
 */
export function stopFrom(finish: string | undefined, said: { readonly toolCalls: boolean; readonly refusal: boolean }): StopReason {
  const named = finish === undefined ? "unknown" : (STOPS[finish.toLowerCase()] ?? "unknown");
  if (named !== "end" && named !== "unknown") return named;
  if (said.toolCalls) return "tool_calls";
  return said.refusal ? "refusal" : named;
}

const FINISHES: Readonly<Record<StopReason, string>> = {
  end: "stop",
  max_tokens: "length",
  stop_sequence: "stop",
  tool_calls: "tool_calls",
  refusal: "stop",
  content_filter: "content_filter",
  pause: "stop",
  context_window: "length",
  unknown: "stop",
};

/** A refusal in the language's own words ends like any answer; one whose words are plain text is only told by the finish reason. */
export function finishFor(stop: StopReason, said: { readonly refusal: boolean }): string {
  return stop === "refusal" && !said.refusal ? "content_filter" : FINISHES[stop];
}

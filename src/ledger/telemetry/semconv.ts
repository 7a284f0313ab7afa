import { totalInput, type AttemptRecord, type LedgerRow, type Usage } from "../../canon/index.ts";
import type { Attributes } from "./attributes.ts";
import type { TelemetryOptions } from "./options.ts";

export type Semconv = TelemetryOptions["semconv"];

/** Of the conventions that the attributes follow; the later ones, in a repository of their own, publish none. */
export const SCHEMA_URL: Readonly<Record<Semconv, string | undefined>> = {
  "v1.41": "https://opentelemetry.io/schemas/1.41.0",
  latest: undefined,
  both: undefined,
};

/** `gen_ai.operation.name`; where the conventions have no word for it, ours. */
const OPERATIONS: Readonly<Record<string, string>> = { generate: "chat", embed: "embeddings" };

export function operationName(operation: string): string {
  return OPERATIONS[operation] ?? operation;
}

/** `gen_ai.response.finish_reasons`: the words of the conventions' `FinishReason`, and ours where they have none. */
const FINISH_REASONS: Readonly<Record<string, string>> = {
  end: "stop",
  stop_sequence: "stop",
  max_tokens: "length",
  context_window: "length",
  tool_calls: "tool_call",
  refusal: "content_filter",
};

/** Units of usage that the later conventions name. */
const MEDIA_TOKENS = ["text_input", "audio_input", "image_input", "video_input", "text_output", "audio_output"] as const;

/** What an attempt at a model is called by. */
export interface AttemptFacts {
  readonly row: LedgerRow;
  readonly attempt: AttemptRecord;
  /** The provider in the conventions' word. */
  readonly provider: string;
  /** The provider's name of the model. */
  readonly model: string;
  /** Its answer is what the caller got. */
  readonly answered: boolean;
}

/**
 * The attributes of an inference span. Of what is said here the later conventions add tokens by medium and renamed one: what was written to a
 * cache. `both` says it under either name.
 * Source: semantic-conventions v1.41.0 and semantic-conventions-genai, docs/gen-ai/gen-ai-spans.md.
 */
export function inferenceAttributes(to: Attributes, facts: AttemptFacts, semconv: Semconv): void {
  const { row, attempt, provider, model, answered } = facts;
  to.text("gen_ai.operation.name", operationName(row.operation))
    .text("gen_ai.provider.name", provider)
    .text("gen_ai.request.model", model)
    .text("gen_ai.conversation.id", row.session)
    .flag("gen_ai.request.stream", row.stream);
  if (answered) {
    to.text("gen_ai.response.model", row.upstreamModel).texts(
      "gen_ai.response.finish_reasons",
      row.stop === undefined ? [] : [FINISH_REASONS[row.stop] ?? row.stop],
    );
    const { firstOutputMs } = row.timings;
    if (row.stream && firstOutputMs !== undefined && firstOutputMs >= attempt.startedMs)
      to.number("gen_ai.response.time_to_first_chunk", (firstOutputMs - attempt.startedMs) / 1000);
  }
  if (attempt.usage) usageAttributes(to, attempt.usage, semconv);
  to.text("error.type", attempt.problem).whole("http.response.status_code", attempt.status);
}

/** The conventions count cached input among the input, as totals; our counts are disjoint. */
function usageAttributes(to: Attributes, usage: Usage, semconv: Semconv): void {
  const written = usage.cacheWrite5m + usage.cacheWrite1h;
  to.whole("gen_ai.usage.input_tokens", totalInput(usage))
    .whole("gen_ai.usage.output_tokens", usage.output)
    .whole("gen_ai.usage.cache_read.input_tokens", usage.cacheRead || undefined)
    .whole("gen_ai.usage.cache_creation.input_tokens", (semconv !== "latest" && written) || undefined)
    .whole("gen_ai.usage.cache_write.input_tokens", (semconv !== "v1.41" && written) || undefined)
    .whole("gen_ai.usage.reasoning.output_tokens", usage.reasoning || undefined);
  if (semconv === "v1.41" || !usage.media) return;
  for (const unit of MEDIA_TOKENS) {
    const [kind, direction] = unit.split("_");
    to.whole(`gen_ai.usage.${kind}.${direction}_tokens`, usage.media[`${unit}_tokens`]);
  }
}

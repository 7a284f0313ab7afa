import { describe, expect, it } from "vitest";
import { telemetryNameOf } from "../../../src/providers/index.ts";
import { spansOf, type Span } from "../../../src/ledger/telemetry/spans.ts";
import type { Semconv } from "../../../src/ledger/telemetry/semconv.ts";
import { ATTEMPT, rowOf } from "./rows.ts";

/**
 * Attributes of inference spans and their types, as published: semantic-conventions v1.41.0, model/gen-ai, and what its successor
 * semantic-conventions-genai has since. Names that prompts and answers would stand under are left out on purpose: none may leave.
 */
const V1_41: Readonly<Record<string, "stringValue" | "intValue" | "doubleValue" | "boolValue" | "arrayValue">> = {
  "gen_ai.operation.name": "stringValue",
  "gen_ai.provider.name": "stringValue",
  "gen_ai.request.model": "stringValue",
  "gen_ai.request.stream": "boolValue",
  "gen_ai.conversation.id": "stringValue",
  "gen_ai.response.id": "stringValue",
  "gen_ai.response.model": "stringValue",
  "gen_ai.response.finish_reasons": "arrayValue",
  "gen_ai.response.time_to_first_chunk": "doubleValue",
  "gen_ai.usage.input_tokens": "intValue",
  "gen_ai.usage.output_tokens": "intValue",
  "gen_ai.usage.cache_read.input_tokens": "intValue",
  "gen_ai.usage.cache_creation.input_tokens": "intValue",
  "gen_ai.usage.reasoning.output_tokens": "intValue",
};
const { "gen_ai.usage.cache_creation.input_tokens": renamed, ...kept } = V1_41;
const LATEST: typeof V1_41 = {
  ...kept,
  "gen_ai.usage.cache_write.input_tokens": renamed ?? "intValue",
  ...Object.fromEntries(
    ["text.input", "audio.input", "image.input", "video.input", "text.output", "audio.output"].map((of) => [
      `gen_ai.usage.${of}_tokens`,
      "intValue" as const,
    ]),
  ),
};
const OPERATIONS = ["chat", "generate_content", "text_completion", "embeddings", "retrieval"];
const FINISH_REASONS = ["stop", "length", "content_filter", "tool_call", "error"];
const PROVIDERS = new Set(
  "openai gcp.gen_ai gcp.vertex_ai gcp.gemini anthropic cohere azure.ai.inference azure.ai.openai ibm.watsonx.ai aws.bedrock perplexity x_ai deepseek groq mistral_ai moonshot_ai".split(
    " ",
  ),
);

const usage = {
  ...ATTEMPT.usage,
  inputUncached: 10,
  cacheRead: 30,
  cacheWrite5m: 5,
  cacheWrite1h: 2,
  output: 7,
  reasoning: 3,
  media: {
    text_input_tokens: 1,
    audio_input_tokens: 4,
    image_input_tokens: 2,
    video_input_tokens: 1,
    text_output_tokens: 5,
    audio_output_tokens: 2,
    pages: 1,
  },
};
const spansBy = (semconv: Semconv, change: Parameters<typeof rowOf>[0] = {}): readonly Span[] =>
  spansOf(
    { row: rowOf({ stream: true, session: "s", attempts: [{ ...ATTEMPT, usage, status: 200 }], ...change }), parent: undefined },
    { semconv, providerName: (name) => telemetryNameOf(name) },
  );
const typesOf = (spans: readonly Span[]): Record<string, string> =>
  Object.fromEntries(
    spans.flatMap(({ attributes }) =>
      attributes.filter(({ key }) => key.startsWith("gen_ai.")).map(({ key, value }) => [key, Object.keys(value)[0] ?? ""]),
    ),
  );

describe("what leaves by the conventions' names", () => {
  it.each([
    ["v1.41", V1_41],
    ["latest", LATEST],
    ["both", { ...V1_41, ...LATEST }],
  ] as const)("is published there, with its type: %s", (semconv, published) => {
    const found = typesOf(spansBy(semconv));
    for (const [key, type] of Object.entries(found)) expect([key, published[key]]).toEqual([key, type]);
    // All of it but the answer's id, which rows do not hold.
    expect(Object.keys(found).toSorted()).toEqual(
      Object.keys(published)
        .filter((key) => key !== "gen_ai.response.id")
        .toSorted(),
    );
  });

  it("says what was renamed once under each name, with one figure", () => {
    const written = (semconv: Semconv): unknown[] =>
      spansBy(semconv).flatMap(({ attributes }) => attributes.filter(({ key }) => /cache_(creation|write)/.test(key)));
    const value = { intValue: "7" };
    expect(written("v1.41")).toEqual([{ key: "gen_ai.usage.cache_creation.input_tokens", value }]);
    expect(written("latest")).toEqual([{ key: "gen_ai.usage.cache_write.input_tokens", value }]);
    expect(written("both")).toHaveLength(2);
  });

  it("uses the conventions' words for operations, ends and providers where they have one", () => {
    for (const stop of ["end", "max_tokens", "stop_sequence", "tool_calls", "refusal", "content_filter", "context_window"]) {
      const attribute = spansBy("v1.41", { stop })
        .flatMap(({ attributes }) => attributes)
        .find(({ key }) => key === "gen_ai.response.finish_reasons");
      const [reason] = attribute && "arrayValue" in attribute.value ? attribute.value.arrayValue.values : [];
      expect([stop, FINISH_REASONS.includes(reason && "stringValue" in reason ? reason.stringValue : "")]).toEqual([stop, true]);
    }
    for (const operation of ["generate", "embed"]) {
      const name = spansBy("v1.41", { operation })
        .flatMap(({ attributes }) => attributes)
        .find(({ key }) => key === "gen_ai.operation.name");
      expect(OPERATIONS).toContain(name && "stringValue" in name.value ? name.value.stringValue : "");
    }
    for (const provider of ["openai", "anthropic", "azure", "mistral", "xai", "groq", "deepseek", "perplexity", "moonshot", "cohere"])
      expect([provider, PROVIDERS.has(telemetryNameOf(provider))]).toEqual([provider, true]);
  });
});

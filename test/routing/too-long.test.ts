import { describe, expect, it } from "vitest";
import type { Problem } from "../../src/canon/index.ts";
import { withMeasures } from "../../src/routing/too-long.ts";

const refused = (message: string, code?: string): Problem => ({
  kind: "upstream_rejected",
  message,
  ...(code !== undefined && { code }),
  upstream: { status: 400, dialect: "openai-chat", provider: "lab", body: { error: { message } } },
});
const read = (problem: Problem, limit: number | undefined = 4096) => withMeasures(problem, "q", { limit, count: () => 5000 });

describe("a refusal of what is too long", () => {
  it.each([
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "Input validation error: `inputs` must have less than 512 tokens. Given: 1000",
    "The request exceeds the available context size (4096 tokens), try increasing it: 5,000 tokens",
  ])("keeps its own figures: %s", (message) => {
    expect(read(refused(message))).toEqual({ ...refused(message), code: "context_length_exceeded" });
  });

  it.each([
    ["Input is too long for requested model.", undefined],
    ["the input length exceeds the context length", undefined],
    ["too many tokens: size limit exceeded", undefined],
    ["something about it", "exceed_context_size_error"],
  ])("gets the limit and the count where it has none: %s", (message, code) => {
    const { upstream, ...told } = read(refused(message, code));
    expect(told).toEqual({
      kind: "upstream_rejected",
      message: `${message.replace(/\.$/, "")}. The model "q" holds 4096 tokens; the call has about 5000.`,
      code: "context_length_exceeded",
    });
    // Else the provider's own words would go out in place of these.
    expect(upstream).toEqual({ status: 400, dialect: "openai-chat", provider: "lab" });
  });

  it("says so where nobody knows the limit", () => {
    expect(withMeasures(refused("Input is too long for requested model."), "q", { limit: undefined, count: () => 7 }).message).toBe(
      "Input is too long for requested model. How much the model holds is not known here; the call has about 7.",
    );
  });

  it.each([
    refused("max_tokens is too large: 200000. This model's context length allows at most 16384."),
    refused("Invalid value for temperature"),
    refused("The file is too large"),
    { ...refused("This model's maximum context length is 4096 tokens"), kind: "upstream_unavailable" as const },
  ])("is nothing else: $message", (problem) => {
    const count = (): number => {
      throw new Error("counted for nothing");
    };
    expect(withMeasures(problem, "q", { limit: 4096, count })).toBe(problem);
  });
});

import { describe, expect, it } from "vitest";
import type { Headers, Json, Problem } from "../../src/canon/index.ts";
import { blameOf } from "../../src/routing/health/blame.ts";
import { classOf } from "../../src/routing/retry.ts";
import { dialects } from "../../src/dialects/registry.generated.ts";
import { decodeStream } from "../support/streams.ts";

const ids = [...dialects.keys()];

function problemOf(id: string, status: number, headers: Headers, body: Json = {}): Problem | undefined {
  return dialects.get(id)?.decodeProblem({ status, headers, body, text: "", provider: "lab", now: Date.UTC(2026, 0, 1) });
}

describe.each(ids)("the waits that %s reads", (id) => {
  it("take what the provider says outright before everything else", () => {
    const other = { "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "50s" };
    expect(problemOf(id, 429, { "retry-after-ms": "20", "retry-after": "9", ...other })?.retryAfterMs).toBe(20);
    expect(problemOf(id, 503, { "retry-after": "Thu, 01 Jan 2026 00:00:07 GMT" })?.retryAfterMs).toBe(7000);
  });
  it("find the wait in an error's details", () => {
    const body = { error: { message: "slow", details: [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "3.5s" }] } };
    expect(problemOf(id, 429, {}, body)?.retryAfterMs).toBe(3500);
  });
  it("know whose fault a refusal is", () => {
    for (const status of [401, 402, 403]) expect(problemOf(id, status, {})?.fault).toBe("credentials");
    for (const status of [400, 404, 429, 500, 529]) expect(problemOf(id, status, {})?.fault).toBeUndefined();
  });
});

describe("limits that are used up", () => {
  const common = { "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-requests": "8" };
  it.each(["openai-chat", "openai-responses"])("%s", (id) => {
    expect(problemOf(id, 429, common)?.retryAfterMs).toBe(360_000);
    expect(problemOf(id, 500, common)?.retryAfterMs).toBeUndefined();
    expect(problemOf(id, 429, {}, { error: { code: "insufficient_quota", message: "empty" } })?.fault).toBe("credentials");
  });
  it("anthropic-messages", () => {
    const headers = {
      "anthropic-ratelimit-output-tokens-remaining": "0",
      "anthropic-ratelimit-output-tokens-reset": "2026-01-01T00:00:12Z",
      "anthropic-ratelimit-requests-remaining": "3",
      "anthropic-ratelimit-requests-reset": "2026-01-01T00:05:00Z",
    };
    expect(problemOf("anthropic-messages", 429, headers)?.retryAfterMs).toBe(12_000);
  });
});

describe("errors inside a stream that began well", () => {
  const frames: Readonly<Record<string, (code: string) => string>> = {
    "openai-chat": (code) => JSON.stringify({ error: { message: "m", type: code, code } }),
    "openai-responses": (code) => JSON.stringify({ type: "error", code, message: "m", param: null, sequence_number: 0 }),
    "anthropic-messages": (code) => JSON.stringify({ type: "error", error: { type: code, message: "m" } }),
  };
  const problemIn = (id: string, code: string): Problem | undefined => {
    const dialect = dialects.get(id);
    const text = `event: error\ndata: ${frames[id]?.(code) ?? ""}\n\n`;
    const last = dialect && decodeStream(dialect, [Buffer.from(text)]).at(-1);
    return last?.type === "problem" ? last.problem : undefined;
  };
  // A language whose errors are bare words tells of none what it is.
  it.each(ids.filter((id) => id in frames))("are told apart by %s as those of the head are", (id) => {
    const overloaded = problemIn(id, "overloaded_error");
    expect(overloaded && classOf(overloaded)).toBe("move on");
    expect(blameOf(overloaded)).toBe("overloaded");
    const limited = problemIn(id, id === "anthropic-messages" ? "rate_limit_error" : "rate_limit_exceeded");
    expect(blameOf(limited)).toBe("limited");
    const broke = problemIn(id, id === "anthropic-messages" ? "billing_error" : "insufficient_quota");
    expect(blameOf(broke)).toBe("credentials");
  });
});

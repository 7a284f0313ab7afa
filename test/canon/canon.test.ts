import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import {
  addUsage,
  amend,
  AnswerFold,
  costOf,
  formatDollars,
  mayUseModel,
  NO_USAGE,
  problemFrom,
  PROBLEM_KINDS,
  Secret,
  totalInput,
  unfold,
  type Answer,
  type Call,
} from "../../src/canon/index.ts";

describe("money", () => {
  it("multiplies in integers and rounds half up", () => {
    expect(costOf(1000, 2_500_000_000)).toBe(2_500_000);
    expect(costOf(1, 500_000)).toBe(1);
    expect(costOf(1, 499_999)).toBe(0);
    // Beyond 2^53: a double would be off by thousands.
    expect(costOf(123_456_789, 75_000_000_001)).toBe(Number((123_456_789n * 75_000_000_001n + 500_000n) / 1_000_000n));
  });

  it("prints exact dollars", () => {
    expect(formatDollars(0)).toBe("0.000000000");
    expect(formatDollars(1)).toBe("0.000000001");
    expect(formatDollars(-1_500_000_000)).toBe("-1.500000000");
    expect(formatDollars(12_345_678_901_234_567_890n)).toBe("12345678901.234567890");
  });
});

describe("usage", () => {
  it("adds attempts and keeps an estimate marked", () => {
    const a = { ...NO_USAGE, inputUncached: 10, cacheRead: 5, output: 3, media: { web_search_requests: 1 }, providerCost: 7 };
    const b = { ...NO_USAGE, cacheWrite1h: 2, output: 4, reasoning: 1, media: { web_search_requests: 2 }, estimated: true };
    const sum = addUsage(a, b);
    expect(sum).toEqual({
      inputUncached: 10,
      cacheRead: 5,
      cacheWrite5m: 0,
      cacheWrite1h: 2,
      output: 7,
      reasoning: 1,
      media: { web_search_requests: 3 },
      providerCost: 7,
      estimated: true,
    });
    expect(totalInput(sum)).toBe(17);
  });
});

describe("secrets", () => {
  it("cannot be printed or serialised", () => {
    const secret = new Secret("sk-hunter2");
    for (const text of [String(secret), JSON.stringify({ secret }), inspect({ secret }), inspect(secret, { showHidden: true })])
      expect(text).not.toContain("hunter2");
    expect(secret.reveal()).toBe("sk-hunter2");
  });
});

describe("problems", () => {
  it("says nothing of a defect's inside", () => {
    expect(problemFrom(new Error("password is hunter2"))).toEqual({ kind: "internal", message: expect.not.stringContaining("hunter2") });
  });
  it("has a client or server error status and a remedy for every kind", () => {
    for (const [kind, facts] of Object.entries(PROBLEM_KINDS)) {
      expect(facts.status, kind).toBeGreaterThanOrEqual(400);
      expect(facts.remedy, kind).toMatch(/\.$/);
    }
  });
});

describe("scopes", () => {
  it("match whole names and prefixes", () => {
    expect(mayUseModel({}, "x")).toBe(true);
    expect(mayUseModel({ models: ["fast", "openai/*"] }, "openai/gpt-5")).toBe(true);
    expect(mayUseModel({ models: ["fast"] }, "faster")).toBe(false);
    expect(mayUseModel({ models: [] }, "fast")).toBe(false);
  });
});

describe("amend", () => {
  it("remembers what was touched and can remove a field", () => {
    const call: Call = {
      operation: "generate",
      origin: { dialect: "x" },
      model: "m",
      stream: false,
      items: [],
      tools: [],
      sampling: {},
      background: true,
      native: {},
      touched: new Set(),
    };
    const changed = amend(amend(call, { model: "n" }), { background: undefined });
    expect(changed.model).toBe("n");
    expect(changed.background).toBeUndefined();
    expect([...changed.touched]).toEqual(["model", "background"]);
    expect(call.touched.size).toBe(0);
  });
});

describe("unfold and fold", () => {
  const answer: Answer = {
    id: "a1",
    model: "m1",
    createdAt: 5,
    items: [
      { type: "reasoning", parts: [{ kind: "summary", text: "think" }], signature: "sig" },
      {
        type: "message",
        role: "assistant",
        id: "msg",
        parts: [
          { type: "text", text: "hello", annotations: [{ url: "u" }] },
          { type: "refusal", text: "no" },
        ],
      },
      { type: "tool_call", kind: "function", callId: "c1", name: "f", input: '{"a":1}' },
      { type: "unknown", kind: "web_search_call", role: "assistant", raw: { type: "web_search_call" } },
    ],
    stop: "tool_calls",
    stopNative: { finish_reason: "tool_calls" },
    usage: { ...NO_USAGE, inputUncached: 3, output: 4 },
    origin: { dialect: "d" },
    native: { extra: true },
  };

  it("are inverse", () => {
    const fold = new AnswerFold({ dialect: "d" });
    for (const event of unfold(answer)) fold.event(event);
    expect(fold.answer()).toEqual(answer);
    expect(fold.ended).toBe(true);
  });

  it("tell the same from deltas alone, for a stream that was cut before its items ended", () => {
    const fold = new AnswerFold({ dialect: "d" });
    for (const event of unfold(answer)) if (event.type !== "item_end" && event.type !== "done") fold.event(event);
    expect(fold.ended).toBe(false);
    expect(fold.items()).toEqual(answer.items.map((item) => (item.type === "reasoning" ? { type: "reasoning", parts: item.parts } : item)));
  });
});

import { describe, expect, it } from "vitest";
import { NO_USAGE, type Usage } from "../../src/canon/index.ts";
import { createModelBook, localPricesOptions, type LocalPrices } from "../../src/models/index.ts";

const AT = Date.UTC(2026, 5, 1, 12);
const usage = (patch: Partial<Usage>): Usage => ({ ...NO_USAGE, ...patch });
const file = (prices: unknown): LocalPrices => localPricesOptions.parse({ version: 1, prices });
const bookOf = (prices: unknown) => createModelBook({ kinds: { mine: "openai" }, local: file(prices) });

describe("the price file", () => {
  it("prices a model by its exact name before the longest pattern, and the rest by the book", () => {
    const book = bookOf({
      "openai/*": { inputUsd: 9, outputUsd: 9 },
      "openai/gpt-5*": { inputUsd: 2, outputUsd: 4 },
      "openai/gpt-5-mini": { inputUsd: 1, outputUsd: 3 },
    });
    const million = usage({ inputUncached: 1_000_000 });
    expect(book.cost("openai", "gpt-5-mini", million, AT)).toBe(1_000_000_000);
    expect(book.cost("openai", "gpt-5-nano", million, AT)).toBe(2_000_000_000);
    expect(book.cost("openai", "o3", million, AT)).toBe(9_000_000_000);
    expect(book.cost("anthropic", "claude-sonnet-4-5", usage({ inputUncached: 1000 }), AT)).toBe(3_000_000);
  });

  it("takes a discount off what would hold without it, caches and tiers of service included", () => {
    const book = bookOf({ "openai/gpt-5-mini": { discountPercent: 12.5 } });
    // The list: 0.25 input, 0.025 cached, 2 output, a million. 1,000 x 250 + 1,000 x 25 + 100 x 2,000 = 475,000 nanodollars; 7/8 of it.
    const used = usage({ inputUncached: 1000, cacheRead: 1000, output: 100 });
    expect(book.cost("openai", "gpt-5-mini", used, AT)).toBe(415_625);
    // Batch is half of that: 207,812.5, rounded half up once.
    expect(book.cost("openai", "gpt-5-mini", { ...used, serviceTier: "batch" }, AT)).toBe(207_813);
  });

  it("takes a discount off its own price of the same list, wherever it stands there", () => {
    const book = bookOf({
      "lab/small": [
        { inputUsd: 1, outputUsd: 1 },
        { discountPercent: 50, from: "2026-01-01", until: "2027-01-01" },
      ],
    });
    const used = usage({ inputUncached: 1000 });
    expect(book.cost("lab", "small", used, AT)).toBe(500_000);
    expect(book.cost("lab", "small", used, Date.UTC(2027, 0, 1))).toBe(1_000_000);
    expect(book.cost("lab", "small", used, Date.UTC(2027, 0, 1) - 1)).toBe(500_000);
  });

  it("follows dates, to the less particular where none holds", () => {
    const book = bookOf({
      "lab/*": { inputUsd: 8, outputUsd: 8 },
      "lab/small": [
        { inputUsd: 1, outputUsd: 1, from: "2026-01-01", until: "2026-07-01" },
        { inputUsd: 2, outputUsd: 2, from: "2026-07-01T12:00:00+02:00", until: "2026-08-01" },
      ],
    });
    const cost = (at: number) => book.cost("lab", "small", usage({ output: 1_000_000 }), at);
    expect(cost(Date.UTC(2025, 11, 31))).toBe(8_000_000_000);
    expect(cost(Date.UTC(2026, 0, 1))).toBe(1_000_000_000);
    expect(cost(Date.UTC(2026, 6, 1, 10) - 1)).toBe(8_000_000_000);
    expect(cost(Date.UTC(2026, 6, 1, 10))).toBe(2_000_000_000);
    expect(cost(Date.UTC(2026, 7, 1))).toBe(8_000_000_000);
  });

  it("has tiers by input size, for all of a call's tokens", () => {
    const book = bookOf({
      "lab/long": { inputUsd: 1, cacheReadUsd: 0.1, outputUsd: 4, tiers: [{ aboveInputTokens: 1000, inputUsd: 2, outputUsd: 6 }] },
    });
    expect(book.cost("lab", "long", usage({ inputUncached: 600, cacheRead: 400, output: 10 }), AT)).toBe(600_000 + 40_000 + 40_000);
    expect(book.cost("lab", "long", usage({ inputUncached: 601, cacheRead: 400, output: 10 }), AT)).toBe(1_202_000 + 40_000 + 60_000);
  });

  it("has prices of its own for service tiers, and the provider's usual part where it has none", () => {
    const book = bookOf({
      "openai/gpt-5": { inputUsd: 1, outputUsd: 8, serviceTiers: { priority: { percent: 250 }, flex: { inputUsd: 0.3, outputUsd: 3 } } },
    });
    const used = (serviceTier: string): Usage => usage({ inputUncached: 1000, output: 100, serviceTier });
    expect(book.cost("openai", "gpt-5", used("default"), AT)).toBe(1_800_000);
    expect(book.cost("openai", "gpt-5", used("priority"), AT)).toBe(4_500_000);
    expect(book.cost("openai", "gpt-5", used("flex"), AT)).toBe(600_000);
    expect(book.cost("openai", "gpt-5", used("batch"), AT)).toBe(900_000);
    expect(book.cost("openai", "gpt-5", used("express"), AT)).toBeUndefined();
  });

  it("prices calls, time, images, sound, rerankings, searches, pages and characters", () => {
    const book = bookOf({
      "lab/gpu": { gpuHourUsd: 3.6 },
      "lab/draw": { imageUsd: 0.04, inputUsd: 5 },
      "lab/hear": { audioMinuteUsd: 0.006 },
      "lab/rank": { rerankUsd: 0.002 },
      "lab/call": { perCallUsd: 0.01 },
      "lab/say": { characterUsd: 15 },
      "lab/read": { pageUsd: 0.001, searchUsd: 0.01 },
    });
    const cost = (model: string, patch: Partial<Usage>, durationMs?: number) => book.cost("lab", model, usage(patch), AT, durationMs);
    // 3.6 dollars an hour are a millionth of a dollar a millisecond.
    expect(cost("gpu", { inputUncached: 500, output: 500 }, 1500)).toBe(1_500_000);
    expect(cost("gpu", { inputUncached: 500, output: 500 })).toBeUndefined();
    expect(cost("draw", { inputUncached: 100, media: { images: 2 } })).toBe(500_000 + 80_000_000);
    expect(cost("hear", { media: { audio_seconds: 90 } })).toBe(9_000_000);
    expect(cost("rank", { media: { search_units: 3 } })).toBe(6_000_000);
    expect(cost("call", { inputUncached: 1000, output: 10 })).toBe(10_000_000);
    expect(cost("say", { media: { characters: 1000 } })).toBe(15_000_000);
    expect(cost("read", { media: { pages_processed: 3, web_search_requests: 1 } })).toBe(13_000_000);
  });

  it("knows no price that is not named, once any token has one", () => {
    const book = bookOf({ "lab/half": { inputUsd: 1 }, "lab/think": { inputUsd: 1, outputUsd: 2, reasoningUsd: 3 } });
    expect(book.cost("lab", "half", usage({ inputUncached: 1000 }), AT)).toBe(1_000_000);
    expect(book.cost("lab", "half", usage({ inputUncached: 1000, output: 1 }), AT)).toBeUndefined();
    expect(book.cost("lab", "half", usage({ media: { images: 1 } }), AT)).toBeUndefined();
    expect(book.cost("lab", "think", usage({ output: 1000, reasoning: 400 }), AT)).toBe(600 * 2000 + 400 * 3000);
  });

  it("says what is free, and only when somebody said so", () => {
    const book = bookOf({ "lab/gift": { free: true }, "lab/zero": { inputUsd: 0, outputUsd: 0 } });
    expect(book.cost("lab", "gift", usage({ inputUncached: 1, media: { images: 3 } }), AT)).toBe(0);
    expect(book.isFree?.("lab", "gift", AT)).toBe(true);
    expect(book.cost("lab", "zero", usage({ inputUncached: 1 }), AT)).toBe(0);
    expect(book.isFree?.("lab", "zero", AT)).toBe(false);
    expect(book.isFree?.("lab", "unknown", AT)).toBe(false);
  });

  it("is part of the version", () => {
    const plain = createModelBook().version;
    expect(bookOf({}).version).not.toBe(plain);
    expect(bookOf({ "a/b": { free: true } }).version).not.toBe(bookOf({ "a/b": { perCallUsd: 0 } }).version);
    expect(bookOf({ "a/b": { free: true } }).version).toBe(bookOf({ "a/b": { free: true } }).version);
  });

  it.each([
    [{ small: { free: true } }, "must be provider/model"],
    [{ "a/b": {} }, "must name at least one price"],
    [{ "a/b": { discountPercent: 10, inputUsd: 1 } }, "discountPercent stands alone"],
    [{ "a/b": { free: true, perCallUsd: 1 } }, "free stands alone"],
    [{ "a/b": { free: true, from: "2026-02-01", until: "2026-02-01" } }, "must be after `from`"],
    [{ "a/b": { free: true, from: "soon" } }, "must be a day"],
    [{ "a/b": { perCallUsd: 1, tiers: [{ aboveInputTokens: 5, inputUsd: 1 }] } }, "must name the prices of tokens"],
    [{ "a/b": [{ inputUsd: 1 }, { inputUsd: 2, from: "2026-01-01" }] }, "another entry of this list"],
    [{ "a/b": { inputUsd: 1, serviceTiers: { batch: {} } } }, "must have either `percent`"],
    [{ "a/b": { inputUsd: -1 } }, "Too small"],
    [{ "a/b": { discountPercent: 101 } }, "Too big"],
  ])("refuses %j", (prices, message) => {
    const parsed = localPricesOptions.safeParse({ version: 1, prices });
    expect(JSON.stringify(parsed.error?.issues)).toContain(message);
  });
});

describe("what a provider says it charged", () => {
  const used = usage({ inputUncached: 1000, providerCost: 1234 });
  it("counts where we know no price, and stands beside ours where we do", () => {
    const book = createModelBook();
    expect(book.cost("nobody", "x", used, AT)).toBe(1234);
    expect(book.ownCost?.("nobody", "x", used, AT)).toBeUndefined();
    expect(book.cost("openai", "gpt-5-mini", used, AT)).toBe(250_000);
  });
  it("counts always where that is preferred", () => {
    const book = createModelBook({ prefer: "provider" });
    expect(book.cost("openai", "gpt-5-mini", used, AT)).toBe(1234);
    expect(book.ownCost?.("openai", "gpt-5-mini", used, AT)).toBe(250_000);
  });
  it.each([-1, 0.5, Number.NaN, 2 ** 60])("is not believed when it is %s", (providerCost) => {
    expect(createModelBook().cost("nobody", "x", { ...used, providerCost }, AT)).toBeUndefined();
  });
});

describe("the upper bound", () => {
  const book = createModelBook({
    local: file({ "lab/gpu": { gpuHourUsd: 3.6 }, "lab/off": { discountPercent: 50 }, "lab/call": { perCallUsd: 0.01 } }),
  });
  it("takes the dearest price of every token", () => {
    // Sonnet 4.5 up to 200,000 tokens: a cache write for an hour costs 6, output 15 dollars a million.
    expect(book.upperBound?.("anthropic", "claude-sonnet-4-5", 1000, 100, AT)).toBe(6_000_000 + 1_500_000);
    expect(book.upperBound?.("anthropic", "claude-sonnet-4-5", 1000, 100, AT, { cacheWrite: false })).toBe(3_000_000 + 1_500_000);
    // Above, every token costs more.
    expect(book.upperBound?.("anthropic", "claude-sonnet-4-5", 200_001, 0, AT, { cacheWrite: false })).toBe(1_200_006_000);
  });
  it("counts the tier, time and the call", () => {
    expect(book.upperBound?.("openai", "gpt-5", 1000, 0, AT, { serviceTier: "priority" })).toBe(2_500_000);
    // Whoever asks for a cheaper tier, or for one that is not known, may get the standard one.
    expect(book.upperBound?.("openai", "gpt-5", 1000, 0, AT, { serviceTier: "flex" })).toBe(1_250_000);
    expect(book.upperBound?.("openai", "gpt-5", 1000, 0, AT, { serviceTier: "turbo" })).toBe(1_250_000);
    expect(book.upperBound?.("lab", "gpu", 1000, 10, AT, { durationMs: 2000 })).toBe(2_000_000);
    expect(book.upperBound?.("lab", "gpu", 1000, 10, AT)).toBeUndefined();
    expect(book.upperBound?.("lab", "call", 1000, 10, AT)).toBe(10_000_000);
  });
  it("is unknown where the price is", () => {
    expect(book.upperBound?.("nobody", "x", 1, 1, AT)).toBeUndefined();
    expect(book.upperBound?.("lab", "off", 1, 1, AT)).toBeUndefined();
    expect(book.upperBound?.("openai", "text-embedding-3-small", 1000, 0, AT)).toBe(20_000);
    expect(book.upperBound?.("openai", "text-embedding-3-small", 1000, 1, AT)).toBeUndefined();
  });
  it("bounds what calls of its size cost", () => {
    let state = 7;
    const draw = (below: number): number => (state = (state * 48_271) % 2_147_483_647) % below;
    for (const [provider, model] of [
      ["anthropic", "claude-sonnet-4-5"],
      ["openai", "gpt-5-mini"],
      ["google", "gemini-2.5-pro"],
    ] as const) {
      for (let round = 0; round < 300; round++) {
        const used = usage({
          inputUncached: draw(150_000),
          cacheRead: draw(90_000),
          cacheWrite5m: draw(900),
          cacheWrite1h: draw(900),
          output: draw(9000),
        });
        const input = used.inputUncached + used.cacheRead + used.cacheWrite5m + used.cacheWrite1h;
        const bound = book.upperBound?.(provider, model, input, used.output, AT) ?? -1;
        expect(bound).toBeGreaterThanOrEqual(book.cost(provider, model, used, AT) ?? Infinity);
      }
    }
  });
});

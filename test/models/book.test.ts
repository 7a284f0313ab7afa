import { calcPrice, findProvider } from "@pydantic/genai-prices";
import { describe, expect, it } from "vitest";
import { NO_USAGE, type Usage } from "../../src/canon/index.ts";
import { SeededRandomness } from "../../src/kit/index.ts";
import { createModelBook } from "../../src/models/index.ts";
import { nanodollarsOf } from "../../src/models/decimal.ts";

const AT = Date.UTC(2026, 5, 1, 12);
const usage = (patch: Partial<Usage>): Usage => ({ ...NO_USAGE, ...patch });

describe("nanodollarsOf", () => {
  it("reads the decimal that is written, not the float behind it", () => {
    expect(nanodollarsOf(0.1)).toBe(100_000_000);
    expect(nanodollarsOf("0.000000001")).toBe(1);
    expect(nanodollarsOf(1e-7)).toBe(100);
    expect(nanodollarsOf(4.35)).toBe(4_350_000_000);
    expect(nanodollarsOf(0.0000000005)).toBe(1);
    expect(nanodollarsOf(0.00000000049)).toBe(0);
    expect(nanodollarsOf(1, 1, 3)).toBe(333_333_333);
  });
  it.each([-1, Number.NaN, Number.POSITIVE_INFINITY, "1,5", 1e300])("refuses %s", (amount) => {
    expect(() => nanodollarsOf(amount)).toThrow(RangeError);
  });
});

describe("cost", () => {
  const book = createModelBook();

  it("counts caches, output and reasoning by their own prices", () => {
    const used = usage({ inputUncached: 1000, cacheRead: 10_000, cacheWrite5m: 2000, cacheWrite1h: 3000, output: 500, reasoning: 200 });
    // 3, 0.3, 3.75, 6 and 15 dollars a million.
    expect(book.cost("anthropic", "claude-sonnet-4-5", used, AT)).toBe(3_000_000 + 3_000_000 + 7_500_000 + 18_000_000 + 7_500_000);
  });
  it("charges the whole call by the range that its input is in, cached tokens counted", () => {
    const small = usage({ inputUncached: 100_000, cacheRead: 100_000, output: 1000 });
    const large = usage({ inputUncached: 100_000, cacheRead: 100_001, output: 1000 });
    expect(book.cost("anthropic", "claude-sonnet-4-5", small, AT)).toBe(300_000_000 + 30_000_000 + 15_000_000);
    expect(book.cost("anthropic", "claude-sonnet-4-5", large, AT)).toBe(600_000_000 + 60_000_600 + 22_500_000);
  });
  it("does not know what it does not know, and never says 0 instead", () => {
    expect(book.cost("openai", "gpt-no-such-model", usage({ inputUncached: 1 }), AT)).toBeUndefined();
    expect(book.cost("nobody", "gpt-5", usage({ inputUncached: 1 }), AT)).toBeUndefined();
    expect(book.cost("openai-compatible", "gpt-5", usage({ inputUncached: 1 }), AT)).toBeUndefined();
    // An embedding model has no price for output.
    expect(book.cost("openai", "text-embedding-3-small", usage({ inputUncached: 1_000_000 }), AT)).toBe(20_000_000);
    expect(book.cost("openai", "text-embedding-3-small", usage({ inputUncached: 1, output: 1 }), AT)).toBeUndefined();
    expect(
      book.cost("groq", "llama-3.3-70b-versatile", usage({ inputUncached: 1, media: { web_search_requests: 1 } }), AT),
    ).toBeUndefined();
  });
  it("adds searches, and charges audio by its own price instead of the text's", () => {
    expect(book.cost("anthropic", "claude-sonnet-4-5", usage({ media: { web_search_requests: 3 } }), AT)).toBe(30_000_000);
    const plain = book.cost("google", "gemini-2.5-flash", usage({ inputUncached: 1000 }), AT) ?? 0;
    const spoken = book.cost("google", "gemini-2.5-flash", usage({ inputUncached: 1000, media: { input_audio_tokens: 1000 } }), AT) ?? 0;
    expect(plain).toBe(300_000);
    expect(spoken).toBe(1_000_000);
  });
  it("takes what the provider says it charged", () => {
    expect(book.cost("openrouter", "anything", usage({ providerCost: 1234 }), AT)).toBe(1234);
  });
  it("halves flex and batch, doubles what is served first, and does not guess a tier it has never heard of", () => {
    const used = usage({ inputUncached: 1_000_000 });
    expect(book.cost("openai", "gpt-5", { ...used, serviceTier: "default" }, AT)).toBe(1_250_000_000);
    expect(book.cost("openai", "gpt-5", { ...used, serviceTier: "flex" }, AT)).toBe(625_000_000);
    expect(book.cost("openai", "gpt-5", { ...used, serviceTier: "priority" }, AT)).toBe(2_500_000_000);
    expect(book.cost("openai", "gpt-5", { ...used, serviceTier: "express" }, AT)).toBeUndefined();
    expect(book.cost("deepseek", "deepseek-chat", { ...used, serviceTier: "express" }, AT)).toBeDefined();
  });
  it("follows prices that change with the date and the time of day", () => {
    const used = usage({ inputUncached: 1_000_000 });
    expect(book.cost("deepseek", "deepseek-chat", used, Date.UTC(2026, 5, 1, 12))).toBe(270_000_000);
    expect(book.cost("deepseek", "deepseek-chat", used, Date.UTC(2026, 5, 1, 20))).toBe(135_000_000);
  });
  it("stays exact where doubles lose count", () => {
    const cost = book.cost("openai", "gpt-5-pro", usage({ inputUncached: 900_000_001, output: 1 }), AT);
    expect(cost).toBe(Number((900_000_001n * 15_000_000_000n + 120_000_000_000n) / 1_000_000n));
  });
});

describe("against the price package's own arithmetic", () => {
  const book = createModelBook();
  const random = new SeededRandomness(42);
  const kinds: readonly (readonly [string, string])[] = [
    ["openai", "openai"],
    ["anthropic", "anthropic"],
    ["azure", "azure"],
    ["groq", "groq"],
    ["together", "together"],
    ["fireworks", "fireworks"],
    ["mistral", "mistral"],
    ["deepseek", "deepseek"],
    ["xai", "x-ai"],
    ["openrouter", "openrouter"],
    ["cerebras", "cerebras"],
    ["workers-ai", "cloudflare"],
    ["baseten", "baseten"],
    ["moonshot", "moonshotai"],
    ["google", "google"],
  ];
  it.each(kinds)("%s: every model, three sizes of call, two dates", (kind, packageName) => {
    const models = findProvider({ providerId: packageName })?.models ?? [];
    let compared = 0;
    const different: unknown[] = [];
    for (const model of models) {
      // One provider's models match by their path alone.
      const name = packageName === "fireworks" ? `accounts/fireworks/models/${model.id}` : model.id;
      // The package takes an hour's write for one of five minutes where it has no price of its own for it; we know better for some.
      const knowsHours = JSON.stringify(model.prices).includes("cache_write_1h_mtok");
      for (const scale of [1000, 150_000, 900_000]) {
        for (const at of [Date.UTC(2025, 1, 3, 4), Date.UTC(2026, 8, 5, 17)]) {
          const draw = (): number => Math.floor(random.number() * scale);
          const used = usage({
            inputUncached: draw(),
            cacheRead: draw(),
            cacheWrite5m: draw(),
            cacheWrite1h: knowsHours ? draw() : 0,
            output: draw(),
          });
          const theirs = calcPrice(
            {
              input_tokens: used.inputUncached + used.cacheRead + used.cacheWrite5m + used.cacheWrite1h,
              cache_read_tokens: used.cacheRead,
              cache_write_tokens: used.cacheWrite5m + used.cacheWrite1h,
              cache_write_1h_tokens: used.cacheWrite1h,
              output_tokens: used.output,
            },
            name,
            { providerId: packageName, timestamp: new Date(at) },
          );
          const ours = book.cost(kind, name, used, at);
          if (!theirs || theirs.model_price["input_mtok"] === undefined || theirs.model_price["output_mtok"] === undefined) continue;
          compared++;
          // Theirs is a sum of floats: equal to one nanodollar and one part in a million millions.
          const apart = ours === undefined ? Infinity : Math.abs(ours - theirs.total_price * 1e9);
          if (apart > 1 + theirs.total_price * 1e-3) different.push({ name, used, at, ours, theirs: theirs.total_price });
        }
      }
    }
    expect(different).toEqual([]);
    expect(compared).toBeGreaterThan(10);
  });
});

describe("the configuration's part", () => {
  it("prices by call, by token, not at all, or as another model", () => {
    const book = createModelBook({
      kinds: { mine: "openai", sim: "sim" },
      models: {
        "sim/penny": { price: { perCallUsd: 0.01 } },
        "sim/*": { price: { free: true } },
        "lab/small": { price: { inputUsd: 0.25, outputUsd: 2 } },
        "azure/my-deployment": { sameAs: "openai/gpt-5-mini", displayName: "Ours" },
        "a/x": { sameAs: "a/x" },
      },
    });
    const used = usage({ inputUncached: 1000, cacheRead: 1000, output: 100 });
    expect(book.cost("sim", "penny", used, AT)).toBe(10_000_000);
    expect(book.cost("sim", "echo", used, AT)).toBe(0);
    expect(book.cost("lab", "small", used, AT)).toBe(250_000 + 250_000 + 200_000);
    expect(book.cost("mine", "gpt-5-mini", used, AT)).toBe(250_000 + 25_000 + 200_000);
    expect(book.cost("azure", "my-deployment", used, AT)).toBe(475_000);
    expect(book.facts("azure", "my-deployment")).toMatchObject({ displayName: "Ours", maxOutputTokens: 128_000 });
    expect(book.cost("a", "x", used, AT)).toBeUndefined();
  });
  it("is part of the version", () => {
    expect(createModelBook().version).toBe(createModelBook({}).version);
    expect(createModelBook().version).not.toBe(createModelBook({ models: { "a/b": { price: { free: true } } } }).version);
    expect(createModelBook().version).toMatch(/^genai-prices \d+\.\d+\.\d+ \+ [0-9a-f]{12}$/);
  });
});

describe("facts", () => {
  const book = createModelBook();
  it.each([
    [
      "openai",
      "gpt-5-mini",
      { maxOutputTokens: 128_000, contextTokens: 400_000 },
      { reasoning: true, vision: true, instructionsRole: "developer", maxOutputTokens: 128_000 },
    ],
    ["openai", "gpt-4o", { maxOutputTokens: 16_384 }, { reasoning: false, vision: true }],
    ["anthropic", "claude-sonnet-4-5", { maxOutputTokens: 64_000, contextTokens: 200_000 }, { reasoning: true, structuredOutput: true }],
    ["anthropic", "claude-3-haiku-20240307", { maxOutputTokens: 4096 }, { reasoning: false, structuredOutput: false }],
    ["openrouter", "anthropic/claude-opus-4.1", { maxOutputTokens: 32_000 }, { reasoning: true }],
    ["deepseek", "deepseek-reasoner", { maxOutputTokens: 65_536 }, { reasoning: true }],
  ])("%s/%s", (provider, model, facts, capabilities) => {
    expect(book.facts(provider, model)).toMatchObject({ ...facts, capabilities });
  });
  it("has none of a stranger", () => {
    expect(book.facts("openai-compatible", "zzz")).toBeUndefined();
  });
});

describe("countTokens", () => {
  const book = createModelBook();
  it("counts exactly", () => {
    expect(book.countTokens("", "gpt-5")).toBe(0);
    expect(book.countTokens("hello world", "gpt-5")).toBe(2);
    expect(book.countTokens("a control token <|endoftext|> is text", "gpt-5")).toBeGreaterThan(5);
  });
  it("estimates long texts from samples, closely", () => {
    const text = "The quick brown fox jumps over the lazy dog, and says so. ".repeat(10_000);
    const exact = 14 * 10_000;
    expect(Math.abs(book.countTokens(text, "gpt-5") - exact) / exact).toBeLessThan(0.02);
  });
  it("survives long runs without a break", () => {
    expect(book.countTokens("漢".repeat(100_000), "gpt-5")).toBeGreaterThan(10_000);
    expect(book.countTokens(" ".repeat(150_000), "gpt-5")).toBeGreaterThan(500);
  });
  it("knows vocabularies that cut finer", () => {
    const text = "some words to count ".repeat(50);
    expect(book.countTokens(text, "claude-sonnet-4-5")).toBeGreaterThan(book.countTokens(text, "gpt-5"));
  });
});

import type { Capabilities } from "../canon/index.ts";

/**
 * What this repository itself knows of models, as data. Names of vendors belong here and nowhere else in this room.
 * Prices come from `@pydantic/genai-prices`; this file says under which name a provider stands there, and what it lacks.
 */

/** Our name of a provider, where the price package has another. `{suffix}` is what follows the model's last colon. */
export const PRICED_AS: Readonly<Record<string, string>> = {
  xai: "x-ai",
  gemini: "google",
  vertex: "google",
  "vertex-anthropic": "google",
  bedrock: "aws",
  "bedrock-anthropic": "aws",
  "workers-ai": "cloudflare",
  moonshot: "moonshotai",
  voyage: "voyageai",
  huggingface: "huggingface_{suffix}",
};

/** What a service tier costs, where that is a fixed fraction of the standard price. */
export interface TierRow {
  /** The provider's name in the price package. */
  readonly provider: string;
  readonly models: string;
  readonly tier: string;
  /** The tier's price as a fraction of the standard price. */
  readonly numerator: number;
  readonly denominator: number;
}

/** Tiers that cost the standard price everywhere. */
export const STANDARD_TIERS: ReadonlySet<string> = new Set(["auto", "default", "standard", "on_demand", "scale"]);

/**
 * Service tiers with a price of their own. A provider that has rows here and answers with a tier that none of them names has no known
 * price for that call. Source: the providers' price pages; flex and batch are half price throughout.
 */
export const TIER_ROWS: readonly TierRow[] = [
  { provider: "openai", models: "*", tier: "flex", numerator: 1, denominator: 2 },
  { provider: "openai", models: "*", tier: "batch", numerator: 1, denominator: 2 },
  { provider: "openai", models: "gpt-5-mini*", tier: "priority", numerator: 9, denominator: 5 },
  { provider: "openai", models: "gpt-5*", tier: "priority", numerator: 2, denominator: 1 },
  { provider: "openai", models: "gpt-4.1*", tier: "priority", numerator: 7, denominator: 4 },
  { provider: "openai", models: "gpt-4o-mini*", tier: "priority", numerator: 5, denominator: 3 },
  { provider: "openai", models: "gpt-4o*", tier: "priority", numerator: 17, denominator: 10 },
  { provider: "openai", models: "o3*", tier: "priority", numerator: 7, denominator: 4 },
  { provider: "openai", models: "o4-mini*", tier: "priority", numerator: 20, denominator: 11 },
  { provider: "google", models: "*", tier: "flex", numerator: 1, denominator: 2 },
  { provider: "google", models: "*", tier: "batch", numerator: 1, denominator: 2 },
  { provider: "google", models: "*", tier: "provisioned_throughput", numerator: 1, denominator: 1 },
  { provider: "anthropic", models: "*", tier: "batch", numerator: 1, denominator: 2 },
  { provider: "mistral", models: "*", tier: "batch", numerator: 1, denominator: 2 },
  // Committed capacity is billed by its own contract; the list price is what it would have cost without one.
  { provider: "anthropic", models: "*", tier: "priority", numerator: 1, denominator: 1 },
];

/** What writing to a prompt cache that lives an hour costs, where the price package does not say: so many times the price of input. */
export interface HourWriteRow {
  readonly models: string;
  readonly timesInput: number;
}

/** Source: the makers' price pages; the same on every platform that offers such caches. */
export const HOUR_WRITE_ROWS: readonly HourWriteRow[] = [{ models: "*claude*", timesInput: 2 }];

/** One row of facts. Every row whose pattern matches counts; later rows win. Patterns match the name after its last slash, in lower case. */
export interface FactsRow {
  /** `*` matches anything. */
  readonly models: readonly string[];
  readonly contextTokens?: number;
  readonly maxOutputTokens?: number;
  readonly capabilities?: Capabilities;
  /** Tokens of this family for 1000 of the o200k vocabulary, on English prose and code: for local estimates. */
  readonly tokensPerThousand?: number;
}

const ALL: Capabilities = { reasoning: true, vision: true, files: true, tools: true, structuredOutput: true };
const NO_REASONING: Capabilities = { reasoning: false, vision: true, files: true, tools: true, structuredOutput: true };
const TEXT: Capabilities = { reasoning: false, vision: false, files: false, tools: true, structuredOutput: true };
const TEXT_REASONING: Capabilities = { ...TEXT, reasoning: true };
/** Schemas for answers and files in the input came with the models of 2024. */
const BEFORE_SCHEMAS: Capabilities = { reasoning: false, vision: false, files: false, audio: false, tools: true, structuredOutput: false };
/** Sampling is fixed while these models reason; the API answers 400 to any other value. */
const FIXED_SAMPLING = ["temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias"];

export const FACTS: readonly FactsRow[] = [
  { models: ["gpt-3.5*"], contextTokens: 16_385, maxOutputTokens: 4096, capabilities: BEFORE_SCHEMAS },
  {
    models: ["gpt-3.5-turbo-instruct*", "babbage*", "davinci*", "curie*", "text-davinci-*"],
    capabilities: { ...BEFORE_SCHEMAS, tools: false },
  },
  { models: ["gpt-4", "gpt-4-0*", "gpt-4-32k*"], contextTokens: 8192, maxOutputTokens: 8192, capabilities: BEFORE_SCHEMAS },
  { models: ["gpt-4-32k*"], contextTokens: 32_768 },
  {
    models: ["gpt-4-turbo*", "gpt-4-vision*"],
    contextTokens: 128_000,
    maxOutputTokens: 4096,
    capabilities: { ...BEFORE_SCHEMAS, vision: true },
  },
  { models: ["gpt-4o*", "chatgpt-4o*"], contextTokens: 128_000, maxOutputTokens: 16_384, capabilities: NO_REASONING },
  { models: ["gpt-4o-audio*", "gpt-4o-mini-audio*", "gpt-audio*"], capabilities: { audio: true, vision: false } },
  { models: ["gpt-4.1*"], contextTokens: 1_047_576, maxOutputTokens: 32_768, capabilities: NO_REASONING },
  { models: ["gpt-4.5*"], contextTokens: 128_000, maxOutputTokens: 16_384, capabilities: NO_REASONING },
  {
    models: ["gpt-5*", "gpt-6*"],
    contextTokens: 400_000,
    maxOutputTokens: 128_000,
    capabilities: { ...ALL, instructionsRole: "developer" },
  },
  { models: ["gpt-5", "gpt-5-2*", "gpt-5-mini*", "gpt-5-nano*", "gpt-5-pro*"], capabilities: { refuses: FIXED_SAMPLING } },
  {
    models: ["gpt-5-chat*", "gpt-5.?-chat*", "gpt-chat*"],
    contextTokens: 128_000,
    maxOutputTokens: 16_384,
    capabilities: { ...NO_REASONING, instructionsRole: "system", refuses: [] },
  },
  { models: ["gpt-5.4", "gpt-5.4-2*", "gpt-5.4-pro*", "gpt-5.6*", "gpt-6*"], contextTokens: 1_050_000 },
  { models: ["gpt-5.5*"], contextTokens: 1_000_000 },
  {
    models: ["o1*", "o3*", "o4*"],
    contextTokens: 200_000,
    maxOutputTokens: 100_000,
    capabilities: { ...ALL, instructionsRole: "developer", refuses: FIXED_SAMPLING },
  },
  {
    models: ["o1-mini*", "o1-preview*"],
    contextTokens: 128_000,
    maxOutputTokens: 32_768,
    capabilities: { vision: false, files: false, tools: false, structuredOutput: false },
  },
  { models: ["o3-mini*"], capabilities: { vision: false } },
  { models: ["codex-mini*"], contextTokens: 200_000, maxOutputTokens: 100_000, capabilities: { ...ALL, refuses: FIXED_SAMPLING } },
  { models: ["gpt-oss*"], contextTokens: 131_072, maxOutputTokens: 131_072, capabilities: TEXT_REASONING },

  {
    models: ["claude-*"],
    contextTokens: 200_000,
    maxOutputTokens: 4096,
    tokensPerThousand: 1150,
    capabilities: { ...NO_REASONING, structuredOutput: false },
  },
  {
    models: ["claude-2*", "claude-v1*", "claude-instant*"],
    contextTokens: 100_000,
    capabilities: { vision: false, files: false, tools: false },
  },
  // Prefilling ends with the models of version 4.6, which refuse it (Anthropic, "Prefill Claude's response").
  {
    models: [
      "claude-3*",
      "claude-sonnet-4",
      "claude-sonnet-4-0*",
      "claude-sonnet-4-2025*",
      "claude-sonnet-4-5*",
      "claude-sonnet-4.5*",
      "claude-opus-4",
      "claude-opus-4-0*",
      "claude-opus-4-1*",
      "claude-opus-4.1*",
      "claude-opus-4-2025*",
      "claude-opus-4-5*",
      "claude-opus-4.5*",
      "claude-haiku-4-5*",
      "claude-haiku-4.5*",
    ],
    capabilities: { prefill: true },
  },
  { models: ["claude-3-5-*", "claude-3.5-*"], maxOutputTokens: 8192 },
  { models: ["claude-3-7-*", "claude-3.7-*"], maxOutputTokens: 64_000, capabilities: { reasoning: true } },
  {
    models: ["claude-sonnet-*", "claude-haiku-*", "claude-opus-*", "claude-fable-*"],
    maxOutputTokens: 64_000,
    capabilities: { reasoning: true },
  },
  { models: ["claude-opus-4", "claude-opus-4-0*", "claude-opus-4-1*", "claude-opus-4-2025*", "claude-opus-4.1*"], maxOutputTokens: 32_000 },
  {
    models: [
      "claude-sonnet-4-5*",
      "claude-sonnet-4-6*",
      "claude-haiku-4-5*",
      "claude-opus-4-1*",
      "claude-opus-4-5*",
      "claude-opus-4-6*",
      "claude-opus-4-7*",
      "claude-opus-4-8*",
      "claude-*.5",
      "claude-*.6",
      "claude-*-5",
      "claude-*-5-?",
      "claude-*-5-20*",
    ],
    capabilities: { structuredOutput: true },
  },
  {
    models: [
      "claude-opus-4-6*",
      "claude-opus-4-7*",
      "claude-opus-4-8*",
      "claude-sonnet-4-6*",
      "claude-opus-5*",
      "claude-sonnet-5*",
      "claude-fable-5*",
    ],
    contextTokens: 1_000_000,
  },
  { models: ["claude-opus-4-6*", "claude-opus-4-7*", "claude-opus-4-8*", "claude-opus-5*"], maxOutputTokens: 128_000 },
  // The vocabulary that came with this generation cuts the same text into up to a third more tokens.
  { models: ["claude-opus-4-7*", "claude-opus-4-8*", "claude-opus-5*", "claude-sonnet-5*", "claude-fable-5*"], tokensPerThousand: 1350 },

  { models: ["gemini-*"], contextTokens: 1_048_576, maxOutputTokens: 8192, capabilities: { ...NO_REASONING, audio: true } },
  { models: ["gemini-2.5*", "gemini-3*"], maxOutputTokens: 65_536, capabilities: { reasoning: true } },
  // Levels of thinking came with the third generation (Gemini API, "Thinking").
  { models: ["gemini-2.5*"], capabilities: { reasoningControl: "budget" } },
  { models: ["gemma-*", "gemma2*", "gemma3*"], capabilities: { reasoning: false, structuredOutput: true } },

  { models: ["deepseek-*"], contextTokens: 128_000, maxOutputTokens: 8192, capabilities: TEXT },
  { models: ["deepseek-reasoner*", "deepseek-r1*"], maxOutputTokens: 65_536, capabilities: { reasoning: true } },
  { models: ["deepseek-v3.1*", "deepseek-v3.2*", "deepseek-v4*"], capabilities: { reasoning: true } },
  { models: ["deepseek-v4*"], contextTokens: 1_000_000, maxOutputTokens: 65_536 },

  { models: ["grok-2*"], contextTokens: 32_768, capabilities: TEXT },
  { models: ["grok-3*"], contextTokens: 131_072, capabilities: TEXT },
  { models: ["grok-3-mini*"], capabilities: { reasoning: true } },
  {
    models: ["grok-4*", "grok-build*", "grok-code*"],
    contextTokens: 256_000,
    capabilities: { ...NO_REASONING, refuses: ["presence_penalty", "frequency_penalty", "stop"] },
  },
  { models: ["grok-4-fast*", "grok-4-1-fast*"], contextTokens: 2_000_000 },
  { models: ["grok-4.2*", "grok-4.3*"], contextTokens: 1_000_000, capabilities: { reasoning: true } },
  { models: ["grok-4.5*", "grok-4.6*"], contextTokens: 500_000, capabilities: { reasoning: true } },
  { models: ["grok-*vision*"], capabilities: { vision: true } },

  { models: ["mistral-*", "ministral-*", "codestral*", "devstral*", "open-mi*"], capabilities: TEXT },
  { models: ["magistral-*"], contextTokens: 128_000, capabilities: TEXT_REASONING },
  {
    models: [
      "pixtral-*",
      "mistral-medium-3*",
      "mistral-medium-latest",
      "mistral-small-3.1*",
      "mistral-small-3.2*",
      "mistral-small-latest",
      "mistral-large-2512",
      "mistral-large-latest",
    ],
    capabilities: { vision: true },
  },
  { models: ["kimi-k2*"], contextTokens: 262_144, capabilities: TEXT },
  { models: ["kimi-k2-thinking*", "kimi-k2.5*", "kimi-k2.6*", "kimi-k2.7*", "kimi-k3*"], capabilities: { reasoning: true } },
  { models: ["kimi-k2.5*", "kimi-k2.6*", "kimi-k3*"], capabilities: { vision: true } },
  { models: ["llama-3*", "llama3*", "meta-llama-3*"], contextTokens: 131_072, capabilities: TEXT },
  { models: ["llama-3.2-*vision*", "llama-4*", "llama4*"], capabilities: { vision: true } },
  { models: ["qwen3*", "qwq*"], capabilities: TEXT_REASONING },
  { models: ["qwen*-vl*", "*llava*"], capabilities: { vision: true } },
  { models: ["sonar*"], contextTokens: 128_000, capabilities: { tools: false, vision: true, reasoning: false, structuredOutput: true } },
  { models: ["sonar-reasoning*", "sonar-deep-research*"], capabilities: { reasoning: true } },
];

/** What a media unit of `Usage` is called in the price package. */
export interface MediaUnit {
  readonly priceKey: string;
  /**
   * The token count that already includes these units: they then cost the difference between their own price and that count's.
   * Without it the units stand beside the tokens.
   */
  readonly within?: "input" | "cacheRead" | "output";
  /** Without a price it costs nothing, because many models do not bill it. */
  readonly optional?: boolean;
}

const within = (priceKey: string, count: "input" | "cacheRead" | "output"): MediaUnit => ({ priceKey, within: count });
const SEARCH: MediaUnit = { priceKey: "web_searches_kcount" };

/**
 * By the names that the dialects give them. A unit that is not listed costs nothing. A listed one that stands beside the tokens makes
 * the whole cost unknown where it has no price, unless it is optional.
 */
export const MEDIA_UNITS: Readonly<Record<string, MediaUnit>> = {
  input_audio_tokens: within("input_audio_mtok", "input"),
  audio_input_tokens: within("input_audio_mtok", "input"),
  input_image_tokens: within("input_image_mtok", "input"),
  image_input_tokens: within("input_image_mtok", "input"),
  input_video_tokens: within("input_video_mtok", "input"),
  cached_audio_tokens: within("cache_audio_read_mtok", "cacheRead"),
  cached_image_tokens: within("cache_image_read_mtok", "cacheRead"),
  output_audio_tokens: within("output_audio_mtok", "output"),
  audio_output_tokens: within("output_audio_mtok", "output"),
  output_image_tokens: within("output_image_mtok", "output"),
  image_output_tokens: within("output_image_mtok", "output"),
  output_video_tokens: within("output_video_mtok", "output"),
  web_search_requests: SEARCH,
  web_searches: SEARCH,
  num_search_queries: { ...SEARCH, optional: true },
  file_search_requests: { priceKey: "storage_searches_kcount", optional: true },
  citation_tokens: { priceKey: "output_citation_mtok", optional: true },
  input_audio_seconds: { priceKey: "input_audio_hours", optional: true },
  audio_seconds: { priceKey: "audio_hours" },
  pages_processed: { priceKey: "input_document_kpages" },
  images: { priceKey: "images_count" },
  characters: { priceKey: "characters_mcount" },
  search_units: { priceKey: "search_units_count", optional: true },
};

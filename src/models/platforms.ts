/** What is known of a provider, whatever the model. Names of vendors are data here, as in the catalogue. */
export interface PlatformRow {
  /** Days that what it is sent is kept where no contract says otherwise. 0: it is not kept. */
  readonly retentionDays?: number;
  /** Patterns of the names of its models, where the price package lists those of several platforms under one provider. */
  readonly only?: readonly string[];
  readonly not?: readonly string[];
}

const ONE_MONTH = 30;
/** A server of one's own keeps what its owner tells it to. */
const OWN: PlatformRow = { retentionDays: 0 };
const GOOGLE_DAYS = 55;
const CLAUDE = ["*claude*"];

/**
 * By kind of provider. Retention is that of the vendors' standard terms for paid API traffic, kept for watching over abuse; stateful
 * features (files, batches, stored answers) keep longer. A kind that is not named here says nothing certain.
 */
export const PLATFORMS: Readonly<Record<string, PlatformRow>> = {
  openai: { retentionDays: ONE_MONTH },
  azure: { retentionDays: ONE_MONTH },
  anthropic: { retentionDays: ONE_MONTH },
  mistral: { retentionDays: ONE_MONTH },
  cohere: { retentionDays: ONE_MONTH },
  xai: { retentionDays: ONE_MONTH },
  gemini: { retentionDays: GOOGLE_DAYS, not: CLAUDE },
  vertex: { not: CLAUDE },
  "vertex-anthropic": { only: CLAUDE },
  "bedrock-anthropic": { only: CLAUDE },
  vllm: OWN,
  ollama: OWN,
  llamacpp: OWN,
  lmstudio: OWN,
  sglang: OWN,
  tei: OWN,
  infinity: OWN,
};

/** Days that a kind of provider keeps what it is sent; undefined: nothing certain is known. */
export function retentionOf(kind: string): number | undefined {
  return platformOf(kind).retentionDays;
}

export function platformOf(kind: string): PlatformRow {
  return Object.hasOwn(PLATFORMS, kind) ? (PLATFORMS[kind] ?? {}) : {};
}

import type { Usage } from "./usage.ts";
import type { Nanodollars } from "./money.ts";
import type { Capabilities } from "./dialect.ts";
import type { Modality, ModelOperation, ModelPrices } from "./model-card.ts";

/** What is known of one model. */
export interface ModelFacts {
  readonly contextTokens?: number;
  readonly maxOutputTokens?: number;
  readonly displayName?: string;
  readonly capabilities: Capabilities;
  /** All that it can be asked for; undefined: whatever its provider takes. */
  readonly operations?: readonly ModelOperation[];
  /** What comes out of it besides what its operations say. */
  readonly makes?: readonly Modality[];
  /** Days that its provider keeps what it is sent, unless a contract says otherwise. */
  readonly retentionDays?: number;
}

/** What is known of a call that bears on the most it can cost. */
export interface CallExtent {
  /** The service tier it asks for. */
  readonly serviceTier?: string;
  /** Nothing but that tier answers it. */
  readonly onlyTier?: boolean;
  /** False: it writes to no prompt cache, neither when asked to nor by itself. */
  readonly cacheWrite?: boolean;
  /** It may hold or make sound or images, whose tokens are dearer. */
  readonly media?: boolean;
  /** The longest it can take, for models that are paid by time. */
  readonly durationMs?: number;
}

/** Prices and facts of models, versioned. */
export interface ModelBook {
  /** Identifies the prices in force: package version and hash of the overlay. */
  readonly version: string;
  facts(provider: string, model: string): ModelFacts | undefined;
  /**
   * What one attempt cost. Undefined when the price is unknown; never 0 for that. `at`: milliseconds since 1970, prices are dated.
   * `durationMs`: from its opening to its end, for models that are paid by time. What the provider said itself counts where there is no
   * price of our own.
   */
  cost(provider: string, model: string, usage: Usage, at: number, durationMs?: number): Nanodollars | undefined;
  /** The same by our own prices alone, whatever the provider said. */
  ownCost?(provider: string, model: string, usage: Usage, at: number, durationMs?: number): Nanodollars | undefined;
  /** Has somebody said that the model costs nothing? */
  isFree?(provider: string, model: string, at: number): boolean;
  /** Prices in force at a time; undefined when they are unknown. */
  prices?(provider: string, model: string, at: number): ModelPrices | undefined;
  /** Names of the models of a provider that the price book lists; empty where it has none. */
  known?(provider: string): readonly string[];
  /** No attempt of this size costs more; undefined when the price is unknown. */
  upperBound?(
    provider: string,
    model: string,
    inputTokens: number,
    maxOutputTokens: number,
    at: number,
    call?: CallExtent,
  ): Nanodollars | undefined;
  /** Tokens of a text, counted locally. */
  countTokens(text: string, model: string): number;
  /** Counts the texts of one call, exactly as long as that takes no more than some milliseconds together, then in proportion. */
  estimator?(model: string): (text: string) => number;
}

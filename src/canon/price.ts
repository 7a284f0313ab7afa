import type { Usage } from "./usage.ts";
import type { Nanodollars } from "./money.ts";
import type { Capabilities } from "./dialect.ts";

/** What is known of one model. */
export interface ModelFacts {
  readonly contextTokens?: number;
  readonly maxOutputTokens?: number;
  readonly displayName?: string;
  readonly capabilities: Capabilities;
}

/** Prices and facts of models, versioned. */
export interface ModelBook {
  /** Identifies the prices in force: package version and hash of the overlay. */
  readonly version: string;
  facts(provider: string, model: string): ModelFacts | undefined;
  /** Undefined when the price is unknown; never 0 for that. `at`: milliseconds since 1970, prices are dated. */
  cost(provider: string, model: string, usage: Usage, at: number): Nanodollars | undefined;
  /** Tokens of a text, counted locally. */
  countTokens(text: string, model: string): number;
}

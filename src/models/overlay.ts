import type { ModelOperation, ServedModel } from "../canon/index.ts";
import type { LocalPrices } from "./local-options.ts";
import type { CapabilityOptions, PriceOptions } from "./options.ts";

/** What the configuration says of one model. */
export interface ModelOverride {
  readonly price?: PriceOptions | undefined;
  /** `provider/model` whose prices and facts this model shares: a deployment's own name for a known model. */
  readonly sameAs?: string | undefined;
  readonly displayName?: string | undefined;
  readonly contextTokens?: number | undefined;
  readonly maxOutputTokens?: number | undefined;
  readonly capabilities?: CapabilityOptions | undefined;
  readonly operations?: readonly ModelOperation[] | undefined;
  readonly retentionDays?: number | undefined;
}

/** What servers tell of their models: before any table, and behind the configuration. */
export interface LearnedFacts {
  /** Raised when anything of it changes. */
  readonly version: number;
  facts(provider: string, model: string): ServedModel | undefined;
}

/** The configuration's part of the model book. */
export interface ModelOverlay {
  /** A provider's name in the configuration, and the catalogue's name for what it is. */
  readonly kinds?: Readonly<Record<string, string>>;
  /** By `provider/model`, where the model may hold `*`; an exact name wins, then the first pattern that matches. */
  readonly models?: Readonly<Record<string, ModelOverride>>;
  /** The price file: before the configuration's own prices, and these before the price book's. */
  readonly local?: LocalPrices | undefined;
  /** Whose figure a call costs where both are known; default `book`. The other one stands beside it. */
  readonly prefer?: "book" | "provider" | undefined;
  readonly learned?: LearnedFacts | undefined;
}

import type { JsonObject } from "./json.ts";
import { formatDollars, type Nanodollars, type NanodollarsPerMillion } from "./money.ts";
import type { TaskOperation } from "./task.ts";

/** What a model can be asked for. `realtime`: a conversation over one socket, spoken or written. */
export type ModelOperation = "generate" | "realtime" | TaskOperation;

/** What goes into a model and comes out of it. `vector`, `score`: numbers, of embeddings and of judgements. */
export type Modality = "text" | "image" | "file" | "audio" | "vector" | "score";

/** Prices of a model in its standard tier. What is absent is not known. */
export interface ModelPrices {
  readonly input?: NanodollarsPerMillion;
  readonly cacheRead?: NanodollarsPerMillion;
  readonly cacheWrite?: NanodollarsPerMillion;
  readonly output?: NanodollarsPerMillion;
  readonly perCall?: Nanodollars;
  /** Somebody said that it costs nothing. */
  readonly free?: true;
  /** What calls cost whose input has more tokens than so many; shortest first. */
  readonly longer?: readonly (Pick<ModelPrices, "input" | "cacheRead" | "output"> & { readonly aboveInputTokens: number })[];
  /** Of a million units that are no tokens of text, by the price book's name of the unit. */
  readonly media?: Readonly<Record<string, NanodollarsPerMillion>>;
}

/** Everything that is known of one model at one provider: what routing holds against it, and what people are shown. Absent: not known. */
export interface ModelCard {
  readonly provider: string;
  /** The provider's own name. */
  readonly model: string;
  readonly displayName?: string;
  readonly contextTokens?: number;
  readonly maxOutputTokens?: number;
  readonly input: readonly Modality[];
  readonly output: readonly Modality[];
  readonly tools?: boolean;
  readonly structuredOutput?: boolean;
  readonly reasoning?: boolean;
  readonly operations: readonly ModelOperation[];
  /** Of several operations that the provider takes nobody says which are this model's: all are listed, and none is held against it. */
  readonly assumed?: true;
  readonly prices?: ModelPrices;
  /** Where it runs and where what it is sent is kept, as the configuration says. */
  readonly region?: string;
  readonly residency?: string;
  /** Days that the provider keeps what it is sent, unless a contract says otherwise. */
  readonly retentionDays?: number;
  /** Wire languages in which it can be asked, preferred first. */
  readonly languages: readonly string[];
}

/** A card for programs: dollars as exact decimal text, of a million tokens or units, or of one call. */
export function cardAsJson({ prices, input, output, operations, languages, ...card }: ModelCard): JsonObject {
  return {
    ...card,
    input: [...input],
    output: [...output],
    operations: [...operations],
    languages: [...languages],
    prices: prices ? pricesAsJson(prices) : null,
  };
}

function pricesAsJson({ free, perCall, longer, media, ...rates }: ModelPrices): JsonObject {
  return {
    ...ratesAsJson(rates),
    ...(perCall !== undefined && { perCallUsd: formatDollars(perCall) }),
    ...(free && { free }),
    ...(longer && { longer: longer.map(({ aboveInputTokens, ...own }) => ({ aboveInputTokens, ...ratesAsJson(own) })) }),
    ...(media && { media: Object.fromEntries(Object.entries(media).map(([unit, price]) => [unit, formatDollars(price)])) }),
  };
}

function ratesAsJson(rates: Pick<ModelPrices, "input" | "cacheRead" | "cacheWrite" | "output">): JsonObject {
  const written = (["input", "cacheRead", "cacheWrite", "output"] as const).flatMap((name) => {
    const price = rates[name];
    return price === undefined ? [] : [[`${name}Usd`, formatDollars(price)] as const];
  });
  return Object.fromEntries(written);
}

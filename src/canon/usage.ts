/**
 * What a call used. The token counts are disjoint: their sum is everything the model read and wrote.
 * Vendors count differently (some include cached tokens in their input figure, some do not); each dialect's
 * own file converts.
 */
export interface Usage {
  /** Input tokens that were neither read from nor written to a prompt cache. */
  readonly inputUncached: number;
  readonly cacheRead: number;
  /** Tokens written to a cache that lives five minutes (or the vendor's default). */
  readonly cacheWrite5m: number;
  readonly cacheWrite1h: number;
  /** All output tokens, reasoning included. */
  readonly output: number;
  /** The part of `output` spent on reasoning. */
  readonly reasoning: number;
  /** Units that are not tokens of text, by the vendor's own name: `web_search_requests`, `audio_input_tokens`, ... */
  readonly media?: Readonly<Record<string, number>>;
  /** The service tier that answered, as the vendor names it; prices may depend on it. */
  readonly serviceTier?: string;
  /** What the provider says the call cost, in nanodollars, where it says so. */
  readonly providerCost?: number;
  /** True when counted here because the upstream gave no usage. */
  readonly estimated?: boolean;
}

export const NO_USAGE: Usage = {
  inputUncached: 0,
  cacheRead: 0,
  cacheWrite5m: 0,
  cacheWrite1h: 0,
  output: 0,
  reasoning: 0,
};

export function totalInput(usage: Usage): number {
  return usage.inputUncached + usage.cacheRead + usage.cacheWrite5m + usage.cacheWrite1h;
}

/** The sum of two attempts' usage. */
export function addUsage(a: Usage, b: Usage): Usage {
  const media: Record<string, number> = { ...a.media };
  for (const [unit, count] of Object.entries(b.media ?? {})) media[unit] = (media[unit] ?? 0) + count;
  const providerCost =
    a.providerCost === undefined && b.providerCost === undefined ? undefined : (a.providerCost ?? 0) + (b.providerCost ?? 0);
  const serviceTier = b.serviceTier ?? a.serviceTier;
  return {
    inputUncached: a.inputUncached + b.inputUncached,
    cacheRead: a.cacheRead + b.cacheRead,
    cacheWrite5m: a.cacheWrite5m + b.cacheWrite5m,
    cacheWrite1h: a.cacheWrite1h + b.cacheWrite1h,
    output: a.output + b.output,
    reasoning: a.reasoning + b.reasoning,
    ...(Object.keys(media).length > 0 && { media }),
    ...(serviceTier !== undefined && { serviceTier }),
    ...(providerCost !== undefined && { providerCost }),
    ...((a.estimated || b.estimated) && { estimated: true }),
  };
}

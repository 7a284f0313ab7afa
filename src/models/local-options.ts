import { z } from "zod";
import { namesTokens, priceShape, tokenPriceShape } from "./options.ts";

/** What a bounded file may hold. */
const MOST_MODELS = 5000;
const MOST_ENTRIES = 100;
const MOST_TIERS = 16;
const MOST_INPUT_TOKENS = 1_000_000_000;
const MOST_PERCENT = 10_000;

/** Milliseconds since 1970, from a day (its beginning in UTC) or a time with its zone. */
const time = (meaning: string) =>
  z
    .union([z.iso.date(), z.iso.datetime({ offset: true })], {
      error: "must be a day (2026-01-31) or a time with its zone (2026-01-31T22:00:00Z)",
    })
    .transform((text) => Date.parse(text))
    .optional()
    .describe(meaning);

const tier = z
  .strictObject({
    aboveInputTokens: z
      .int()
      .min(1)
      .max(MOST_INPUT_TOKENS)
      .describe("These prices hold for calls with more input tokens than this, cached ones counted: for all tokens of such a call."),
    ...tokenPriceShape,
  })
  .refine(namesTokens, "must name a price of tokens");

const servicePrice = z
  .strictObject({
    percent: z.number().nonnegative().max(MOST_PERCENT).optional().describe("Percent of the standard price."),
    ...tokenPriceShape,
  })
  .refine((price) => (price.percent === undefined) === namesTokens(price), "must have either `percent` or prices of tokens");

export type LocalServicePrice = z.output<typeof servicePrice>;

const entry = z
  .strictObject({
    ...priceShape,
    tiers: z.array(tier).min(1).max(MOST_TIERS).optional().describe("Other prices of tokens for longer input."),
    serviceTiers: z
      .record(z.string().min(1).max(100), servicePrice)
      .optional()
      .describe("What `batch`, `flex`, `priority` and the like cost; without it they cost the provider's usual share of the price."),
    discountPercent: z.number().positive().max(100).optional().describe("Off what the model costs otherwise, all units alike."),
    free: z.literal(true).optional().describe("The model costs nothing."),
    from: time("The first moment at which it holds; default: always."),
    until: time("The first moment at which it holds no more; default: for ever."),
  })
  .superRefine((price, context) => {
    const { from, until, ...rest } = price;
    const named = Object.entries(rest).flatMap(([key, value]) => (value === undefined ? [] : [key]));
    const complain = (message: string, path: string[] = []): void => context.addIssue({ code: "custom", message, path });
    if (named.length === 0) complain("must name at least one price, a discount, or free: true");
    for (const alone of ["discountPercent", "free"])
      if (named.includes(alone) && named.length > 1) complain(`${alone} stands alone, but for its dates`, [alone]);
    if (from !== undefined && until !== undefined && until <= from) complain("must be after `from`", ["until"]);
    if ((price.tiers || price.serviceTiers) && !namesTokens(price))
      complain("must name the prices of tokens that these differ from", ["inputUsd"]);
    const starts = price.tiers?.map(({ aboveInputTokens }) => aboveInputTokens) ?? [];
    if (new Set(starts).size < starts.length) complain("two tiers begin at the same size", ["tiers"]);
  });

export type LocalPrice = z.output<typeof entry>;

const entries = z
  .union([entry, z.array(entry).min(1).max(MOST_ENTRIES)], { error: "A price is a mapping, or a list of them with dates." })
  .superRefine((value, context) => {
    if (!Array.isArray(value)) return;
    for (const isDiscount of [true, false]) {
      const dated = value
        .map(({ discountPercent, from = -Infinity, until = Infinity }, at) => ({
          at,
          from,
          until,
          isDiscount: discountPercent !== undefined,
        }))
        .filter((one) => one.isDiscount === isDiscount)
        .toSorted((a, b) => a.from - b.from);
      for (const [place, one] of dated.entries()) {
        const before = dated[place - 1];
        if (before && before.until > one.from)
          context.addIssue({ code: "custom", message: "holds at a time at which another entry of this list holds too", path: [one.at] });
      }
    }
  });

/** `prices.local.yaml`: what this house pays, where that is not what the price book says. */
export const localPricesOptions = z.strictObject({
  version: z.literal(1, { error: "The price file begins with `version: 1`." }).describe("Version of this file's format: 1."),
  prices: z
    .record(
      z
        .string()
        .min(1)
        .max(500)
        .regex(/^[^/]+\/.+$/, "must be provider/model; `*` stands for anything"),
      entries,
    )
    .refine((models) => Object.keys(models).length <= MOST_MODELS, `must not name more than ${MOST_MODELS} models`)
    .default({})
    .describe(
      "By `provider/model`, where `*` stands for anything. The longest name that fits counts, one without `*` before all; where its dates do not hold, the next.",
    ),
});

export type LocalPrices = z.output<typeof localPricesOptions>;

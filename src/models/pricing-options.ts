import { z } from "zod";

/** The price file's name where the configuration gives none. */
export const PRICE_FILE = "prices.local.yaml";

const PATH_CHARACTERS = 4096;

/** `pricing:` of `gimbal.yaml`. */
export const pricingOptions = z.strictObject({
  file: z
    .string()
    .min(1)
    .max(PATH_CHARACTERS)
    .optional()
    .describe(
      `File with the prices that this house pays, from the configuration's folder; default: \`${PRICE_FILE}\`, where there is one. A valid change to it is in force at once. See docs/costs.md.`,
    ),
  unknown: z
    .enum(["refuse", "allow"])
    .default("refuse")
    .describe("What becomes of a call under a budget in dollars whose price is not known."),
  prefer: z
    .enum(["book", "provider"])
    .default("book")
    .describe("Whose figure is a call's cost where the provider says one and the price book has one too; the other stands beside it."),
});

export type PricingOptions = z.output<typeof pricingOptions>;

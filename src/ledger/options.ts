import { z } from "zod";

const MOST_REQUESTS = 1_000_000_000;

/** Refused rather than ignored: a limit that is written down and not kept is worse than none. */
function notBuiltYet(name: string): z.ZodOptional<z.ZodNever> {
  return z
    .never({ error: `limits[].${name} is not built yet; only \`requests\` is enforced. Remove it.` })
    .optional()
    .describe("Not built yet: refused.");
}

export const limitOptions = z
  .strictObject({
    match: z
      .strictObject({ key: z.string().min(1).describe("Name of the key this limit is for; `*` for every key without a limit of its own.") })
      .describe("Whom the limit is for."),
    requests: z
      .int()
      .min(1)
      .max(MOST_REQUESTS)
      .describe("Requests in one window. All of them may come at once; the allowance fills evenly."),
    inputTokens: notBuiltYet("inputTokens"),
    outputTokens: notBuiltYet("outputTokens"),
    concurrency: notBuiltYet("concurrency"),
    per: z.enum(["minute", "hour", "day"]).default("minute").describe("The window."),
  })
  .describe("A rate limit.");

/** `limits:` of `gimbal.yaml`. */
export const limitsOptions = z.array(limitOptions).max(1000).default([]).describe("Rate limits of callers.");

export type LimitOptions = z.output<typeof limitOptions>;

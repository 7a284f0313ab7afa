import { z } from "zod";
import type { RateLimit } from "../canon/index.ts";
import { MEMBERS } from "./budgets/match.ts";
import { matchOptions, tidyMatch } from "./match-options.ts";

export { budgetsFrom, budgetsOptions, keyBudgetsFrom, keyBudgetsOptions } from "./budgets/options.ts";

const MOST = 1_000_000_000;
const MOST_TOKENS = 1_000_000_000_000;
const MOST_LIMITS = 1000;
const MEASURES = ["requests", "inputTokens", "outputTokens", "concurrency"] as const;

const amounts = {
  requests: z
    .int()
    .min(1)
    .max(MOST)
    .optional()
    .describe("Requests in one window. All of them may come at once; the allowance fills evenly."),
  inputTokens: z
    .int()
    .min(1)
    .max(MOST_TOKENS)
    .optional()
    .describe("Input tokens in one window, estimated at first and then as the provider counts."),
  outputTokens: z
    .int()
    .min(1)
    .max(MOST_TOKENS)
    .optional()
    .describe("Output tokens in one window. A call is let in while any are left; what it writes beyond them the next ones wait for."),
  concurrency: z.int().min(1).max(MOST).optional().describe("Calls running at once."),
  per: z.enum(["minute", "hour", "day"]).default("minute").describe("The window."),
};

type Amounts = { readonly [K in (typeof MEASURES)[number]]?: number | undefined };
const hasAmount = (value: Amounts): boolean => MEASURES.some((measure) => value[measure] !== undefined);
const NO_AMOUNT = "A limit needs at least one of `requests`, `inputTokens`, `outputTokens` and `concurrency`.";

export const limitOptions = z
  .strictObject({
    match: matchOptions.default({}).describe("Whom the limit is for. `*` stands for whoever has no limit of its own."),
    ...amounts,
  })
  .refine(hasAmount, { error: NO_AMOUNT })
  .describe("A rate limit.");

/** `limits:` of `gimbal.yaml`. */
export const limitsOptions = z.array(limitOptions).max(MOST_LIMITS).default([]).describe("Rate limits.");

/** A key's own limits, as the admin API takes them. */
export const keyLimitsOptions = z.array(z.strictObject(amounts).refine(hasAmount, { error: NO_AMOUNT })).max(MOST_LIMITS);

export type LimitOptions = z.output<typeof limitOptions>;

/** Two that are for the same are told apart by their order. */
export function limitsFrom(options: readonly LimitOptions[]): readonly RateLimit[] {
  const taken = new Map<string, number>();
  return options.map(({ match, ...rest }) => {
    const tidy = tidyMatch(match);
    const whom = MEMBERS.flatMap((member) => (tidy[member] === undefined ? [] : [`${member}=${tidy[member]}`])).join(" ");
    const base = `${whom || "all"} per ${rest.per}`;
    const place = (taken.get(base) ?? 0) + 1;
    taken.set(base, place);
    return { id: place === 1 ? base : `${base} #${place}`, match: tidy, ...rest };
  });
}

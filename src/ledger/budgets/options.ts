import { z } from "zod";
import type { Budget } from "../../canon/index.ts";
import { matchOptions, tidyMatch } from "../match-options.ts";
import { MEMBERS } from "./match.ts";
import { isTimeZone } from "./window.ts";

const NANODOLLARS_PER_DOLLAR = 1_000_000_000;
/** A counter of nanodollars is a safe integer up to nine million dollars. */
const MOST_DOLLARS = 9_000_000;
const MOST_TOKENS = 1_000_000_000_000_000;
const NAME_LETTERS = 100;
const MOST_BUDGETS = 1000;

const amounts = {
  usd: z.number().positive().max(MOST_DOLLARS).optional().describe("US dollars that may be spent in one window."),
  tokens: z.int().min(1).max(MOST_TOKENS).optional().describe("Tokens that may be used in one window, input and output together."),
  per: z
    .enum(["minute", "hour", "day", "week", "month", "lifetime"])
    .describe("The window, by the calendar: a day begins at midnight, a week on Monday. `lifetime` never begins anew."),
  timeZone: z
    .string()
    .refine(isTimeZone, { error: "There is no such time zone; name one as in `Europe/Berlin`." })
    .default("UTC")
    .describe("Whose calendar: the name of an IANA time zone."),
  hard: z
    .boolean()
    .default(true)
    .describe("Calls for which there may be no room are refused (402 `budget_exhausted`). `false`: it only counts, tells and downgrades."),
  soft: z
    .number()
    .gt(0)
    .max(1)
    .optional()
    .describe(
      "From this share of it on it is told: in the log, and in the answers' header `x-gimbal-budget`. With `downgradeTo`, calls go there from then on.",
    ),
  downgradeTo: z
    .string()
    .min(1)
    .optional()
    .describe("Model that calls go to when the budget has no room for them, or is used up to `soft`."),
  failOpen: z
    .boolean()
    .default(false)
    .describe("Calls are let in while the record cannot be reached and nobody can say what is left. Default: they are refused with 503."),
};

const hasAmount = (value: { readonly usd?: number | undefined; readonly tokens?: number | undefined }): boolean =>
  value.usd !== undefined || value.tokens !== undefined;
const NO_AMOUNT = "A budget needs `usd` or `tokens`.";

const { provider: _provider, ...members } = matchOptions.shape;

/** One of `budgets:`. */
export const budgetOptions = z
  .strictObject({
    name: z
      .string()
      .min(1)
      .max(NAME_LETTERS)
      .optional()
      .describe("What it is called. What was spent is kept under this name; without one, under whom it is for and its window."),
    match: z.strictObject(members).default({}).describe("Whom it is for; everybody together where it says nothing."),
    ...amounts,
  })
  .refine(hasAmount, { error: NO_AMOUNT })
  .describe("How much may be spent.");

/** `budgets:` of `gimbal.yaml`. */
export const budgetsOptions = z
  .array(budgetOptions)
  .max(MOST_BUDGETS)
  .default([])
  .describe("How much may be spent, by whom, and in what time.");

/** A key's own budgets, as the admin API takes them. */
export const keyBudgetsOptions = z.array(z.strictObject(amounts).refine(hasAmount, { error: NO_AMOUNT })).max(MOST_BUDGETS);

export type BudgetOptions = z.output<typeof budgetOptions>;
export type KeyBudgetOptions = z.output<typeof keyBudgetsOptions>;

/** Two that are for the same and have no names are told apart by their order. */
export function budgetsFrom(options: readonly BudgetOptions[]): readonly Budget[] {
  const taken = new Map<string, number>();
  return options.map(({ name, match, ...rest }) => {
    const tidy = tidyMatch(match);
    const whom = MEMBERS.flatMap((member) => (tidy[member] === undefined ? [] : [`${member}=${tidy[member]}`])).join(" ");
    const base = name ?? `${whom || "all"} per ${rest.per}${rest.timeZone === "UTC" ? "" : ` in ${rest.timeZone}`}`;
    const place = (taken.get(base) ?? 0) + 1;
    taken.set(base, place);
    return { id: place === 1 ? base : `${base} #${place}`, match: tidy, ...budgetOf(rest) };
  });
}

/** @param keyId the key whose own they are */
export function keyBudgetsFrom(keyId: string, options: KeyBudgetOptions): readonly Budget[] {
  return options.map((option, place) => ({ id: `${keyId} #${place + 1}`, match: { key: keyId }, ...budgetOf(option) }));
}

function budgetOf({
  usd,
  tokens,
  per,
  timeZone,
  hard,
  soft,
  downgradeTo,
  failOpen,
}: KeyBudgetOptions[number]): Omit<Budget, "id" | "match"> {
  return {
    ...(usd !== undefined && { nanodollars: Math.round(usd * NANODOLLARS_PER_DOLLAR) }),
    ...(tokens !== undefined && { tokens }),
    per,
    timeZone,
    hard,
    ...(soft !== undefined && { soft }),
    ...(downgradeTo !== undefined && { downgradeTo }),
    ...(failOpen && { failOpen }),
  };
}

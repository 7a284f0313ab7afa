import { formatDollars, NO_USAGE } from "../../canon/index.ts";
import { expectedOutputTokens, type Order } from "./types.ts";

/** Lowest estimated cost of this call first; what has no price comes last. Equal ones stay as written. */
export const cost: Order = (targets, { facts, book }) => {
  const usage = { ...NO_USAGE, inputUncached: facts.inputTokens, output: expectedOutputTokens(facts) };
  const priced = targets.map((target) => ({ target, nanodollars: book?.cost(target.provider, target.model, usage, facts.source.at) }));
  priced.sort((a, b) => (a.nanodollars ?? Number.POSITIVE_INFINITY) - (b.nanodollars ?? Number.POSITIVE_INFINITY) || 0);
  return priced.map(({ target, nanodollars }) => ({
    target,
    reason:
      nanodollars === undefined
        ? "its price is not known"
        : `about $${formatDollars(nanodollars)} for ${usage.inputUncached} tokens in and ${usage.output} out`,
  }));
};

import { ONE, withoutPercent, type Fraction } from "./fraction.ts";
import type { LocalPrice, LocalPrices } from "./local-options.ts";
import { compilePattern } from "./pattern.ts";
import type { Sheet } from "./sheet.ts";
import { sheetFromLocal } from "./written.ts";

/** One entry of the price file, in integers. Times in milliseconds since 1970. */
interface LocalRule {
  readonly from: number;
  readonly until: number;
  /** Undefined: a discount. */
  readonly sheet: Sheet | undefined;
  readonly part: Fraction;
}

/** What the price file says of one model, most particular first. */
export type LocalRules = readonly LocalRule[];

const NONE: LocalRules = [];

/** Finds what the price file says of a model. */
export function localRules(prices: LocalPrices | undefined): (provider: string, model: string) => LocalRules {
  if (!prices) return () => NONE;
  const named = Object.entries(prices.prices)
    .toSorted(([a], [b]) => particularity(b) - particularity(a))
    .map(([name, value]) => ({ matches: compilePattern(name), rules: rulesOf(value) }));
  return (provider, model) => {
    const name = `${provider}/${model}`;
    const rules = named.flatMap((one) => (one.matches(name) ? one.rules : NONE));
    return rules.length === 0 ? NONE : rules;
  };
}

/** A name without `*` is the most particular, then the one with the most letters of its own. */
function particularity(name: string): number {
  return /[*?]/.test(name) ? name.replaceAll(/[*?]/g, "").length : Number.MAX_SAFE_INTEGER;
}

/** A discount off a price of the same list is met before that price. */
function rulesOf(value: LocalPrice | readonly LocalPrice[]): LocalRules {
  const rules = ([] as readonly LocalPrice[]).concat(value).map(ruleOf);
  return [...rules.filter(({ sheet }) => !sheet), ...rules.filter(({ sheet }) => sheet)];
}

function ruleOf(price: LocalPrice): LocalRule {
  const { discountPercent, from = Number.NEGATIVE_INFINITY, until = Number.POSITIVE_INFINITY } = price;
  return {
    from,
    until,
    sheet: discountPercent === undefined ? sheetFromLocal(price) : undefined,
    part: discountPercent === undefined ? ONE : withoutPercent(discountPercent),
  };
}

/** What holds at a time: the most particular price, if the file has one, and the most particular discount. */
export function inForce(rules: LocalRules, at: number): { readonly sheet: Sheet | undefined; readonly part: Fraction } {
  let sheet: Sheet | undefined;
  let part: Fraction = ONE;
  for (const rule of rules) {
    if (at < rule.from || at >= rule.until) continue;
    if (rule.sheet === undefined) {
      if (part === ONE) part = rule.part;
      continue;
    }
    sheet = rule.sheet;
    break;
  }
  return { sheet, part };
}

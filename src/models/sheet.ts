import { costOf, totalInput, type Nanodollars, type NanodollarsPerMillion, type Usage } from "../canon/index.ts";
import { MEDIA_UNITS, type MediaUnit } from "./catalog.ts";
import { nanodollarsOf } from "./decimal.ts";
import { ONE, type Fraction } from "./fraction.ts";

/** Prices of one model in one stretch of time, for one range of input length. Undefined: there is no such price. */
export interface Rates {
  readonly input: NanodollarsPerMillion | undefined;
  readonly cacheRead: NanodollarsPerMillion | undefined;
  readonly cacheWrite5m: NanodollarsPerMillion | undefined;
  readonly cacheWrite1h: NanodollarsPerMillion | undefined;
  readonly output: NanodollarsPerMillion | undefined;
  readonly reasoning: NanodollarsPerMillion | undefined;
  /** By price key. */
  readonly media: ReadonlyMap<string, NanodollarsPerMillion>;
}

export interface Range {
  readonly above: number;
  readonly rates: Rates;
}

export interface Sheet {
  readonly perCall: Nanodollars;
  /** Longest input first; the last has `above` -1. All of a call's tokens have the price of the range its input is in. */
  readonly ranges: readonly Range[];
  /** Of a million milliseconds of an attempt. */
  readonly perTime?: NanodollarsPerMillion;
  /** Somebody said that it costs nothing. */
  readonly free?: true;
  /** Service tiers priced here, as a part of this sheet or by a sheet of their own; of others the catalogue knows. */
  readonly serviceTiers?: ReadonlyMap<string, Fraction | Sheet>;
}

/** As the price package has it: dollars for the unit in the key's name, or tiers by input tokens. */
type PackagePrice = number | { readonly base: number; readonly tiers: readonly { readonly start: number; readonly price: number }[] };
export type PackagePrices = Readonly<Record<string, PackagePrice | undefined>>;

/** Units in the last word of a price key: how many of the usage's units it prices. */
const UNITS: Readonly<Record<string, number>> = { mtok: 1_000_000, kcount: 1000, kpages: 1000, gpixels: 1_000_000_000, hours: 3600 };

const MILLION = 1_000_000;

/**
 * Turns a package's prices into integers, once.
 * @param hourWrite times the price of input that an hour of cache costs, where the package does not say
 */
export function sheetFromPackage(prices: PackagePrices, hourWrite?: number): Sheet {
  const starts = new Set<number>();
  for (const price of Object.values(prices)) if (typeof price === "object") for (const tier of price.tiers) starts.add(tier.start);
  const above = [...starts].toSorted((a, b) => b - a);
  const perThousandCalls = prices["requests_kcount"];
  return {
    perCall: typeof perThousandCalls === "number" ? nanodollarsOf(perThousandCalls, 1, 1000) : 0,
    ranges: [...above, -1].map((start) => ({ above: start, rates: ratesAbove(prices, start, hourWrite) })),
  };
}

function ratesAbove(prices: PackagePrices, start: number, hourWrite: number | undefined): Rates {
  const all = new Map<string, NanodollarsPerMillion>();
  for (const [key, price] of Object.entries(prices)) {
    const units = UNITS[key.slice(key.lastIndexOf("_") + 1)];
    if (price === undefined || units === undefined) continue;
    all.set(key, nanodollarsOf(dollarsAbove(price, start), MILLION, units));
  }
  const input = all.get("input_mtok");
  const written = all.get("cache_write_mtok");
  const write = written ?? input;
  const hour = written === undefined || input === undefined || hourWrite === undefined ? undefined : input * hourWrite;
  const output = all.get("output_mtok");
  return {
    input,
    cacheRead: all.get("cache_read_mtok") ?? input,
    cacheWrite5m: all.get("cache_write_5m_mtok") ?? write,
    cacheWrite1h: all.get("cache_write_1h_mtok") ?? hour ?? write,
    output,
    reasoning: all.get("output_reasoning_mtok") ?? output,
    media: all,
  };
}

function dollarsAbove(price: PackagePrice, start: number): number {
  if (typeof price === "number") return price;
  let dollars = price.base;
  let reached = -1;
  for (const tier of price.tiers) {
    if (tier.start > start || tier.start < reached) continue;
    dollars = tier.price;
    reached = tier.start;
  }
  return dollars;
}

/** A sum of units times prices, in integers; it leaves the doubles only where they would lose count. */
class Sum {
  known = true;
  #small = 0;
  #large = 0n;

  add(units: number, price: NanodollarsPerMillion | undefined): void {
    if (units <= 0) return;
    if (price === undefined) this.known = false;
    else this.#accumulate(units, price);
  }

  /** Moves units from one price to another. */
  shift(units: number, from: NanodollarsPerMillion | undefined, to: NanodollarsPerMillion): void {
    if (units > 0) this.#accumulate(units, to - (from ?? 0));
  }

  /** Undefined while something in it has no price. Of the fraction, rounded half up: the only place where a cost is rounded. */
  total({ numerator, denominator }: Fraction): Nanodollars | undefined {
    if (!this.known) return undefined;
    if (this.#large === 0n && numerator === denominator) return costOf(1, this.#small);
    const top = (this.#large + BigInt(this.#small)) * numerator;
    const bottom = 1_000_000n * denominator;
    return Number((2n * top + bottom) / (2n * bottom));
  }

  #accumulate(units: number, price: number): void {
    const sum = this.#small + units * price;
    if (Number.isSafeInteger(sum) && Number.isSafeInteger(units * price)) this.#small = sum;
    else this.#large += BigInt(units) * BigInt(price);
  }
}

/**
 * What one attempt costs: all its units times their prices, of which `part` is paid, rounded half up to a nanodollar once, at the end.
 * Undefined when something that was used has no price.
 */
export function costBySheet(sheet: Sheet, usage: Usage, part: Fraction = ONE, durationMs?: number): Nanodollars | undefined {
  const rates = ratesFor(sheet, usage);
  if (!rates) return undefined;
  const sum = new Sum();
  sum.add(usage.inputUncached, rates.input);
  sum.add(usage.cacheRead, rates.cacheRead);
  sum.add(usage.cacheWrite5m, rates.cacheWrite5m);
  sum.add(usage.cacheWrite1h, rates.cacheWrite1h);
  const reasoning = Math.min(usage.reasoning, usage.output);
  sum.add(usage.output - reasoning, rates.output);
  sum.add(reasoning, rates.reasoning);
  if (usage.media) for (const [name, units] of Object.entries(usage.media)) addMedia(sum, rates, usage, name, units);
  addRest(sum, sheet, durationMs);
  return sum.total(part);
}

/** What is neither tokens nor another unit of the usage. */
function addRest(sum: Sum, sheet: Sheet, durationMs: number | undefined): void {
  sum.add(sheet.perCall, MILLION);
  if (sheet.perTime === undefined) return;
  if (durationMs === undefined) sum.known = false;
  else sum.add(Math.ceil(durationMs), sheet.perTime);
}

function ratesFor(sheet: Sheet, usage: Usage): Rates | undefined {
  if (sheet.ranges.length === 1) return sheet.ranges[0]?.rates;
  const input = totalInput(usage);
  return sheet.ranges.find((range) => input > range.above)?.rates;
}

function addMedia(sum: Sum, rates: Rates, usage: Usage, name: string, units: number): void {
  const unit: MediaUnit | undefined = Object.hasOwn(MEDIA_UNITS, name) ? MEDIA_UNITS[name] : undefined;
  if (!unit || units <= 0) return;
  const price = rates.media.get(unit.priceKey);
  const whole = Math.round(units);
  if (unit.within === undefined) {
    if (price !== undefined || !unit.optional) sum.add(whole, price);
    return;
  }
  if (price === undefined) return;
  const [counted, from] =
    unit.within === "input"
      ? [usage.inputUncached, rates.input]
      : unit.within === "cacheRead"
        ? [usage.cacheRead, rates.cacheRead]
        : [usage.output, rates.output];
  sum.shift(Math.min(whole, counted), from, price);
}

/** How large a call may become, for an upper bound of its cost. */
export interface Extent {
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** False: the call writes to no prompt cache. */
  readonly cacheWrite: boolean;
  /** It may hold or make sound and images. */
  readonly media: boolean;
  /** Longest time of an attempt. */
  readonly durationMs: number | undefined;
}

/** No attempt of this extent costs more: every token has the dearest price that it can have. Undefined when one of these is unknown. */
export function largestCost(sheet: Sheet, extent: Extent, part: Fraction): Nanodollars | undefined {
  let largest = 0;
  for (const { above, rates } of sheet.ranges) {
    if (above >= extent.inputTokens && above >= 0) continue;
    const sum = new Sum();
    sum.add(extent.inputTokens, dearest(inputRates(rates, extent)));
    sum.add(extent.outputTokens, dearest([rates.output, rates.reasoning, ...mediaRates(rates, "output", extent)]));
    addRest(sum, sheet, extent.durationMs);
    const cost = sum.total(part);
    if (cost === undefined) return undefined;
    largest = Math.max(largest, cost);
  }
  return largest;
}

function inputRates(rates: Rates, extent: Extent): readonly (number | undefined)[] {
  const written = extent.cacheWrite ? [rates.cacheWrite5m, rates.cacheWrite1h] : [];
  return [rates.input, rates.cacheRead, ...written, ...mediaRates(rates, "input", extent)];
}

function mediaRates(rates: Rates, within: "input" | "output", extent: Extent): readonly number[] {
  if (!extent.media) return [];
  return Object.values(MEDIA_UNITS).flatMap((unit) => {
    const price = unit.within === within ? rates.media.get(unit.priceKey) : undefined;
    return price === undefined ? [] : [price];
  });
}

/** Undefined when the first, which is the plain one, is unknown. */
function dearest(rates: readonly (number | undefined)[]): number | undefined {
  return rates[0] === undefined ? undefined : Math.max(...rates.map((rate) => rate ?? 0));
}

import { nanodollarsOf } from "./decimal.ts";
import { percentOf, type Fraction } from "./fraction.ts";
import type { LocalPrice, LocalServicePrice } from "./local-options.ts";
import { namesTokens, type PriceOptions } from "./options.ts";
import type { Range, Rates, Sheet } from "./sheet.ts";

/** Prices as a person writes them: any of them may be left out. */
type Written = Readonly<Partial<Record<keyof PriceOptions, number | true | undefined>>>;

const MILLION = 1_000_000;
const MS_PER_HOUR = 3_600_000;
const SECONDS_PER_MINUTE = 60;

/** Where a written price stands among the media prices, and of how many units it is the price. */
const MEDIA: readonly (readonly [option: keyof PriceOptions, priceKeys: readonly string[], units: number])[] = [
  ["inputAudioUsd", ["input_audio_mtok"], MILLION],
  ["inputImageUsd", ["input_image_mtok"], MILLION],
  ["outputAudioUsd", ["output_audio_mtok"], MILLION],
  ["outputImageUsd", ["output_image_mtok"], MILLION],
  ["imageUsd", ["images_count"], 1],
  ["audioMinuteUsd", ["audio_hours", "input_audio_hours"], SECONDS_PER_MINUTE],
  ["characterUsd", ["characters_mcount"], MILLION],
  ["searchUsd", ["web_searches_kcount"], 1],
  ["rerankUsd", ["search_units_count"], 1],
  ["pageUsd", ["input_document_kpages"], 1],
];

/**
 * The sheet of a price that a person wrote. Where it names the price of any tokens, an input or output price that it does not name is
 * unknown; where it names none, the tokens are part of what it names.
 */
export function sheetFromOptions(price: PriceOptions): Sheet {
  return {
    ...(price.free && { free: true }),
    perCall: price.perCallUsd === undefined ? 0 : nanodollarsOf(price.perCallUsd),
    ...(price.gpuHourUsd !== undefined && { perTime: nanodollarsOf(price.gpuHourUsd, MILLION, MS_PER_HOUR) }),
    ranges: [{ above: -1, rates: ratesOf(price) }],
  };
}

/** The same of an entry of the price file, which may have tiers; its discount is not in it. */
export function sheetFromLocal(price: LocalPrice): Sheet {
  const { tiers = [], serviceTiers, from: _from, until: _until, discountPercent: _discount, ...plain } = price;
  const sheet = sheetFromOptions(plain);
  const longer = tiers
    .toSorted((a, b) => b.aboveInputTokens - a.aboveInputTokens)
    .map(({ aboveInputTokens, ...own }): Range => ({ above: aboveInputTokens, rates: ratesOf(overlaid(plain, own)) }));
  const whole: Sheet = { ...sheet, ranges: [...longer, ...sheet.ranges] };
  if (!serviceTiers) return whole;
  return { ...whole, serviceTiers: new Map(Object.entries(serviceTiers).map(([name, own]) => [name, servicePrice(own, plain, sheet)])) };
}

function servicePrice({ percent, ...own }: LocalServicePrice, plain: Written, sheet: Sheet): Fraction | Sheet {
  if (percent !== undefined) return percentOf(percent);
  return { ...sheet, ranges: [{ above: -1, rates: ratesOf(overlaid(plain, own)) }] };
}

/** What is not written anew stays; but a new price of input or output is also that of what was not told apart from it. */
function overlaid(plain: Written, own: Written): Written {
  return { ...plain, ...Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined)) };
}

function ratesOf(price: Written): Rates {
  const rate = (option: keyof PriceOptions): number | undefined => {
    const value = price[option];
    return typeof value === "number" ? nanodollarsOf(value) : undefined;
  };
  const unnamed = namesTokens(price) ? undefined : 0;
  const input = rate("inputUsd") ?? unnamed;
  const write = rate("cacheWriteUsd") ?? input;
  const output = rate("outputUsd") ?? unnamed;
  return {
    input,
    cacheRead: rate("cacheReadUsd") ?? input,
    cacheWrite5m: write,
    cacheWrite1h: rate("cacheWrite1hUsd") ?? write,
    output,
    reasoning: rate("reasoningUsd") ?? output,
    media: mediaRates(price),
  };
}

function mediaRates(price: Written): ReadonlyMap<string, number> {
  const media = new Map<string, number>();
  for (const [option, keys, units] of MEDIA) {
    const value = price.free ? 0 : price[option];
    if (typeof value === "number") for (const key of keys) media.set(key, nanodollarsOf(value, MILLION, units));
  }
  return media;
}

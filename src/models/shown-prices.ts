import type { ModelPrices, NanodollarsPerMillion } from "../canon/index.ts";
import { MEDIA_UNITS } from "./catalog.ts";
import { ONE, type Fraction } from "./fraction.ts";
import type { Rates, Sheet } from "./sheet.ts";

/** Of the package's prices those of units that are no tokens of text; the package's list also holds the prices of tokens. */
const MEDIA_KEYS: ReadonlySet<string> = new Set(Object.values(MEDIA_UNITS).map(({ priceKey }) => priceKey));

/** A sheet for people: what a call of usual length costs, and what longer ones do. `part`: of the sheet's prices, what is paid. */
export function pricesOfSheet(sheet: Sheet, part: Fraction): ModelPrices | undefined {
  const [usual, ...longer] = sheet.ranges.toReversed();
  if (!usual) return undefined;
  if (sheet.free) return { free: true };
  const paid = (price: number | undefined): number | undefined => (price === undefined || part === ONE ? price : partOfPrice(price, part));
  const media = Object.entries(Object.fromEntries(usual.rates.media)).flatMap(([key, price]) =>
    MEDIA_KEYS.has(key) ? [[key, paid(price) ?? price] as const] : [],
  );
  return {
    ...ratesOf(usual.rates, paid),
    ...(sheet.perCall > 0 && { perCall: paid(sheet.perCall) ?? sheet.perCall }),
    ...(longer.length > 0 && {
      longer: longer.map(({ above, rates }) => {
        const { cacheWrite: _cacheWrite, ...own } = ratesOf(rates, paid);
        return { aboveInputTokens: above, ...own };
      }),
    }),
    ...(media.length > 0 && { media: Object.fromEntries(media) }),
  };
}

function ratesOf(
  { input, cacheRead, cacheWrite5m, output }: Rates,
  paid: (price: NanodollarsPerMillion | undefined) => NanodollarsPerMillion | undefined,
): Pick<ModelPrices, "input" | "cacheRead" | "cacheWrite" | "output"> {
  const written = Object.entries({ input, cacheRead, cacheWrite: cacheWrite5m, output }).flatMap(([name, price]) => {
    const own = paid(price);
    return own === undefined ? [] : [[name, own] as const];
  });
  return Object.fromEntries(written);
}

/** Rounded half up, as a cost is. */
function partOfPrice(price: number, { numerator, denominator }: Fraction): number {
  return Number((2n * BigInt(price) * numerator + denominator) / (2n * denominator));
}

import { NANODOLLARS_PER_DOLLAR, type Nanodollars } from "../canon/index.ts";

const DECIMAL = /^(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i;

/** 10^-9 dollars is the smallest unit; an exponent beyond this is no price. */
const MAX_EXPONENT = 30;

/**
 * Dollars as nanodollars, times `numerator / denominator`, rounded half up once, at the end. Exact: the number is read as the decimal
 * that it prints as (0.1 is one tenth), never multiplied as a float.
 *
 * @throws RangeError when it is negative, not finite or too large to be a safe integer
 */
export function nanodollarsOf(dollars: number | string, numerator = 1, denominator = 1): Nanodollars {
  const match = DECIMAL.exec(String(dollars).trim());
  const exponent = Number(match?.[3] ?? 0);
  if (!match || Math.abs(exponent) > MAX_EXPONENT) throw new RangeError(`"${dollars}" is not an amount of dollars.`);
  const [, whole = "0", fraction = ""] = match;
  let top = BigInt(whole + fraction) * BigInt(NANODOLLARS_PER_DOLLAR) * BigInt(numerator);
  let bottom = 10n ** BigInt(fraction.length) * BigInt(denominator);
  if (exponent >= 0) top *= 10n ** BigInt(exponent);
  else bottom *= 10n ** BigInt(-exponent);
  const rounded = Number((2n * top + bottom) / (2n * bottom));
  if (!Number.isSafeInteger(rounded)) throw new RangeError(`"${dollars}" dollars are too many to count in nanodollars.`);
  return rounded;
}

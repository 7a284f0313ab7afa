/** A part of a price, exactly. */
export interface Fraction {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

export const ONE: Fraction = { numerator: 1n, denominator: 1n };

/** Both are of a price: the part of a part. */
export function partOf(a: Fraction, b: Fraction): Fraction {
  if (a === ONE) return b;
  if (b === ONE) return a;
  return { numerator: a.numerator * b.numerator, denominator: a.denominator * b.denominator };
}

/** Places of a percentage that count. */
const PERCENT_DECIMALS = 6;

/** `12.5` as 125/1000, read as the decimal that it prints as. */
export function percentOf(percent: number): Fraction {
  return { numerator: BigInt(percent.toFixed(PERCENT_DECIMALS).replace(".", "")), denominator: 100n * 10n ** BigInt(PERCENT_DECIMALS) };
}

/** What is left of a price after a discount of so many percent. */
export function withoutPercent(percent: number): Fraction {
  const { numerator, denominator } = percentOf(percent);
  return { numerator: denominator - numerator, denominator };
}

/**
 * An integer count of nanodollars (1 USD = 1_000_000_000). Always a safe integer: one call never reaches
 * the nine million dollars at which a double loses count; sums over many rows are BigInt.
 */
export type Nanodollars = number;

/** An integer price: nanodollars for one million units (tokens, characters, images, seconds x 1000). */
export type NanodollarsPerMillion = number;

export const NANODOLLARS_PER_DOLLAR = 1_000_000_000;

/** Units times a price, rounded half up, in integers only. */
export function costOf(units: number, price: NanodollarsPerMillion): Nanodollars {
  const product = units * price;
  if (Number.isSafeInteger(product)) return Math.floor((product + 500_000) / 1_000_000);
  return Number((BigInt(units) * BigInt(price) + 500_000n) / 1_000_000n);
}

/** `1500000000` becomes `"1.500000000"`: exact, for people and for JSON. */
export function formatDollars(amount: Nanodollars | bigint): string {
  const value = BigInt(amount);
  const sign = value < 0n ? "-" : "";
  const digits = (value < 0n ? -value : value).toString().padStart(10, "0");
  return `${sign}${digits.slice(0, -9)}.${digits.slice(-9)}`;
}

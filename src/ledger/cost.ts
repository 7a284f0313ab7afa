import type { AttemptRecord, LedgerRow, ModelBook, ReportedCost, Usage } from "../canon/index.ts";

/** What pricing asks of the model book. */
export type PriceBook = Pick<ModelBook, "cost" | "ownCost">;

export interface PricedCall {
  /** The sum over the attempts; undefined when any of them is unknown. */
  readonly costNanodollars: number | undefined;
  /** The same attempts; where there are several, each with its own cost. */
  readonly attempts: readonly AttemptRecord[];
  /** What providers said that their attempts cost, and what the same ones cost by our book; undefined where none said anything. */
  readonly reported: ReportedCost | undefined;
}

const FREE = 0;

/**
 * What a call's attempts cost, each by the prices of its own target at the time of the call and for its own duration. Each is rounded on
 * its own, half up, so that the items add up to the sum.
 */
export function priceAttempts(book: PriceBook, attempts: readonly AttemptRecord[], at: number): PricedCall {
  let sum: number | undefined = 0;
  let reported: ReportedCost | undefined;
  const itemise = attempts.length > 1;
  const priced: AttemptRecord[] = [];
  for (const attempt of attempts) {
    // What used nothing costs nothing, also where the price is not known: refusals, counting.
    const { usage } = attempt;
    const cost = usage === undefined ? FREE : costOfAttempt(book, attempt, usage, at);
    sum = sum === undefined || cost === undefined ? undefined : sum + cost;
    if (usage?.providerCost !== undefined) reported = addReported(reported, usage.providerCost, ownCost(book, attempt, usage, at));
    if (itemise) priced.push(usage === undefined ? attempt : { ...attempt, costNanodollars: cost });
  }
  return { costNanodollars: sum, attempts: itemise ? priced : attempts, reported };
}

function costOfAttempt(book: PriceBook, { target, startedMs, endedMs }: AttemptRecord, usage: Usage, at: number): number | undefined {
  const slash = target.indexOf("/");
  return book.cost(target.slice(0, slash), target.slice(slash + 1), usage, at, endedMs - startedMs);
}

function ownCost(book: PriceBook, { target, startedMs, endedMs }: AttemptRecord, usage: Usage, at: number): number | undefined {
  const slash = target.indexOf("/");
  return book.ownCost?.(target.slice(0, slash), target.slice(slash + 1), usage, at, endedMs - startedMs);
}

function addReported(sum: ReportedCost | undefined, reported: number, own: number | undefined): ReportedCost {
  const before = sum ? sum.ownNanodollars : 0;
  const ours = own === undefined || before === undefined ? undefined : before + own;
  return { nanodollars: (sum?.nanodollars ?? 0) + reported, ...(ours !== undefined && { ownNanodollars: ours }) };
}

/** What a row costs by a book: from its tokens and attempts alone. A row of a cache hit costs nothing by any. */
export function priceRow(book: PriceBook, row: LedgerRow): number | undefined {
  if (row.cache === "hit") return FREE;
  if (row.attempts.length > 0) return priceAttempts(book, attemptsWithUsage(row), row.startedAt).costNanodollars;
  // What a crash cut short has no attempts: only an estimate of its input, and no target to price it by.
  if (row.target === undefined) return hasTokens(row.usage) ? undefined : FREE;
  return priceAttempts(book, [lone(row, row.target)], row.startedAt).costNanodollars;
}

/** Where attempts do not say what they used although the row does, the row's usage is that of the one attempt that answered. */
function attemptsWithUsage(row: LedgerRow): readonly AttemptRecord[] {
  const [only] = row.attempts;
  if (row.attempts.length !== 1 || !only || only.usage || !hasTokens(row.usage)) return row.attempts;
  return [{ ...only, usage: row.usage }];
}

function lone(row: LedgerRow, target: string): AttemptRecord {
  return { target, startedMs: 0, endedMs: row.timings.totalMs, usage: row.usage };
}

/** Was anything counted, here or by the provider? */
export function hasTokens(usage: Usage): boolean {
  return usage.inputUncached + usage.cacheRead + usage.cacheWrite5m + usage.cacheWrite1h + usage.output > 0;
}

import type { AttemptRecord, LedgerRow, ModelBook } from "../canon/index.ts";
import type { Alerts } from "./alerts.ts";
import { hasTokens } from "./cost.ts";

/**
 * Looks at what a row's attempts cost: tokens for nothing, at a model of which nobody said that it is free, are most often a price that
 * was read wrongly; tokens without a known price are nobody's money in the reports.
 */
export function watchCost(alerts: Alerts, book: Pick<ModelBook, "isFree">, row: LedgerRow): void {
  const [only] = row.attempts;
  if (row.attempts.length === 1 && only) return look(alerts, book, only, row.costNanodollars, row.startedAt);
  for (const attempt of row.attempts) look(alerts, book, attempt, attempt.costNanodollars, row.startedAt);
}

function look(
  alerts: Alerts,
  book: Pick<ModelBook, "isFree">,
  { target, usage }: AttemptRecord,
  cost: number | undefined,
  at: number,
): void {
  if (cost !== undefined && cost !== 0) return;
  if (!usage || !hasTokens(usage)) return;
  if (cost === undefined) {
    const message = `${target} used tokens whose price is not known; name it in the price file or under providers.NAME.models.`;
    return alerts.raise({ kind: "price_unknown", subject: target, message, quiet: true });
  }
  const slash = target.indexOf("/");
  if (book.isFree?.(target.slice(0, slash), target.slice(slash + 1), at)) return;
  const message = `${target} used tokens and cost nothing; if that is so, say \`free: true\` in its price.`;
  alerts.raise({ kind: "zero_cost", subject: target, message });
}

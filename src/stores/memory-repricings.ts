import type { LedgerRow, LedgerStore, PricedRow, Repricing } from "../canon/index.ts";

/** Rows of one page. */
const PAGE_ROWS = 1000;

/** What the ledger's rows cost by other prices, kept with the process. `rows`: in the order in which they were settled. */
export function memoryRepricings(rows: ReadonlyMap<string, LedgerRow>): Pick<LedgerStore, "page" | "reprice" | "repricings"> {
  const byCall = new Map<string, Repricing[]>();
  return {
    async page({ after, since = 0, until = Number.POSITIVE_INFINITY, model }) {
      const some = [...rows.values()].slice(after, after + PAGE_ROWS);
      const wanted = some.filter(
        (row) => row.startedAt >= since && row.startedAt < until && (model === undefined || row.model === model || row.target === model),
      );
      return {
        rows: structuredClone(wanted.map((row) => priced(row, byCall.get(row.callId)))),
        next: some.length === 0 ? undefined : after + some.length,
      };
    },
    async reprice({ id, at, priceVersion, entries }) {
      for (const entry of entries) {
        const known = byCall.get(entry.callId) ?? [];
        byCall.set(entry.callId, known);
        if (!known.some(({ runId }) => runId === id)) known.push({ ...withoutUndefined(entry), runId: id, at, priceVersion });
      }
    },
    repricings: async (callId) => structuredClone(byCall.get(callId) ?? []),
  };
}

function priced(row: LedgerRow, repricings: readonly Repricing[] | undefined): PricedRow {
  const newest = repricings?.at(-1);
  if (!newest) return { row };
  const { priceVersion, costNanodollars } = newest;
  return { row, repriced: { priceVersion, ...(costNanodollars !== undefined && { costNanodollars }) } };
}

function withoutUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as T;
}

import type { DatabaseSync } from "node:sqlite";
import type { LedgerPage, PricedRow, Repricing } from "../../canon/index.ts";
import type { ReadTable, WriteTable } from "../backend.ts";
import { rowFromColumns } from "../ledger-values.ts";
import { LONGEST_CALL_MS, pricedRowFrom, repricingFrom, type RepricingColumns } from "../repricing-values.ts";
import type { Rollups } from "./rollup-table.ts";

export function repricingWrites(database: DatabaseSync, rollups: Rollups): Pick<WriteTable, "reprice"> {
  const append = database.prepare(
    `INSERT INTO repricings (call_id, run_id, at, price_version, cost_nanodollars, previous_nanodollars, previous_version)
     VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (call_id, run_id) DO NOTHING`,
  );
  return {
    reprice: ([runId, at, priceVersion, entries]) => {
      for (const [callId, cost, previous, previousVersion] of entries)
        append.run(callId, runId, at, priceVersion, cost, previous, previousVersion);
      rollups.repriced(entries.length);
    },
  };
}

export function repricingReads(database: DatabaseSync): Pick<ReadTable, "ledgerPage" | "repricings"> {
  const byCall = database.prepare("SELECT * FROM repricings WHERE call_id = ? ORDER BY seq");
  const end = database.prepare("SELECT max(seq) AS seq FROM (SELECT seq FROM ledger WHERE seq > ? ORDER BY seq LIMIT ?)");
  const page = database.prepare(
    `SELECT ledger.*, repriced.call_id AS repriced_call, repriced.cost_nanodollars AS repriced_cost, repriced.price_version AS repriced_version
     FROM ledger LEFT JOIN repricings AS repriced
       ON repriced.seq = (SELECT max(seq) FROM repricings WHERE repricings.call_id = ledger.call_id)
     WHERE ledger.seq > ?1 AND ledger.seq <= ?2 AND (?3 IS NULL OR started_at >= ?3) AND (?4 IS NULL OR started_at < ?4)
       AND (?5 IS NULL OR model = ?5 OR target = ?5)
     ORDER BY ledger.seq`,
  );
  const newest = database.prepare("SELECT ifnull(max(seq), 0) AS seq FROM ledger");
  const probe = database.prepare("SELECT started_at FROM ledger WHERE seq >= ? AND state <> 'interrupted' ORDER BY seq LIMIT 1");

  /** A place before which no row began at `since` or later: rows lie in the order in which calls ended, and none takes a day. */
  function placeBefore(since: number): number {
    let low = 0;
    let high = Number(newest.get()?.["seq"]);
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      const startedAt = probe.get(middle)?.["started_at"];
      if (startedAt !== undefined && Number(startedAt) < since - LONGEST_CALL_MS) low = middle;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  return {
    ledgerPage: ([after, lookedThrough, since, until, model]): LedgerPage => {
      const from = after === 0 && since !== null ? placeBefore(since) : after;
      const last = end.get(from, lookedThrough)?.["seq"];
      if (last === null || last === undefined) return { rows: [], next: undefined };
      const rows = page.all(from, last, since, until, model).map((columns): PricedRow => pricedRowFrom(rowFromColumns(columns), columns));
      return { rows, next: Number(last) };
    },
    repricings: ([callId]): readonly Repricing[] => (byCall.all(callId) as unknown as RepricingColumns[]).map(repricingFrom),
  };
}

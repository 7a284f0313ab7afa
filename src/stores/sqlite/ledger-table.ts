import type { DatabaseSync } from "node:sqlite";
import type { CounterHold } from "../../canon/index.ts";
import type { ReadTable, WriteTable } from "../backend.ts";
import { type OpenColumns, openOf, rowOfOpen } from "../open-columns.ts";
import type { CounterBook } from "./counter-table.ts";
import type { Rollups } from "./rollup-table.ts";
import { LEDGER_COLUMNS, rowFromColumns, rowToValues } from "../ledger-values.ts";

export function ledgerWrites(
  database: DatabaseSync,
  rollups: Rollups,
  counters: CounterBook,
): Pick<WriteTable, "open" | "progress" | "settle" | "interrupt" | "probe"> {
  const marks = (count: number): string => Array.from({ length: count }, () => "?").join(",");
  const insert = database.prepare(
    `INSERT INTO ledger (${LEDGER_COLUMNS.join(",")}) VALUES (${marks(LEDGER_COLUMNS.length)}) ON CONFLICT (call_id) DO NOTHING`,
  );
  const insertOpen = database.prepare(
    `INSERT INTO open_calls SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE NOT EXISTS (SELECT 1 FROM ledger WHERE call_id = ?1) ON CONFLICT (call_id) DO NOTHING`,
  );
  const updateOpen = database.prepare("UPDATE open_calls SET input_estimate = ?2, holds = ?3 WHERE call_id = ?1");
  const deleteOpen = database.prepare("DELETE FROM open_calls WHERE call_id = ?");
  const leftOpen = database.prepare(
    `SELECT open_calls.*, keys.name AS caller_name, keys.team, keys.project
     FROM open_calls LEFT JOIN keys ON keys.id = open_calls.caller_id
     WHERE ?1 IS NULL OR node = ?1 ORDER BY started_at, call_id`,
  );
  const probe = database.prepare("UPDATE probe SET writes = writes + 1");
  return {
    open: ([callId, startedAt, callerId, model, dialect, inputEstimate, node, holds]) =>
      void insertOpen.run(callId, startedAt, callerId, model, dialect, inputEstimate, node, holds ?? null),
    progress: ([callId, inputEstimate, holds]) => void updateOpen.run(callId, inputEstimate, holds),
    settle: ([opened, row, spends]) => {
      const { changes, lastInsertRowid } = insert.run(...row);
      if (spends && changes === 1) counters.spend(spends);
      if (changes === 1) rollups.settled(row, Number(lastInsertRowid));
      if (opened === 1 && typeof row[0] === "string") deleteOpen.run(row[0]);
    },
    interrupt: ([node, priceVersion, at]) => {
      const left = leftOpen.all(node) as unknown as readonly OpenColumns[];
      let interrupted = 0;
      for (const columns of left) {
        const row = rowToValues(rowOfOpen(columns, priceVersion, at));
        const { changes, lastInsertRowid } = insert.run(...row);
        if (changes === 1) rollups.settled(row, Number(lastInsertRowid));
        interrupted += Number(changes);
        if (changes === 1 && columns.holds !== null) counters.bookHolds(JSON.parse(columns.holds) as CounterHold[]);
        deleteOpen.run(columns.call_id);
      }
      counters.takeBack(node);
      return interrupted;
    },
    probe: () => void probe.run(),
  };
}

export function ledgerReads(database: DatabaseSync): Pick<ReadTable, "row" | "rows" | "rowsWhere" | "count" | "openRecord"> {
  const openById = database.prepare("SELECT *, NULL AS caller_name, NULL AS team, NULL AS project FROM open_calls WHERE call_id = ?");
  const byId = database.prepare("SELECT * FROM ledger WHERE call_id = ?");
  const newest = database.prepare("SELECT * FROM ledger ORDER BY seq DESC LIMIT ?");
  const newestOf = database.prepare("SELECT * FROM ledger WHERE caller_id = ? ORDER BY seq DESC LIMIT ?");
  const newestWhere = database.prepare(
    `SELECT * FROM ledger WHERE seq > (SELECT ifnull(max(seq), 0) FROM ledger) - ?2 AND (?3 IS NULL OR caller_id = ?3)
     AND (?4 IS NULL OR model = ?4) AND (?5 IS NULL OR target = ?5) AND (?6 IS NULL OR started_at >= ?6) ORDER BY seq DESC LIMIT ?1`,
  );
  const count = database.prepare("SELECT count(*) AS rows FROM ledger");
  return {
    row: ([callId]) => {
      const columns = byId.get(callId);
      return columns && rowFromColumns(columns);
    },
    rows: ([limit, callerId]) => (callerId === null ? newest.all(limit) : newestOf.all(callerId, limit)).map(rowFromColumns),
    rowsWhere: (args) => newestWhere.all(...args).map(rowFromColumns),
    count: () => Number(count.get()?.["rows"]),
    openRecord: ([callId]) => {
      const columns = openById.get(callId) as OpenColumns | undefined;
      return columns && openOf(columns);
    },
  };
}

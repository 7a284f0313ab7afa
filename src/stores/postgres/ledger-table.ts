import type { CounterHold } from "../../canon/index.ts";
import type { Reads, Writes } from "../backend.ts";
import { LEDGER_COLUMNS, type RowValues, rowFromColumns, rowToValues } from "../ledger-values.ts";
import { type OpenColumns, openOf, rowOfOpen } from "../open-columns.ts";
import { type Session, statement } from "./connections.ts";
import { bookHolds, bookSpends, takeBack } from "./counter-table.ts";
import type { PostgresReads } from "./tables.ts";
import { arrayOf, arrayOfJson, storable } from "./values.ts";

const COLUMN_TYPES: Readonly<Record<(typeof LEDGER_COLUMNS)[number], "text" | "bigint" | "smallint" | "float8">> = {
  call_id: "text",
  state: "text",
  started_at: "bigint",
  caller_id: "text",
  caller_name: "text",
  team: "text",
  project: "text",
  dialect: "text",
  operation: "text",
  model: "text",
  target: "text",
  stream: "smallint",
  fast_path: "smallint",
  input_uncached: "bigint",
  cache_read: "bigint",
  cache_write_5m: "bigint",
  cache_write_1h: "bigint",
  output: "bigint",
  reasoning: "bigint",
  usage_estimated: "smallint",
  cost_nanodollars: "bigint",
  price_version: "text",
  ready_ms: "float8",
  first_output_ms: "float8",
  total_ms: "float8",
  problem: "text",
  session: "text",
  config_version: "bigint",
  detail: "text",
};

const CALL_ID = LEDGER_COLUMNS.indexOf("call_id");
const DETAIL = LEDGER_COLUMNS.indexOf("detail");

const ROWS_IN = LEDGER_COLUMNS.map((name, place) => `$${place + 1}::${COLUMN_TYPES[name]}[]`).join(", ");
/** In one statement, so that a batch of rows alone needs no transaction around it: three round trips fewer. */
const SETTLE = statement(
  "ledger.settle",
  `WITH settled AS (DELETE FROM open_calls WHERE call_id = ANY ($${LEDGER_COLUMNS.length + 1}::text[]))
   INSERT INTO ledger (${LEDGER_COLUMNS.join(", ")}) SELECT * FROM unnest(${ROWS_IN}) ON CONFLICT (call_id) DO NOTHING`,
);
const SETTLE_AND_TELL = statement("ledger.settle-and-tell", `${SETTLE.text} RETURNING call_id`);
const OPEN = statement(
  "ledger.open",
  `INSERT INTO open_calls
   SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[]) AS began (call_id)
   WHERE NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.call_id = began.call_id) ON CONFLICT (call_id) DO NOTHING`,
);
const PROGRESS = statement("ledger.progress", "UPDATE open_calls SET input_estimate = $2::bigint, holds = $3::text WHERE call_id = $1");
/** Two gateways that bury the same dead one share its calls between them. */
const LEFT_OPEN = statement(
  "ledger.left-open",
  `SELECT open_calls.*, keys.name AS caller_name, keys.team, keys.project
   FROM open_calls LEFT JOIN keys ON keys.id = open_calls.caller_id
   WHERE $1::text IS NULL OR node = $1 ORDER BY started_at, call_id FOR UPDATE OF open_calls SKIP LOCKED`,
);

export async function openCalls(session: Session, opens: readonly Writes["open"]["args"][]): Promise<void> {
  const columns = [0, 1, 2, 3, 4, 5, 6, 7] as const;
  await session.changes(
    OPEN,
    columns.map((column) => arrayOf(opens.map((args) => args[column] ?? null))),
  );
}

export async function noteProgress(session: Session, args: Writes["progress"]["args"]): Promise<void> {
  await session.changes(PROGRESS, args);
}

function columnsOf(settles: readonly Writes["settle"]["args"][]): readonly string[] {
  const columns = LEDGER_COLUMNS.map((_, column) => {
    const values = settles.map(([, row]) => row[column] ?? null);
    return column === DETAIL ? arrayOfJson(values as readonly string[]) : arrayOf(values);
  });
  const opened = settles.filter(([wasOpened]) => wasOpened === 1).map(([, row]) => row[CALL_ID] ?? null);
  return [...columns, arrayOf(opened)];
}

/** Rows that are new book what they used on counters, which must be locked. */
export async function settleCalls(session: Session, settles: readonly Writes["settle"]["args"][]): Promise<void> {
  const columns = columnsOf(settles);
  if (settles.every(([, , spends]) => spends === undefined)) return void (await session.changes(SETTLE, columns));
  const added = await newRows(session, columns);
  // Of two rows of one call in a batch the first counts.
  await bookSpends(
    session,
    settles.flatMap(([, row, spends]) => (added.delete(storable(String(row[CALL_ID]))) && spends ? [spends] : [])),
  );
}

async function newRows(session: Session, columns: readonly string[]): Promise<Set<string>> {
  return new Set((await session.rows<{ readonly call_id: string }>(SETTLE_AND_TELL, columns)).map((row) => row.call_id));
}

export async function interruptCalls(session: Session, [node, priceVersion, at]: Writes["interrupt"]["args"]): Promise<number> {
  const left = await session.rows<OpenColumns>(LEFT_OPEN, [node]);
  const rows = left.map((columns): readonly [1, RowValues] => [1, rowToValues(rowOfOpen(columns, priceVersion, at))]);
  const added = rows.length > 0 ? await newRows(session, columnsOf(rows)) : new Set();
  await bookHolds(
    session,
    left.flatMap(({ call_id: callId, holds }) => (added.has(callId) && holds !== null ? (JSON.parse(holds) as CounterHold[]) : [])),
  );
  await takeBack(session, node);
  return added.size;
}

const BY_ID = statement("ledger.by-id", "SELECT * FROM ledger WHERE call_id = $1");
const NEWEST = statement("ledger.newest", "SELECT * FROM ledger WHERE $2::text IS NULL OR caller_id = $2 ORDER BY seq DESC LIMIT $1");
const NEWEST_WHERE = statement(
  "ledger.newest-where",
  `SELECT * FROM ledger WHERE seq > (SELECT coalesce(max(seq), 0) FROM ledger) - $2::bigint AND ($3::text IS NULL OR caller_id = $3)
   AND ($4::text IS NULL OR model = $4) AND ($5::text IS NULL OR target = $5) AND ($6::bigint IS NULL OR started_at >= $6)
   ORDER BY seq DESC LIMIT $1`,
);
const COUNT = statement("ledger.count", "SELECT count(*) AS rows FROM ledger");
const OPEN_BY_ID = statement("ledger.open-by-id", "SELECT * FROM open_calls WHERE call_id = $1");

type Columns = Readonly<Record<string, unknown>>;

export const ledgerReads = {
  row: async (session, [callId]) => {
    const [columns] = await session.rows<Columns>(BY_ID, [callId]);
    return columns && rowFromColumns(columns);
  },
  rows: async (session, [limit, callerId]) => (await session.rows<Columns>(NEWEST, [limit, callerId])).map(rowFromColumns),
  rowsWhere: async (session, args: Reads["rowsWhere"]["args"]) => (await session.rows<Columns>(NEWEST_WHERE, args)).map(rowFromColumns),
  count: async (session) => (await session.rows<{ readonly rows: number }>(COUNT))[0]?.rows ?? 0,
  openRecord: async (session, [callId]) => {
    const [columns] = await session.rows<OpenColumns>(OPEN_BY_ID, [callId]);
    return columns && openOf(columns);
  },
} satisfies Partial<PostgresReads>;

import type { LedgerPage } from "../../canon/index.ts";
import { rowFromColumns } from "../ledger-values.ts";
import { LONGEST_CALL_MS, pricedRowFrom, repricingFrom, type RepricingColumns } from "../repricing-values.ts";
import { type Session, statement } from "./connections.ts";
import { lockRollups } from "./rollup-table.ts";
import type { PostgresReads, PostgresWrites } from "./tables.ts";
import { arrayOf } from "./values.ts";

const APPEND = statement(
  "repricing.append",
  `INSERT INTO repricings (run_id, at, price_version, call_id, cost_nanodollars, previous_nanodollars, previous_version)
   SELECT $1, $2::bigint, $3, * FROM unnest($4::text[], $5::bigint[], $6::bigint[], $7::text[]) ON CONFLICT (call_id, run_id) DO NOTHING`,
);

export const repricingWrites: Pick<PostgresWrites, "reprice"> = {
  reprice: async ({ session }, [runId, at, priceVersion, entries]) => {
    await lockRollups(session);
    const columns = [0, 1, 2, 3] as const;
    await session.changes(APPEND, [runId, at, priceVersion, ...columns.map((column) => arrayOf(entries.map((entry) => entry[column])))]);
  },
};

const BY_CALL = statement("repricing.by-call", "SELECT * FROM repricings WHERE call_id = $1 ORDER BY seq");
const END = statement(
  "repricing.end",
  "SELECT max(seq) AS seq FROM (SELECT seq FROM ledger WHERE seq > $1::bigint ORDER BY seq LIMIT $2::bigint) AS looked_through",
);
const PAGE = statement(
  "repricing.page",
  `SELECT ledger.*, repriced.call_id AS repriced_call, repriced.cost_nanodollars AS repriced_cost, repriced.price_version AS repriced_version
   FROM ledger LEFT JOIN LATERAL
     (SELECT * FROM repricings WHERE repricings.call_id = ledger.call_id ORDER BY seq DESC LIMIT 1) AS repriced ON true
   WHERE ledger.seq > $1::bigint AND ledger.seq <= $2::bigint AND ($3::bigint IS NULL OR started_at >= $3)
     AND ($4::bigint IS NULL OR started_at < $4) AND ($5::text IS NULL OR model = $5 OR target = $5)
   ORDER BY ledger.seq`,
);
const NEWEST = statement("repricing.newest", "SELECT coalesce(max(seq), 0) AS seq FROM ledger");
const PROBE = statement(
  "repricing.probe",
  "SELECT started_at FROM ledger WHERE seq >= $1::bigint AND state <> 'interrupted' ORDER BY seq LIMIT 1",
);

interface Place {
  readonly seq: number | null;
}

/** A place before which no row began at `since` or later: rows lie in the order in which calls ended, and none takes a day. */
async function placeBefore(session: Session, since: number): Promise<number> {
  let low = 0;
  let high = (await session.rows<Place>(NEWEST))[0]?.seq ?? 0;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const [found] = await session.rows<{ readonly started_at: number }>(PROBE, [middle]);
    if (found && found.started_at < since - LONGEST_CALL_MS) low = middle;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

export const repricingReads = {
  ledgerPage: async (session, [after, lookedThrough, since, until, model]): Promise<LedgerPage> => {
    const from = after === 0 && since !== null ? await placeBefore(session, since) : after;
    const last = (await session.rows<Place>(END, [from, lookedThrough]))[0]?.seq ?? null;
    if (last === null) return { rows: [], next: undefined };
    const rows = await session.rows<Readonly<Record<string, unknown>>>(PAGE, [from, last, since, until, model]);
    return { rows: rows.map((columns) => pricedRowFrom(rowFromColumns(columns), columns)), next: last };
  },
  repricings: async (session, [callId]) => (await session.rows<RepricingColumns>(BY_CALL, [callId])).map(repricingFrom),
} satisfies Partial<PostgresReads>;

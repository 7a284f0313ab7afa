import { REPORT_SUMS, type ReportLine, type ReportQuery, type RollupState } from "../../canon/index.ts";
import { LEDGER_COLUMNS, type RowValues } from "../ledger-values.ts";
import {
  addCell,
  addPackedLatency,
  type Cell,
  DayValues,
  HOURS_PER_DAY,
  packLatency,
  type SeriesLabels,
  SUM_COLUMNS,
  Tally,
} from "../rollup.ts";
import { addStoredCell, answered, Lines, MOST_WAITING, tooManyWaiting } from "../rollup-lines.ts";
import { type CellRead, cellReads, DAILY, HOURLY } from "../rollup-reads.ts";
import { type Session, statement } from "./connections.ts";
import type { PostgresReads, PostgresWrites } from "./tables.ts";
import { arrayOf, arrayOfBytes, storable } from "./values.ts";

/** Rows added up at once. */
const ROWS_AT_ONCE = 4096;

const ROW = LEDGER_COLUMNS.map((name) => `ledger.${name}`).join(", ");
/** One gateway adds up at a time; and repricings of one call follow each other. */
const LOCK = statement("rollup.lock", "SELECT pg_advisory_xact_lock(hashtext('rollups of ' || current_schema()))");
const STATE = statement("rollup.state", "SELECT metadata, day_values FROM rollup_state");
const FOLLOW = statement("rollup.follow", "UPDATE rollup_state SET metadata = $1, day_values = $2");
const WAITING = statement(
  "rollup.waiting",
  "SELECT (SELECT count(*) FROM rollup_waiting) + (SELECT count(*) FROM rollup_waiting_repricings) AS waiting",
);
const TAKE_ROWS = statement(
  "rollup.take-rows",
  `WITH taken AS (DELETE FROM rollup_waiting WHERE seq IN (SELECT seq FROM rollup_waiting ORDER BY seq LIMIT $1) RETURNING seq)
   SELECT ${ROW} FROM taken JOIN ledger USING (seq)`,
);
const READ_ROWS = statement("rollup.read-rows", `SELECT ${ROW} FROM rollup_waiting JOIN ledger USING (seq)`);
/** What each repricing changed: from the one before it, or from the row's own cost. */
const changed = (made: string): string => `
  SELECT made.cost_nanodollars AS after_nanodollars,
    CASE WHEN earlier.seq IS NULL THEN ledger.cost_nanodollars ELSE earlier.cost_nanodollars END AS before_nanodollars, ${ROW}
  FROM ${made} JOIN repricings AS made USING (seq) JOIN ledger ON ledger.call_id = made.call_id
    LEFT JOIN LATERAL (SELECT seq, cost_nanodollars FROM repricings AS other
      WHERE other.call_id = made.call_id AND other.seq < made.seq ORDER BY seq DESC LIMIT 1) AS earlier ON true`;
const TAKE_REPRICINGS = statement(
  "rollup.take-repricings",
  `WITH taken AS (DELETE FROM rollup_waiting_repricings WHERE seq IN
     (SELECT seq FROM rollup_waiting_repricings ORDER BY seq LIMIT $1) RETURNING seq) ${changed("taken")}`,
);
const READ_REPRICINGS = statement("rollup.read-repricings", changed("rollup_waiting_repricings"));
const ADD_SERIES = statement(
  "rollup.add-series",
  `INSERT INTO rollup_series (dimension, value, caller_id, team, project, model, target)
   SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) ON CONFLICT DO NOTHING`,
);
const FIND_SERIES = statement(
  "rollup.find-series",
  `SELECT rollup_series.* FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
     AS wanted (dimension, value, caller_id, team, project, model, target)
   JOIN rollup_series USING (dimension, value, caller_id, team, project, model, target)`,
);
const FIND_LATENCY = statement(
  "rollup.find-latency",
  `SELECT level, series, at, latency FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS wanted (level, series, at)
   JOIN rollup_cells USING (level, series, at)`,
);
const ADD_CELLS = statement(
  "rollup.add-cells",
  `INSERT INTO rollup_cells (level, series, at, latency, ${SUM_COLUMNS.join(", ")})
   SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bytea[], ${SUM_COLUMNS.map((_, at) => `$${at + 5}::bigint[]`).join(", ")})
   ON CONFLICT (level, series, at) DO UPDATE SET latency = excluded.latency,
     ${SUM_COLUMNS.map((name) => `${name} = rollup_cells.${name} + excluded.${name}`).join(", ")}`,
);
const DAY_VALUES = statement(
  "rollup.day-values",
  `SELECT DISTINCT at, dimension, CASE dimension WHEN 'model' THEN model ELSE value END AS value
   FROM rollup_cells JOIN rollup_series ON id = series WHERE level = ${DAILY} AND at = ANY ($1::bigint[])
     AND dimension NOT IN ('cube', 'all', 'key', 'team', 'project', 'target')`,
);
const SERIES = statement("rollup.series", "SELECT * FROM rollup_series WHERE dimension = $1");
const cellsBetween = (name: string, columns: string, more = ""): ReturnType<typeof statement> =>
  statement(
    name,
    `SELECT series, at, ${columns} FROM rollup_cells
     WHERE level = $1 AND series = ANY ($2::bigint[]) AND at >= $3::bigint AND at < $4::bigint${more}`,
  );
const SUMS = SUM_COLUMNS.join(", ");
const ONLY = " AND at = ANY ($5::bigint[])";
const CELLS = cellsBetween("rollup.cells", SUMS);
const SOME_CELLS = cellsBetween("rollup.some-cells", SUMS, ONLY);
const CELLS_AND_LATENCY = cellsBetween("rollup.cells-and-latency", `latency, ${SUMS}`);
const SOME_CELLS_AND_LATENCY = cellsBetween("rollup.some-cells-and-latency", `latency, ${SUMS}`, ONLY);

type Columns = Readonly<Record<string, unknown>>;

function valuesOf(columns: Columns): RowValues {
  return LEDGER_COLUMNS.map((name) => columns[name] as RowValues[number]);
}

function addRepricings(tally: Tally, made: readonly Columns[]): void {
  for (const columns of made)
    tally.addRepricing(valuesOf(columns), columns["before_nanodollars"] as number | null, columns["after_nanodollars"] as number | null);
}

function labelsOf(columns: Columns): SeriesLabels {
  const label = (name: string): string => String(columns[name]);
  return [label("dimension"), label("value"), label("caller_id"), label("team"), label("project"), label("model"), label("target")];
}

interface Followed {
  readonly metadata: readonly string[];
  readonly dayValues: number;
}

async function followed(session: Session): Promise<Followed> {
  const [state] = await session.rows<{ readonly metadata: string; readonly day_values: number }>(STATE);
  return { metadata: JSON.parse(state?.metadata ?? "[]") as string[], dayValues: state?.day_values ?? 0 };
}

async function waitingRows(session: Session): Promise<number> {
  return (await session.rows<{ readonly waiting: number }>(WAITING))[0]?.waiting ?? 0;
}

/** Adds up some of the rows that wait, over all gateways; in a transaction. */
export async function rollUp(session: Session, restart: boolean): Promise<RollupState> {
  await session.rows(LOCK);
  if (restart) {
    await session.run(
      `TRUNCATE rollup_cells, rollup_series;
       INSERT INTO rollup_waiting SELECT seq FROM ledger ON CONFLICT DO NOTHING;
       INSERT INTO rollup_waiting_repricings SELECT seq FROM repricings ON CONFLICT DO NOTHING`,
    );
    return { waiting: await waitingRows(session) };
  }
  const { metadata, dayValues } = await followed(session);
  const tally = new Tally(metadata);
  for (const row of await session.rows<Columns>(TAKE_ROWS, [ROWS_AT_ONCE])) tally.addRow(valuesOf(row));
  addRepricings(tally, await session.rows<Columns>(TAKE_REPRICINGS, [ROWS_AT_ONCE]));
  if (!tally.isEmpty) await writeCells(session, tally, dayValues);
  return { waiting: await waitingRows(session) };
}

interface Written {
  readonly level: number;
  readonly labels: SeriesLabels;
  readonly at: number;
  readonly cell: Cell;
}

async function writeCells(session: Session, tally: Tally, dayValues: number): Promise<void> {
  const days = [...new Set(tally.hours().map((hour) => hour - (hour % HOURS_PER_DAY)))];
  const known = await session.rows<{ readonly at: number; readonly dimension: string; readonly value: string }>(DAY_VALUES, [
    arrayOf(days),
  ]);
  const values = new DayValues((dimension, day) =>
    known.filter((one) => one.dimension === dimension && one.at === day * HOURS_PER_DAY).map(({ value }) => value),
  );
  const cells = new Map<string, Written>();
  for (const { labels, hour, cell } of tally.taken((dimension, at, value) => values.bound(dayValues, dimension, at, value))) {
    for (const [level, at] of [
      [HOURLY, hour],
      [DAILY, hour - (hour % HOURS_PER_DAY)],
    ] as const) {
      const id = JSON.stringify([level, at, labels]);
      const one = cells.get(id);
      if (one) addCell(one.cell, cell);
      else cells.set(id, { level, labels, at, cell: { sums: [...cell.sums], latency: new Map(cell.latency) } });
    }
  }
  await addCells(session, [...cells.values()]);
}

async function addCells(session: Session, cells: readonly Written[]): Promise<void> {
  const ids = await seriesOf(session, cells);
  const placed = cells.map((one) => ({ ...one, series: ids.get(idOf(one.labels)) ?? 0 }));
  const places = [
    arrayOf(placed.map(({ level }) => level)),
    arrayOf(placed.map(({ series }) => series)),
    arrayOf(placed.map(({ at }) => at)),
  ];
  const before = await session.rows<{ readonly level: number; readonly series: number; readonly at: number; readonly latency: Uint8Array }>(
    FIND_LATENCY,
    places,
  );
  const known = new Map(before.map(({ level, series, at, latency }) => [`${level} ${series} ${at}`, latency]));
  for (const { level, series, at, cell } of placed) {
    const packed = known.get(`${level} ${series} ${at}`);
    if (packed) addPackedLatency(cell.latency, packed);
  }
  await session.changes(ADD_CELLS, [
    ...places,
    arrayOfBytes(placed.map(({ cell }) => packLatency(cell.latency))),
    ...REPORT_SUMS.map((_, sum) => arrayOf(placed.map(({ cell }) => cell.sums[sum] ?? 0))),
  ]);
}

/** As the database has them. */
function idOf(labels: SeriesLabels): string {
  return storable(labels.join("\u0001"));
}

async function seriesOf(session: Session, cells: readonly Written[]): Promise<ReadonlyMap<string, number>> {
  const unique = [...new Map(cells.map(({ labels }) => [idOf(labels), labels])).values()];
  const columns = [0, 1, 2, 3, 4, 5, 6].map((column) => arrayOf(unique.map((labels) => storable(labels[column] ?? ""))));
  await session.changes(ADD_SERIES, columns);
  const found = await session.rows<Columns>(FIND_SERIES, columns);
  return new Map(found.map((one) => [idOf(labelsOf(one)), Number(one["id"])]));
}

export async function lockRollups(session: Session): Promise<void> {
  await session.rows(LOCK);
}

export const rollupWrites: Pick<PostgresWrites, "rollUp" | "followRollups"> = {
  // The backend keeps it apart from batches; here it is for whoever has only a batch.
  rollUp: ({ session }, [restart]) => rollUp(session, restart),
  followRollups: async ({ session }, [metadata, values]) => {
    const text = JSON.stringify(metadata);
    const now = await followed(session);
    if (JSON.stringify(now.metadata) !== text || now.dayValues !== values) await session.changes(FOLLOW, [text, values]);
  },
};

async function linesOf(session: Session, query: ReportQuery): Promise<() => readonly ReportLine[]> {
  // One view of what is added up and what waits: a row is in one of them.
  await session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  try {
    const waiting = await waitingRows(session);
    if (waiting > MOST_WAITING)
      return () => {
        throw tooManyWaiting(waiting);
      };
    const series = await session.rows<Columns>(SERIES, [query.dimension]);
    const wanted = new Map(series.map((one) => [Number(one["id"]), labelsOf(one)]));
    const probe = new Lines(query);
    const ids = [...wanted].filter(([, labels]) => probe.series(labels) !== undefined).map(([id]) => id);
    const stored: Stored[] = [];
    for (const read of cellReads(query)) stored.push({ read, cells: await cellsOf(session, read, ids, query.latency) });
    const { metadata, dayValues } = await followed(session);
    const tally = new Tally(metadata);
    if (waiting > 0) {
      for (const row of await session.rows<Columns>(READ_ROWS)) tally.addRow(valuesOf(row));
      addRepricings(tally, await session.rows<Columns>(READ_REPRICINGS));
    }
    return () => {
      const lines = new Lines(query);
      for (const one of stored) addStored(lines, wanted, one);
      const values = new DayValues(() => []);
      lines.add(tally.taken((dimension, hour, value) => values.bound(dayValues, dimension, hour, value)));
      return lines.lines();
    };
  } finally {
    await session.run("COMMIT");
  }
}

interface Stored {
  readonly read: CellRead;
  readonly cells: readonly Columns[];
}

function cellsOf(session: Session, read: CellRead, series: readonly number[], latency: boolean): Promise<readonly Columns[]> {
  const range = [read.level, arrayOf(series), read.from, read.until];
  if (!read.only) return session.rows(latency ? CELLS_AND_LATENCY : CELLS, range);
  return session.rows(latency ? SOME_CELLS_AND_LATENCY : SOME_CELLS, [...range, arrayOf(read.only)]);
}

function addStored(lines: Lines, wanted: ReadonlyMap<number, SeriesLabels>, { read, cells }: Stored): void {
  const series = new Map<number, ReturnType<Lines["series"]>>();
  for (const columns of cells) {
    const id = Number(columns["series"]);
    const labels = wanted.get(id);
    if (!labels) continue;
    let linesOfSeries = series.get(id);
    if (!linesOfSeries) series.set(id, (linesOfSeries = lines.series(labels)));
    const sums = SUM_COLUMNS.map((name) => columns[name]);
    if (linesOfSeries) addStoredCell(linesOfSeries, read, Number(columns["at"]), sums, 0, columns["latency"]);
  }
}

export const rollupReads = {
  reportLines: async (session, [query]) => answered(await linesOf(session, query)),
} satisfies Partial<PostgresReads>;

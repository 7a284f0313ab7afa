import type { DatabaseSync, StatementSync } from "node:sqlite";
import { type ReportLine, type ReportQuery, type RollupState } from "../../canon/index.ts";
import type { ReadTable, WriteTable } from "../backend.ts";
import { LEDGER_COLUMNS, type RowValues } from "../ledger-values.ts";
import { reasonOf } from "../problems.ts";
import {
  addCell,
  addPackedLatency,
  DayValues,
  type HourCell,
  HOURS_PER_DAY,
  packLatency,
  type SeriesLabels,
  SUM_COLUMNS,
  Tally,
} from "../rollup.ts";
import { addStoredCell, answered, Lines, MOST_WAITING, tooManyWaiting } from "../rollup-lines.ts";
import { cellReads, DAILY, HOURLY } from "../rollup-reads.ts";
import { isAboutStatement } from "./statement-errors.ts";

/** Rows added up at once: what a row costs is shared by all of one cell. Reports look at that many one by one. */
const ROWS_AT_ONCE = 4096;
/** Names whose numbers are remembered. */
const MOST_SERIES_KNOWN = 50_000;

const LABELS = ["dimension", "value", "caller_id", "team", "project", "model", "target"] as const;
const ROW = LEDGER_COLUMNS.map((name) => `ledger.${name}`).join(",");
const WAITING_ROWS = `SELECT ledger.seq, ${ROW} FROM ledger WHERE seq > ? ORDER BY seq LIMIT ?`;
/** What each repricing changed: from the one before it, or from the row's own cost. */
const WAITING_REPRICINGS = `
  SELECT made.seq, made.cost_nanodollars,
    CASE WHEN earlier.seq IS NULL THEN ledger.cost_nanodollars ELSE earlier.cost_nanodollars END, ${ROW}
  FROM (SELECT * FROM repricings WHERE seq > ? ORDER BY seq LIMIT ?) AS made
    JOIN ledger ON ledger.call_id = made.call_id
    LEFT JOIN repricings AS earlier
      ON earlier.seq = (SELECT max(seq) FROM repricings AS other WHERE other.call_id = made.call_id AND other.seq < made.seq)
  ORDER BY made.seq`;

type Columns = readonly (string | number | null)[];

function arrays(statement: StatementSync): (...args: (string | number)[]) => readonly Columns[] {
  statement.setReturnArrays(true);
  return (...args) => statement.all(...args) as unknown as readonly Columns[];
}

interface State {
  readonly ledgerSeq: number;
  readonly repricingSeq: number;
  readonly metadata: readonly string[];
  readonly dayValues: number;
}

class Progress {
  readonly #read: StatementSync;
  readonly #rows: StatementSync;
  readonly #repricings: StatementSync;

  constructor(database: DatabaseSync) {
    this.#read = database.prepare("SELECT ledger_seq, repricing_seq, metadata, day_values FROM rollup_state");
    this.#rows = database.prepare("SELECT ifnull(max(seq), 0) AS seq FROM ledger");
    this.#repricings = database.prepare("SELECT ifnull(max(seq), 0) AS seq FROM repricings");
  }

  read(): State {
    const columns = this.#read.get() ?? {};
    return {
      ledgerSeq: Number(columns["ledger_seq"]),
      repricingSeq: Number(columns["repricing_seq"]),
      metadata: JSON.parse(String(columns["metadata"])) as string[],
      dayValues: Number(columns["day_values"]),
    };
  }

  /** The ledger's and the repricings' numbers have no gaps: nothing is ever deleted from them. */
  waiting({ ledgerSeq, repricingSeq }: State): number {
    return Number(this.#rows.get()?.["seq"]) - ledgerSeq + Number(this.#repricings.get()?.["seq"]) - repricingSeq;
  }
}

/**
 * Sums over the ledger, in its own transactions. Rows are gathered in memory as they are settled, and written every so many together with
 * the number of the last of them; what a crash leaves gathered is read again from the ledger by that number, so a row counts exactly once.
 */
export class Rollups {
  readonly #database: DatabaseSync;
  readonly #state: Progress;
  readonly #cells: CellWriter;
  readonly #rowsAfter: (after: number, limit: number) => readonly Columns[];
  readonly #repricingsAfter: (after: number, limit: number) => readonly Columns[];
  readonly #advance: StatementSync;
  #known: State;
  /** Of rows since the last write; undefined while rows are behind, which are then read from the ledger. */
  #gathered: Tally | undefined;
  #gatheredRows = 0;
  #gatheredSeq = 0;
  #failure: string | undefined;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#state = new Progress(database);
    this.#cells = new CellWriter(database);
    this.#rowsAfter = arrays(database.prepare(WAITING_ROWS));
    this.#repricingsAfter = arrays(database.prepare(WAITING_REPRICINGS));
    this.#advance = database.prepare("UPDATE rollup_state SET ledger_seq = ?, repricing_seq = ?");
    this.#known = this.#state.read();
    this.#gather();
  }

  /** A row that was just inserted. */
  settled(row: RowValues, seq: number): void {
    if (this.#gathered) {
      this.#gathered.addRow(row);
      this.#gatheredSeq = seq;
    }
    if (++this.#gatheredRows >= ROWS_AT_ONCE) this.write();
  }

  /** What was appended is read when sums are written the next time. */
  repriced(count: number): void {
    this.#gatheredRows += count;
    if (this.#gatheredRows >= ROWS_AT_ONCE) this.write();
  }

  /** Everything gathered, or some of what is behind. Never costs a row: what fails undoes itself alone, and is tried again later. */
  write(): void {
    this.#database.exec("SAVEPOINT rollup");
    try {
      this.#writeSome();
      this.#database.exec("RELEASE rollup");
      this.#failure = undefined;
    } catch (error) {
      // About the disk: the batch is for later, all of it.
      if (!isAboutStatement(error)) throw error;
      this.#database.exec("ROLLBACK TO rollup; RELEASE rollup");
      this.#cells.forget();
      this.#failure = reasonOf(error);
      this.#gathered = undefined;
    }
    this.#gatheredRows = 0;
  }

  rollUp(restart: boolean): RollupState {
    if (restart) {
      this.#database.exec("DELETE FROM rollup_cells; DELETE FROM rollup_series");
      this.#advance.run(0, 0);
      this.#cells.forget();
      this.#gathered = undefined;
      this.#known = this.#state.read();
    } else this.write();
    return { waiting: this.#state.waiting(this.#known), ...(this.#failure !== undefined && { failure: this.#failure }) };
  }

  follow(metadata: readonly string[], values: number): void {
    const text = JSON.stringify(metadata);
    if (text === JSON.stringify(this.#known.metadata) && values === this.#known.dayValues) return;
    // What was gathered counts by what was followed until now.
    this.write();
    this.#database.prepare("UPDATE rollup_state SET metadata = ?, day_values = ?").run(text, values);
    this.#known = this.#state.read();
    this.#gather();
  }

  #writeSome(): void {
    const tally = this.#gathered ?? new Tally(this.#known.metadata);
    let ledgerSeq = this.#gathered ? Math.max(this.#known.ledgerSeq, this.#gatheredSeq) : this.#known.ledgerSeq;
    if (!this.#gathered) {
      for (const [seq, ...row] of this.#rowsAfter(ledgerSeq, ROWS_AT_ONCE)) {
        tally.addRow(row);
        ledgerSeq = Number(seq);
      }
    }
    const repricingSeq = addRepricings(tally, this.#repricingsAfter(this.#known.repricingSeq, ROWS_AT_ONCE)) ?? this.#known.repricingSeq;
    this.#cells.write(tally, this.#known.dayValues);
    this.#advance.run(ledgerSeq, repricingSeq);
    this.#known = { ...this.#known, ledgerSeq, repricingSeq };
    this.#gather();
  }

  /** Begins to gather where few rows are behind; they are gathered first. */
  #gather(): void {
    this.#gathered = undefined;
    this.#gatheredRows = 0;
    const { ledgerSeq, metadata } = this.#known;
    const rows = this.#rowsAfter(ledgerSeq, ROWS_AT_ONCE);
    if (rows.length >= ROWS_AT_ONCE) return;
    const tally = new Tally(metadata);
    for (const [, ...row] of rows) tally.addRow(row);
    this.#gathered = tally;
    this.#gatheredRows = rows.length;
    this.#gatheredSeq = Number(rows.at(-1)?.[0] ?? ledgerSeq);
  }
}

function addRepricings(tally: Tally, made: readonly Columns[]): number | undefined {
  for (const [, after, before, ...row] of made) tally.addRepricing(row, numberOf(before), numberOf(after));
  const last = made.at(-1)?.[0];
  return last === undefined ? undefined : Number(last);
}

function numberOf(value: string | number | null | undefined): number | null {
  return typeof value === "number" ? value : null;
}

class CellWriter {
  readonly #find: StatementSync;
  readonly #insert: StatementSync;
  readonly #latency: StatementSync;
  readonly #add: StatementSync;
  readonly #series = new Map<string, number>();
  readonly #values: DayValues;

  constructor(database: DatabaseSync) {
    const marks = (count: number): string => Array.from({ length: count }, () => "?").join(",");
    this.#find = database.prepare(`SELECT id FROM rollup_series WHERE ${LABELS.map((label) => `${label} = ?`).join(" AND ")}`);
    this.#insert = database.prepare(`INSERT INTO rollup_series (${LABELS.join(",")}) VALUES (${marks(LABELS.length)})`);
    this.#latency = database.prepare("SELECT latency FROM rollup_cells WHERE level = ? AND series = ? AND at = ?");
    this.#add = database.prepare(
      `INSERT INTO rollup_cells (level, series, at, latency, ${SUM_COLUMNS.join(",")}) VALUES (${marks(4 + SUM_COLUMNS.length)})
       ON CONFLICT DO UPDATE SET latency = excluded.latency, ${SUM_COLUMNS.map((name) => `${name} = ${name} + excluded.${name}`).join(", ")}`,
    );
    const values = database.prepare(
      `SELECT DISTINCT CASE dimension WHEN 'model' THEN model ELSE value END AS value FROM rollup_series
       WHERE dimension = ?1 AND EXISTS (SELECT 1 FROM rollup_cells WHERE level = ${DAILY} AND series = id AND at = ?2)`,
    );
    this.#values = new DayValues((dimension, day) => values.all(dimension, day * HOURS_PER_DAY).map((columns) => String(columns["value"])));
  }

  /** What is remembered of names may never have been committed. */
  forget(): void {
    this.#series.clear();
    this.#values.forget();
  }

  write(tally: Tally, dayValues: number): void {
    const days = new Map<string, HourCell>();
    for (const one of tally.taken((dimension, hour, value) => this.#values.bound(dayValues, dimension, hour, value))) {
      const series = this.#seriesOf(one.labels);
      this.#addTo(HOURLY, series, one);
      addToDay(days, series, one);
    }
    for (const one of days.values()) this.#addTo(DAILY, this.#seriesOf(one.labels), one);
  }

  #addTo(level: number, series: number, { hour, cell }: HourCell): void {
    const before = this.#latency.get(level, series, hour)?.["latency"];
    const latency = new Map(cell.latency);
    if (before instanceof Uint8Array) addPackedLatency(latency, before);
    this.#add.run(level, series, hour, packLatency(latency), ...cell.sums);
  }

  #seriesOf(labels: SeriesLabels): number {
    const id = JSON.stringify(labels);
    const known = this.#series.get(id);
    if (known !== undefined) return known;
    if (this.#series.size >= MOST_SERIES_KNOWN) this.#series.clear();
    const found = this.#find.get(...labels)?.["id"];
    const series = found === undefined ? Number(this.#insert.run(...labels).lastInsertRowid) : Number(found);
    this.#series.set(id, series);
    return series;
  }
}

/** Days are kept at the hour they begin with. */
function addToDay(days: Map<string, HourCell>, series: number, { labels, hour, cell }: HourCell): void {
  const begins = hour - (hour % HOURS_PER_DAY);
  const id = `${series} ${begins}`;
  const known = days.get(id);
  if (known) addCell(known.cell, cell);
  else days.set(id, { labels, hour: begins, cell: { sums: [...cell.sums], latency: new Map(cell.latency) } });
}

export function rollupWrites(rollups: Rollups): Pick<WriteTable, "rollUp" | "followRollups"> {
  return {
    rollUp: ([restart]) => rollups.rollUp(restart),
    followRollups: ([metadata, values]) => rollups.follow(metadata, values),
  };
}

export function rollupReads(database: DatabaseSync): Pick<ReadTable, "reportLines"> {
  const state = new Progress(database);
  const rowsAfter = arrays(database.prepare(WAITING_ROWS));
  const repricingsAfter = arrays(database.prepare(WAITING_REPRICINGS));
  const series = arrays(database.prepare(`SELECT id, ${LABELS.join(",")} FROM rollup_series WHERE dimension = ?`));
  const CELLS = "FROM rollup_cells WHERE level = ? AND series = ? AND at >= ? AND at < ?";
  const cells = (more: string, columns: string): ReturnType<typeof arrays> =>
    arrays(database.prepare(`SELECT at, ${columns}${SUM_COLUMNS.join(",")} ${CELLS}${more}`));
  const only = " AND at IN (SELECT value FROM json_each(?))";
  const plain = { all: cells("", ""), only: cells(only, "") };
  const withLatency = { all: cells("", "latency,"), only: cells(only, "latency,") };

  function stored(query: ReportQuery, lines: Lines): void {
    const statements = query.latency ? withLatency : plain;
    const first = query.latency ? 2 : 1;
    const reads = cellReads(query).map((read) => ({ read, only: read.only && JSON.stringify(read.only) }));
    for (const [id, ...labels] of series(query.dimension)) {
      const linesOfSeries = lines.series(labels as unknown as SeriesLabels);
      if (!linesOfSeries) continue;
      for (const { read, only: hours } of reads) {
        const range = [read.level, Number(id), read.from, read.until] as const;
        for (const columns of hours === undefined ? statements.all(...range) : statements.only(...range, hours))
          addStoredCell(linesOfSeries, read, Number(columns[0]), columns, first, first === 2 ? columns[1] : undefined);
      }
    }
  }

  return {
    reportLines: ([query]) => answered(() => linesOf(query)),
  };

  function linesOf(query: ReportQuery): readonly ReportLine[] {
    const known = state.read();
    const waiting = state.waiting(known);
    if (waiting > MOST_WAITING) throw tooManyWaiting(waiting);
    const lines = new Lines(query);
    stored(query, lines);
    if (waiting > 0) {
      const tally = new Tally(known.metadata);
      for (const [, ...row] of rowsAfter(known.ledgerSeq, waiting)) tally.addRow(row);
      addRepricings(tally, repricingsAfter(known.repricingSeq, waiting));
      const values = new DayValues(() => []);
      lines.add(tally.taken((dimension, hour, value) => values.bound(known.dayValues, dimension, hour, value)));
    }
    return lines.lines();
  }
}

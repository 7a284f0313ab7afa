import type { LedgerPageQuery, LedgerStore, PricedRow } from "../../canon/index.ts";
import type { SpendReport } from "../reports/index.ts";
import { CsvWriter } from "./csv.ts";
import { JsonWriter } from "./json.ts";
import { ParquetTable } from "./parquet.ts";
import { ROW_COLUMNS } from "./row-columns.ts";
import { spendColumns } from "./spend-columns.ts";
import type { Column, Compression, ExportFormat, TableWriter } from "./table.ts";

export { exportRange, type AskedRange } from "./range.ts";
export { SERVED_ROWS_IN_GROUP } from "./parquet.ts";
export { COMPRESSIONS, EXPORT_FORMATS, type Compression, type ExportFormat } from "./table.ts";

export interface ExportOptions {
  readonly format: ExportFormat;
  /** Of Parquet only; default: zstd. */
  readonly compression?: Compression | undefined;
  /** Rows of a group of Parquet's: fewer where calls are served beside it. */
  readonly groupRows?: number | undefined;
}

function writerOf<Row>(columns: readonly Column<Row>[], { format, compression, groupRows }: ExportOptions): TableWriter<Row> {
  if (format === "csv") return new CsvWriter(columns);
  return format === "json" ? new JsonWriter(columns) : new ParquetTable(columns, compression, groupRows);
}

export interface RowsExport {
  readonly contentType: string;
  /** The file, piece by piece; a piece is made when it is asked for. Throws what reading the ledger throws: the file is not whole then. */
  readonly pieces: AsyncGenerator<Uint8Array, void, undefined>;
}

/** Rows of the ledger as a file, a page of them in memory at a time (of Parquet a row group). `rows`: told how many there were so far. */
export function exportRows(
  store: Pick<LedgerStore, "page">,
  query: Omit<LedgerPageQuery, "after">,
  options: ExportOptions,
  rows: (count: number) => void = () => {},
): RowsExport {
  const writer = writerOf<PricedRow>(ROW_COLUMNS, options);
  return { contentType: writer.contentType, pieces: piecesOf(store, query, writer, rows) };
}

async function* piecesOf(
  store: Pick<LedgerStore, "page">,
  query: Omit<LedgerPageQuery, "after">,
  writer: TableWriter<PricedRow>,
  told: (count: number) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield writer.begin();
  let count = 0;
  for (let after: number | undefined = 0; after !== undefined;) {
    const page = await store.page({ ...query, after });
    after = page.next;
    count += page.rows.length;
    const piece = writer.rows(page.rows);
    if (piece.length > 0) yield piece;
    told(count);
  }
  yield writer.end();
}

/** A report as a Parquet file: exact whole numbers, no text of dollars. */
export function spendParquet(report: SpendReport, compression: Compression = "zstd"): Uint8Array {
  const writer = new ParquetTable(spendColumns(report), compression);
  return Buffer.concat([writer.begin(), writer.rows(report.lines), writer.end()]);
}

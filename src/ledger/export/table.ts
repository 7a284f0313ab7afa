/** What a cell may hold; `json`: any value, written as JSON text where the format has no values of its own. Times are milliseconds since 1970. */
export type CellType = "text" | "int64" | "double" | "bool" | "time" | "json";

/** One column of an export, and how a row fills it; undefined and null are an empty cell. */
export interface Column<Row> {
  readonly name: string;
  readonly type: CellType;
  readonly of: (row: Row) => unknown;
}

/** The text of a cell that is a text, a number or a truth value. */
export function wordOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

export const EXPORT_FORMATS = ["csv", "json", "parquet"] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** How pages of a Parquet file are pressed. */
export const COMPRESSIONS = ["zstd", "snappy", "none"] as const;
export type Compression = (typeof COMPRESSIONS)[number];

/** Takes rows a few at a time and gives the bytes that are complete so far. A file is `begin`, `rows` as often as there are some, `end`. */
export interface TableWriter<Row> {
  readonly contentType: string;
  begin(): Uint8Array;
  rows(rows: readonly Row[]): Uint8Array;
  end(): Uint8Array;
}

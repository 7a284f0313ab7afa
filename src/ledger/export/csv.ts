import { wordOf, type Column, type TableWriter } from "./table.ts";

const NEEDS_QUOTES = /[",\r\n]/;
/** Spreadsheets run a cell that begins so as a formula, also behind white space; names come from callers. */
const LOOKS_LIKE_FORMULA = /^\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]/;

/** Comma-separated values (RFC 4180), a line of names first. Times are ISO 8601 in UTC. */
export class CsvWriter<Row> implements TableWriter<Row> {
  readonly contentType = "text/csv; charset=utf-8";
  readonly #columns: readonly Column<Row>[];

  constructor(columns: readonly Column<Row>[]) {
    this.#columns = columns;
  }
  begin(): Uint8Array {
    return Buffer.from(lineOf(this.#columns.map(({ name }) => harmless(name))));
  }
  rows(rows: readonly Row[]): Uint8Array {
    return Buffer.from(rows.map((row) => lineOf(this.#columns.map((column) => cellOf(column, row)))).join(""));
  }
  end(): Uint8Array {
    return new Uint8Array();
  }
}

function cellOf<Row>({ type, of }: Column<Row>, row: Row): string {
  const value = of(row);
  if (value === undefined || value === null) return "";
  switch (type) {
    case "text":
      return harmless(wordOf(value));
    case "time":
      return new Date(Number(value)).toISOString();
    case "json":
      return harmless(JSON.stringify(value));
    case "int64":
    case "double":
    case "bool":
      return wordOf(value);
  }
}

function harmless(text: string): string {
  return LOOKS_LIKE_FORMULA.test(text) ? `'${text}` : text;
}

function lineOf(cells: readonly string[]): string {
  return `${cells.map((text) => (NEEDS_QUOTES.test(text) ? `"${text.replaceAll('"', '""')}"` : text)).join(",")}\r\n`;
}

import { zstdCompressSync } from "node:zlib";
import { ByteWriter, ParquetWriter } from "hyparquet-writer";
import { wordOf, type CellType, type Column, type Compression, type TableWriter } from "./table.ts";

/** Rows of one group: as many as are held in memory at once. To write them takes some 200 ms without a pause. */
export const ROWS_IN_GROUP = 20_000;
/** The same where calls are served beside it: some 20 ms. Readers are a little slower with many groups. */
export const SERVED_ROWS_IN_GROUP = 2000;
const BEGIN_BYTES = 1024 * 1024;

type Schema = ConstructorParameters<typeof ParquetWriter>[0]["schema"];
type SchemaElement = Schema[number];

/** Source: parquet-format, "Logical Types". Times are milliseconds since 1970 in UTC, free values JSON text. */
const ELEMENTS: Readonly<Record<CellType, Omit<SchemaElement, "name">>> = {
  text: { type: "BYTE_ARRAY", converted_type: "UTF8" },
  int64: { type: "INT64" },
  double: { type: "DOUBLE" },
  bool: { type: "BOOLEAN" },
  time: { type: "INT64", converted_type: "TIMESTAMP_MILLIS" },
  json: { type: "BYTE_ARRAY", converted_type: "UTF8" },
};
const CODECS = { zstd: "ZSTD", snappy: "SNAPPY", none: "UNCOMPRESSED" } as const;

/** A Parquet file, written group by group: what is complete is given away, so that memory does not grow with the file. */
export class ParquetTable<Row> implements TableWriter<Row> {
  readonly contentType = "application/vnd.apache.parquet";
  readonly #columns: readonly Column<Row>[];
  readonly #bytes = new ByteWriter(BEGIN_BYTES);
  readonly #writer: ParquetWriter;
  readonly #groupRows: number;
  #waiting: Row[] = [];

  constructor(columns: readonly Column<Row>[], compression: Compression = "zstd", groupRows = ROWS_IN_GROUP) {
    this.#columns = columns;
    this.#groupRows = groupRows;
    const leaves = columns.map(({ name, type }): SchemaElement => ({ name, ...ELEMENTS[type], repetition_type: "OPTIONAL" }));
    this.#writer = new ParquetWriter({
      writer: this.#bytes,
      schema: [{ name: "rows", num_children: columns.length }, ...leaves],
      codec: CODECS[compression],
      compressors: { ZSTD: (input) => zstdCompressSync(input) },
      createdBy: "gimbal",
    });
  }

  begin(): Uint8Array {
    return this.#taken();
  }

  rows(rows: readonly Row[]): Uint8Array {
    for (const row of rows) {
      this.#waiting.push(row);
      if (this.#waiting.length === this.#groupRows) this.#group();
    }
    return this.#taken();
  }

  end(): Uint8Array {
    if (this.#waiting.length > 0) this.#group();
    void this.#writer.finish();
    return this.#taken();
  }

  #group(): void {
    const rows = this.#waiting;
    this.#waiting = [];
    const columnData = this.#columns.map(({ name, type, of }) => ({
      name,
      data: rows.map((row) => valueOf(type, of(row))),
      // An index of pages saves readers little in groups this small, and would be kept in memory until the end.
      offsetIndex: false,
    }));
    void this.#writer.write({ columnData, rowGroupSize: this.#groupRows });
  }

  /** What is written so far; the writer goes on from an empty buffer, counting offsets from the file's beginning. */
  #taken(): Uint8Array {
    const bytes = this.#bytes.getBytes().slice();
    this.#bytes.index = 0;
    return bytes;
  }
}

function valueOf(type: CellType, value: unknown): unknown {
  if (value === undefined || value === null) return undefined;
  switch (type) {
    case "text":
      return wordOf(value);
    case "json":
      return JSON.stringify(value);
    case "int64":
      return BigInt(Math.round(Number(value)));
    case "time":
      return new Date(Number(value));
    case "double":
    case "bool":
      return value;
  }
}

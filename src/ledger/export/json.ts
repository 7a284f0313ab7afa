import type { Column, TableWriter } from "./table.ts";

/** One JSON array with a row on each line, so that it can be read as a whole or line by line. Empty cells are left out. */
export class JsonWriter<Row> implements TableWriter<Row> {
  readonly contentType = "application/json";
  readonly #columns: readonly Column<Row>[];
  #any = false;

  constructor(columns: readonly Column<Row>[]) {
    this.#columns = columns;
  }
  begin(): Uint8Array {
    return Buffer.from("[");
  }
  rows(rows: readonly Row[]): Uint8Array {
    let text = "";
    for (const row of rows) {
      text += `${this.#any ? "," : ""}\n${JSON.stringify(this.#object(row))}`;
      this.#any = true;
    }
    return Buffer.from(text);
  }
  end(): Uint8Array {
    return Buffer.from("\n]\n");
  }

  #object(row: Row): object {
    return Object.fromEntries(
      this.#columns.flatMap(({ name, type, of }) => {
        const value = of(row);
        if (value === undefined || value === null) return [];
        return [[name, type === "time" ? new Date(Number(value)).toISOString() : value]];
      }),
    );
  }
}

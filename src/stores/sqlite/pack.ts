import type { Command } from "../backend.ts";
import { LEDGER_COLUMNS, type RowValues } from "../ledger-values.ts";

/**
 * A batch on its way to the writer's thread. Rows are most of it and nearly the same in most columns: a text that repeats travels once,
 * and its row holds a number for it. Measured: 1.0 µs a row for both threads together, where copying lists of values cost 1.9.
 */
export interface PackedBatch {
  readonly rows: number;
  /** Of each row `opened`, then its columns between call id and detail: the number itself, the place of a text in `words`, or NaN for null. */
  readonly cells: Float64Array;
  readonly words: readonly string[];
  /** By column: are its cells places in `words`? No column holds both texts and numbers. */
  readonly texts: readonly boolean[];
  /** Call id and detail of each row in turn: the texts that are no other row's, one a line. */
  readonly own: string;
  /** What is no row, and at which places of the batch. */
  readonly others: readonly Command[];
  readonly places: readonly number[];
}

/** The first column and the last. JSON escapes line breaks; an id that has one travels among `others`. */
const CALL_ID = LEDGER_COLUMNS.indexOf("call_id");
const DETAIL = LEDGER_COLUMNS.indexOf("detail");
const SEPARATOR = "\n";
const CELLS = LEDGER_COLUMNS.length - 1;

type Settle = Command<"settle">;

function isSettle(command: Command): command is Settle {
  return command.name === "settle" && command.args.length === 2;
}

export function packBatch(commands: readonly Command[]): PackedBatch {
  const settles: Settle[] = [];
  const others: Command[] = [];
  const places: number[] = [];
  for (const [place, command] of commands.entries()) {
    if (isSettle(command) && !breaksLine(command)) settles.push(command);
    else {
      // Commands carry more than may travel: who waits for them.
      others.push({ name: command.name, args: command.args });
      places.push(place);
    }
  }
  return { rows: settles.length, ...packRows(settles), others, places };
}

function breaksLine({ args: [, row] }: Settle): boolean {
  return String(row[CALL_ID]).includes(SEPARATOR);
}

function packRows(settles: readonly Settle[]): Pick<PackedBatch, "cells" | "words" | "texts" | "own"> {
  const cells = new Float64Array(settles.length * CELLS);
  const words: string[] = [];
  const texts = LEDGER_COLUMNS.map(() => false);
  const known = new Map<string, number>();
  // A text is mostly that of the row before: comparing is cheaper than looking it up.
  const before: (string | undefined)[] = [];
  const places: number[] = [];
  const own: (RowValues[number] | undefined)[] = [];
  let at = 0;
  for (const { args } of settles) {
    const [opened, row] = args;
    own.push(row[CALL_ID], row[DETAIL]);
    cells[at++] = opened;
    for (let column = CALL_ID + 1; column < DETAIL; column++) {
      const value = row[column] ?? null;
      if (typeof value !== "string") cells[at++] = value ?? Number.NaN;
      else {
        if (value !== before[column]) {
          texts[column] = true;
          before[column] = value;
          places[column] = placeOf(value, words, known);
        }
        cells[at++] = places[column] ?? 0;
      }
    }
  }
  return { cells, words, texts, own: own.join(SEPARATOR) };
}

function placeOf(value: string, words: string[], known: Map<string, number>): number {
  const before = known.get(value);
  if (before !== undefined) return before;
  const place = words.push(value) - 1;
  known.set(value, place);
  return place;
}

/** The commands again, in the order in which they were packed. */
export function unpackBatch(batch: PackedBatch): readonly Command[] {
  const commands: Command[] = unpackRows(batch);
  for (const [index, place] of batch.places.entries()) {
    const other = batch.others[index];
    if (other) commands.splice(place, 0, other);
  }
  return commands;
}

function unpackRows({ rows, cells, words, texts, own }: PackedBatch): Command[] {
  const owned = own.split(SEPARATOR);
  const settles: Settle[] = [];
  for (let row = 0; row < rows; row++) {
    let at = row * CELLS;
    const opened = cells[at++] === 1 ? 1 : 0;
    const values: (string | number | null)[] = [owned[row * 2] ?? ""];
    for (let column = CALL_ID + 1; column < DETAIL; column++) {
      const cell = cells[at++] ?? Number.NaN;
      values.push(Number.isNaN(cell) ? null : texts[column] === true ? (words[cell] ?? null) : cell);
    }
    values.push(owned[row * 2 + 1] ?? "");
    settles.push({ name: "settle", args: [opened, values] });
  }
  return settles;
}

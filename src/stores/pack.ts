import type { CounterSpend } from "../canon/index.ts";
import { type Command, ROW_CHARACTERS, type Spends } from "./backend.ts";
import { LEDGER_COLUMNS, type RowValues } from "./ledger-values.ts";

/**
 * A batch on its way to the writer's thread, or to the process that has it, which hands its rows on as they are. Rows are most of it and
 * nearly the same in most columns: a text that repeats travels once, and its row holds a number for it. Measured: 1.0 µs a row for both
 * threads together, where copying lists of values cost 1.9.
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
  /** What rows book, one after the other: place of the row, of the node and of the counter's key in `words`, begins, spent, released. */
  readonly spends: Float64Array;
  /** What is no row, and at which places of the batch. */
  readonly others: readonly Command[];
  readonly places: readonly number[];
}

/** The first column and the last. JSON escapes line breaks; an id that has one travels among `others`. */
const CALL_ID = LEDGER_COLUMNS.indexOf("call_id");
const DETAIL = LEDGER_COLUMNS.indexOf("detail");
const SEPARATOR = "\n";
const CELLS = LEDGER_COLUMNS.length - 1;
const SPEND_CELLS = 6;

type Settle = Command<"settle">;

function isSettle(command: Command): command is Settle {
  return command.name === "settle";
}

export function packBatch(commands: readonly Command[]): PackedBatch {
  const settles: Settle[] = [];
  const others: Command[] = [];
  const places: number[] = [];
  for (const [place, command] of commands.entries()) {
    if (isSettle(command) && isPackable(command)) settles.push(command);
    else {
      // Commands carry more than may travel: who waits for them.
      others.push({ name: command.name, args: command.args });
      places.push(place);
    }
  }
  return { rows: settles.length, ...packRows(settles), others, places };
}

/** Can a row travel packed? Where not, it travels as any other write. */
export function isPackable({ args: [, row, spends] }: Settle): boolean {
  return !String(row[CALL_ID]).includes(SEPARATOR) && spends?.entries.length !== 0;
}

function packRows(settles: readonly Settle[]): Pick<PackedBatch, "cells" | "words" | "texts" | "own" | "spends"> {
  const cells = new Float64Array(settles.length * CELLS);
  const words: string[] = [];
  const texts = LEDGER_COLUMNS.map(() => false);
  const known = new Map<string, number>();
  // A text is mostly that of the row before: comparing is cheaper than looking it up.
  const before: (string | undefined)[] = [];
  const places: number[] = [];
  const own: (RowValues[number] | undefined)[] = [];
  const spent: number[] = [];
  let at = 0;
  for (const [place, { args }] of settles.entries()) {
    const [opened, row, spends] = args;
    if (spends) packSpends(place, spends, spent, (text) => placeOf(text, words, known));
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
  return { cells, words, texts, own: own.join(SEPARATOR), spends: Float64Array.from(spent) };
}

function packSpends(row: number, { node, entries }: Spends, into: number[], wordOf: (text: string) => number): void {
  const by = wordOf(node);
  for (const [key, begins, spent, released] of entries) into.push(row, by, wordOf(key), begins, spent, released);
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

function unpackRows(batch: PackedBatch): Command<"settle">[] {
  const { rows, cells, words, texts, own } = batch;
  const owned = own.split(SEPARATOR);
  const spends = unpackSpends(batch);
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
    const booked = spends.get(row);
    settles.push({ name: "settle", args: booked ? [opened, values, booked] : [opened, values] });
  }
  return settles;
}

/** By the place of its row, what each books. */
function unpackSpends({ spends, words }: PackedBatch): ReadonlyMap<number, Spends> {
  const byRow = new Map<number, { readonly node: string; readonly entries: CounterSpend[] }>();
  for (let at = 0; at < spends.length; at += SPEND_CELLS) {
    const [row = 0, node = 0, key = 0, begins = 0, spent = 0, released = 0] = spends.subarray(at, at + SPEND_CELLS);
    const entry: CounterSpend = [words[key] ?? "", begins, spent, released];
    const before = byRow.get(row);
    if (before) before.entries.push(entry);
    else byRow.set(row, { node: words[node] ?? "", entries: [entry] });
  }
  return byRow;
}

/** Asks of every row whose call's open record was handed over whether that can still be dropped; those need none to be deleted. */
export function dropOpened({ rows, cells, own }: PackedBatch, drop: (callId: string) => boolean): void {
  let owned: readonly string[] | undefined;
  for (let row = 0; row < rows; row++) {
    if (cells[row * CELLS] !== 1) continue;
    owned ??= own.split(SEPARATOR);
    if (drop(owned[row * 2] ?? "")) cells[row * CELLS] = 0;
  }
}

/**
 * What came over a channel lies in memory that it shares with other messages, and copying a part for a thread would copy all of it: here
 * it has its own.
 */
export function ownedRows(batch: PackedBatch): PackedBatch {
  return { ...batch, cells: new Float64Array(batch.cells), spends: new Float64Array(batch.spends) };
}

/** A batch in parts, of which some came packed from another process, for who writes it. */
export type BatchEntry = Command | { readonly packed: PackedBatch };

/** Packs what stands between parts that are packed already. */
export function packEntries(entries: readonly BatchEntry[]): readonly PackedBatch[] {
  const parts: PackedBatch[] = [];
  let loose: Command[] = [];
  const pack = (): void => {
    if (loose.length > 0) parts.push(packBatch(loose));
    loose = [];
  };
  for (const entry of entries) {
    if (!("packed" in entry)) loose.push(entry);
    else {
      pack();
      parts.push(entry.packed);
    }
  }
  pack();
  return parts;
}

/** For who writes without packing. */
export function commandsOf(entries: readonly BatchEntry[]): readonly Command[] {
  return entries.flatMap((entry) => ("packed" in entry ? unpackBatch(entry.packed) : [entry]));
}

/** The size of packed rows for a queue's bound, in characters. */
export function sizeOfRows({ rows, own }: PackedBatch): number {
  return rows * ROW_CHARACTERS + own.length;
}

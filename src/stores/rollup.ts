import { OTHER_VALUE, REPORT_SUMS, reportBucket } from "../canon/index.ts";
import { LEDGER_COLUMNS, type RowValues } from "./ledger-values.ts";

/** Columns of a cell's sums, in the order of `REPORT_SUMS`. */
export const SUM_COLUMNS = [
  "calls",
  "failed",
  "cancelled",
  "cache_hits",
  "cost",
  "unknown_costs",
  "input",
  "cache_read",
  "cache_write",
  "output",
  "reasoning",
  "estimated",
  "saved",
] as const;

const MS_PER_HOUR = 3_600_000;
export const HOURS_PER_DAY = 24;
/** Longer texts from callers are cut, so that nobody fills the tables with them. */
const LABEL_CHARACTERS = 200;

/** What one set of calls adds up to: sums in the order of REPORT_SUMS, and how many calls fell into which bucket of which stage. */
export interface Cell {
  readonly sums: number[];
  readonly latency: Map<number, number>;
}

/** Which calls a cell counts. Labels it does not tell apart are empty. */
export type SeriesLabels = readonly [
  dimension: string,
  value: string,
  key: string,
  team: string,
  project: string,
  model: string,
  target: string,
];

export interface HourCell {
  readonly labels: SeriesLabels;
  /** Since 1970. */
  readonly hour: number;
  readonly cell: Cell;
}

const place = (name: (typeof LEDGER_COLUMNS)[number]): number => LEDGER_COLUMNS.indexOf(name);
const STATE = place("state");
const STARTED_AT = place("started_at");
const CALLER_ID = place("caller_id");
const TEAM = place("team");
const PROJECT = place("project");
const MODEL = place("model");
const TARGET = place("target");
const INPUT_UNCACHED = place("input_uncached");
const CACHE_READ = place("cache_read");
const CACHE_WRITE_5M = place("cache_write_5m");
const CACHE_WRITE_1H = place("cache_write_1h");
const OUTPUT = place("output");
const REASONING = place("reasoning");
const ESTIMATED = place("usage_estimated");
const COST = place("cost_nanodollars");
const READY_MS = place("ready_ms");
const FIRST_OUTPUT_MS = place("first_output_ms");
const TOTAL_MS = place("total_ms");
const PROBLEM = place("problem");
const SESSION = place("session");
const DETAIL = place("detail");

const COST_SUM = REPORT_SUMS.indexOf("costNanodollars");
const UNKNOWN_SUM = REPORT_SUMS.indexOf("unknownCosts");

interface Details {
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly cache?: string;
  readonly savedNanodollars?: number;
}
const NO_DETAILS: Details = {};

export function emptyCell(): Cell {
  return { sums: REPORT_SUMS.map(() => 0), latency: new Map() };
}

export function addCell(to: Cell, { sums, latency }: Cell): void {
  for (let at = 0; at < sums.length; at++) to.sums[at] = (to.sums[at] ?? 0) + (sums[at] ?? 0);
  for (const [bucket, count] of latency) to.latency.set(bucket, (to.latency.get(bucket) ?? 0) + count);
}

/** Names on the way to a cell; texts of a batch are shared, so looking one up is cheaper than putting a key together. */
interface Step {
  readonly next: Map<string | number, Step>;
  cell?: Cell;
}
const step = (): Step => ({ next: new Map() });

function follow(from: Step, name: string | number): Step {
  const known = from.next.get(name);
  if (known) return known;
  const added = step();
  from.next.set(name, added);
  return added;
}

/**
 * Adds up rows of the ledger. A row counts in one cell for all of its names together, which are taken apart when the sums are written,
 * and in one for each of its session, agent, problem and followed metadata, which a row need not have.
 */
export class Tally {
  readonly #metadata: readonly string[];
  readonly #cubes = step();
  readonly #tags = step();
  readonly #cells: HourCell[] = [];

  constructor(metadata: readonly string[]) {
    this.#metadata = metadata;
  }

  get isEmpty(): boolean {
    return this.#cells.length === 0;
  }

  addRow(row: RowValues): void {
    const details = detailsOf(row);
    const cube = this.#cube(row);
    countRow(cube, row, details);
    this.#eachTag(row, details, (cell) => countRow(cell, row, details));
  }

  /** What a row costs changed. Null: unknown. */
  addRepricing(row: RowValues, before: number | null, after: number | null): void {
    const change = (after ?? 0) - (before ?? 0);
    const unknown = (after === null ? 1 : 0) - (before === null ? 1 : 0);
    const count = ({ sums }: Cell): void => {
      sums[COST_SUM] = (sums[COST_SUM] ?? 0) + change;
      sums[UNKNOWN_SUM] = (sums[UNKNOWN_SUM] ?? 0) + unknown;
    };
    count(this.#cube(row));
    this.#eachTag(row, detailsOf(row), count);
  }

  hours(): readonly number[] {
    return [...new Set(this.#cells.map(({ hour }) => hour))];
  }

  /** As they are written: names taken apart. `bound` says under which name a value counts. */
  taken(bound: (dimension: string, hour: number, value: string) => string): readonly HourCell[] {
    const cells = new Map<string, HourCell>();
    for (const { labels, hour, cell } of this.#cells) {
      for (const narrow of narrowed(labels, hour, bound)) {
        const id = JSON.stringify([hour, narrow]);
        const known = cells.get(id) ?? { labels: narrow, hour, cell: emptyCell() };
        cells.set(id, known);
        addCell(known.cell, cell);
      }
    }
    return [...cells.values()];
  }

  /** The one that every row has: found without putting its labels together. */
  #cube(row: RowValues): Cell {
    const hour = hourOf(row);
    let at = follow(this.#cubes, hour);
    at = follow(at, text(row[CALLER_ID]));
    at = follow(at, text(row[TEAM]));
    at = follow(at, text(row[PROJECT]));
    at = follow(at, text(row[MODEL]));
    at = follow(at, text(row[TARGET]));
    return at.cell ?? this.#newCell(at, hour, cubeLabels(row));
  }

  #eachTag(row: RowValues, { metadata }: Details, use: (cell: Cell) => void): void {
    const tag = (dimension: string, value: string): void => {
      if (value !== "") use(this.#cellOf(hourOf(row), [dimension, value, "", text(row[TEAM]), text(row[PROJECT]), "", ""]));
    };
    tag("session", text(row[SESSION]));
    tag("problem", text(row[PROBLEM]));
    if (!metadata) return;
    tag("agent", metadataText(metadata["agent"]));
    for (const name of this.#metadata) tag(`metadata.${name}`, metadataText(metadata[name]));
  }

  #cellOf(hour: number, labels: SeriesLabels): Cell {
    let at = follow(this.#tags, hour);
    for (const label of labels) at = follow(at, label);
    return at.cell ?? this.#newCell(at, hour, labels);
  }

  #newCell(at: Step, hour: number, labels: SeriesLabels): Cell {
    const cell = emptyCell();
    at.cell = cell;
    this.#cells.push({ labels, hour, cell });
    return cell;
  }
}

function cubeLabels(row: RowValues): SeriesLabels {
  return ["cube", "", text(row[CALLER_ID]), text(row[TEAM]), text(row[PROJECT]), text(row[MODEL]), text(row[TARGET])];
}

function countRow({ sums, latency }: Cell, row: RowValues, details: Details): void {
  const state = row[STATE];
  const cost = row[COST] ?? null;
  const add = (at: number, amount: number): void => void (sums[at] = (sums[at] ?? 0) + amount);
  add(0, 1);
  if (state === "failed" || state === "interrupted") add(1, 1);
  else if (state === "cancelled") add(2, 1);
  if (details.cache === "hit") add(3, 1);
  if (cost === null) add(UNKNOWN_SUM, 1);
  else add(COST_SUM, Number(cost));
  add(6, Number(row[INPUT_UNCACHED]));
  add(7, Number(row[CACHE_READ]));
  add(8, Number(row[CACHE_WRITE_5M]) + Number(row[CACHE_WRITE_1H]));
  add(9, Number(row[OUTPUT]));
  add(10, Number(row[REASONING]));
  add(11, Number(row[ESTIMATED]));
  if (details.savedNanodollars !== undefined) add(12, details.savedNanodollars);
  // When it ended is unknown of an interrupted call.
  if (state === "interrupted") return;
  countBucket(latency, reportBucket(0, Number(row[READY_MS])));
  const first = row[FIRST_OUTPUT_MS];
  if (typeof first === "number") countBucket(latency, reportBucket(1, first));
  countBucket(latency, reportBucket(2, Number(row[TOTAL_MS])));
}

function countBucket(latency: Map<number, number>, bucket: number): void {
  latency.set(bucket, (latency.get(bucket) ?? 0) + 1);
}

/** Few rows have anything of interest in their JSON, so it is read only where it looks so. */
function detailsOf(row: RowValues): Details {
  const detail = String(row[DETAIL]);
  return detail.includes('"metadata":{') || detail.includes('"cache":"hit"') ? (JSON.parse(detail) as Details) : NO_DETAILS;
}

function hourOf(row: RowValues): number {
  return Math.floor(Number(row[STARTED_AT]) / MS_PER_HOUR);
}

function text(value: RowValues[number] | undefined): string {
  return typeof value === "string" ? (value.length > LABEL_CHARACTERS ? value.slice(0, LABEL_CHARACTERS) : value) : "";
}

function metadataText(value: unknown): string {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? text(String(value)) : "";
}

type Bound = (dimension: string, hour: number, value: string) => string;

function narrowed(
  [dimension, value, key, team, project, model, target]: SeriesLabels,
  hour: number,
  bound: Bound,
): readonly SeriesLabels[] {
  if (dimension !== "cube") return [[dimension, bound(dimension, hour, value), "", team, project, "", ""]];
  const known = bound("model", hour, model);
  // Of a model that is not told apart, neither is where it went.
  const where = known === model ? target : OTHER_VALUE;
  return [
    ["cube", "", key, team, project, known, where],
    ["all", "", "", "", "", "", ""],
    ["key", "", key, team, project, "", ""],
    ["team", "", "", team, "", "", ""],
    ["project", "", "", team, project, "", ""],
    ["model", "", "", "", "", known, ""],
    ["target", "", "", "", "", "", where],
  ];
}

/** Which values of a dimension a day has, so that there are never more than a bound. */
export class DayValues {
  readonly #known = new Map<string, Set<string>>();
  readonly #load: (dimension: string, day: number) => Iterable<string>;

  constructor(load: (dimension: string, day: number) => Iterable<string>) {
    this.#load = load;
  }

  bound(most: number, dimension: string, hour: number, value: string): string {
    const day = Math.floor(hour / HOURS_PER_DAY);
    const id = `${day} ${dimension}`;
    let known = this.#known.get(id);
    if (!known) {
      // A record that is added up anew goes through all of its days.
      if (this.#known.size >= MOST_DAYS_KNOWN) this.#known.clear();
      known = new Set(this.#load(dimension, day));
      this.#known.set(id, known);
    }
    if (known.has(value)) return value;
    if (known.size >= most) return OTHER_VALUE;
    known.add(value);
    return value;
  }

  forget(): void {
    this.#known.clear();
  }
}
const MOST_DAYS_KNOWN = 64;

/** Pairs of a bucket and its count, each number in groups of seven bits (LEB128), buckets as distances from the one before. */
export function packLatency(latency: ReadonlyMap<number, number>): Uint8Array {
  const bytes: number[] = [];
  const put = (number: number): void => {
    let rest = number;
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
    bytes.push(rest);
  };
  let before = 0;
  for (const [bucket, amount] of [...latency].toSorted((a, b) => a[0] - b[0])) {
    put(bucket - before);
    put(amount);
    before = bucket;
  }
  return Uint8Array.from(bytes);
}

export function addPackedLatency(latency: Map<number, number>, packed: Uint8Array): void {
  eachBucket(packed, (bucket, count) => void latency.set(bucket, (latency.get(bucket) ?? 0) + count));
}

/** The pairs of a packed latency, buckets rising. */
export function eachBucket(packed: Uint8Array, use: (bucket: number, count: number) => void): void {
  let bucket = 0;
  let distance = -1;
  for (let at = 0; at < packed.length;) {
    let number = 0;
    for (let unit = 1; ; unit *= 128) {
      const byte = packed[at++] ?? 0;
      number += (byte & 127) * unit;
      if (byte < 128) break;
    }
    if (distance < 0) distance = number;
    else {
      bucket += distance;
      distance = -1;
      use(bucket, number);
    }
  }
}

import { open, rename, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { COMPRESSIONS, EXPORT_FORMATS, exportRange, exportRows, type Compression, type ExportFormat } from "../ledger/export/index.ts";
import { ReportError, ZoneError } from "../ledger/reports/index.ts";
import { CommandError, DONE, UsageError, type Command, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { onRecord } from "./record.ts";
import { downloadFrom } from "./running.ts";
import { DATA_FLAG } from "./settings.ts";

/** How often a long export says how far it is, in rows and in bytes. */
const PROGRESS_ROWS = 50_000;
const PROGRESS_BYTES = 32 * 1024 * 1024;

interface Asked {
  readonly format: ExportFormat;
  readonly compression: Compression | undefined;
  readonly range: { readonly since: number; readonly until: number };
  readonly model: string | undefined;
}

export const exportCommand: Command = {
  name: "ledger export",
  summary: "Write rows of the ledger to a file: one per call, with everything that the ledger knows of it.",
  operands: [],
  flags: {
    from: { value: "WHEN", meaning: "A day (2026-01-31), or a time (ISO 8601). Default: the first row." },
    to: { value: "WHEN", meaning: "A day, which counts whole, or a time. Default: now." },
    "time-zone": { value: "ZONE", meaning: "Whose days. Default: UTC." },
    model: { value: "NAME", meaning: "Only calls of this model, as callers name it, or of this provider/model." },
    format: { value: "NAME", meaning: "csv, json (an array with a row on each line) or parquet. Default: csv." },
    compression: { value: "NAME", meaning: "Of Parquet: zstd, snappy or none. Default: zstd." },
    out: { value: "FILE", meaning: "Write to this file. Default: standard output; parquet needs a file." },
    ...DATA_FLAG,
  },
  async run(input, deps) {
    const asked = askedOf(input, deps);
    const file = input.text("out");
    if (asked.format === "parquet" && file === undefined) throw new UsageError("--format parquet needs --out FILE.");
    const take = (pieces: AsyncIterable<Uint8Array>): Promise<number> =>
      file === undefined ? toStandardOutput(pieces, deps) : toFile(pieces, resolve(deps.cwd, file));
    const bytes = await onRecord(input, deps, {
      server: async (server, folder) => take(progress(await downloadFrom(server, folder, deps, pathOf(asked)), deps)),
      stores: (stores) => take(exportRows(stores.ledger, { ...asked.range, model: asked.model }, asked, sayRows(deps)).pieces),
    });
    if (file !== undefined && input.json) deps.out(`${JSON.stringify({ file: resolve(deps.cwd, file), bytes })}\n`);
    else if (file !== undefined) deps.err(`Written to ${resolve(deps.cwd, file)}: ${bytes} bytes.\n`);
    return DONE;
  },
};

/** @throws UsageError */
function askedOf(input: Input, deps: CliDeps): Asked {
  const asked = { from: input.text("from"), to: input.text("to"), timeZone: input.text("time-zone") };
  const format = oneOf(input, "format", EXPORT_FORMATS) ?? "csv";
  const compression = oneOf(input, "compression", COMPRESSIONS);
  if (compression !== undefined && format !== "parquet") throw new UsageError("--compression is for --format parquet.");
  try {
    return { format, compression, range: exportRange(asked, deps.clock.now()), model: input.text("model") };
  } catch (error) {
    if (error instanceof ReportError || error instanceof ZoneError) throw new UsageError(error.message);
    throw error;
  }
}

function oneOf<T extends string>(input: Input, flag: string, words: readonly T[]): T | undefined {
  const named = input.text(flag);
  const found = words.find((word) => word === named);
  if (named !== undefined && found === undefined) throw new UsageError(`--${flag} is one of ${words.join(", ")}, not "${named}".`);
  return found;
}

function pathOf({ format, compression, range, model }: Asked): string {
  const query = new URLSearchParams({ format, from: String(range.since), to: String(range.until) });
  if (compression !== undefined) query.set("compression", compression);
  if (model !== undefined) query.set("model", model);
  return `/ledger/export?${query.toString()}`;
}

function sayRows(deps: CliDeps): (rows: number) => void {
  let said = 0;
  return (rows) => {
    if (rows - said < PROGRESS_ROWS) return;
    said = rows;
    deps.err(`${rows} rows written\n`);
  };
}

async function* progress(pieces: AsyncIterable<Uint8Array>, deps: CliDeps): AsyncGenerator<Uint8Array, void, undefined> {
  let bytes = 0;
  let said = 0;
  for await (const piece of pieces) {
    yield piece;
    bytes += piece.length;
    if (bytes - said < PROGRESS_BYTES) continue;
    said = bytes;
    deps.err(`${Math.round(bytes / 1024 / 1024)} MB written\n`);
  }
}

async function toStandardOutput(pieces: AsyncIterable<Uint8Array>, deps: CliDeps): Promise<number> {
  const decoder = new TextDecoder();
  let bytes = 0;
  for await (const piece of broken(pieces)) {
    bytes += piece.length;
    deps.out(decoder.decode(piece, { stream: true }));
  }
  return bytes;
}

/** Under another name until it is whole: a file that is there can be trusted. @throws CommandError */
async function toFile(pieces: AsyncIterable<Uint8Array>, path: string): Promise<number> {
  const draft = `${path}.part`;
  let bytes = 0;
  try {
    const file = await open(draft, "w", 0o600);
    try {
      for await (const piece of broken(pieces)) {
        await file.writeFile(piece);
        bytes += piece.length;
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
    return bytes;
  } catch (error) {
    await rm(draft, { force: true });
    if (error instanceof CommandError) throw error;
    throw new CommandError(`${path} cannot be written: ${error instanceof Error ? error.message : String(error)}.`);
  }
}

/** What ends the source before its end. @throws CommandError */
async function* broken(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* pieces;
  } catch (error) {
    throw new CommandError(`The export broke off: ${error instanceof Error ? error.message : String(error)}.`);
  }
}

import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { type Problem, ProblemError } from "../../canon/index.ts";
import { innerName } from "../audit.ts";
import type { BatchOutcome, Command, Outcome, ReadName, Reads, ReadTable, WriteName, Writes, WriteTable } from "../backend.ts";
import { reasonOf } from "../problems.ts";
import { accessReads, accessWrites } from "./access-tables.ts";
import { pinReads, pinWrites } from "./pin-table.ts";
import { batchReads, batchWrites } from "./batch-tables.ts";
import { fileReads, fileWrites } from "./file-tables.ts";
import { adminReads, adminWrites, keyGeneration, RAISES_GENERATION } from "./admin-tables.ts";
import { auditReads, auditWrites } from "./audit-table.ts";
import { cacheReads, cacheWrites } from "./cache-tables.ts";
import { callReads, callWrites } from "./call-tables.ts";
import { ContentFiles } from "./content-files.ts";
import { CounterBook, counterReads, counterWrites } from "./counter-table.ts";
import { idempotencyReads, idempotencyWrites } from "./idempotency-table.ts";
import type { JournalFile } from "./journal-file.ts";
import { ledgerReads, ledgerWrites } from "./ledger-table.ts";
import { repricingReads, repricingWrites } from "./repricing-table.ts";
import { lineageReads, lineageWrites } from "./lineage-table.ts";
import { versionOf } from "./migrate.ts";
import { recordMigrations } from "./migrations/record.ts";
import { servingMigrations } from "./migrations/serving.ts";
import { resealWrites } from "./reseal.ts";
import { Rollups, rollupReads, rollupWrites } from "./rollup-table.ts";
import type { Sealer } from "../sealing/sealer.ts";
import { isAboutStatement } from "./statement-errors.ts";

const RECORD_FILE = "record.db";
const SERVING_FILE = "serving.db";

export function recordPath(folder: string): string {
  return join(folder, RECORD_FILE);
}
export function servingPath(folder: string): string {
  return join(folder, SERVING_FILE);
}

/** Somebody at the command line may hold the file for a moment; longer waits belong to the queue, because reads share the thread. */
const BUSY_TIMEOUT_MS = 50;
/** Pages in the write-ahead log before they are moved into the database file; 8 MB. */
const CHECKPOINT_PAGES = 2000;
/** A log that grew in a burst is cut back to this. */
const LOG_BYTES = 64 * 1024 * 1024;

interface Writer {
  readonly database: DatabaseSync;
  readonly table: WriteTable;
  readonly counters: CounterBook;
  readonly generation: () => number;
  readonly begin: StatementSync;
  readonly commit: StatementSync;
}
interface Reader {
  readonly database: DatabaseSync;
  readonly table: ReadTable;
}

/**
 * The database files of one data folder, for one thread: a connection that writes and one that reads. The files must be migrated.
 * After a failure that is about the disk, connections are opened anew: SQLite may go on after such an error only if nothing of the
 * failed transaction is trusted, and a folder that was remounted has other files.
 */
export class Database {
  readonly #folder: string;
  readonly #sealer: Sealer;
  readonly #journal: JournalFile;
  readonly #content: ContentFiles;
  #writer: Writer | undefined;
  #reader: Reader | undefined;

  constructor(folder: string, sealer: Sealer, journal: JournalFile) {
    this.#folder = folder;
    this.#sealer = sealer;
    this.#journal = journal;
    this.#content = new ContentFiles(folder, sealer);
  }

  /** Writes all commands in one transaction. Never throws. An empty batch asks whether writing works. */
  commit(commands: readonly Command[]): BatchOutcome {
    try {
      const writer = (this.#writer ??= openWriter(this.#folder, this.#sealer, this.#content));
      return transact(writer, commands);
    } catch (error) {
      this.#dropWriter();
      return { why: reasonOf(error) };
    }
  }

  /** Throws. */
  read<K extends ReadName>(name: K, args: Reads[K]["args"]): Reads[K]["result"] {
    try {
      const reader = (this.#reader ??= openReader(this.#folder, this.#sealer, this.#journal, this.#content));
      return reader.table[name](args);
    } catch (error) {
      const reader = this.#reader;
      this.#reader = undefined;
      closeQuietly(reader?.database);
      throw error;
    }
  }

  /** Of the keys, at the start. Throws. */
  generation(): number {
    this.#writer ??= openWriter(this.#folder, this.#sealer, this.#content);
    return this.#writer.generation();
  }

  close(): void {
    closeQuietly(this.#reader?.database);
    this.#reader = undefined;
    this.#dropWriter();
    this.#content.close();
  }

  #dropWriter(): void {
    const writer = this.#writer;
    this.#writer = undefined;
    closeQuietly(writer?.database);
  }
}

function transact(writer: Writer, commands: readonly Command[]): BatchOutcome {
  let outcomes: Outcome[] | undefined;
  let raised = false;
  writer.begin.run();
  if (commands.length === 0) writer.table.probe([]);
  for (const [index, command] of commands.entries()) {
    const outcome = attempt(writer.table, command.name, command.args);
    if (outcome) (outcomes ??= [])[index] = outcome;
    raised ||= RAISES_GENERATION.has(innerName(command));
  }
  writer.counters.flush();
  writer.commit.run();
  return { ...(outcomes && { outcomes }), ...(raised && { generation: writer.generation() }) };
}

function attempt<K extends WriteName>(table: WriteTable, name: K, args: Writes[K]["args"]): Outcome {
  try {
    const value = table[name](args);
    return value === undefined ? undefined : { value };
  } catch (error) {
    const problem = statementProblem(error);
    if (!problem) throw error;
    return { problem };
  }
}

/** Undefined when the error is about the disk or the machine. */
function statementProblem(error: unknown): Problem | undefined {
  if (error instanceof ProblemError) return error.problem;
  if (!isAboutStatement(error)) return undefined;
  return { kind: "storage_unavailable", message: `The record refused this entry: ${reasonOf(error)}` };
}

function openWriter(folder: string, sealer: Sealer, content: ContentFiles): Writer {
  const database = openFiles(folder, false);
  try {
    // What is deleted from the serving data is to be gone, not only unlinked.
    database.exec("PRAGMA serving.secure_delete = ON");
    for (const schema of ["main", "serving"]) {
      database.exec(
        `PRAGMA ${schema}.synchronous = FULL; PRAGMA ${schema}.wal_autocheckpoint = ${CHECKPOINT_PAGES}; PRAGMA ${schema}.journal_size_limit = ${LOG_BYTES}`,
      );
    }
    const rollups = new Rollups(database);
    const counters = new CounterBook(database);
    const plain = {
      ...ledgerWrites(database, rollups, counters),
      ...repricingWrites(database, rollups),
      ...rollupWrites(rollups),
      ...callWrites(database, sealer),
      ...idempotencyWrites(database, sealer),
      ...cacheWrites(database, sealer),
      ...adminWrites(database, sealer),
      ...accessWrites(database),
      ...pinWrites(database),
      ...fileWrites(database, sealer),
      ...batchWrites(database, sealer),
      ...lineageWrites(database),
      ...resealWrites(database, sealer),
      ...counterWrites(database, counters),
      ...content.writes(),
    };
    return {
      database,
      table: { ...plain, ...auditWrites(database, plain) },
      counters,
      generation: keyGeneration(database),
      begin: database.prepare("BEGIN"),
      commit: database.prepare("COMMIT"),
    };
  } catch (error) {
    closeQuietly(database);
    throw error;
  }
}

function openReader(folder: string, sealer: Sealer, journal: JournalFile, content: ContentFiles): Reader {
  const database = openFiles(folder, true);
  try {
    return {
      database,
      table: {
        ...ledgerReads(database),
        ...repricingReads(database),
        ...rollupReads(database),
        ...callReads(database, sealer),
        ...idempotencyReads(database, sealer),
        ...cacheReads(database, sealer),
        ...adminReads(database, sealer),
        ...accessReads(database),
        ...pinReads(database),
        ...fileReads(database, sealer),
        ...batchReads(database, sealer),
        ...counterReads(database),
        ...auditReads(database),
        ...lineageReads(database),
        ...journalReads(journal),
        ...content.reads(),
      },
    };
  } catch (error) {
    closeQuietly(database);
    throw error;
  }
}

/** The journal has its own file and connection; here it only answers to the same names as the rest. */
function journalReads(journal: JournalFile): Pick<ReadTable, "journalEntry" | "journalOfAnswer" | "journalPage"> {
  return {
    journalEntry: (args) => journal.entry(...args),
    journalOfAnswer: (args) => journal.entryOfAnswer(...args),
    journalPage: (args) => journal.page(...args),
  };
}

function openFiles(folder: string, readOnly: boolean): DatabaseSync {
  // SQLite would make a missing file anew, empty: better to say that it is gone.
  for (const path of [recordPath(folder), servingPath(folder)]) if (!existsSync(path)) throw new Error(`${path} is gone`);
  const database = new DatabaseSync(recordPath(folder), { readOnly });
  try {
    database.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    database.prepare("ATTACH ? AS serving").run(servingPath(folder));
    if (versionOf(database) !== recordMigrations.length || versionOf(database, "serving") !== servingMigrations.length) {
      throw new Error(`the databases in ${folder} are not of this version`);
    }
    return database;
  } catch (error) {
    closeQuietly(database);
    throw error;
  }
}

/** Closing after a failure may fail again, and changes nothing then; an open transaction is rolled back by it. */
function closeQuietly(database: DatabaseSync | undefined): void {
  try {
    database?.close();
  } catch {
    // The connection is given up either way.
  }
}

import type { DatabaseSync } from "node:sqlite";
import type { AuditCheckpoint, AuditLink, AuditNote, AuditRecord } from "../../canon/index.ts";
import { nextEntry, noteOf } from "../audit.ts";
import type { Command, ReadTable, WriteName, WriteTable } from "../backend.ts";

type AuditWrites = "appendAudit" | "noted" | "keepCheckpoint";
type AuditReads = "auditHead" | "auditEntries" | "checkpoints" | "lastCheckpoint";
type PlainWrites = Omit<WriteTable, AuditWrites>;

interface CheckpointColumns {
  readonly size: number;
  readonly at: number;
  readonly note: string;
  readonly frontier: string;
}

const HEAD = "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1";

/** @param plain all other writes: one of them and its note are done together */
export function auditWrites(database: DatabaseSync, plain: PlainWrites): Pick<WriteTable, AuditWrites> {
  const head = database.prepare(HEAD);
  const known = database.prepare("SELECT sequence, hash FROM audit WHERE id = ?");
  const insert = database.prepare("INSERT INTO audit VALUES (?, ?, ?, ?)");
  const keep = database.prepare("INSERT OR IGNORE INTO audit_checkpoints VALUES (?, ?, ?, ?)");
  const append = (note: AuditNote): AuditLink => {
    const before = known.get(note.id) as AuditLink | undefined;
    if (before) return before;
    const { sequence, hash, text } = nextEntry(note, head.get() as AuditLink | undefined);
    insert.run(sequence, note.id, hash, text);
    return { sequence, hash };
  };
  return {
    appendAudit: ([note]) => append(note),
    noted: ([note, write]) => together(database, () => noted(plain, note, write, append)),
    keepCheckpoint: ([{ size, at, note, frontier }]) => void keep.run(size, at, note, frontier.join(" ")),
  };
}

function noted(plain: PlainWrites, note: AuditNote, write: Command, append: (note: AuditNote) => AuditLink): unknown {
  const result = run(plain, write);
  const told = noteOf(note, write, result);
  if (told) append(told);
  return result;
}

function run(plain: PlainWrites, { name, args }: Command): unknown {
  const table: Readonly<Partial<Record<WriteName, (args: never) => unknown>>> = plain;
  const write = table[name];
  if (!write) throw new Error(`no note goes with a ${name}`);
  return write(args as never);
}

/** All of the work or nothing of it, within the batch's own transaction, which goes on either way. */
function together<T>(database: DatabaseSync, work: () => T): T {
  database.exec("SAVEPOINT noted");
  try {
    const result = work();
    database.exec("RELEASE noted");
    return result;
  } catch (error) {
    // After an error of the disk SQLite may have rolled everything back already.
    if (database.isTransaction) database.exec("ROLLBACK TO noted; RELEASE noted");
    throw error;
  }
}

export function auditReads(database: DatabaseSync): Pick<ReadTable, AuditReads> {
  const head = database.prepare(HEAD);
  const entries = database.prepare("SELECT sequence, hash, text FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?");
  const checkpoints = database.prepare("SELECT * FROM audit_checkpoints WHERE size > ? ORDER BY size LIMIT ?");
  const last = database.prepare("SELECT * FROM audit_checkpoints ORDER BY size DESC LIMIT 1");
  return {
    auditHead: () => head.get() as AuditLink | undefined,
    auditEntries: (args) => entries.all(...args) as unknown as AuditRecord[],
    checkpoints: (args) => (checkpoints.all(...args) as unknown as CheckpointColumns[]).map(checkpointFrom),
    lastCheckpoint: () => {
      const columns = last.get() as CheckpointColumns | undefined;
      return columns && checkpointFrom(columns);
    },
  };
}

function checkpointFrom({ size, at, note, frontier }: CheckpointColumns): AuditCheckpoint {
  return { size, at, note, frontier: frontier === "" ? [] : frontier.split(" ") };
}

import type { AuditCheckpoint, AuditLink, AuditNote, AuditRecord } from "../../canon/index.ts";
import { nextEntry, noteOf } from "../audit.ts";
import type { Command, WriteName } from "../backend.ts";
import { type Session, statement } from "./connections.ts";
import type { AuditWrite, BatchContext, GroupedWrite, PostgresReads, PostgresWrites } from "./tables.ts";

interface CheckpointColumns {
  readonly size: number;
  readonly at: number;
  readonly note: string;
  readonly frontier: string;
}

/** One gateway at a time makes the next link, until its transaction ends; a look at the head comes after it, so that it sees the last one. */
const HOLD = statement("audit.hold", "SELECT one FROM audit_turn FOR UPDATE");
const HEAD = statement("audit.head", "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1");
const KNOWN = statement("audit.known", "SELECT sequence, hash FROM audit WHERE id = $1");
const INSERT = statement("audit.insert", "INSERT INTO audit VALUES ($1, $2, $3, $4)");
const KEEP = statement("audit.keep", "INSERT INTO audit_checkpoints VALUES ($1, $2, $3, $4) ON CONFLICT (size) DO NOTHING");

async function append(session: Session, note: AuditNote): Promise<AuditLink> {
  await session.rows(HOLD);
  const [before] = await session.rows<AuditLink>(KNOWN, [note.id]);
  if (before) return before;
  const [head] = await session.rows<AuditLink>(HEAD);
  const { sequence, hash, text } = nextEntry(note, head);
  await session.changes(INSERT, [sequence, note.id, hash, text]);
  return { sequence, hash };
}

type PlainWrites = Omit<PostgresWrites, AuditWrite>;

/** @param plain all other writes: one of them and its note are done together, or undone together with their batch */
export function auditWrites(plain: PlainWrites): Pick<PostgresWrites, AuditWrite> {
  return {
    appendAudit: ({ session }, [note]) => append(session, note),
    noted: async (batch, [note, write]) => {
      const result = await run(plain, batch, write);
      const told = noteOf(note, write, result);
      if (told) await append(batch.session, told);
      return result;
    },
    keepCheckpoint: async ({ session }, [{ size, at, note, frontier }]) => {
      await session.changes(KEEP, [size, at, note, frontier.join(" ")]);
    },
  };
}

function run(plain: PlainWrites, batch: BatchContext, { name, args }: Command): Promise<unknown> {
  const table: Readonly<Partial<Record<WriteName, (batch: BatchContext, args: never) => Promise<unknown>>>> = {
    ...plain,
  } satisfies Readonly<Record<Exclude<WriteName, AuditWrite | GroupedWrite>, unknown>>;
  const write = table[name];
  if (!write) throw new Error(`no note goes with a ${name}`);
  return write(batch, args as never);
}

const ENTRIES = statement("audit.entries", "SELECT sequence, hash, text FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2");
const CHECKPOINTS = statement("audit.checkpoints", "SELECT * FROM audit_checkpoints WHERE size > $1 ORDER BY size LIMIT $2");
const LAST = statement("audit.last-checkpoint", "SELECT * FROM audit_checkpoints ORDER BY size DESC LIMIT 1");

export const auditReads = {
  auditHead: async (session) => (await session.rows<AuditLink>(HEAD))[0],
  auditEntries: (session, args) => session.rows<AuditRecord>(ENTRIES, args),
  checkpoints: async (session, args) => (await session.rows<CheckpointColumns>(CHECKPOINTS, args)).map(checkpointFrom),
  lastCheckpoint: async (session) => {
    const [columns] = await session.rows<CheckpointColumns>(LAST);
    return columns && checkpointFrom(columns);
  },
} satisfies Partial<PostgresReads>;

function checkpointFrom({ size, at, note, frontier }: CheckpointColumns): AuditCheckpoint {
  return { size, at, note, frontier: frontier === "" ? [] : frontier.split(" ") };
}

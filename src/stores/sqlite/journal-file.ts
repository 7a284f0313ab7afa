import { chmodSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { JournalEntry, JournalPage } from "../../canon/index.ts";
import { type BlockEntry, type Spill, unpackPart } from "../journal-block.ts";
import type { Sealer } from "../sealing/sealer.ts";

const JOURNAL_FILE = "journal.db";
/** Rises with every change of the tables below. */
const VERSION = 1;
const OWNER_ONLY = 0o600;
/** Blocks are large: bigger pages mean fewer of them to chain and to check. */
const PAGE_BYTES = 32 * 1024;
/** A rollback file that grew in a burst is cut back to this. */
const ROLLBACK_BYTES = 4 * 1024 * 1024;
/** Blocks opened for one page of a reader: whoever waits for the same thread is not kept waiting longer. */
const BLOCKS_READ = 64;
/** Rows looked at to forget what has expired, with each append. */
const EXPIRE_ROWS = 200;
const EXPIRE_BLOCKS = 8;
/** What a row takes besides its content, about. */
const ROW_BYTES = 200;

const TABLES = `
  CREATE TABLE blocks (id INTEGER PRIMARY KEY, calls TEXT NOT NULL, key_id TEXT NOT NULL, sealed BLOB NOT NULL) STRICT;
  CREATE TABLE calls (
    seq INTEGER PRIMARY KEY,
    call_id TEXT NOT NULL UNIQUE,
    scope TEXT NOT NULL,
    dialect TEXT NOT NULL,
    node TEXT NOT NULL,
    answer_id TEXT,
    began_at INTEGER NOT NULL,
    first_block INTEGER NOT NULL,
    last_frame INTEGER,
    state TEXT NOT NULL,
    expires_at INTEGER
  ) STRICT;
  CREATE INDEX calls_by_expiry ON calls (expires_at) WHERE expires_at IS NOT NULL;
  CREATE INDEX calls_by_answer ON calls (scope, answer_id) WHERE answer_id IS NOT NULL;
`;

interface CallColumns {
  readonly call_id: string;
  readonly scope: string;
  readonly dialect: string;
  readonly node: string;
  readonly began_at: number;
  readonly first_block: number;
  readonly last_frame: number | null;
  readonly state: JournalEntry["state"];
}

interface Open {
  readonly database: DatabaseSync;
  readonly statements: ReturnType<typeof prepare>;
  nextBlock: number;
  /** Bytes of all blocks. */
  bytes: number;
}

/**
 * The journal of streamed answers, in a file of its own, for the thread that writes. It holds minutes of sealed frames, so nothing of it
 * is worth repair: a file that is damaged or of another version is begun anew.
 *
 * What was written survives the process, and need not survive the machine; so nothing is flushed to the disk, and the file is written in
 * place instead of by way of a log, which copies and sums every page: that took a third off the cost of a chunk. A process killed in the
 * middle is rolled back at the next start. The ids of a block's calls lie in clear, as in the ledger, and everything else is sealed.
 */
export class JournalFile {
  readonly #path: string;
  readonly #sealer: Sealer;
  readonly #maxBytes: number;
  #open: Open | undefined;

  constructor(folder: string, sealer: Sealer, maxBytes: number) {
    this.#path = join(folder, JOURNAL_FILE);
    this.#sealer = sealer;
    this.#maxBytes = maxBytes;
  }

  /** Writes all of it or throws. */
  append(spill: Spill): number {
    return this.#write((open) => {
      const { statements } = open;
      const ids: number[] = [];
      for (const block of spill.blocks) {
        const id = open.nextBlock++;
        const sealed = this.#sealer.seal(block.bytes, identity(id));
        statements.insertBlock.run(id, block.index, sealed.keyId, sealed.bytes);
        open.bytes += block.index.length + sealed.bytes.length + ROW_BYTES;
        ids.push(id);
      }
      for (const [callId, scope, dialect, node, answerId, place] of spill.born)
        statements.insertCall.run(callId, scope, dialect, node, answerId, spill.at, ids[place] ?? open.nextBlock);
      for (const [callId, lastFrame, until] of spill.ended) statements.endCall.run(lastFrame, until, callId);
      forgetExpired(open, spill.at);
      this.#forgetExcess(open);
      return ids.length;
    });
  }

  /** Returns how many calls were open. */
  abandon(node: string | null, until: number): number {
    return this.#write((open) => Number(open.statements.abandon.run(until, node).changes));
  }

  entry(callId: string, now: number): JournalEntry | undefined {
    return this.#read((open) => {
      const columns = open.statements.call.get(callId, now) as CallColumns | undefined;
      return columns && entryOf(columns);
    });
  }

  entryOfAnswer(scope: string, answerId: string, now: number): JournalEntry | undefined {
    return this.#read((open) => {
      const columns = open.statements.callOfAnswer.get(scope, answerId, now) as CallColumns | undefined;
      return columns && entryOf(columns);
    });
  }

  /** The next frames of a call behind `after`, beginning the search at block `from`. */
  page(callId: string, after: number, maxBytes: number, now: number, from: number): JournalPage | undefined {
    return this.#read((open) => {
      const columns = open.statements.call.get(callId, now) as CallColumns | undefined;
      return columns && this.#collect(open, columns, after, maxBytes, Math.max(from, columns.first_block));
    });
  }

  close(): void {
    const open = this.#open;
    this.#open = undefined;
    try {
      open?.database.close();
    } catch {
      // Given up either way.
    }
  }

  #collect(open: Open, columns: CallColumns, after: number, maxBytes: number, from: number): JournalPage {
    const { statements } = open;
    const entry = entryOf(columns);
    // The head is in the first block, and wanted with the first page only.
    const headRow = from > columns.first_block ? undefined : (statements.block.get(columns.first_block) as BlockColumns | undefined);
    const head = headRow && this.#partIn(headRow, partOf(headRow, columns.call_id))?.head;
    const frames: Uint8Array[] = [];
    let [first, bytes, next, opened] = [after + 1, 0, from, 0];
    for (const row of statements.blocksOf.iterate(from, `"${columns.call_id}"`)) {
      const block = row as unknown as BlockColumns;
      const place = partOf(block, columns.call_id);
      if (!place || place[3] + place[4] <= after + 1) {
        next = block.id + 1;
        continue;
      }
      const number = Math.max(place[3], first + frames.length);
      const isGap = frames.length > 0 && number > first + frames.length;
      if (isGap || bytes >= maxBytes || opened++ >= BLOCKS_READ) return { entry, head, first, frames, next, more: true };
      // What cannot be opened is as good as gone: what follows begins later than it was asked for.
      const part = this.#partIn(block, place);
      if (part) {
        if (frames.length === 0) first = number;
        for (const frame of part.frames.slice(number - place[3])) {
          frames.push(frame);
          bytes += frame.length;
        }
      }
      next = block.id + 1;
    }
    // Of a call that ended it is known how far it went: nothing to send although something is missing is a gap as well.
    if (frames.length === 0 && columns.last_frame !== null && columns.last_frame > after) first = columns.last_frame + 1;
    return { entry, head, first, frames, next, more: false };
  }

  #partIn(block: BlockColumns, place: BlockEntry | undefined): ReturnType<typeof unpackPart> {
    if (!place) return undefined;
    const bytes = this.#sealer.openBytes({ keyId: block.key_id, bytes: block.sealed }, identity(block.id));
    return bytes && unpackPart(bytes.subarray(place[1], place[1] + place[2]));
  }

  /** The oldest blocks make room, whoever might still want them. */
  #forgetExcess(open: Open): void {
    while (open.bytes > this.#maxBytes) {
      const oldest = open.statements.oldestBlock.get() as { readonly id: number; readonly bytes: number } | undefined;
      if (!oldest) return;
      forgetBlock(open, oldest);
    }
  }

  #write(work: (open: Open) => number): number {
    const open = this.#opened();
    const { nextBlock, bytes } = open;
    try {
      open.statements.begin.run();
      const result = work(open);
      open.statements.commit.run();
      return result;
    } catch (error) {
      open.nextBlock = nextBlock;
      open.bytes = bytes;
      this.#dispose(error);
      throw error;
    }
  }

  #read<T>(work: (open: Open) => T): T {
    try {
      return work(this.#opened());
    } catch (error) {
      this.#dispose(error);
      throw error;
    }
  }

  /** After any failure the connection is opened anew; after damage the file is begun anew. */
  #dispose(error: unknown): void {
    this.close();
    if (isDamage(error)) this.#remove();
  }

  #opened(): Open {
    if (this.#open) return this.#open;
    try {
      return (this.#open = openFile(this.#path));
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#remove();
      return (this.#open = openFile(this.#path));
    }
  }

  #remove(): void {
    for (const ending of ["", "-journal"]) rmSync(this.#path + ending, { force: true });
  }
}

interface BlockColumns {
  readonly id: number;
  readonly calls: string;
  readonly key_id: string;
  readonly sealed: Uint8Array;
}

function partOf(block: BlockColumns, callId: string): BlockEntry | undefined {
  return (JSON.parse(block.calls) as BlockEntry[]).find(([id]) => id === callId);
}

function identity(block: number): readonly string[] {
  return ["journal", String(block)];
}

function entryOf(columns: CallColumns): JournalEntry {
  const { call_id: callId, scope, dialect, node, state, began_at: beganAt, last_frame: last } = columns;
  return { callId, scope, dialect, node, state, beganAt, ...(last !== null && { last }) };
}

/** SQLite's codes for a damaged file and for one that is no database; and a file of another version. Source: sqlite.org/rescode.html. */
function isDamage(error: unknown): boolean {
  if (error instanceof OtherVersion) return true;
  const code = error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : 0;
  return code === 11 || code === 26;
}

class OtherVersion extends Error {}

function openFile(path: string): Open {
  const database = new DatabaseSync(path);
  try {
    chmodSync(path, OWNER_ONLY);
    database.exec(
      `PRAGMA page_size = ${PAGE_BYTES}; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = PERSIST; PRAGMA synchronous = OFF;
       PRAGMA journal_size_limit = ${ROLLBACK_BYTES};`,
    );
    const version = Number(database.prepare("PRAGMA user_version").get()?.["user_version"]);
    if (version === 0) database.exec(`BEGIN; ${TABLES} PRAGMA user_version = ${VERSION}; COMMIT;`);
    else if (version !== VERSION) throw new OtherVersion();
    const sizes = database.prepare(
      `SELECT coalesce(max(id), 0) AS last, coalesce(sum(length(calls) + length(sealed) + ${ROW_BYTES}), 0) AS bytes FROM blocks`,
    );
    const { last, bytes } = sizes.get() as { readonly last: number; readonly bytes: number };
    return { database, statements: prepare(database), nextBlock: last + 1, bytes };
  } catch (error) {
    try {
      database.close();
    } catch {
      // The first error says more.
    }
    throw error;
  }
}

function prepare(database: DatabaseSync): Readonly<Record<StatementName, StatementSync>> {
  const columns = "call_id, scope, dialect, node, began_at, first_block, last_frame, state";
  const size = `length(calls) + length(sealed) + ${ROW_BYTES} AS bytes`;
  return {
    begin: database.prepare("BEGIN IMMEDIATE"),
    commit: database.prepare("COMMIT"),
    insertBlock: database.prepare("INSERT INTO blocks VALUES (?, ?, ?, ?)"),
    insertCall: database.prepare(
      `INSERT INTO calls (call_id, scope, dialect, node, answer_id, began_at, first_block, state) VALUES (?, ?, ?, ?, ?, ?, ?, 'open')
       ON CONFLICT (call_id) DO NOTHING`,
    ),
    endCall: database.prepare("UPDATE calls SET state = 'ended', last_frame = ?, expires_at = ? WHERE call_id = ?"),
    abandon: database.prepare("UPDATE calls SET state = 'broken', expires_at = ?1 WHERE state = 'open' AND (?2 IS NULL OR node = ?2)"),
    call: database.prepare(`SELECT ${columns} FROM calls WHERE call_id = ? AND (expires_at IS NULL OR expires_at > ?)`),
    callOfAnswer: database.prepare(
      `SELECT ${columns} FROM calls WHERE scope = ? AND answer_id = ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY seq DESC LIMIT 1`,
    ),
    block: database.prepare("SELECT * FROM blocks WHERE id = ?"),
    blocksOf: database.prepare("SELECT * FROM blocks WHERE id >= ? AND instr(calls, ?) > 0 ORDER BY id"),
    expireCalls: database.prepare(
      "DELETE FROM calls WHERE seq IN (SELECT seq FROM calls WHERE expires_at IS NOT NULL AND expires_at <= ? LIMIT ?)",
    ),
    oldestCall: database.prepare("SELECT first_block FROM calls ORDER BY seq LIMIT 1"),
    oldestBlock: database.prepare(`SELECT id, ${size} FROM blocks ORDER BY id LIMIT 1`),
    blocksBefore: database.prepare(`SELECT id, ${size} FROM blocks WHERE id < ? ORDER BY id LIMIT ?`),
    deleteBlock: database.prepare("DELETE FROM blocks WHERE id = ?"),
  };
}

type StatementName =
  | "begin"
  | "commit"
  | "insertBlock"
  | "insertCall"
  | "endCall"
  | "abandon"
  | "call"
  | "callOfAnswer"
  | "block"
  | "blocksOf"
  | "expireCalls"
  | "oldestCall"
  | "oldestBlock"
  | "blocksBefore"
  | "deleteBlock";

/** A block is of no use once the oldest call that is still known began behind it. */
function forgetExpired(open: Open, now: number): void {
  const { statements } = open;
  statements.expireCalls.run(now, EXPIRE_ROWS);
  const oldest = statements.oldestCall.get() as { readonly first_block: number } | undefined;
  const needed = oldest?.first_block ?? open.nextBlock;
  for (const block of statements.blocksBefore.all(needed, EXPIRE_BLOCKS) as { readonly id: number; readonly bytes: number }[])
    forgetBlock(open, block);
}

function forgetBlock(open: Open, block: { readonly id: number; readonly bytes: number }): void {
  open.statements.deleteBlock.run(block.id);
  open.bytes -= block.bytes;
}

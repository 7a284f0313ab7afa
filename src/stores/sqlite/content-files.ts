import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ProblemError, type ContentPartition, type ContentSelection, type PackedContent, type StoredContent } from "../../canon/index.ts";
import type { ReadTable, WriteTable } from "../backend.ts";
import { contentIdentity, dayName, dayOf, storedContent } from "../content.ts";
import { reasonOf } from "../problems.ts";
import type { Sealer } from "../sealing/sealer.ts";

const FOLDER = "content";
/** Day of the calls and day on which they expire: so a call is found by when it began, and what expires together is one file. */
const FILE = /^(\d{4}-\d{2}-\d{2})_(\d{4}-\d{2}-\d{2})\.db$/;
const COMPANIONS = ["", "-wal", "-shm"] as const;
const OWNER_ONLY = 0o600;
const OWNER_FOLDER = 0o700;
/** Files open at once: today's, one for each time that something is stored for. */
const MOST_OPEN = 8;

/**
 * What it costs a crash is the last moments before it, which nobody waits for; `secure_delete`: what is erased is overwritten.
 */
const SCHEMA = `
  PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;
  CREATE TABLE IF NOT EXISTS content (
    call_id TEXT PRIMARY KEY,
    caller_id TEXT NOT NULL,
    end_user TEXT,
    at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    sealed BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS content_by_caller ON content (caller_id);
  CREATE INDEX IF NOT EXISTS content_by_end_user ON content (end_user) WHERE end_user IS NOT NULL;
`;
const COLUMN: Readonly<Record<ContentSelection["kind"], string>> = { call: "call_id", caller: "caller_id", endUser: "end_user" };

interface Columns {
  readonly call_id: string;
  readonly caller_id: string;
  readonly at: number;
  readonly expires_at: number;
  readonly key_id: string;
  readonly sealed: Uint8Array;
}

/** Stored prompts and answers in the data folder: a file for the calls of a day that expire on the same day, deleted as a whole. */
export class ContentFiles {
  readonly #folder: string;
  readonly #sealer: Sealer;
  /** The least lately used first. */
  readonly #open = new Map<string, DatabaseSync>();

  constructor(folder: string, sealer: Sealer) {
    this.#folder = join(folder, FOLDER);
    this.#sealer = sealer;
  }

  writes(): Pick<WriteTable, "keepContents" | "eraseContent" | "dropContent"> {
    return {
      keepContents: ([packed]) => attempt("written", () => this.#keep(JSON.parse(packed) as readonly PackedContent[])),
      eraseContent: ([kind, value, after]) => attempt("erased", () => this.#erase(COLUMN[kind], value, after)),
      dropContent: ([now]) => attempt("dropped", () => this.#drop(dayName(dayOf(now)))),
    };
  }

  reads(): Pick<ReadTable, "content" | "contentPartitions"> {
    return {
      content: ([callId, at, now]) => this.#read(callId, at, now),
      contentPartitions: () => this.#partitions(),
    };
  }

  close(): void {
    for (const name of this.#open.keys()) this.#close(name);
  }

  #keep(entries: readonly PackedContent[]): void {
    for (const [name, some] of Map.groupBy(entries, ([, , , at, expiresAt]) => `${dayName(dayOf(at))}_${dayName(dayOf(expiresAt))}.db`)) {
      const database = this.#database(name);
      const insert = database.prepare("INSERT OR IGNORE INTO content VALUES (?, ?, ?, ?, ?, ?, ?)");
      database.exec("BEGIN");
      try {
        for (const [callId, callerId, endUser, at, expiresAt, content] of some) {
          const { keyId, bytes } = this.#sealer.seal(content, contentIdentity(callId));
          insert.run(callId, callerId, endUser, at, expiresAt, keyId, bytes);
        }
        database.exec("COMMIT");
      } catch (error) {
        // Opened anew the next time: nothing of the failed transaction is trusted.
        this.#close(name);
        throw error;
      }
    }
  }

  #read(callId: string, at: number, now: number): StoredContent | undefined {
    for (const name of this.#names().filter((one) => one.startsWith(dayName(dayOf(at))))) {
      const found = this.#database(name).prepare("SELECT * FROM content WHERE call_id = ? AND expires_at > ?").get(callId, now);
      if (!found) continue;
      const columns = found as unknown as Columns;
      const content = this.#sealer.open({ keyId: columns.key_id, bytes: columns.sealed }, contentIdentity(callId));
      // A key that is gone, or a row that was tampered with: as good as erased.
      return content === undefined ? undefined : storedContent([callId, columns.caller_id, null, columns.at, columns.expires_at, content]);
    }
    return undefined;
  }

  #erase(column: string, value: string, after: string): { readonly erased: number; readonly next: string | undefined } {
    const name = this.#names().find((one) => one > after);
    if (name === undefined) return { erased: 0, next: undefined };
    const database = this.#database(name);
    const erased = Number(database.prepare(`DELETE FROM content WHERE ${column} = ?`).run(value).changes);
    // The log beside the file still has the pages as they were.
    if (erased > 0) database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    return { erased, next: name };
  }

  /** Those that expired on a day before this one. */
  #drop(today: string): number {
    const over = this.#names().filter((name) => (FILE.exec(name)?.[2] ?? "") < today);
    for (const name of over) {
      this.#close(name);
      for (const companion of COMPANIONS) rmSync(join(this.#folder, `${name}${companion}`), { force: true });
    }
    return over.length;
  }

  #partitions(): readonly ContentPartition[] {
    const counts = new Map<string, number>();
    for (const name of this.#names()) {
      const expires = FILE.exec(name)?.[2] ?? "";
      const rows = Number(this.#database(name).prepare("SELECT count(*) AS calls FROM content").get()?.["calls"]);
      counts.set(expires, (counts.get(expires) ?? 0) + rows);
    }
    return [...counts].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([expires, calls]) => ({ expires, calls }));
  }

  #names(): readonly string[] {
    return existsSync(this.#folder)
      ? readdirSync(this.#folder)
          .filter((name) => FILE.test(name))
          .toSorted()
      : [];
  }

  #database(name: string): DatabaseSync {
    const known = this.#open.get(name);
    this.#open.delete(name);
    const database = known ?? this.#openFile(name);
    this.#open.set(name, database);
    const [oldest] = this.#open.keys();
    if (this.#open.size > MOST_OPEN && oldest !== undefined) this.#close(oldest);
    return database;
  }

  #openFile(name: string): DatabaseSync {
    mkdirSync(this.#folder, { recursive: true, mode: OWNER_FOLDER });
    const path = join(this.#folder, name);
    const database = new DatabaseSync(path);
    try {
      database.exec(SCHEMA);
      chmodSync(path, OWNER_ONLY);
      return database;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  #close(name: string): void {
    const database = this.#open.get(name);
    this.#open.delete(name);
    try {
      database?.close();
    } catch {
      // It is given up either way.
    }
  }
}

/** A failure here is this write's alone: the batch goes on. */
function attempt<T>(done: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const message = `Stored prompts and answers cannot be ${done}: ${reasonOf(error)}`;
    throw new ProblemError({ kind: "storage_unavailable", message }, { cause: error });
  }
}

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { conflict, FOLDER_IN_USE, reasonOf, unavailable } from "../problems.ts";

interface Holder {
  readonly pid: number;
  readonly node: string;
  /** Milliseconds since 1970. */
  readonly since: number;
}

const LOCK_FILE = "lock.db";
const HOLDER_FILE = "lock.json";
const SQLITE_BUSY = 5;

/** Who holds the folder, as far as it says so; the file may be left over from a process that is gone. */
export function lockHolder(folder: string): Holder | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, HOLDER_FILE), "utf8")) as Holder;
  } catch {
    return undefined;
  }
}

/**
 * Holds the data folder for this process until the function returned is called. The lock is the operating system's, taken by an
 * exclusive transaction that never ends, so that it dies with the process however that ends.
 *
 * Throws `conflict` with code `data_folder_in_use`, naming the holder's process, when another has it.
 */
export function lockFolder(folder: string, holder: Holder): () => void {
  let database: DatabaseSync;
  try {
    database = new DatabaseSync(join(folder, LOCK_FILE));
  } catch (error) {
    throw unavailable(`The data folder ${folder} cannot be written: ${reasonOf(error)}. Choose another with --data.`, { cause: error });
  }
  try {
    // Taking the lock writes nothing, so no journal is left behind; without waiting, because a holder keeps it for life.
    database.exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    throw refusal(folder, error);
  }
  try {
    writeFileSync(join(folder, HOLDER_FILE), `${JSON.stringify(holder)}\n`, { mode: 0o600 });
  } catch (error) {
    database.close();
    throw unavailable(`The data folder ${folder} cannot be written: ${reasonOf(error)}. Make room, or choose another with --data.`, {
      cause: error,
    });
  }
  return () => database.close();
}

function refusal(folder: string, error: unknown): Error {
  const code = typeof error === "object" && error !== null && "errcode" in error ? Number(error.errcode) & 0xff : undefined;
  if (code !== SQLITE_BUSY) return unavailable(`The data folder ${folder} cannot be locked: ${reasonOf(error)}.`, { cause: error });
  const holder = lockHolder(folder);
  const who = holder ? `process ${holder.pid}` : "another process";
  return conflict(`The data folder ${folder} is in use by ${who}. Stop that process, or choose another folder with --data.`, FOLDER_IN_USE);
}

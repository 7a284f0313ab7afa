import { constants } from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Command, Writes } from "../backend.ts";

const SPOOL_FILE = "spool.jsonl";
/** Rows that the database refused for good when it came back: kept for a person to look at. */
const REFUSED_FILE = "spool.refused.jsonl";
const OWNER_ONLY = 0o600;
const READ_BYTES = 256 * 1024;

/** What is worth a place on the disk while the database is away: what nobody would do again. */
type Spooled = Command<"open"> | Command<"settle">;

export function isSpoolable(command: Command): command is Spooled {
  return command.name === "open" || command.name === "settle";
}

/**
 * Rows that wait on the disk of this machine for the database, one a line, in the order of their end. Bounded in bytes. A line that is cut
 * short was never acknowledged. Lines are given out as often as asked for; whoever reads them writes what may be written twice.
 */
export class Spool {
  readonly #folder: string;
  readonly #maxBytes: number;
  #file: FileHandle | undefined;
  /** Bytes of whole lines. */
  #bytes = 0;
  /** Bytes given out and written. */
  #done = 0;
  #isFull = false;

  private constructor(folder: string, maxBytes: number) {
    this.#folder = folder;
    this.#maxBytes = maxBytes;
  }

  /** With what an earlier process left. Throws as the file system does. */
  static async open(folder: string, maxBytes: number): Promise<Spool> {
    const spool = new Spool(folder, maxBytes);
    const file = await spool.#opened();
    const { size } = await file.stat();
    spool.#bytes = await lastLineEnd(file, size);
    if (size > spool.#bytes) await file.truncate(spool.#bytes);
    return spool;
  }

  get isEmpty(): boolean {
    return this.#done >= this.#bytes;
  }
  /** The bound was reached, and nothing has left since. */
  get isFull(): boolean {
    return this.#isFull;
  }
  get path(): string {
    return join(this.#folder, SPOOL_FILE);
  }

  /** Resolves when they are durable. Rejects, and keeps none of them, when the disk refuses or the bound is reached. */
  async append(commands: readonly Spooled[]): Promise<void> {
    const bytes = Buffer.from(commands.map(({ name, args }) => `${JSON.stringify([name, args])}\n`).join(""));
    this.#isFull = this.#bytes + bytes.length > this.#maxBytes;
    if (this.#isFull) throw new Error(`rows of ${this.#maxBytes} bytes wait in ${this.path}, which is the limit (storage.spoolBytes)`);
    const file = await this.#opened();
    try {
      let written = 0;
      while (written < bytes.length)
        written += (await file.write(bytes, written, bytes.length - written, this.#bytes + written)).bytesWritten;
      await file.datasync();
    } catch (error) {
      await file.truncate(this.#bytes).catch(() => {});
      throw error;
    }
    this.#bytes += bytes.length;
  }

  /** The next of them, about `count`; none at the end. Call `done` with `upTo` when they are written. */
  async next(count: number): Promise<{ readonly commands: readonly Spooled[]; readonly upTo: number }> {
    const file = await this.#opened();
    const commands: Spooled[] = [];
    let at = this.#done;
    let rest = Buffer.alloc(0);
    let read = this.#done;
    while (commands.length < count && read < this.#bytes) {
      const chunk = Buffer.alloc(Math.min(READ_BYTES, this.#bytes - read));
      const { bytesRead } = await file.read(chunk, 0, chunk.length, read);
      if (bytesRead === 0) break;
      read += bytesRead;
      rest = Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
      for (let end = rest.indexOf(LINE_END); end >= 0 && commands.length < count; end = rest.indexOf(LINE_END)) {
        const command = commandIn(rest.toString("utf8", 0, end));
        if (command) commands.push(command);
        at += end + 1;
        rest = rest.subarray(end + 1);
      }
    }
    return { commands, upTo: at };
  }

  async done(upTo: number): Promise<void> {
    this.#done = upTo;
    if (!this.isEmpty) return;
    this.#done = this.#bytes = 0;
    this.#isFull = false;
    await (await this.#opened()).truncate(0);
  }

  /** Puts aside what the database will never take. */
  async refuse(commands: readonly Command[]): Promise<string> {
    const path = join(this.#folder, REFUSED_FILE);
    const file = await open(path, "a", OWNER_ONLY);
    try {
      await file.write(commands.map(({ name, args }) => `${JSON.stringify([name, args])}\n`).join(""));
      await file.datasync();
    } finally {
      await file.close();
    }
    return path;
  }

  /** An empty spool leaves no file. */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
    if (this.isEmpty) await rm(this.path, { force: true });
  }

  async #opened(): Promise<FileHandle> {
    return (this.#file ??= await open(this.path, constants.O_RDWR | constants.O_CREAT, OWNER_ONLY));
  }
}

const LINE_END = 10;

/** Undefined for a line that is none: damage of a file that is only appended to cannot be repaired, and must not stop the rest. */
function commandIn(line: string): Spooled | undefined {
  try {
    const [name, args] = JSON.parse(line) as readonly [string, unknown];
    if (!Array.isArray(args)) return undefined;
    if (name === "open") return { name, args: args as unknown as Writes["open"]["args"] };
    if (name === "settle") return { name, args: args as unknown as Writes["settle"]["args"] };
    return undefined;
  } catch {
    return undefined;
  }
}

async function lastLineEnd(file: FileHandle, size: number): Promise<number> {
  const chunk = Buffer.alloc(READ_BYTES);
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - READ_BYTES);
    const { bytesRead } = await file.read(chunk, 0, end - start, start);
    const found = chunk.subarray(0, bytesRead).lastIndexOf(LINE_END);
    if (found >= 0) return start + found + 1;
    end = start;
  }
  return 0;
}

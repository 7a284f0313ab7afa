import { parentPort, workerData } from "node:worker_threads";
import type { JournalWrite, ReadName, Reads } from "../backend.ts";
import { reasonOf } from "../problems.ts";
import { Database } from "./database.ts";
import { JournalFile } from "./journal-file.ts";
import { unpackBatch } from "../pack.ts";
import type { FromWriter, ToWriter } from "./messages.ts";
import { type Keys, Sealer } from "../sealing/sealer.ts";

/** What the thread is started with. */
export interface WriterData {
  readonly folder: string;
  /** The first seals, all open. */
  readonly keys: readonly Uint8Array[];
  readonly journalDiskBytes: number;
}

/** The one thread that touches the databases. Everything it does is in `Database`; here is only its mailbox. */
function serve(port: NonNullable<typeof parentPort>, { folder, keys, journalDiskBytes }: WriterData): void {
  const sealer = new Sealer(keysOf(keys));
  const journal = new JournalFile(folder, sealer, journalDiskBytes);
  const database = new Database(folder, sealer, journal);
  const say = (message: FromWriter): void => port.postMessage(message);
  port.on("message", (message: ToWriter) => {
    switch (message.kind) {
      case "batch":
        return say({ kind: "batch", outcome: database.commit(message.parts.flatMap(unpackBatch)) });
      case "read":
        return say(read(database, message.id, message.name, message.args as Reads[ReadName]["args"]));
      case "journal":
        return say(writeJournal(journal, message.id, message.write));
      case "keys":
        return sealer.replaceKeys(keysOf(message.keys));
      case "close":
        database.close();
        journal.close();
        return port.close();
    }
  });
  say({ kind: "ready", generation: database.generation() });
}

/** What comes over to a thread is plain bytes. */
function keysOf(keys: readonly Uint8Array[]): Keys {
  const [first, ...rest] = keys.map((key) => Buffer.from(key));
  if (!first) throw new Error("there is no key to seal data with");
  return [first, ...rest];
}

function read(database: Database, id: number, name: ReadName, args: Reads[ReadName]["args"]): FromWriter {
  try {
    return { kind: "read", id, value: database.read(name, args) };
  } catch (error) {
    return { kind: "read", id, problem: { kind: "storage_unavailable", message: `The record cannot be read: ${reasonOf(error)}` } };
  }
}

function writeJournal(journal: JournalFile, id: number, write: JournalWrite): FromWriter {
  try {
    return { kind: "read", id, value: write.kind === "append" ? journal.append(write.spill) : journal.abandon(write.node, write.until) };
  } catch (error) {
    return { kind: "read", id, problem: { kind: "storage_unavailable", message: `The journal cannot be written: ${reasonOf(error)}` } };
  }
}

if (parentPort) serve(parentPort, workerData as WriterData);

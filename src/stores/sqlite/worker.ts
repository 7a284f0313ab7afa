import { parentPort, workerData } from "node:worker_threads";
import type { ReadName, Reads } from "../backend.ts";
import { reasonOf } from "../problems.ts";
import { Database } from "./database.ts";
import type { FromWriter, ToWriter } from "./messages.ts";
import { openSealer } from "./serving-key.ts";

/** The one thread that touches the databases. Everything it does is in `Database`; here is only its mailbox. */
function serve(port: NonNullable<typeof parentPort>, folder: string): void {
  const database = new Database(folder, openSealer(folder));
  const say = (message: FromWriter): void => port.postMessage(message);
  port.on("message", (message: ToWriter) => {
    switch (message.kind) {
      case "batch":
        return say({ kind: "batch", outcome: database.commit(message.commands) });
      case "read":
        return say(read(database, message.id, message.name, message.args as Reads[ReadName]["args"]));
      case "close":
        database.close();
        return port.close();
    }
  });
  say({ kind: "ready", generation: database.generation() });
}

function read(database: Database, id: number, name: ReadName, args: Reads[ReadName]["args"]): FromWriter {
  try {
    return { kind: "read", id, value: database.read(name, args) };
  } catch (error) {
    return { kind: "read", id, problem: { kind: "storage_unavailable", message: `The record cannot be read: ${reasonOf(error)}` } };
  }
}

if (parentPort) serve(parentPort, (workerData as { folder: string }).folder);

import { problemFrom, type Signal } from "../../canon/index.ts";
import type { Backend, Command, JournalWrite, ReadName, Reads } from "../backend.ts";
import type { HostedStores } from "../over-backend.ts";
import { ownedRows } from "../pack.ts";
import { type Answered, type Channel, type FromHost, isTagged, TAG, type ToHost } from "./channel.ts";

/** The process that has the record serves it to its workers. */
export interface PrimaryHost {
  /** Serves one worker over its channel until that closes. Call it before the worker can send: as soon as it is forked. */
  attach(channel: Channel): void;
}

export function primaryHost(stores: HostedStores): PrimaryHost {
  const workers = new Set<Channel>();
  // What other gateways of the record say is for every worker.
  stores.backend.signals?.hear((signal) => {
    for (const worker of workers) worker.send({ tag: TAG, signal } satisfies FromHost);
  });
  return { attach: (channel) => serve(stores.backend, channel, workers) };
}

function serve(backend: Backend, channel: Channel, workers: Set<Channel>): void {
  workers.add(channel);
  let open = true;
  let answers: Answered[] = [];
  const send = (message: Omit<FromHost, "tag">): void => {
    if (open) channel.send({ tag: TAG, ...message } satisfies FromHost);
  };
  const sayState = (): void => send({ state: { generation: backend.generation(), failure: backend.failure() ?? null } });
  const sendAnswers = (): void => {
    const all = answers;
    answers = [];
    send({ answers: all });
  };
  /** A commit answers many writes at one go: they share a message. */
  const answer = (answered: Answered): void => {
    if (answers.push(answered) === 1) setImmediate(sendAnswers);
  };
  const follow = (id: number, result: Promise<unknown>): void => {
    result.then(
      (value) => answer([id, value]),
      (error: unknown) => answer([id, undefined, problemFrom(error)]),
    );
  };
  const unwatch = backend.watch(sayState);
  channel.onMessage((message) => {
    if (!isTagged(message)) return;
    const { hello, opens = [], rows, writes = [], reads = [], journal, rekey, signal } = message as ToHost;
    if (hello) sayState();
    for (const args of opens) backend.open(args);
    if (rows) follow(rows[0], backend.settleRows(ownedRows(rows[1])));
    for (const [id, command] of writes) follow(id, write(backend, command));
    if (rekey !== undefined) follow(rekey, backend.rekey());
    if (journal) follow(journal[0], backend.journal(owned(journal[1])));
    if (signal) passOn(signal, backend, channel, workers);
    for (const [id, name, args] of reads) follow(id, backend.read(name, args as Reads[ReadName]["args"]));
  });
  channel.onClose(() => {
    open = false;
    workers.delete(channel);
    unwatch();
  });
}

/** To the other workers, and to the other gateways of the record with theirs. */
function passOn(signal: Signal, backend: Backend, from: Channel, workers: ReadonlySet<Channel>): void {
  for (const other of workers) if (other !== from) other.send({ tag: TAG, signal } satisfies FromHost);
  backend.signals?.tell(signal);
}

/** What came over the channel lies in memory that it shares with other messages; it is given away whole from here. */
function owned(written: JournalWrite): JournalWrite {
  if (written.kind !== "append") return written;
  const blocks = written.spill.blocks.map(({ index, bytes }) => ({ index, bytes: new Uint8Array(bytes) }));
  return { ...written, spill: { ...written.spill, blocks } };
}

function write(backend: Backend, command: Command): Promise<unknown> {
  if (!isSettle(command)) return backend.write(command.name, command.args);
  const [opened, row, spends] = command.args;
  return backend.settle(String(row[0]), row, opened, spends);
}

function isSettle(command: Command): command is Command<"settle"> {
  return command.name === "settle";
}

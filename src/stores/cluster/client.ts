import { type Clock, type DataKeyRotation, ProblemError, type Signal, type Signals } from "../../canon/index.ts";
import {
  type Backend,
  type Command,
  type JournalWrite,
  type ReadName,
  type Reads,
  rowAmong,
  type RowProblems,
  sizeOf,
  type Spends,
  type WriteName,
  type Writes,
} from "../backend.ts";
import type { RowValues } from "../ledger-values.ts";
import { OpenHold } from "../open-hold.ts";
import { DEFAULT_STORAGE, type StorageOptions } from "../options.ts";
import { type HostedStores, storesOver } from "../over-backend.ts";
import { isPackable, packBatch, type PackedBatch } from "../pack.ts";
import { Pace } from "../pace.ts";
import { unavailable } from "../problems.ts";
import { type Answered, type Channel, type FromHost, isTagged, TAG, type ToHost } from "./channel.ts";

/**
 * The stores of a worker process, by way of the process that has the record. Resolves when that process has answered for the first
 * time; rejects with `storage_unavailable` when the channel closes before.
 */
export async function workerStores(channel: Channel, clock: Clock, options: StorageOptions = DEFAULT_STORAGE): Promise<HostedStores> {
  const backend = new RemoteBackend(channel, options);
  await backend.ready;
  return storesOver(backend, clock, () => backend.close());
}

/** A row, until it is durable. */
interface WaitingRow extends Command<"settle"> {
  readonly size: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

interface Waiting {
  readonly size: number;
  /** How many writes are answered with it; none of a read. */
  readonly writes: number;
  readonly rows: readonly WaitingRow[];
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

/** A worker counts as busy at this part of the rows that make a process busy that has the record itself. */
const BUSY_SOONER = 4;
const NO_ROWS: readonly WaitingRow[] = [];
const GONE = "The process that keeps the record is gone.";

class RemoteBackend implements Backend {
  readonly ready: Promise<void>;
  readonly #channel: Channel;
  readonly #options: StorageOptions;
  readonly #hold: OpenHold;
  readonly #pace: Pace;
  readonly #listeners = new Set<() => void>();
  readonly #waiting = new Map<number, Waiting>();
  readonly #signalled = new Set<(signal: Signal) => void>();
  readonly signals: Signals = {
    tell: (signal) => this.#send({ signal }),
    hear: (listener) => {
      this.#signalled.add(listener);
      return () => this.#signalled.delete(listener);
    },
  };
  #opens: Writes["open"]["args"][] = [];
  #rows: WaitingRow[] = [];
  #writes: (readonly [number, Command])[] = [];
  #reads: (readonly [number, ReadName, readonly unknown[]])[] = [];
  #soon = false;
  #nextId = 1;
  #waitingWrites = 0;
  #waitingReads = 0;
  #size = 0;
  #generation = 0;
  #hostFailure: string | undefined;
  #overflow: string | undefined;
  #ended: string | undefined;
  #lost = 0;

  constructor(channel: Channel, options: StorageOptions) {
    this.#channel = channel;
    this.#options = options;
    // Its rows are a part of the gateway's, and a message to another process costs as much as a commit: it is busy sooner.
    this.#pace = new Pace({ ...options, busyRows: Math.ceil(options.busyRows / BUSY_SOONER) }, () => this.#sendQueued());
    this.#hold = new OpenHold(options.openHoldMs, (args) => {
      this.#opens.push(args);
      this.#queued(true);
    });
    this.ready = new Promise((resolve, reject) => {
      channel.onMessage((message) => {
        if (!isTagged(message)) return;
        this.#hear(message);
        resolve();
      });
      channel.onClose(() => {
        this.#end(GONE);
        reject(unavailable(GONE));
      });
    });
    this.#send({ hello: true });
  }

  write<K extends WriteName>(name: K, args: Writes[K]["args"]): Promise<Writes[K]["result"]> {
    if (name === "interrupt") this.#hold.release();
    return this.#write({ name, args });
  }

  open(args: Writes["open"]["args"]): void {
    if (this.#ended === undefined && this.#waitingWrites + this.#hold.size < this.#options.queueRows) this.#hold.add(args);
  }

  settle(callId: string, row: RowValues, opened: 0 | 1 = 1, spends?: Spends): Promise<void> {
    const known = this.#hold.drop(callId) ? 0 : opened;
    const command: Command<"settle"> = { name: "settle", args: spends ? [known, row, spends] : [known, row] };
    const size = sizeOf("settle", command.args);
    const why = this.#refusal(size);
    if (why !== undefined) {
      this.#lost++;
      return Promise.reject(unavailable(why));
    }
    return new Promise((resolve, reject) => {
      const waiting: WaitingRow = { ...command, size, resolve, reject };
      this.#waitingWrites++;
      this.#size += size;
      if (isPackable(command)) this.#rows.push(waiting);
      else this.#writes.push([this.#wait(rowsWaiting([waiting], resolve)), command]);
      this.#queued(true);
    });
  }

  settleRows(packed: PackedBatch): Promise<RowProblems> {
    return this.#ask((id) => ({ rows: [id, packed] }));
  }

  underWay(callId: string): RowValues | undefined {
    const queued = rowAmong(callId, this.#rows);
    if (queued) return queued;
    for (const { rows } of this.#waiting.values()) {
      const row = rowAmong(callId, rows);
      if (row) return row;
    }
    return undefined;
  }

  read<K extends ReadName>(name: K, args: Reads[K]["args"]): Promise<Reads[K]["result"]> {
    if (this.#ended !== undefined) return Promise.reject(unavailable(this.#ended));
    if (this.#waitingReads >= this.#options.reads) {
      return Promise.reject(unavailable(`${this.#options.reads} reads wait for the record, which is the limit (storage.reads).`));
    }
    return new Promise((resolve, reject) => {
      this.#reads.push([this.#wait({ size: 0, writes: 0, rows: NO_ROWS, resolve, reject }), name, args]);
      this.#sendSoon();
    });
  }

  journal(write: JournalWrite): Promise<number> {
    return this.#ask((id) => ({ journal: [id, write] }));
  }

  rekey(): Promise<DataKeyRotation> {
    return this.#ask((id) => ({ rekey: id }));
  }

  #ask<T>(message: (id: number) => Omit<ToHost, "tag">): Promise<T> {
    if (this.#ended !== undefined) return Promise.reject(unavailable(this.#ended));
    return new Promise((resolve, reject) => {
      this.#send(message(this.#wait({ size: 0, writes: 0, rows: NO_ROWS, resolve, reject })));
    });
  }

  /** The number under which the answer comes. */
  #wait(waiting: Waiting): number {
    const id = this.#nextId++;
    this.#waiting.set(id, waiting);
    if (waiting.writes === 0) this.#waitingReads++;
    return id;
  }

  generation(): number {
    return this.#generation;
  }
  failure(): string | undefined {
    return this.#ended ?? this.#overflow ?? this.#hostFailure;
  }
  /** What the other process gives up it counts itself. */
  lost(): number {
    return this.#lost;
  }
  watch(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async flush(): Promise<void> {
    this.#hold.release();
    const done = this.write("probe", []);
    this.#sendQueued();
    await done;
  }

  /**
   * Resolves when everything handed over is durable; or, while the disk refuses, when it has been handed over: the other process goes on
   * trying. The channel stays open: it is the process's.
   */
  async close(): Promise<void> {
    if (this.#ended === undefined) await Promise.race([this.flush().catch(() => {}), this.#failing()]);
    this.#end("The record is closed.");
  }

  #failing(): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.failure() !== undefined) resolve();
      };
      this.watch(look);
      look();
    });
  }

  #write<K extends WriteName>(command: Command<K>): Promise<Writes[K]["result"]> {
    const size = sizeOf(command.name, command.args);
    const why = this.#refusal(size);
    if (why !== undefined) return Promise.reject(unavailable(why));
    return new Promise((resolve, reject) => {
      this.#waitingWrites++;
      this.#size += size;
      this.#writes.push([this.#wait({ size, writes: 1, rows: NO_ROWS, resolve, reject }), command]);
      this.#queued(false);
    });
  }

  /** Why no write of this size is taken any more. */
  #refusal(size: number): string | undefined {
    if (this.#ended !== undefined) return this.#ended;
    if (this.#waitingWrites < this.#options.queueRows && this.#size + size <= this.#options.queueBytes) return undefined;
    this.#overflow = `${this.#waitingWrites} writes wait for the record, which is the limit (storage.queueRows, storage.queueBytes): ${this.#hostFailure ?? "the disk is too slow"}`;
    this.#changed();
    return this.#overflow;
  }

  #queued(patient: boolean): void {
    if (this.#opens.length + this.#rows.length + this.#writes.length >= this.#options.flushRows) this.#sendQueued();
    else this.#pace.wait(patient);
  }

  /** Reads wait for nobody but those of the same turn of the event loop. */
  #sendSoon(): void {
    if (this.#soon) return;
    this.#soon = true;
    setImmediate(() => {
      this.#soon = false;
      this.#sendQueued();
    });
  }

  #sendQueued(): void {
    const opens = this.#opens;
    const rows = this.#rows;
    const writes = this.#writes;
    const reads = this.#reads;
    const writing = opens.length + rows.length + writes.length;
    if (writing + reads.length === 0) return;
    this.#opens = [];
    this.#rows = [];
    this.#writes = [];
    this.#reads = [];
    this.#pace.left(writing);
    this.#send({
      ...(opens.length > 0 && { opens }),
      ...(rows.length > 0 && { rows: [this.#wait(rowsWaiting(rows)), packBatch(rows)] }),
      ...(writes.length > 0 && { writes }),
      ...(reads.length > 0 && { reads }),
    });
  }

  #send(message: Omit<ToHost, "tag">): void {
    if (this.#ended === undefined) this.#channel.send({ tag: TAG, ...message } satisfies ToHost);
  }

  #hear({ state, answers, signal }: FromHost): void {
    if (signal) for (const listener of this.#signalled) listener(signal);
    for (const answered of answers ?? []) this.#answer(answered);
    if (this.#overflow !== undefined && this.#waitingWrites <= this.#options.queueRows / 2) {
      this.#overflow = undefined;
      this.#changed();
    }
    if (!state) return;
    this.#generation = state.generation;
    this.#hostFailure = state.failure ?? undefined;
    this.#changed();
  }

  #answer([id, value, problem]: Answered): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    this.#waiting.delete(id);
    this.#size -= waiting.size;
    this.#waitingWrites -= waiting.writes;
    if (waiting.writes === 0) this.#waitingReads--;
    if (problem) waiting.reject(new ProblemError(problem));
    // JSON has no undefined, and no answer of a store is null.
    else waiting.resolve((value ?? undefined) as never);
  }

  #end(why: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = why;
    this.#pace.stop();
    const left = [...this.#waiting.values(), rowsWaiting(this.#rows)];
    this.#waiting.clear();
    this.#rows = [];
    for (const { rows, reject } of left) {
      if (why === GONE) this.#lost += rows.length;
      reject(unavailable(why));
    }
    this.#changed();
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** Rows of one message wait together. */
function rowsWaiting(rows: readonly WaitingRow[], one?: () => void): Waiting {
  return {
    size: rows.reduce((size, row) => size + row.size, 0),
    writes: rows.length,
    rows,
    resolve: one ?? ((problems: RowProblems) => answerRows(rows, problems)),
    reject: (error) => {
      for (const row of rows) row.reject(error);
    },
  };
}

function answerRows(rows: readonly WaitingRow[], problems: RowProblems): void {
  for (const [place, problem] of problems) rows[place]?.reject(new ProblemError(problem));
  // Of one that was rejected this changes nothing any more.
  for (const row of rows) row.resolve();
}

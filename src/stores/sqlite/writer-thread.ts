import { Worker } from "node:worker_threads";
import { type Clock, type DataKeyRotation, ProblemError } from "../../canon/index.ts";
import type { Backend, BatchOutcome, JournalWrite, ReadName, Reads, RowProblems, Spends, WriteName, Writes } from "../backend.ts";
import type { RowValues } from "../ledger-values.ts";
import type { StorageOptions } from "../options.ts";
import { type BatchEntry, type PackedBatch, packEntries } from "../pack.ts";
import { reasonOf, unavailable } from "../problems.ts";
import type { Keyring } from "../sealing/keyring.ts";
import { Rotation } from "../sealing/rotation.ts";
import { GroupCommit } from "./group-commit.ts";
import type { FromWriter, ToWriter } from "./messages.ts";
import type { WriterData } from "./worker.ts";

interface Asked {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

/** The thread's file stands beside this one, with the same ending: sources run as they are, or compiled. */
const WORKER_FILE = new URL(import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js", import.meta.url);

/** The gateway's side of the writer's thread. A thread that dies is started again by the next batch or read. */
export class WriterThread implements Backend {
  readonly #folder: string;
  readonly #keyring: Keyring;
  readonly #rotation: Rotation;
  readonly #options: StorageOptions;
  readonly #group: GroupCommit;
  readonly #listeners = new Set<() => void>();
  readonly #asked = new Map<number, Asked>();
  #nextId = 1;
  #worker: Worker | undefined;
  #batch: ((outcome: BatchOutcome) => void) | undefined;
  #generation = 0;
  #closed: Promise<void> | undefined;

  private constructor(folder: string, options: StorageOptions, clock: Clock, keyring: Keyring) {
    this.#folder = folder;
    this.#keyring = keyring;
    this.#rotation = new Rotation({
      keyring,
      renew: () => keyring.renew(),
      apply: () => this.#post({ kind: "keys", keys: keyring.keys }),
      reseal: (place) => this.write("reseal", [place]),
    });
    this.#options = options;
    this.#group = new GroupCommit(
      (entries) => this.#commit(entries),
      options,
      clock,
      () => this.#changed(),
    );
  }

  /** Resolves when the thread has the databases open. Rejects with `storage_unavailable`. */
  static async start(folder: string, options: StorageOptions, clock: Clock, keyring: Keyring): Promise<WriterThread> {
    const thread = new WriterThread(folder, options, clock, keyring);
    const worker = thread.#start();
    await new Promise<void>((resolve, reject) => {
      const refused = (error: unknown): void => reject(unavailable(`The record cannot be opened: ${reasonOf(error)}`, { cause: error }));
      worker.once("message", () => resolve());
      worker.once("error", refused);
      worker.once("exit", (code) => refused(new Error(`the writer's thread ended with code ${code}`)));
    });
    return thread;
  }

  write<K extends WriteName>(name: K, args: Writes[K]["args"]): Promise<Writes[K]["result"]> {
    return this.#group.write(name, args);
  }
  rekey(): Promise<DataKeyRotation> {
    return this.#rotation.run();
  }
  open(args: Writes["open"]["args"]): void {
    this.#group.open(args);
  }
  settle(callId: string, row: RowValues, opened: 0 | 1 = 1, spends?: Spends): Promise<void> {
    return this.#group.settle(callId, opened, row, spends);
  }
  settleRows(packed: PackedBatch): Promise<RowProblems> {
    return this.#group.settleRows(packed);
  }
  underWay(callId: string): RowValues | undefined {
    return this.#group.underWay(callId);
  }
  flush(): Promise<void> {
    return this.#group.flush();
  }
  failure(): string | undefined {
    return this.#group.failure();
  }
  lost(): number {
    return this.#group.lost;
  }
  generation(): number {
    return this.#generation;
  }
  watch(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  read<K extends ReadName>(name: K, args: Reads[K]["args"]): Promise<Reads[K]["result"]> {
    if (this.#closed) return Promise.reject(unavailable("The record is closed."));
    if (this.#asked.size >= this.#options.reads) {
      return Promise.reject(unavailable(`${this.#options.reads} reads wait for the record, which is the limit (storage.reads).`));
    }
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#asked.set(id, { resolve, reject });
      this.#post({ kind: "read", id, name, args });
    });
  }

  journal(write: JournalWrite): Promise<number> {
    if (this.#closed) return Promise.reject(unavailable("The record is closed."));
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#asked.set(id, { resolve, reject });
      const blocks = write.kind === "append" ? write.spill.blocks : [];
      this.#post(
        { kind: "journal", id, write },
        blocks.map((block) => block.bytes.buffer),
      );
    });
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.#group.close();
    const worker = this.#worker;
    if (!worker) return;
    const ended = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
    this.#post({ kind: "close" });
    await ended;
  }

  #commit(entries: readonly BatchEntry[]): Promise<BatchOutcome> {
    return new Promise((resolve) => {
      this.#batch = resolve;
      this.#post({ kind: "batch", parts: packEntries(entries) });
    });
  }

  #post(message: ToWriter, handedOver: readonly ArrayBuffer[] = []): void {
    const worker = this.#worker ?? this.#start();
    worker.postMessage(message, handedOver);
  }

  #start(): Worker {
    const workerData: WriterData = { folder: this.#folder, keys: this.#keyring.keys, journalDiskBytes: this.#options.journalDiskBytes };
    // Without the process's own flags: a test runner's or a debugger's are not for this thread.
    const worker = new Worker(WORKER_FILE, { workerData, execArgv: [], name: "record" });
    this.#worker = worker;
    let reason = "it ended";
    worker.on("message", (message: FromWriter) => this.#hear(message));
    worker.on("error", (error) => (reason = reasonOf(error)));
    worker.on("exit", () => {
      if (this.#worker === worker) this.#worker = undefined;
      this.#died(`The writer's thread stopped: ${reason}`);
    });
    return worker;
  }

  #hear(message: FromWriter): void {
    switch (message.kind) {
      case "ready":
        return this.#learn(message.generation);
      case "batch": {
        const { outcome } = message;
        // Before the writers hear of it, so that they find the new generation in force.
        if (outcome.why === undefined && outcome.generation !== undefined) this.#learn(outcome.generation);
        return this.#endBatch(outcome);
      }
      case "read": {
        const asked = this.#asked.get(message.id);
        this.#asked.delete(message.id);
        if (message.problem) asked?.reject(new ProblemError(message.problem));
        else asked?.resolve(message.value as never);
      }
    }
  }

  #died(why: string): void {
    for (const asked of this.#asked.values()) asked.reject(unavailable(why));
    this.#asked.clear();
    this.#endBatch({ why });
  }

  #endBatch(outcome: BatchOutcome): void {
    const resolve = this.#batch;
    this.#batch = undefined;
    resolve?.(outcome);
  }

  #learn(generation: number): void {
    if (generation === this.#generation) return;
    this.#generation = generation;
    this.#changed();
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

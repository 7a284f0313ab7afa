import type { Clock, DataKeyRotation, Signals } from "../../canon/index.ts";
import type { Backend, BatchOutcome, Command, JournalWrite, ReadName, Reads, RowProblems, Spends, WriteName, Writes } from "../backend.ts";
import type { RowValues } from "../ledger-values.ts";
import type { StorageOptions } from "../options.ts";
import { commandsOf, type PackedBatch } from "../pack.ts";
import { unavailable } from "../problems.ts";
import { GroupCommit } from "../sqlite/group-commit.ts";
import type { Keyring } from "../sealing/keyring.ts";
import { Rotation } from "../sealing/rotation.ts";
import { accessReads } from "./access-tables.ts";
import { pinReads } from "./pin-table.ts";
import { batchReads } from "./batch-tables.ts";
import { fileReads } from "./file-tables.ts";
import { adminReads } from "./admin-tables.ts";
import { auditReads } from "./audit-table.ts";
import type { BatchWriter } from "./batch.ts";
import { cacheReads } from "./cache-tables.ts";
import type { Connections } from "./connections.ts";
import { registerDataKey } from "./data-key.ts";
import { reasonOfDatabase } from "./faults.ts";
import { contentReads } from "./content-table.ts";
import { counterReads } from "./counter-table.ts";
import { idempotencyReads } from "./idempotency-table.ts";
import { JournalWriter, journalReads } from "./journal-tables.ts";
import { ledgerReads } from "./ledger-table.ts";
import { lineageReads } from "./lineage-table.ts";
import { repricingReads } from "./repricing-table.ts";
import { rollUp, rollupReads } from "./rollup-table.ts";
import type { Leases } from "./leases.ts";
import { Link, type LinkOptions } from "./link.ts";
import type { Spool } from "./spool.ts";
import { Spooling } from "./spooling.ts";
import type { PostgresReads } from "./tables.ts";
import { turnReads } from "./turn-tables.ts";

const reads: PostgresReads = {
  ...adminReads,
  ...accessReads,
  ...pinReads,
  ...fileReads,
  ...batchReads,
  ...auditReads,
  ...cacheReads,
  ...contentReads,
  ...counterReads,
  ...idempotencyReads,
  ...journalReads,
  ...ledgerReads,
  ...lineageReads,
  ...repricingReads,
  ...rollupReads,
  ...turnReads,
};

export interface PostgresBackendOptions {
  /** For batches, for the journal, and for reads: none of them waits for another. */
  readonly connections: { readonly batches: Connections; readonly journal: Connections; readonly reads: Connections };
  readonly writer: BatchWriter;
  readonly keyring: Keyring;
  readonly spool: Spool | undefined;
  readonly leases: Leases;
  readonly link: Omit<LinkOptions, "onGeneration" | "onConnected" | "onLook">;
  readonly options: StorageOptions;
  readonly clock: Clock;
  readonly log: (line: string) => void;
}

/** Rows of this gateway after which the sums over the ledger are brought forward. */
const ROWS_AT_ONCE = 2048;

/** One gateway's way to a record that it shares with others. */
export class PostgresBackend implements Backend {
  readonly #given: PostgresBackendOptions;
  readonly #group: GroupCommit;
  readonly #spooling: Spooling;
  readonly #rotation: Rotation;
  readonly #journal: JournalWriter;
  readonly #link: Link;
  readonly #listeners = new Set<() => void>();
  #reading = 0;
  #generation = 0;
  #notAddedUp = 0;
  #closed: Promise<void> | undefined;

  private constructor(given: PostgresBackendOptions) {
    this.#given = given;
    const { options, clock, log, spool, writer, connections, keyring, leases } = given;
    this.#rotation = new Rotation({
      keyring,
      // Every gateway of the record must have a key before any of them seals with it, so none of them makes one.
      renew: () => keyring.reload().then(() => false),
      apply: () => registerDataKey(connections.batches, keyring.sealer),
      reseal: (place) => this.write("reseal", [place]),
    });
    this.#spooling = new Spooling({ commit: (commands) => writer.commit(commands), spool, options, clock, log });
    this.#group = new GroupCommit(
      (entries) => this.#commit(commandsOf(entries)),
      options,
      clock,
      () => this.#changed(),
    );
    this.#journal = new JournalWriter(connections.journal, keyring.sealer, options.journalDiskBytes);
    this.#link = new Link({
      ...given.link,
      onGeneration: (generation) => this.#learn(generation),
      onConnected: () => {
        leases.connected();
        this.#spooling.retryNow();
      },
      onLook: (session) => leases.look(session),
    });
  }

  /** Resolves when it listens to the others and its own lease is written. Rejects as the driver does. */
  static async start(given: PostgresBackendOptions): Promise<PostgresBackend> {
    const backend = new PostgresBackend(given);
    await backend.#link.open();
    backend.#spooling.start();
    return backend;
  }

  get signals(): Signals {
    return this.#link.signals;
  }

  write<K extends WriteName>(name: K, args: Writes[K]["args"]): Promise<Writes[K]["result"]> {
    // Beside the batches: rows neither wait for sums nor fail with them.
    if (isRollUp(name, args)) return this.#rollUp(args[0]);
    return this.#group.write(name, args);
  }
  rekey(): Promise<DataKeyRotation> {
    return this.#rotation.run();
  }
  open(args: Writes["open"]["args"]): void {
    this.#group.open(args);
  }
  settle(callId: string, row: RowValues, opened: 0 | 1 = 1, spends?: Spends): Promise<void> {
    if (++this.#notAddedUp >= ROWS_AT_ONCE) this.#addUp();
    return this.#group.settle(callId, opened, row, spends);
  }
  settleRows(packed: PackedBatch): Promise<RowProblems> {
    this.#notAddedUp += packed.rows;
    if (this.#notAddedUp >= ROWS_AT_ONCE) this.#addUp();
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

  async read<K extends ReadName>(name: K, args: Reads[K]["args"]): Promise<Reads[K]["result"]> {
    const { connections, keyring, options } = this.#given;
    if (this.#closed) throw unavailable("The record is closed.");
    if (this.#reading >= options.reads)
      throw unavailable(`${options.reads} reads wait for the record, which is the limit (storage.reads).`);
    this.#reading++;
    try {
      return await connections.reads.use((session) => reads[name](session, args, keyring.sealer));
    } catch (error) {
      throw unavailable(`The record cannot be read: ${reasonOfDatabase(error)}.`, { cause: error });
    } finally {
      this.#reading--;
    }
  }

  async journal(write: JournalWrite): Promise<number> {
    if (this.#closed) throw unavailable("The record is closed.");
    try {
      return await this.#journal.write(write);
    } catch (error) {
      throw unavailable(`The journal cannot be written: ${reasonOfDatabase(error)}.`, { cause: error });
    }
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    const { connections, leases } = this.#given;
    await this.#group.close();
    await this.#spooling.close();
    await this.#link.close();
    // What this gateway leaves open is nobody's: others need not wait for its lease to run out.
    await connections.batches.use((session) => leases.end(session)).catch(() => 0);
    await Promise.all(Object.values(connections).map((one) => one.close().catch(() => {})));
  }

  /** Nobody waits for it. What is not added up now waits for the next time. */
  #addUp(): void {
    this.#notAddedUp = 0;
    void this.#rollUp(false).catch(() => {});
  }

  async #rollUp(restart: boolean): Promise<Writes["rollUp"]["result"]> {
    if (this.#closed) throw unavailable("The record is closed.");
    try {
      return await this.#given.connections.reads.transaction((session) => rollUp(session, restart));
    } catch (error) {
      throw unavailable(`The sums over the ledger cannot be written: ${reasonOfDatabase(error)}.`, { cause: error });
    }
  }

  async #commit(commands: readonly Command[]): Promise<BatchOutcome> {
    const outcome = await this.#spooling.commit(commands);
    // Before the writers hear of it, so that they find the new generation in force.
    if (outcome.why === undefined && outcome.generation !== undefined) this.#learn(outcome.generation);
    return outcome;
  }

  /** It never goes back, but by restoring a backup: then everything held in memory is out of date as well. */
  #learn(generation: number): void {
    if (generation === this.#generation) return;
    this.#generation = generation;
    this.#changed();
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

function isRollUp(name: WriteName, _args: readonly unknown[]): _args is Writes["rollUp"]["args"] {
  return name === "rollUp";
}

import { type Clock, ProblemError } from "../../canon/index.ts";
import {
  type BatchOutcome,
  type Command,
  type Outcome,
  rowAmong,
  type RowProblems,
  sizeOf,
  type Spends,
  type WriteName,
  type Writes,
} from "../backend.ts";
import type { RowValues } from "../ledger-values.ts";
import { OpenHold } from "../open-hold.ts";
import { type BatchEntry, dropOpened, type PackedBatch, sizeOfRows } from "../pack.ts";
import type { StorageOptions } from "../options.ts";
import { Pace } from "../pace.ts";
import { unavailable } from "../problems.ts";

interface Waiting extends Command {
  readonly size: number;
  /** Outlives a disk that refuses: kept and tried again, where others are rejected. */
  readonly patient: boolean;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** Rows of another process, which are one entry of a batch. */
interface WaitingRows {
  readonly packed: PackedBatch;
  readonly size: number;
  readonly patient: true;
  readonly resolve: (problems: RowProblems) => void;
  readonly reject: (error: Error) => void;
}
type Entry = Waiting | WaitingRows;

/** Writes a batch in one transaction. Never rejects. The outcomes are those of its writes one by one, packed or not. */
export type CommitBatch = (entries: readonly BatchEntry[]) => Promise<BatchOutcome>;

const ignore = (): void => {};

/**
 * Gathers writes into batches, one batch under way at a time: while it is being made durable the next one fills. A batch leaves when
 * `flushRows` wait, or when `Pace` says so.
 *
 * When the disk refuses, ledger rows stay queued and the batch is tried again with growing pauses until it lands; other writes are
 * rejected, because somebody waits for their answer. Both are bounded.
 */
export class GroupCommit {
  readonly #commit: CommitBatch;
  readonly #options: StorageOptions;
  readonly #clock: Clock;
  readonly #changed: () => void;
  readonly #hold: OpenHold;
  readonly #pace: Pace;
  #queue: Entry[] = [];
  /** Writes in the queue: an entry may hold many. */
  #queued = 0;
  /** Characters queued or under way. */
  #size = 0;
  #underWay: readonly Entry[] | undefined;
  #due = false;
  #why: string | undefined;
  #overflow: string | undefined;
  #pauseMs = 0;
  #cancelRetry: (() => void) | undefined;
  #closing = false;
  #landed: (() => void) | undefined;
  /** Rows of the ledger that nobody will write any more. */
  #lost = 0;

  constructor(commit: CommitBatch, options: StorageOptions, clock: Clock, changed: () => void) {
    this.#commit = commit;
    this.#options = options;
    this.#clock = clock;
    this.#changed = changed;
    this.#pace = new Pace(options, () => this.#post());
    this.#hold = new OpenHold(options.openHoldMs, (args) => this.#openDue(args));
  }

  write<K extends WriteName>(name: K, args: Writes[K]["args"]): Promise<Writes[K]["result"]> {
    if (this.#why !== undefined) return Promise.reject(unavailable(this.#why));
    if (name === "interrupt") this.#hold.release();
    return this.#enqueue(name, args, false);
  }

  open(args: Writes["open"]["args"]): void {
    if (!this.#closing && this.#queued + this.#hold.size < this.#options.queueRows) this.#hold.add(args);
  }

  underWay(callId: string): RowValues | undefined {
    // Rows of other processes are asked for there.
    return rowAmong(callId, commandsAmong(this.#underWay ?? [])) ?? rowAmong(callId, commandsAmong(this.#queue));
  }

  settle(callId: string, opened: 0 | 1, row: RowValues, spends?: Spends): Promise<void> {
    const known = this.#hold.drop(callId) ? 0 : opened;
    return this.#enqueue("settle", spends ? [known, row, spends] : [known, row], true);
  }

  /** As `settle`, of many rows at once. */
  settleRows(packed: PackedBatch): Promise<RowProblems> {
    const size = sizeOfRows(packed);
    const why = this.#refusal(size);
    if (why !== undefined) return this.#giveUp(packed.rows, why);
    dropOpened(packed, (callId) => this.#hold.drop(callId));
    return new Promise((resolve, reject) => this.#push({ packed, size, patient: true, resolve, reject }));
  }

  /** Rejects when the disk refuses. */
  async flush(): Promise<void> {
    this.#hold.release();
    const done = this.write("probe", []);
    this.#post();
    await done;
  }

  get lost(): number {
    return this.#lost;
  }

  failure(): string | undefined {
    return this.#overflow ?? this.#why;
  }

  /** Writes what is queued. What a refusing disk does not take at this last attempt is rejected. */
  async close(): Promise<void> {
    this.#hold.release();
    this.#closing = true;
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    while (this.#underWay ?? this.#queue.length > 0) {
      const landed = new Promise<void>((resolve) => (this.#landed = resolve));
      this.#post();
      await landed;
      if (this.#why !== undefined && !this.#underWay) this.#rejectAll(unavailable(this.#why));
    }
    this.#pace.stop();
  }

  #enqueue<K extends WriteName>(name: K, args: Writes[K]["args"], patient: boolean): Promise<Writes[K]["result"]> {
    const size = sizeOf(name, args);
    const why = this.#refusal(size);
    if (why !== undefined) return this.#giveUp(name === "settle" ? 1 : 0, why);
    return new Promise((resolve, reject) => this.#push({ name, args, size, patient, resolve, reject }));
  }

  #push(entry: Entry): void {
    this.#size += entry.size;
    this.#queue.push(entry);
    this.#queued += writesOf(entry);
    if (this.#queued >= this.#options.flushRows) this.#post();
    else this.#pace.wait(entry.patient);
  }

  /** `rows` of the ledger are lost with it. */
  #giveUp(rows: number, why: string): Promise<never> {
    this.#lost += rows;
    return Promise.reject(unavailable(why));
  }

  /** Why nothing of this size is taken any more. */
  #refusal(size: number): string | undefined {
    if (this.#closing) return "The record is closed.";
    const full = this.#fullness(size);
    if (full !== undefined) this.#tell(this.#why, full);
    return full;
  }

  #fullness(size: number): string | undefined {
    const { queueRows, queueBytes } = this.#options;
    const reason = this.#why ?? "the disk is too slow";
    if (this.#queued >= queueRows) return `${queueRows} writes wait for the disk, which is the limit (storage.queueRows): ${reason}`;
    if (this.#size + size > queueBytes)
      return `Writes of ${queueBytes} characters wait for the disk, which is the limit (storage.queueBytes): ${reason}`;
    return undefined;
  }

  #openDue(args: Writes["open"]["args"]): void {
    this.#push({ name: "open", args, size: sizeOf("open", args), patient: true, resolve: ignore, reject: ignore });
  }

  #post(): void {
    if (this.#underWay) {
      this.#due = true;
      return;
    }
    if (this.#cancelRetry || (this.#queue.length === 0 && this.#why === undefined)) return;
    const batch =
      this.#queued <= this.#options.batchRows ? this.#queue : this.#queue.slice(0, entriesOf(this.#queue, this.#options.batchRows));
    const writes = batch === this.#queue ? this.#queued : writesAmong(batch);
    this.#queue = batch === this.#queue ? [] : this.#queue.slice(batch.length);
    this.#queued -= writes;
    this.#due = this.#queue.length > 0;
    this.#underWay = batch;
    this.#pace.left(writes);
    void this.#commit(batch).then((outcome) => this.#land(batch, outcome));
  }

  #land(batch: readonly Entry[], outcome: BatchOutcome): void {
    this.#underWay = undefined;
    if (outcome.why !== undefined) this.#refused(batch, outcome.why);
    else {
      let place = 0;
      for (const entry of batch) {
        this.#size -= entry.size;
        if ("packed" in entry) this.#answerRows(entry, outcome.outcomes?.slice(place, place + entry.packed.rows));
        else this.#answer(entry, outcome.outcomes?.[place]);
        place += writesOf(entry);
      }
      this.#pauseMs = 0;
      this.#tell(undefined, this.#queued > this.#options.queueRows / 2 ? this.#overflow : undefined);
      if (this.#due || this.#queued >= this.#options.flushRows) this.#post();
    }
    const landed = this.#landed;
    this.#landed = undefined;
    landed?.();
  }

  #answer(waiting: Waiting, outcome: Outcome): void {
    if (outcome === undefined) return waiting.resolve(undefined);
    if ("value" in outcome) return waiting.resolve(outcome.value);
    if (waiting.name === "settle") this.#lost++;
    waiting.reject(new ProblemError(outcome.problem));
  }

  #answerRows(rows: WaitingRows, outcomes: readonly Outcome[] = []): void {
    const problems = outcomes.flatMap((outcome, place) => (outcome && "problem" in outcome ? [[place, outcome.problem] as const] : []));
    this.#lost += problems.length;
    rows.resolve(problems);
  }

  #refused(batch: readonly Entry[], why: string): void {
    const kept: Entry[] = [];
    for (const waiting of [...batch, ...this.#queue]) {
      if (waiting.patient) kept.push(waiting);
      else this.#reject(waiting, unavailable(why));
    }
    this.#queue = kept;
    this.#queued = writesAmong(kept);
    this.#tell(why, this.#overflow);
    this.#pauseMs = Math.min(this.#options.retryMaxMs, this.#pauseMs === 0 ? this.#options.retryMs : this.#pauseMs * 2);
    if (this.#closing) return;
    this.#cancelRetry = this.#clock.after(this.#pauseMs, () => {
      this.#cancelRetry = undefined;
      this.#post();
    });
  }

  #rejectAll(error: ProblemError): void {
    const queue = this.#queue;
    this.#queue = [];
    this.#queued = 0;
    for (const waiting of queue) this.#reject(waiting, error);
  }

  #reject(entry: Entry, error: ProblemError): void {
    this.#size -= entry.size;
    if ("packed" in entry) this.#lost += entry.packed.rows;
    else if (entry.name === "settle") this.#lost++;
    entry.reject(error);
  }

  #tell(why: string | undefined, overflow: string | undefined): void {
    const before = this.failure();
    this.#why = why;
    this.#overflow = overflow;
    if (this.failure() !== before) this.#changed();
  }
}

function writesOf(entry: Entry): number {
  return "packed" in entry ? entry.packed.rows : 1;
}

function writesAmong(entries: readonly Entry[]): number {
  return entries.reduce((writes, entry) => writes + writesOf(entry), 0);
}

/** How many entries hold so many writes; one at least. */
function entriesOf(entries: readonly Entry[], most: number): number {
  let writes = 0;
  const beyond = entries.findIndex((entry) => (writes += writesOf(entry)) > most);
  return beyond === -1 ? entries.length : Math.max(1, beyond);
}

function commandsAmong(entries: readonly Entry[]): readonly Command[] {
  return entries.flatMap((entry) => ("packed" in entry ? [] : [entry]));
}

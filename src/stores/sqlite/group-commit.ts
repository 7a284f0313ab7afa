import { type Clock, ProblemError } from "../../canon/index.ts";
import { type BatchOutcome, type Command, type Outcome, rowAmong, sizeOf, type Spends, type WriteName, type Writes } from "../backend.ts";
import type { RowValues } from "../ledger-values.ts";
import { OpenHold } from "../open-hold.ts";
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

/** Writes a batch in one transaction. Never rejects. */
export type CommitBatch = (commands: readonly Command[]) => Promise<BatchOutcome>;

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
  #queue: Waiting[] = [];
  /** Characters queued or under way. */
  #size = 0;
  #underWay: readonly Waiting[] | undefined;
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
    if (!this.#closing && this.#queue.length + this.#hold.size < this.#options.queueRows) this.#hold.add(args);
  }

  underWay(callId: string): RowValues | undefined {
    return rowAmong(callId, this.#underWay ?? []) ?? rowAmong(callId, this.#queue);
  }

  settle(callId: string, opened: 0 | 1, row: RowValues, spends?: Spends): Promise<void> {
    const known = this.#hold.drop(callId) ? 0 : opened;
    return this.#enqueue("settle", spends ? [known, row, spends] : [known, row], true);
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
    if (this.#closing) return this.#giveUp(name, "The record is closed.");
    const size = sizeOf(name, args);
    const full = this.#fullness(size);
    if (full !== undefined) {
      this.#tell(this.#why, full);
      return this.#giveUp(name, full);
    }
    this.#size += size;
    return new Promise((resolve, reject) => {
      this.#queue.push({ name, args, size, patient, resolve, reject });
      this.#schedule(patient);
    });
  }

  #giveUp(name: WriteName, why: string): Promise<never> {
    if (name === "settle") this.#lost++;
    return Promise.reject(unavailable(why));
  }

  #fullness(size: number): string | undefined {
    const { queueRows, queueBytes } = this.#options;
    const reason = this.#why ?? "the disk is too slow";
    if (this.#queue.length >= queueRows) return `${queueRows} writes wait for the disk, which is the limit (storage.queueRows): ${reason}`;
    if (this.#size + size > queueBytes)
      return `Writes of ${queueBytes} characters wait for the disk, which is the limit (storage.queueBytes): ${reason}`;
    return undefined;
  }

  #openDue(args: Writes["open"]["args"]): void {
    const size = sizeOf("open", args);
    this.#size += size;
    this.#queue.push({ name: "open", args, size, patient: true, resolve: ignore, reject: ignore });
    this.#schedule(true);
  }

  #schedule(patient: boolean): void {
    if (this.#queue.length >= this.#options.flushRows) this.#post();
    else this.#pace.wait(patient);
  }

  #post(): void {
    if (this.#underWay) {
      this.#due = true;
      return;
    }
    if (this.#cancelRetry || (this.#queue.length === 0 && this.#why === undefined)) return;
    const batch = this.#queue.length <= this.#options.batchRows ? this.#queue : this.#queue.slice(0, this.#options.batchRows);
    this.#queue = batch === this.#queue ? [] : this.#queue.slice(batch.length);
    this.#due = this.#queue.length > 0;
    this.#underWay = batch;
    this.#pace.left(batch.length);
    void this.#commit(batch).then((outcome) => this.#land(batch, outcome));
  }

  #land(batch: readonly Waiting[], outcome: BatchOutcome): void {
    this.#underWay = undefined;
    if (outcome.why !== undefined) this.#refused(batch, outcome.why);
    else {
      for (const [index, waiting] of batch.entries()) {
        this.#size -= waiting.size;
        const said = outcome.outcomes?.[index];
        if (waiting.name === "settle" && said && "problem" in said) this.#lost++;
        answer(waiting, said);
      }
      this.#pauseMs = 0;
      this.#tell(undefined, this.#queue.length > this.#options.queueRows / 2 ? this.#overflow : undefined);
      if (this.#due || this.#queue.length >= this.#options.flushRows) this.#post();
    }
    const landed = this.#landed;
    this.#landed = undefined;
    landed?.();
  }

  #refused(batch: readonly Waiting[], why: string): void {
    const kept: Waiting[] = [];
    for (const waiting of [...batch, ...this.#queue]) {
      if (waiting.patient) kept.push(waiting);
      else this.#reject(waiting, unavailable(why));
    }
    this.#queue = kept;
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
    for (const waiting of queue) this.#reject(waiting, error);
  }

  #reject(waiting: Waiting, error: ProblemError): void {
    this.#size -= waiting.size;
    if (waiting.name === "settle") this.#lost++;
    waiting.reject(error);
  }

  #tell(why: string | undefined, overflow: string | undefined): void {
    const before = this.failure();
    this.#why = why;
    this.#overflow = overflow;
    if (this.failure() !== before) this.#changed();
  }
}

function answer(waiting: Waiting, outcome: Outcome): void {
  if (outcome === undefined) waiting.resolve(undefined);
  else if ("problem" in outcome) waiting.reject(new ProblemError(outcome.problem));
  else waiting.resolve(outcome.value);
}

import type { Clock } from "../../canon/index.ts";
import type { BatchOutcome, Command, Outcome } from "../backend.ts";
import type { StorageOptions } from "../options.ts";
import { reasonOf } from "../problems.ts";
import { isSpoolable, type Spool } from "./spool.ts";

export interface SpoolingOptions {
  readonly commit: (commands: readonly Command[]) => Promise<BatchOutcome>;
  /** Undefined: nothing is put on the disk, as for commands that run for a moment. */
  readonly spool: Spool | undefined;
  readonly options: StorageOptions;
  readonly clock: Clock;
  /** One line for the operator. */
  readonly log: (line: string) => void;
}

/**
 * What happens to batches while the database is away: rows go to the disk and are acknowledged, everything else is refused at once,
 * because somebody waits for its answer. When the database is back the rows follow, in portions, beside the new ones; each leaves the disk
 * after its commit, and a row that is written twice is one row.
 */
export class Spooling {
  readonly #given: SpoolingOptions;
  /** Why the database cannot be used; undefined while it can. */
  #away: string | undefined;
  #pauseMs = 0;
  #cancel: (() => void) | undefined;
  #replaying: Promise<void> | undefined;
  #closed = false;
  /** The file has one user at a time. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(given: SpoolingOptions) {
    this.#given = given;
  }

  get away(): string | undefined {
    return this.#away;
  }

  /** Never rejects. */
  async commit(commands: readonly Command[]): Promise<BatchOutcome> {
    if (this.#away === undefined || !this.#given.spool) {
      const outcome = await this.#given.commit(commands);
      if (outcome.why === undefined || !this.#given.spool) return outcome;
      this.#left(outcome.why);
    }
    return this.#toDisk(commands, this.#away ?? "the database cannot be used now");
  }

  /** What an earlier process left goes first. */
  start(): void {
    if (this.#given.spool && !this.#given.spool.isEmpty) this.#schedule(0);
  }

  /** Tries now whether the database is back, whatever the pause says. */
  retryNow(): void {
    if (this.#away !== undefined) this.#schedule(0);
  }

  /** What could not be replayed stays on the disk for the next start. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel?.();
    await this.#replaying;
    await this.#last;
    await this.#given.spool?.close();
  }

  async #toDisk(commands: readonly Command[], why: string): Promise<BatchOutcome> {
    const { spool } = this.#given;
    const rows = commands.filter(isSpoolable);
    // Nothing to write is the question whether something could be.
    if (commands.length === 0 && spool?.isFull) return { why: `${why}; and the place for rows on this machine's disk is used up` };
    try {
      if (rows.length > 0 && spool) await this.#alone(() => spool.append(rows));
    } catch (error) {
      return { why: `${why}; and ${reasonOf(error)}` };
    }
    const outcomes: Outcome[] = [];
    for (const [place, command] of commands.entries()) {
      // Nothing was written by it; what came before it is durable, and that is what it asks.
      if (isSpoolable(command) || command.name === "probe") continue;
      outcomes[place] = { problem: { kind: "storage_unavailable", message: `The record cannot be changed: ${why}` } };
    }
    return { outcomes };
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  #left(why: string): void {
    if (this.#away === undefined) this.#given.log(`The record is away: ${why}. Rows wait on the disk in ${this.#given.spool?.path ?? ""}.`);
    this.#away = why;
    if (!this.#cancel && !this.#replaying) this.#schedule(this.#nextPause());
  }

  #nextPause(): number {
    const { retryMs, retryMaxMs } = this.#given.options;
    this.#pauseMs = Math.min(retryMaxMs, this.#pauseMs === 0 ? retryMs : this.#pauseMs * 2);
    return this.#pauseMs;
  }

  #schedule(ms: number): void {
    if (this.#closed || this.#replaying) return;
    this.#cancel?.();
    this.#cancel = this.#given.clock.after(ms, () => {
      this.#cancel = undefined;
      this.#replaying = this.#replay().finally(() => {
        this.#replaying = undefined;
        if (this.#away !== undefined) this.#schedule(this.#nextPause());
      });
    });
  }

  /** Ends when nothing is left, or when the database is away again. */
  async #replay(): Promise<void> {
    const { spool, commit, options, log } = this.#given;
    if (!spool) return;
    let rows = 0;
    try {
      while (!this.#closed) {
        const { commands, upTo } = await this.#alone(() => spool.next(options.batchRows));
        const outcome = await commit(commands);
        if (outcome.why !== undefined) {
          this.#away = outcome.why;
          return;
        }
        // It works: new rows need not go by way of the disk any more.
        this.#back();
        const refused = commands.filter((_, place) => isProblem(outcome.outcomes?.[place]));
        if (refused.length > 0)
          log(`The record refused ${refused.length} of the rows that had waited: they are in ${await spool.refuse(refused)}.`);
        rows += commands.length;
        await this.#alone(() => spool.done(upTo));
        if (spool.isEmpty) break;
      }
      if (rows > 0) log(`${rows} entries that had waited on the disk are in the record.`);
    } catch (error) {
      // The rows are on the disk still, and the disk is what failed: the next try may find it better.
      this.#away ??= `the rows that wait on the disk cannot be read: ${reasonOf(error)}`;
    }
  }

  #back(): void {
    if (this.#away !== undefined) this.#given.log("The record is back.");
    this.#away = undefined;
    this.#pauseMs = 0;
  }
}

function isProblem(outcome: Outcome): boolean {
  return outcome !== undefined && "problem" in outcome;
}

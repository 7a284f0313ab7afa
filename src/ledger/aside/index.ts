import { Worker } from "node:worker_threads";
import type { Clock, ContentPolicy, ContentStore, LineageStore } from "../../canon/index.ts";
import { sizeOf, type Remnant } from "./remnant.ts";
import type { FromAside, ToAside } from "./worker.ts";

export { ANSWER, WANTS, type Remnant } from "./remnant.ts";

/** The thread's file stands beside this one, with the same ending: sources run as they are, or compiled. */
const WORKER_FILE = new URL(import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js", import.meta.url);

/** A call waits so long at most before its batch leaves. */
const GATHER_MS = 20;
const BATCH_CALLS = 64;
const BATCH_CHARACTERS = 1024 * 1024;
/** What waits beyond this is dropped and counted. */
const MOST_WAITING = 4096;
const MOST_CHARACTERS = 32 * 1024 * 1024;
/** A thread that is silent for longer hangs, in a pattern that never ends perhaps: it is given up with what it was given. */
const ANSWER_MS = 5000;

export interface AsideCounts {
  /** Calls of which something was kept. */
  records: number;
  stored: number;
  /** Dropped: too many waited; the thread hung or died; the record would not have them; longer than their policy takes. */
  full: number;
  hung: number;
  refused: number;
  tooLong: number;
}

export interface AsideDeps {
  readonly clock: Clock;
  readonly lineage: Pick<LineageStore, "keepPacked">;
  readonly content: Pick<ContentStore, "keep">;
  /** One line for the operator. */
  readonly log: (line: string) => void;
  /** A defect: logged with the call's id. */
  readonly report: (error: unknown, callId: string) => void;
  /** Default: `ANSWER_MS`. */
  readonly answerMs?: number;
}

/**
 * Records what is left of calls in a thread of its own: hashing, redacting and writing down take no time of the thread that serves. What it
 * is given is a push onto a list. The list is bounded, and what does not fit is dropped and counted: no call ever waits for its record.
 */
export class Aside {
  readonly counts: AsideCounts = { records: 0, stored: 0, full: 0, hung: 0, refused: 0, tooLong: 0 };
  readonly #deps: AsideDeps;
  readonly #numbers = new WeakMap<ContentPolicy, number>();
  /** By their text: a configuration that is read again says the same. */
  readonly #policies = new Map<string, { readonly number: number; readonly policy: ContentPolicy }>();
  /** Policies that this thread was told of. */
  #told = new Set<number>();
  #worker: Worker | undefined;
  #waiting: Remnant[] = [];
  #characters = 0;
  #cancelTimer: (() => void) | undefined;
  #underWay: { readonly calls: number; readonly cancel: () => void } | undefined;
  /** Batches on their way into the record. */
  #keeping = 0;
  readonly #flushed: (() => void)[] = [];
  #closed = false;

  constructor(deps: AsideDeps) {
    this.#deps = deps;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  add(remnant: Remnant): void {
    const size = sizeOf(remnant);
    if (this.#closed || this.#waiting.length >= MOST_WAITING || this.#characters + size > MOST_CHARACTERS) {
      this.counts.full++;
      return;
    }
    this.#characters += size;
    const waiting = this.#waiting.push(remnant);
    if (this.#underWay) return;
    if (waiting >= BATCH_CALLS || this.#characters >= BATCH_CHARACTERS) this.#send();
    else this.#cancelTimer ??= this.#deps.clock.after(GATHER_MS, () => this.#send());
  }

  /** By this number remnants name the policy. */
  numberOf(policy: ContentPolicy): number {
    const known = this.#numbers.get(policy);
    if (known !== undefined) return known;
    const text = JSON.stringify(policy);
    const same = this.#policies.get(text) ?? { number: this.#policies.size + 1, policy };
    this.#policies.set(text, same);
    this.#numbers.set(policy, same.number);
    return same.number;
  }

  /** Resolves when what was added before is in the record, or lost. */
  flush(): Promise<void> {
    if (this.#idle) return Promise.resolve();
    const done = new Promise<void>((resolve) => this.#flushed.push(resolve));
    if (!this.#underWay) this.#send();
    return done;
  }

  async close(): Promise<void> {
    await this.flush();
    this.#closed = true;
    await this.#worker?.terminate();
  }

  get #idle(): boolean {
    return this.#waiting.length === 0 && !this.#underWay && this.#keeping === 0;
  }

  #send(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const batch = this.#take();
    if (batch.length === 0) return;
    const worker = (this.#worker ??= this.#start());
    const policies = this.#newPolicies(batch);
    const cancel = this.#deps.clock.after(this.#deps.answerMs ?? ANSWER_MS, () => {
      this.#deps.log(
        `Recording beside the calls hung; ${batch.length} calls are not recorded. Look for a pattern of content.store that never ends.`,
      );
      void worker.terminate();
    });
    this.#underWay = { calls: batch.length, cancel };
    worker.postMessage({ policies, batch } satisfies ToAside, []);
  }

  #take(): readonly Remnant[] {
    let characters = 0;
    let calls = 0;
    for (const remnant of this.#waiting) {
      if (calls > 0 && (calls >= BATCH_CALLS || characters + sizeOf(remnant) > BATCH_CHARACTERS)) break;
      characters += sizeOf(remnant);
      calls++;
    }
    this.#characters -= characters;
    return this.#waiting.splice(0, calls);
  }

  #newPolicies(batch: readonly Remnant[]): ToAside["policies"] {
    const named = new Set(batch.map((remnant) => remnant[16]));
    const added = [...this.#policies.values()].flatMap(({ number, policy }) =>
      named.has(number) && !this.#told.has(number) ? [[number, policy] as const] : [],
    );
    for (const [number] of added) this.#told.add(number);
    return added;
  }

  #start(): Worker {
    // Without the process's own flags: a test runner's or a debugger's are not for this thread.
    const worker = new Worker(WORKER_FILE, { execArgv: [], name: "aside" });
    this.#told = new Set();
    worker.unref();
    worker.on("message", (made: FromAside) => this.#made(made));
    worker.on("error", (error) => this.#deps.report(error, "aside"));
    worker.on("exit", () => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      this.counts.hung += this.#underWay?.calls ?? 0;
      this.#next();
    });
    return worker;
  }

  #made({ lineage, content, records, stored, tooLong, unread }: FromAside): void {
    const { report } = this.#deps;
    this.counts.tooLong += tooLong;
    for (const [callId, why] of unread) report(new Error(`the call cannot be read back for its record: ${why}`), callId);
    if (lineage !== undefined) this.#keep(this.#deps.lineage.keepPacked(lineage), "records", records);
    if (content !== undefined) this.#keep(this.#deps.content.keep(content), "stored", stored);
    this.#next();
  }

  #keep(work: Promise<void>, kept: "records" | "stored", calls: number): void {
    this.#keeping++;
    const over = (count: "records" | "stored" | "refused"): void => {
      this.counts[count] += calls;
      this.#keeping--;
      this.#tellFlushed();
    };
    work.then(
      () => over(kept),
      () => over("refused"),
    );
  }

  #next(): void {
    this.#underWay?.cancel();
    this.#underWay = undefined;
    if (this.#waiting.length > 0) this.#send();
    else this.#tellFlushed();
  }

  #tellFlushed(): void {
    if (this.#idle) for (const resolve of this.#flushed.splice(0)) resolve();
  }
}

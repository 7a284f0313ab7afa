import { Worker } from "node:worker_threads";
import type { Clock, ContentPolicy, ContentStore, LineageStore } from "../../canon/index.ts";
import { Batch, BATCH_BYTES } from "./pack.ts";
import type { Remnant } from "./remnant.ts";
import type { FromAside, ToAside } from "./worker.ts";

export { ANSWER, WANTS, type Remnant, type RemnantHead } from "./remnant.ts";

/** The thread's file stands beside this one, with the same ending: sources run as they are, or compiled. */
const WORKER_FILE = new URL(import.meta.url.endsWith(".ts") ? "./worker.ts" : "./worker.js", import.meta.url);

/** A call waits so long at most before its batch leaves. */
const GATHER_MS = 20;
/** What waits beyond this is dropped and counted. */
const MOST_WAITING = 4096;
/** Batches whose memory is used again. */
const MOST_SPARE = 4;
const MOST_BYTES = 32 * 1024 * 1024;
/** A thread that is silent for longer hangs, in a pattern that never ends perhaps: it is given up with what it was given. */
const ANSWER_MS = 5000;
/** Calls whose answer is being read back for their record at the same time. */
const MOST_GATHERED = 8;

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
  #filling: Batch | undefined;
  #ready: Batch[] = [];
  /** Memory of batches before. */
  readonly #spare: ArrayBuffer[] = [];
  /** Calls and bytes of memory in these. */
  #calls = 0;
  #bytes = 0;
  #cancelTimer: (() => void) | undefined;
  #underWay: { readonly calls: number; readonly cancel: () => void } | undefined;
  /** Batches on their way into the record. */
  #keeping = 0;
  /** Calls that `addLater` waits for. */
  #gathered = 0;
  readonly #flushed: (() => void)[] = [];
  #closed = false;

  constructor(deps: AsideDeps) {
    this.#deps = deps;
  }

  get waiting(): number {
    return this.#calls;
  }

  add(remnant: Remnant): void {
    if (!this.#put(remnant)) {
      this.counts.full++;
      return;
    }
    this.#calls++;
    if (this.#underWay) return;
    if (this.#ready.length > 0 || this.#filling?.isFull) this.#send();
    else this.#cancelTimer ??= this.#deps.clock.after(GATHER_MS, () => this.#send());
  }

  /** The same of one that has to be gathered first. `instead` is recorded where that fails, or too many are being gathered. */
  addLater(gather: () => Promise<Remnant>, instead: Remnant): void {
    if (this.#closed || this.#gathered >= MOST_GATHERED) return this.add(instead);
    this.#gathered++;
    const over = (remnant: Remnant): void => {
      this.#gathered--;
      this.add(remnant);
      // Somebody may be waiting for this very call.
      if (this.#flushed.length > 0 && !this.#underWay) this.#send();
      this.#tellFlushed();
    };
    gather().then(over, () => over(instead));
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
    return this.#calls === 0 && !this.#underWay && this.#keeping === 0 && this.#gathered === 0;
  }

  /** False: there is no room. */
  #put(remnant: Remnant): boolean {
    if (this.#closed || this.#calls >= MOST_WAITING) return false;
    if (this.#filling?.add(remnant)) return true;
    const batch = new Batch(remnant, this.#spare.pop());
    if (this.#bytes + batch.size > MOST_BYTES) return false;
    if (this.#filling) this.#ready.push(this.#filling);
    this.#bytes += batch.size;
    this.#filling = batch;
    return batch.add(remnant);
  }

  #send(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const batch = this.#take();
    if (!batch) return;
    const worker = (this.#worker ??= this.#start());
    const policies = this.#newPolicies(batch.policies);
    const cancel = this.#deps.clock.after(this.#deps.answerMs ?? ANSWER_MS, () => {
      this.#deps.log(
        `Recording beside the calls hung; ${batch.calls} calls are not recorded. Look for a pattern of content.store that never ends.`,
      );
      void worker.terminate();
    });
    this.#underWay = { calls: batch.calls, cancel };
    const packed = batch.pack();
    worker.postMessage({ policies, batch: packed } satisfies ToAside, [packed.bytes]);
  }

  #take(): Batch | undefined {
    const batch = this.#ready.shift() ?? this.#filling;
    if (!batch) return undefined;
    if (batch === this.#filling) this.#filling = undefined;
    this.#calls -= batch.calls;
    this.#bytes -= batch.size;
    return batch;
  }

  #newPolicies(named: ReadonlySet<number>): ToAside["policies"] {
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

  #made({ made: { lineage, content, records, stored, tooLong, unread }, bytes }: FromAside): void {
    if (bytes.byteLength === BATCH_BYTES && this.#spare.length < MOST_SPARE) this.#spare.push(bytes);
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
    if (this.#calls > 0) this.#send();
    else this.#tellFlushed();
  }

  #tellFlushed(): void {
    if (this.#idle) for (const resolve of this.#flushed.splice(0)) resolve();
  }
}

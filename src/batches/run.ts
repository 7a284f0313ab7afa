import {
  problemFrom,
  type Batch,
  type BatchStore,
  type Caller,
  type FileStore,
  type Json,
  type LineOrder,
  type LineOutcome,
  type LineResult,
  type Problem,
} from "../canon/index.ts";
import { draftCall, type Draft } from "../gateway/handed.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import { callerNow, isProblem, pauseAfter, ROOM_PAUSE_MS, TRIED_AGAIN, WAITED_OUT } from "./asking.ts";
import type { BatchDialect } from "./batches.ts";
import { entranceOf, makeCall, requestOf, type Called } from "./call.ts";
import { finish } from "./finish.ts";
import { HandOver, mayBeHandedOver } from "./handover.ts";
import { LineBook, refused } from "./lines.ts";
import type { BatchesOptions } from "./options.ts";
import { Parts } from "./parts.ts";
import type { Slots } from "./slots.ts";
import { untilOpen } from "./window.ts";

export interface RunDeps {
  readonly gateway: GatewayDeps;
  readonly files: FileStore;
  readonly store: BatchStore;
  readonly options: () => BatchesOptions;
  readonly slots: Slots;
  readonly report: (error: unknown) => void;
}

/** `lost`: somebody else has the batch, or this process is about to go. What is not kept then is asked by whoever comes next. */
export type Stop = "cancelled" | "expired" | "lost";

/** One batch while this process works on it. */
export class BatchRun {
  readonly #deps: RunDeps;
  readonly #dialect: BatchDialect;
  readonly #node: string;
  readonly #running = new Set<() => void>();
  readonly #waking = new Set<() => void>();
  readonly #book: LineBook;
  readonly #parts: Parts;
  #done = new Set<number>();
  #batch: Batch;
  #stop: Stop | undefined;
  /** The file was deleted while lines were still to be read. */
  #isGone = false;
  #failure: { readonly error: unknown } | undefined;
  #updating: Promise<void> = Promise.resolve();

  constructor(deps: RunDeps, dialect: BatchDialect, batch: Batch, node: string) {
    this.#deps = deps;
    this.#dialect = dialect;
    this.#batch = batch;
    this.#node = node;
    this.#book = new LineBook(deps.files, batch, dialect, deps.gateway.snapshot().limits);
    this.#parts = new Parts({
      gateway: deps.gateway,
      batch: () => this.#batch,
      book: this.#book,
      stopped: () => this.#stop,
      wait: (ms) => this.#wait(ms),
      isDone: (line) => this.#done.has(line),
      keep: (line, outcome, what) => this.#keep(line, outcome, what),
      update: (change) => this.#update(change),
      askHere: (lines) => this.#askHere(lines),
      handOver: async (lines) => this.#askHere(await this.#handOver(lines)),
      report: deps.report,
      fail: (error) => this.#fail(error),
    });
  }

  /** Asks nothing more. */
  stop(why: Stop): void {
    // Whoever lost the batch says nothing more about it.
    if (this.#stop === "lost" || (this.#stop !== undefined && why !== "lost")) return;
    this.#stop = why;
    if (why !== "lost") for (const stop of this.#running) stop();
    for (const wake of this.#waking) wake();
  }

  /** Resolves when it has ended, or was lost. Rejects when the record cannot be read or written. */
  async run(): Promise<void> {
    const { store, gateway } = this.#deps;
    const { scope, id } = this.#batch;
    if (this.#batch.startedAt === undefined) await this.#update(() => ({ startedAt: gateway.clock.now() }));
    const end = gateway.clock.after(Math.max(0, this.#batch.deadline - gateway.clock.now()), () => this.stop("expired"));
    try {
      this.#done = new Set(await store.linesDone(scope, id));
      await this.#book.open(() => this.#isLost());
      await this.#answerAll();
      if (this.#failure) throw this.#failure.error;
      if (this.#isLost()) return;
      const isWhole = !this.#isGone && this.#book.size >= this.#batch.total;
      if (!isWhole)
        await this.#update(() => ({ problem: { kind: "not_found", message: "The batch's file was deleted while it was being read." } }));
      if (this.#batch.finishingAt === undefined) await this.#update(() => ({ finishingAt: gateway.clock.now() }));
      const stop = this.#stop;
      if (stop === "lost") return;
      await finish(
        { ...this.#deps, node: this.#node, language: this.#dialect.batches },
        this.#batch,
        stop ?? (isWhole ? "completed" : "failed"),
      );
    } finally {
      end();
    }
  }

  /** Read anew where it changes under one's hands. */
  #isLost(): boolean {
    return this.#stop === "lost";
  }

  /** The batch cannot go on here now; whoever takes it up next begins where this ended. */
  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.stop("lost");
  }

  /** Lines that are handed over and lines that are asked here, each as soon as it can be. */
  async #answerAll(): Promise<void> {
    try {
      const gone = this.#parts.resume();
      const left: number[] = [];
      for (let line = 1; line <= this.#book.size && !this.#isLost(); line++) {
        const problem = this.#book.entry(line)?.problem;
        if (this.#done.has(line) || gone.has(line)) continue;
        if (problem) await this.#keep(line, "failed", { problem });
        else left.push(line);
      }
      await this.#askHere(await this.#handOver(left));
    } catch (error) {
      this.#fail(error);
    }
    await this.#parts.whenOver();
  }

  /** Hands over what can be; returns the lines that are to be asked here. */
  async #handOver(lines: readonly number[]): Promise<readonly number[]> {
    if (this.#deps.options().via === "gateway") return lines;
    const { gateway } = this.#deps;
    const hand = new HandOver({ gateway, send: (ready) => this.#parts.send(ready) });
    const here: number[] = [];
    try {
      for (const line of lines) {
        // Those that are left are told why they were stopped.
        const draft = this.#stop === undefined ? await this.#draft(line, hand) : undefined;
        if (!draft) here.push(line);
        else if (!(await hand.add(line, draft))) {
          draft.allowance?.budgets?.release();
          here.push(line);
        }
      }
      if (this.#stop === undefined) await hand.flush();
      else for (const line of hand.lines()) here.push(line);
      return here.toSorted((a, b) => a - b);
    } finally {
      hand.drop();
    }
  }

  /** A line made ready for its provider's batch service; undefined: it is to be asked here, where whatever is wrong with it is told. */
  async #draft(line: number, hand: HandOver): Promise<Draft | undefined> {
    const { gateway } = this.#deps;
    const order = await this.#book.order(line);
    const entrance = order && entranceOf(gateway.dialects, order.path);
    if (!order || !entrance) return undefined;
    while (this.#stop === undefined && mayBeHandedOver(gateway.snapshot(), order)) {
      const caller = await callerNow(gateway, this.#batch);
      if (isProblem(caller)) return undefined;
      try {
        return await draftCall(gateway, { ...requestOf(entrance, order, { batch: this.#batch, caller }), handed: { stage: "draft" } });
      } catch (error) {
        const { kind, retryAfterMs } = problemFrom(error);
        if (!WAITED_OUT.has(kind)) return undefined;
        // What is there already may go: its answers make room in the budgets.
        if (kind === "budget_exhausted") await hand.flush();
        await this.#pause(pauseAfter({ retryAfterMs }, 0));
      }
    }
    return undefined;
  }

  /** A few at once. */
  async #askHere(lines: Iterable<number>): Promise<void> {
    const underWay = new Set<Promise<void>>();
    for (const line of lines) {
      if (this.#isLost() || this.#isGone) break;
      if (this.#done.has(line)) continue;
      while (underWay.size >= this.#deps.options().concurrency) await Promise.race(underWay);
      const work = this.#work(line)
        .catch((error: unknown) => this.#fail(error))
        .finally(() => underWay.delete(work));
      underWay.add(work);
    }
    await Promise.all(underWay);
  }

  async #work(line: number): Promise<void> {
    const order = await this.#book.order(line);
    if (!order) {
      this.#isGone = true;
      return;
    }
    for (let tries = 0; ;) {
      const room = await this.#room();
      if (!room) return this.#keepStopped(line);
      const called = await this.#call(order, line, tries).finally(room);
      if (isProblem(called)) return this.#keep(line, "failed", { problem: called });
      if (this.#isLost() && called.problem !== undefined) return;
      if (called.problem === undefined) return this.#keep(line, "ok", { answer: called });
      if (this.#stop !== undefined && called.problem === "cancelled") return this.#keepStopped(line);
      const isTriedAgain = TRIED_AGAIN.has(called.problem);
      if (!isTriedAgain && !WAITED_OUT.has(called.problem)) return this.#keep(line, "failed", { answer: called });
      if (isTriedAgain && ++tries > this.#deps.options().retries) return this.#keep(line, "failed", { answer: called });
      await this.#pause(pauseAfter(called, isTriedAgain ? tries : 0));
    }
  }

  /** A problem: nobody may make the call, or nothing takes it. */
  async #call(order: LineOrder, line: number, tries: number): Promise<Called | Problem> {
    const { gateway } = this.#deps;
    const entrance = entranceOf(gateway.dialects, order.path);
    if (!entrance) return refused(`Batches cannot go to ${order.path.slice(0, 100)}.`).problem;
    const caller: Caller | Problem = await callerNow(gateway, this.#batch);
    if (isProblem(caller)) return caller;
    const { called, stop } = makeCall(gateway, entrance, order, { batch: this.#batch, line, tries, caller });
    this.#running.add(stop);
    if (this.#stop !== undefined && this.#stop !== "lost") stop();
    try {
      return await called;
    } finally {
      this.#running.delete(stop);
    }
  }

  /** A place among the calls of all batches, within the hours in which they are made. Undefined: nothing more is asked. */
  async #room(): Promise<(() => void) | undefined> {
    const { gateway, options, slots } = this.#deps;
    for (;;) {
      for (let wait; this.#stop === undefined && (wait = untilOpen(options().window, gateway.clock.now())) > 0;)
        await this.#pause(Math.min(wait, ROOM_PAUSE_MS));
      if (this.#stop !== undefined) return undefined;
      const giveBack = await slots.take();
      if (this.#stop === undefined && untilOpen(options().window, gateway.clock.now()) === 0) return giveBack;
      giveBack();
    }
  }

  /** Until then, or until it is stopped. */
  #pause(ms: number): Promise<void> {
    return this.#stop === undefined ? this.#wait(ms) : Promise.resolve();
  }

  /** The same for whoever has something to wait for when it is stopped, unless it is lost. */
  #wait(ms: number): Promise<void> {
    if (this.#isLost()) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        cancel();
        this.#waking.delete(wake);
        resolve();
      };
      const cancel = this.#deps.gateway.clock.after(ms, wake);
      this.#waking.add(wake);
    });
  }

  async #keepStopped(line: number): Promise<void> {
    const why = this.#stop;
    if (why === "cancelled" || why === "expired") await this.#keep(line, why, {});
  }

  async #keep(line: number, outcome: LineOutcome, what: Pick<LineResult, "problem"> & { answer?: Called }): Promise<void> {
    const { scope, id, expiresAt } = this.#batch;
    const answer = what.answer && { status: what.answer.status, callId: what.answer.callId, body: what.answer.body satisfies Json };
    const result: LineResult = {
      id: `${id}_${line}`,
      customId: this.#book.entry(line)?.customId ?? null,
      outcome,
      ...(answer && { answer }),
      ...(what.problem && { problem: what.problem }),
    };
    const kept = await this.#deps.store.keepLine(scope, id, this.#node, expiresAt, { line, outcome, text: JSON.stringify(result) });
    if (kept) this.#done.add(line);
    else this.stop("lost");
  }

  /** One change after the other, each to what the one before left. */
  #update(change: (batch: Batch) => Partial<Batch>): Promise<void> {
    const updated = this.#updateAfter(this.#updating, change);
    this.#updating = updated.catch(() => {});
    return updated;
  }

  async #updateAfter(earlier: Promise<void>, change: (batch: Batch) => Partial<Batch>): Promise<void> {
    await earlier;
    const next = { ...this.#batch, ...change(this.#batch) };
    if (await this.#deps.store.update(next, this.#node, false)) this.#batch = next;
    else this.stop("lost");
  }
}

import {
  PROBLEM_KINDS,
  problemFrom,
  ProblemError,
  type Batch,
  type BatchStore,
  type FileStore,
  type Json,
  type JsonObject,
  type LineOrder,
  type LineOutcome,
  type LineResult,
  type Problem,
  type ProblemKind,
} from "../canon/index.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import { openJsonText } from "../kit/index.ts";
import type { BatchDialect } from "./batches.ts";
import { type Called, entranceOf, makeCall } from "./call.ts";
import { finish } from "./finish.ts";
import type { BatchesOptions } from "./options.ts";
import { linesOf, piecesOf, type Line } from "./pieces.ts";
import type { Slots } from "./slots.ts";
import { untilOpen } from "./window.ts";

export interface RunDeps {
  readonly gateway: GatewayDeps;
  readonly files: FileStore;
  readonly store: BatchStore;
  readonly options: () => BatchesOptions;
  readonly slots: Slots;
}

/** `lost`: somebody else has the batch, or this process is about to go. What is not kept then is asked by whoever comes next. */
type Stop = "cancelled" | "expired" | "lost";

/** What a line that found no room waits for, as long as the batch may take. */
const WAITED_OUT: ReadonlySet<ProblemKind> = new Set<ProblemKind>([
  "rate_limited",
  "overloaded",
  "budget_exhausted",
  "killed",
  "storage_unavailable",
]);
/** Something went wrong that need not go wrong again. `conflict`: an answer to this line was too large to be told twice. */
const TRIED_AGAIN: ReadonlySet<ProblemKind> = new Set<ProblemKind>([
  "upstream_unavailable",
  "upstream_timeout",
  "upstream_broken",
  "gateway_restarted",
  "conflict",
]);
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;
/** Pauses are no longer than this before it is looked whether the batch goes on. */
const ROOM_PAUSE_MS = 30_000;

/** One batch while this process works on it. */
export class BatchRun {
  readonly #deps: RunDeps;
  readonly #dialect: BatchDialect;
  readonly #node: string;
  readonly #running = new Set<() => void>();
  readonly #waking = new Set<() => void>();
  #batch: Batch;
  #stop: Stop | undefined;

  constructor(deps: RunDeps, dialect: BatchDialect, batch: Batch, node: string) {
    this.#deps = deps;
    this.#dialect = dialect;
    this.#batch = batch;
    this.#node = node;
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
    if (this.#batch.startedAt === undefined) await this.#update({ startedAt: gateway.clock.now() });
    const end = gateway.clock.after(Math.max(0, this.#batch.deadline - gateway.clock.now()), () => this.stop("expired"));
    try {
      const done = new Set(await store.linesDone(scope, id));
      const seen = await this.#askAll(done);
      if (this.#isLost()) return;
      const isWhole = seen >= this.#batch.total;
      if (!isWhole)
        await this.#update({ problem: { kind: "not_found", message: "The batch's file was deleted while it was being read." } });
      if (this.#batch.finishingAt === undefined) await this.#update({ finishingAt: gateway.clock.now() });
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

  /** Every line in turn, a few at once. Returns how many there are. */
  async #askAll(done: ReadonlySet<number>): Promise<number> {
    const { files, gateway, options } = this.#deps;
    const { scope, inputFile } = this.#batch;
    const { bodyBytes } = gateway.snapshot().limits;
    const names = new Set<string>();
    const underWay = new Set<Promise<void>>();
    let failure: { readonly error: unknown } | undefined;
    let seen = 0;
    for await (const line of linesOf(piecesOf(files, { scope, id: inputFile }), bodyBytes)) {
      if (this.#isLost() || failure) break;
      seen = line.number;
      // Read also when it is done: its name is taken.
      const read = this.#readLine(line, names, bodyBytes);
      if (done.has(line.number)) continue;
      while (underWay.size >= options().concurrency) await Promise.race(underWay);
      const work = this.#work(line.number, read)
        .catch((error: unknown) => {
          failure ??= { error };
        })
        .finally(() => underWay.delete(work));
      underWay.add(work);
    }
    await Promise.all(underWay);
    if (failure && !this.#isLost()) throw failure.error;
    return seen;
  }

  #readLine(
    { text }: Line,
    names: Set<string>,
    maxBytes: number,
  ): { readonly customId: string | null; readonly order: LineOrder | Problem } {
    let customId: string | null = null;
    try {
      if (text === undefined) throw refused(`The line is no UTF-8, or longer than ${maxBytes} bytes.`);
      const opened = openJsonText(text, { depth: this.#deps.gateway.snapshot().limits.jsonDepth });
      if (!opened.ok) throw refused(opened.message.replace("The body", "The line"));
      const value: JsonObject = opened.document.value;
      customId = this.#dialect.batches.customId(value);
      const order = this.#dialect.batches.decodeLine(value, this.#batch.endpoint);
      if (names.has(order.customId))
        throw refused(`Another line has the custom_id "${order.customId.slice(0, 100)}".`, "duplicate_custom_id");
      names.add(order.customId);
      return { customId, order };
    } catch (error) {
      return { customId, order: problemFrom(error) };
    }
  }

  async #work(line: number, { customId, order }: { readonly customId: string | null; readonly order: LineOrder | Problem }): Promise<void> {
    if ("kind" in order) return this.#keep(line, customId, "failed", { problem: order });
    for (let tries = 0; ;) {
      const room = await this.#room();
      if (!room) return this.#keepStopped(line, customId);
      const called = await this.#call(order, line, tries).finally(room);
      if ("kind" in called) return this.#keep(line, customId, "failed", { problem: called });
      if (this.#isLost() && called.problem !== undefined) return;
      if (called.problem === undefined) return this.#keep(line, customId, "ok", { answer: called });
      if (this.#stop !== undefined && called.problem === "cancelled") return this.#keepStopped(line, customId);
      const isTriedAgain = TRIED_AGAIN.has(called.problem);
      if (!isTriedAgain && !WAITED_OUT.has(called.problem)) return this.#keep(line, customId, "failed", { answer: called });
      if (isTriedAgain && ++tries > this.#deps.options().retries) return this.#keep(line, customId, "failed", { answer: called });
      const pause = isTriedAgain ? FIRST_PAUSE_MS * 2 ** (tries - 1) : ROOM_PAUSE_MS;
      await this.#pause(Math.min(called.retryAfterMs ?? pause, LONGEST_PAUSE_MS));
    }
  }

  /** A problem: nobody may make the call, or nothing takes it. */
  async #call(order: LineOrder, line: number, tries: number): Promise<Called | Problem> {
    const { gateway } = this.#deps;
    const entrance = entranceOf(gateway.dialects, order.path);
    if (!entrance) return refused(`Batches cannot go to ${order.path.slice(0, 100)}.`).problem;
    let caller;
    try {
      caller = await gateway.admission.again(gateway.snapshot(), this.#batch.caller);
    } catch (error) {
      if (error instanceof ProblemError && PROBLEM_KINDS[error.problem.kind].status < 500) return error.problem;
      throw error;
    }
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

  #pause(ms: number): Promise<void> {
    if (this.#stop !== undefined) return Promise.resolve();
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

  async #keepStopped(line: number, customId: string | null): Promise<void> {
    const why = this.#stop;
    if (why === "cancelled" || why === "expired") await this.#keep(line, customId, why, {});
  }

  async #keep(
    line: number,
    customId: string | null,
    outcome: LineOutcome,
    what: Pick<LineResult, "problem"> & { answer?: Called },
  ): Promise<void> {
    const { scope, id, expiresAt } = this.#batch;
    const answer = what.answer && { status: what.answer.status, callId: what.answer.callId, body: what.answer.body satisfies Json };
    const result: LineResult = {
      id: `${id}_${line}`,
      customId,
      outcome,
      ...(answer && { answer }),
      ...(what.problem && { problem: what.problem }),
    };
    const kept = await this.#deps.store.keepLine(scope, id, this.#node, expiresAt, { line, outcome, text: JSON.stringify(result) });
    if (!kept) this.stop("lost");
  }

  async #update(change: Partial<Batch>): Promise<void> {
    const next = { ...this.#batch, ...change };
    if (await this.#deps.store.update(next, this.#node, false)) this.#batch = next;
    else this.stop("lost");
  }
}

function refused(message: string, code = "invalid_line"): ProblemError {
  return new ProblemError({ kind: "invalid_request", message, code });
}

import { problemFrom, type Batch, type Caller, type HandedPart } from "../canon/index.ts";
import type { Allowance } from "../gateway/allowance.ts";
import { coverCall } from "../gateway/handed.ts";
import { callerNow, isProblem } from "./asking.ts";
import { entranceOf, requestOf, tellCall, type Called, type Entrance } from "./call.ts";
import type { ReadyPart } from "./handover.ts";
import { linesIn, PartRun, type PartRunDeps } from "./part.ts";

export interface PartsDeps extends Pick<PartRunDeps, "gateway" | "batch" | "book" | "stopped" | "wait" | "isDone" | "keep" | "report"> {
  readonly update: (change: (batch: Batch) => Partial<Batch>) => Promise<void>;
  /** Lines that a service did not take are asked here; those that never got to one are handed over anew. */
  readonly askHere: (lines: readonly number[]) => Promise<void>;
  readonly handOver: (lines: readonly number[]) => Promise<void>;
  /** The batch cannot go on. */
  readonly fail: (error: unknown) => void;
}

/** How often a record that cannot be written is looked at before an answer is told. */
const RECORD_MS = 1000;

/** What was handed over of one batch. */
export class Parts {
  readonly #deps: PartsDeps;
  readonly #running = new Set<Promise<void>>();
  #caller: { readonly now: Caller; readonly bound: Caller } | undefined;

  constructor(deps: PartsDeps) {
    this.#deps = deps;
  }

  /** Goes on with what a process left that is gone. Returns its lines. */
  resume(): ReadonlySet<number> {
    const gone = new Set<number>();
    for (const part of this.#deps.batch().handed ?? []) {
      if (part.state !== "sending" && part.state !== "running") continue;
      for (const line of linesIn(part)) gone.add(line);
      this.#begin(async () => this.#run(part, undefined, await this.#cover(part)));
    }
    return gone;
  }

  /** `sent`: its lines are at the service, or will not get there. Rejects when it cannot be recorded: then nothing is sent. */
  async send({ part, content, allowances }: ReadyPart): Promise<{ readonly sent: Promise<void> }> {
    // Durable first: whatever happens then, it can be found again.
    await this.#deps.update(({ handed = [] }) => ({ handed: [...handed, part] }));
    const sent = new Promise<void>((resolve) => {
      this.#begin(() => this.#run(part, content, allowances, resolve).finally(resolve));
    });
    return { sent };
  }

  async whenOver(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #begin(work: () => Promise<void>): void {
    const running = work()
      .catch((error: unknown) => this.#deps.fail(error))
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async #run(
    part: HandedPart,
    content: Buffer | undefined,
    allowances: Map<number, Allowance>,
    onSent: () => void = () => {},
  ): Promise<void> {
    const deps: PartRunDeps = {
      ...this.#deps,
      change: async (changed) => {
        await this.#change(changed);
        if (changed.state !== "sending") onSent();
      },
      killed: ({ provider, model }) => {
        const { gateway, batch } = this.#deps;
        return gateway.switches.stops(batch().caller, `${provider}/${model}`, { provider, model });
      },
      tell: (line, of, answer) => this.#tell(line, of, answer),
    };
    const end = await new PartRun(deps, part, content, allowances).run();
    if (end === "over") return;
    const lines = [...linesIn(part)].filter((line) => !this.#deps.isDone(line));
    if (end === "refused") return this.#deps.askHere(lines);
    // It never got there: what stands of it is forgotten, and its lines are free again.
    await this.#deps.update(({ handed = [] }) => ({ handed: handed.filter(({ mark }) => mark !== part.mark) }));
    await this.#deps.handOver(lines);
  }

  #change(part: HandedPart): Promise<void> {
    return this.#deps.update(({ handed = [] }) => ({ handed: handed.map((each) => (each.mark === part.mark ? part : each)) }));
  }

  /** Room in the budgets for lines that are under way since before this process began. */
  async #cover(part: HandedPart): Promise<Map<number, Allowance>> {
    const allowances = new Map<number, Allowance>();
    for (const line of linesIn(part)) {
      if (this.#deps.isDone(line) || this.#deps.stopped() === "lost") continue;
      const asked = await this.#request(line);
      if (!asked) return allowances;
      const { gateway } = this.#deps;
      try {
        const allowance = await coverCall(gateway, { ...requestOf(asked.entrance, asked.order, asked), handed: { stage: "cover" } });
        if (!allowance) return allowances;
        allowances.set(line, allowance);
      } catch (error) {
        // It is under way all the same, and is booked without what was held for it.
        if (problemFrom(error).kind === "internal") this.#deps.report(error);
      }
    }
    return allowances;
  }

  async #tell(
    line: number,
    { provider, model, dialect }: HandedPart,
    answer: { readonly status: number; readonly body: string; readonly allowance: Allowance | undefined },
  ): Promise<Called | undefined> {
    const { gateway, stopped, wait } = this.#deps;
    const asked = (await this.#request(line)) ?? (await this.#unread(line));
    while (gateway.ledger.failure() !== undefined && stopped() !== "lost") await wait(RECORD_MS);
    if (stopped() === "lost") return undefined;
    const target = { provider, model, weight: 1 };
    return tellCall(gateway, asked.entrance, asked.order, { ...asked, line }, { ...answer, dialect, target });
  }

  async #request(line: number) {
    const { gateway, batch, book } = this.#deps;
    const order = await book.order(line);
    const entrance: Entrance | undefined = order && entranceOf(gateway.dialects, order.path);
    return order && entrance && { order, entrance, batch: batch(), caller: await this.#callerOf() };
  }

  /** Its file was deleted meanwhile: what it asked cannot be read any more, nor its answer told; what that cost is booked. */
  async #unread(line: number) {
    const { gateway, batch, book } = this.#deps;
    const path = batch().endpoint ?? "";
    const entrance = entranceOf(gateway.dialects, path);
    if (!entrance) throw new Error(`Nothing takes the lines of ${batch().id}.`);
    return {
      order: { customId: book.entry(line)?.customId ?? "", path, body: {} },
      entrance,
      batch: batch(),
      caller: await this.#callerOf(),
    };
  }

  /** Whoever asked, with the limits of today and the scopes of then: what is asked cannot be unasked. The same object as long as nothing changes. */
  async #callerOf(): Promise<Caller> {
    const { gateway, batch } = this.#deps;
    const { caller: before } = batch();
    const now = await callerNow(gateway, batch());
    if (isProblem(now)) return before;
    if (this.#caller?.now !== now) this.#caller = { now, bound: { ...now, scopes: before.scopes } };
    return this.#caller.bound;
  }
}

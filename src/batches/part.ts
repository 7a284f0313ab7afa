import type {
  Batch,
  BatchService,
  BatchStanding,
  HandedPart,
  LineOutcome,
  LineResult,
  Problem,
  Provider,
  ServiceRequest,
  ServiceResult,
} from "../canon/index.ts";
import type { Allowance } from "../gateway/allowance.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import { openJsonText } from "../kit/index.ts";
import type { Called } from "./call.ts";
import type { LineBook } from "./lines.ts";
import { linesOf } from "./pieces.ts";
import { Search } from "./search.ts";
import { askService, download, type Told } from "./service.ts";

/** What a part needs of the run it belongs to. */
export interface PartRunDeps {
  readonly gateway: GatewayDeps;
  readonly batch: () => Batch;
  readonly book: LineBook;
  /** Why nothing more is asked; undefined: it is. */
  readonly stopped: () => "cancelled" | "expired" | "lost" | undefined;
  /** Waits, unless the batch is lost; a stop ends it early, once. */
  readonly wait: (ms: number) => Promise<void>;
  readonly isDone: (line: number) => boolean;
  readonly keep: (line: number, outcome: LineOutcome, what: Pick<LineResult, "problem"> & { answer?: Called }) => Promise<void>;
  /** Has somebody switched off what the part asks? */
  readonly killed: (part: HandedPart) => Problem | undefined;
  /** The part as it is now, durable when it resolves. */
  readonly change: (part: HandedPart) => Promise<void>;
  /** What the service answered to a line, told and booked as a call. Undefined: the batch is lost. */
  readonly tell: (
    line: number,
    part: HandedPart,
    answer: { readonly status: number; readonly body: string; readonly allowance: Allowance | undefined },
  ) => Promise<Called | undefined>;
  readonly report: (error: unknown) => void;
}

/** What became of a part. `again`: it never arrived, and its lines are to be handed over anew. */
export type PartEnd = "over" | "refused" | "again";

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;
/** How often it is looked how a batch stands: first after so long, then each time half as long again, up to once a minute. */
const FIRST_LOOK_MS = 2 * SECOND_MS;
const LOOK_GROWTH = 1.5;
const LONGEST_LOOK_MS = MINUTE_MS;
/** Waits after failures: twice as long each time. */
const FIRST_PAUSE_MS = 2 * SECOND_MS;
const LONGEST_PAUSE_MS = 2 * MINUTE_MS;
/** How long a batch that was cancelled, or whose time is over, is waited for at its service. */
const GRACE_MS = 15 * MINUTE_MS;
/** Results that cannot be read are fetched so often, over ten minutes; those that only lack lines, so often. */
const RESULT_TRIES = 10;
const WHOLE_TRIES = 3;
/** Answers told at once. */
const TOLD_AT_ONCE = 8;

/** Lines handed over to a provider's batch service, until all that became of them is kept. */
export class PartRun {
  readonly #deps: PartRunDeps;
  readonly #allowances: Map<number, Allowance>;
  readonly #wanted = new Set<number>();
  #part: HandedPart;
  #content: Buffer | undefined;
  /** The order went out, whether or not it arrived. */
  #isOrdered = false;
  #isCancelled = false;
  #killed: Problem | undefined;
  /** Monotonic milliseconds from which on it is not waited for any more. */
  #giveUpAt = Number.POSITIVE_INFINITY;

  /** @param content its lines, where it has just been made */
  constructor(deps: PartRunDeps, part: HandedPart, content: Buffer | undefined, allowances: Map<number, Allowance>) {
    this.#deps = deps;
    this.#part = part;
    this.#content = content;
    this.#allowances = allowances;
    for (const line of linesIn(part)) if (!deps.isDone(line)) this.#wanted.add(line);
  }

  /** Rejects when the record cannot be read or written. */
  async run(): Promise<PartEnd> {
    try {
      const { service } = this.#part;
      const found = service === undefined ? await this.#submit() : begun(service);
      if (found === "again" || found === "refused") return found;
      const standing = found && (await this.#end(found));
      if (standing === "refused") return this.#refused();
      if (this.#isLost()) return "over";
      const isWhole = standing !== undefined && (await this.#collect(standing));
      await this.#keepRest(isWhole ? standing.rest : undefined);
      if (this.#isLost()) return "over";
      if (standing) await this.#forget(standing);
      await this.#change({ state: "over" });
      return "over";
    } finally {
      for (const allowance of this.#allowances.values()) allowance.budgets?.release();
    }
  }

  #isLost(): boolean {
    return this.#deps.stopped() === "lost";
  }

  async #change(change: Partial<HandedPart>): Promise<void> {
    this.#part = { ...this.#part, ...change };
    await this.#deps.change(this.#part);
  }

  async #refused(): Promise<"refused"> {
    await this.#change({ state: "refused" });
    return "refused";
  }

  /** Its provider as it is configured now; undefined while it is not, or has no batch service. */
  #provider(): { readonly provider: Provider; readonly service: BatchService } | undefined {
    const provider = this.#deps.gateway.snapshot().providers.get(this.#part.provider);
    return provider?.batches && { provider, service: provider.batches };
  }

  async #ask(request: (service: BatchService) => ServiceRequest): Promise<Told> {
    const at = this.#provider();
    if (at) return askService(at.provider, this.#part, request(at.service), this.#deps.gateway.clock.now());
    const message = `The provider "${this.#part.provider}" is not configured any more, or has no batch service.`;
    return { ok: false, refused: false, status: undefined, message, retryAfterMs: undefined };
  }

  /** Sends the lines, once. Undefined: nothing was sent, or nobody can say, and it is not waited for any more. */
  async #submit(): Promise<BatchStanding | "refused" | "again" | undefined> {
    // Somebody before may have sent it and died before the answer came.
    let isUnsure = this.#content === undefined;
    for (let pause = FIRST_PAUSE_MS; !this.#isOver(); pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      if (isUnsure) {
        const found = await this.#search().find();
        if (found === "unknown") {
          await this.#deps.wait(pause);
          continue;
        }
        if (found) return this.#arrived(found);
        if (!this.#content && this.#part.file === undefined) return "again";
      }
      if (this.#deps.stopped() !== undefined) return undefined;
      const told = await this.#send();
      if (told.ok) {
        const standing = this.#provider()?.service.readStanding(told.json);
        if (standing) return this.#arrived(standing);
      } else if (told.refused) return this.#refused();
      isUnsure = this.#isOrdered;
      await this.#deps.wait(told.ok ? pause : (told.retryAfterMs ?? pause));
    }
    return undefined;
  }

  /** The lines where they go first, then the order itself. */
  async #send(): Promise<Told> {
    const at = this.#provider();
    const lines = this.#content ?? Buffer.alloc(0);
    const order = (file: string | undefined) => ({ mark: this.#part.mark, group: this.#part.group, lines, file });
    const upload = at?.service.upload;
    if (upload && this.#part.file === undefined) {
      const sent = await this.#ask(() => upload.send(order(undefined)));
      if (!sent.ok) return sent;
      const file = upload.read(sent.json);
      if (file === undefined)
        return {
          ok: false,
          refused: false,
          status: undefined,
          message: "The lines were sent, and no file is named.",
          retryAfterMs: undefined,
        };
      await this.#change({ file });
    }
    // Whoever has lost the batch in the meantime must not send what another one sends.
    await this.#change({});
    if (this.#isLost())
      return { ok: false, refused: false, status: undefined, message: "The batch is somebody else's.", retryAfterMs: undefined };
    this.#isOrdered = true;
    return this.#ask((service) => service.create(order(this.#part.file)));
  }

  async #arrived(standing: BatchStanding): Promise<BatchStanding> {
    this.#content = undefined;
    await this.#change({ state: "running", service: standing.id });
    return standing;
  }

  #search(): Search {
    const known = (this.#deps.batch().handed ?? []).flatMap(({ service }) => service ?? []);
    return new Search({
      part: this.#part,
      known: new Set(known),
      service: () => this.#provider()?.service,
      ask: (request) => this.#ask(request),
      results: (standing) => this.#results(standing),
      wait: this.#deps.wait,
      isOver: () => this.#isOver(),
    });
  }

  /** Nothing more is waited for. */
  #isOver(): boolean {
    const stopped = this.#deps.stopped();
    if (stopped === "lost") return true;
    const now = this.#deps.gateway.clock.monotonic();
    if (stopped !== undefined && this.#giveUpAt === Number.POSITIVE_INFINITY) this.#giveUpAt = now + GRACE_MS;
    return now >= this.#giveUpAt;
  }

  /** Looks, less and less often, until it has ended. Undefined: it is not waited for any more, or not known there. */
  async #end(sent: BatchStanding): Promise<BatchStanding | "refused" | undefined> {
    let standing = sent;
    // What was just sent has not ended yet; what was sent by a process that is gone may have.
    let pause = sent.createdAt === 0 ? 0 : FIRST_LOOK_MS;
    for (;;) {
      if (standing.state === "refused") return "refused";
      if (standing.state === "ended") return standing;
      if (this.#isOver()) return undefined;
      await this.#cancelOnce(standing.id);
      await this.#deps.wait(pause);
      if (this.#isLost()) return undefined;
      pause = Math.min(Math.max(pause, FIRST_LOOK_MS / LOOK_GROWTH) * LOOK_GROWTH, LONGEST_LOOK_MS);
      const told = await this.#ask((service) => service.look(standing.id));
      if (told.ok) standing = this.#provider()?.service.readStanding(told.json) ?? standing;
      else if (told.status === 404) return undefined;
    }
  }

  /** The caller's wish is passed on, and an operator's; whatever was answered by then is still told. */
  async #cancelOnce(id: string): Promise<void> {
    this.#killed ??= this.#deps.killed(this.#part);
    if (this.#isCancelled || (this.#deps.stopped() === undefined && !this.#killed)) return;
    const told = await this.#ask((service) => service.cancel(id));
    this.#isCancelled = told.ok || told.refused;
  }

  /** All results, line by line; undefined for what is none. */
  async *#results(standing: BatchStanding): AsyncGenerator<ServiceResult | undefined> {
    const at = this.#provider();
    if (!at) return;
    const { answerBytes, jsonDepth } = this.#deps.gateway.snapshot().limits;
    for (const request of at.service.results(standing)) {
      for await (const { text } of linesOf(download(at.provider, this.#part, request), answerBytes)) {
        const opened = text === undefined ? undefined : openJsonText(text, { depth: jsonDepth });
        yield opened?.ok ? at.service.readResult(opened.document.value) : undefined;
      }
    }
  }

  /** Reads the results until each line has one, or no more are to be hoped for. False: never could all of them be read. */
  async #collect(standing: BatchStanding): Promise<boolean> {
    const enough = this.#isCancelled || standing.rest !== undefined ? 1 : WHOLE_TRIES;
    let pause = FIRST_PAUSE_MS;
    for (let tries = 1, wholeTries = 0; this.#wanted.size > 0 && !this.#isLost(); tries++) {
      if (await this.#read(standing)) wholeTries++;
      if (this.#wanted.size === 0 || tries >= RESULT_TRIES || wholeTries >= enough) return wholeTries > 0;
      await this.#deps.wait(pause);
      pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
    }
    return true;
  }

  /** False: what came was cut, or not all of it can be read. */
  async #read(standing: BatchStanding): Promise<boolean> {
    const underWay = new Set<Promise<void>>();
    let failure: { readonly error: unknown } | undefined;
    let isWhole = this.#provider() !== undefined;
    const results = this.#results(standing);
    for (;;) {
      const next = await results.next().catch(() => undefined);
      if (!next) isWhole = false;
      if (!next || next.done || failure || this.#isLost()) break;
      const line = next.value && this.#lineOf(next.value.id);
      if (!next.value) isWhole = false;
      if (!next.value || line === undefined || !this.#wanted.delete(line)) continue;
      while (underWay.size >= TOLD_AT_ONCE) await Promise.race(underWay);
      const work = this.#keepResult(line, next.value)
        .catch((error: unknown) => {
          failure ??= { error };
        })
        .finally(() => underWay.delete(work));
      underWay.add(work);
    }
    await results.return(undefined);
    await Promise.all(underWay);
    if (failure) throw failure.error;
    return isWhole;
  }

  /** The line that a name stands for; undefined for one that is none of ours. */
  #lineOf(id: string): number | undefined {
    const begin = `${this.#part.mark}-`;
    const line = id.startsWith(begin) ? Number(id.slice(begin.length)) : Number.NaN;
    return Number.isSafeInteger(line) ? line : undefined;
  }

  async #keepResult(line: number, result: ServiceResult): Promise<void> {
    if (result.outcome !== "answered") return this.#keepUnanswered(line, result.outcome);
    const allowance = this.#allowances.get(line);
    this.#allowances.delete(line);
    const called = await this.#deps.tell(line, this.#part, { status: result.status, body: JSON.stringify(result.body), allowance });
    if (called) await this.#deps.keep(line, called.problem === undefined ? "ok" : "failed", { answer: called });
  }

  #keepUnanswered(line: number, outcome: "expired" | "cancelled"): Promise<void> {
    const stopped = this.#deps.stopped();
    if (stopped === "cancelled" || stopped === "expired") return this.#deps.keep(line, stopped, {});
    if (outcome === "expired") return this.#deps.keep(line, outcome, {});
    if (this.#killed) return this.#deps.keep(line, "failed", { problem: this.#killed });
    const message = `The batch was cancelled at "${this.#part.provider}", not here.`;
    return this.#deps.keep(line, "failed", { problem: { kind: "cancelled", message } });
  }

  /** Lines of which the service said nothing. `rest`: what it says of all of them. */
  async #keepRest(rest: BatchStanding["rest"]): Promise<void> {
    const stopped = this.#deps.stopped();
    if (stopped === "lost") return;
    if (rest !== undefined) for (const line of this.#wanted) await this.#keepUnanswered(line, rest);
    if (rest !== undefined) this.#wanted.clear();
    const message = `The batch service of "${this.#part.provider}" gave no answer to this line that could be read.`;
    const problem: Problem = this.#killed ?? { kind: "upstream_broken", message };
    for (const line of this.#wanted) await this.#deps.keep(line, stopped ?? "failed", stopped === undefined ? { problem } : {});
    this.#wanted.clear();
  }

  /** Everything is kept here: nothing of it need be kept there. What cannot be deleted expires. */
  async #forget(standing: BatchStanding): Promise<void> {
    const requests = this.#provider()?.service.forget(standing, this.#part.file) ?? [];
    for (const request of requests) await this.#ask(() => request);
  }
}

/** A batch of which no more is known than that it arrived. */
function begun(id: string): BatchStanding {
  return { id, state: "running", createdAt: 0, mark: undefined, lines: undefined, message: undefined, files: [] };
}

/** The lines of a part, in order. */
export function* linesIn({ lines }: HandedPart): Generator<number> {
  for (const [first, last] of lines) for (let line = first; line <= last; line++) yield line;
}

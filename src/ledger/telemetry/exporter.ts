import type { Clock } from "../../canon/index.ts";
import { exportRequest, type FinishedCall, type SpanWords } from "./spans.ts";

/** What came of one export. */
export interface SendOutcome {
  /** Undefined: no answer came. */
  readonly status: number | undefined;
  /** How long the collector wants to be left alone. */
  readonly retryAfterMs?: number | undefined;
  /** Spans that it took no notice of, as it says. */
  readonly rejectedSpans?: number | undefined;
  /** Why no answer came, for the operator. */
  readonly reason?: string | undefined;
}

/** Posts one body to the collector. Never rejects, and ends by itself within the time that the options give it. */
export interface Sender {
  send(body: string): Promise<SendOutcome>;
  close(): Promise<void>;
}

export interface ExporterOptions {
  readonly sender: Sender;
  readonly clock: Clock;
  readonly words: SpanWords;
  readonly service: string;
  readonly node: string;
  readonly batchCalls: number;
  readonly queueCalls: number;
  readonly everyMs: number;
  readonly counts: ExportCounts;
  /** One line for the operator, when exporting begins to fail and when it works again. */
  readonly log: (line: string) => void;
}

/** Calls, over all exporters of the process. */
export interface ExportCounts {
  exported: number;
  /** The queue was full. */
  full: number;
  /** The collector could not be reached, for as long as it was tried. */
  unreachable: number;
  /** The collector would not have them. */
  refused: number;
}

export const noExports = (): ExportCounts => ({ exported: 0, full: 0, unreachable: 0, refused: 0 });

/** What may be sent again. Source: OTLP specification, "Retryable Response Codes". */
const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504]);
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;
/** A batch is sent so often at most, then it makes room. */
const TRIES = 5;
/** How long a stop waits for what is left. */
const CLOSE_MS = 3000;

/**
 * Takes finished calls and sends them on in batches, beside the calls. What it is given is a push onto a list; making spans of it waits for
 * the batch. Whatever the collector does, the list is bounded: what does not fit is dropped and counted.
 */
export class Exporter {
  readonly #options: ExporterOptions;
  #queue: FinishedCall[] = [];
  #cancelTimer: (() => void) | undefined;
  #sending: Promise<void> | undefined;
  #failing = false;
  #closed = false;
  /** Calls of the batch under way. */
  #underWay = 0;
  /** The stop did not wait for the batch under way: what comes of it is not counted any more. */
  #abandoned = false;
  #wake: (() => void) | undefined;

  constructor(options: ExporterOptions) {
    this.#options = options;
  }

  /** Calls that wait. */
  get waiting(): number {
    return this.#queue.length;
  }

  add(call: FinishedCall): void {
    const { queueCalls, batchCalls, counts } = this.#options;
    if (this.#closed || this.#queue.length >= queueCalls) {
      counts.full++;
      return;
    }
    this.#queue.push(call);
    if (this.#sending) return;
    if (this.#queue.length === batchCalls) this.#schedule(0);
    else if (!this.#cancelTimer) this.#schedule(this.#options.everyMs);
  }

  /** Sends what is left, once, for a few seconds at most. */
  async close(): Promise<void> {
    const { clock, sender, counts } = this.#options;
    this.#closed = true;
    this.#cancelTimer?.();
    this.#wake?.();
    const work = (this.#sending ?? Promise.resolve()).then(() => this.#drain());
    let cancel = (): void => {};
    await Promise.race([work, new Promise<void>((resolve) => (cancel = clock.after(CLOSE_MS, resolve)))]);
    cancel();
    this.#abandoned = this.#underWay > 0;
    counts.unreachable += this.#underWay + this.#queue.splice(0).length;
    // Not waited for: a collector that hangs must not hold up the stop.
    void sender.close();
  }

  #schedule(ms: number): void {
    this.#cancelTimer?.();
    this.#cancelTimer = this.#options.clock.after(ms, () => {
      this.#cancelTimer = undefined;
      this.#sending ??= this.#drain().finally(() => {
        this.#sending = undefined;
        if (this.#queue.length > 0 && !this.#closed) this.#schedule(this.#options.everyMs);
      });
    });
  }

  /** Full batches one after the other, and the rest that was there when it began. */
  async #drain(): Promise<void> {
    while (this.#queue.length > 0) await this.#sendBatch(this.#queue.splice(0, this.#options.batchCalls));
  }

  async #sendBatch(batch: readonly FinishedCall[]): Promise<void> {
    const { words, service, node, counts } = this.#options;
    this.#underWay = batch.length;
    const { exported, lost } = await this.#deliver(exportRequest(batch, words, service, node), batch.length);
    if (this.#abandoned) return;
    this.#underWay = 0;
    counts.exported += exported;
    counts[lost] += batch.length - exported;
  }

  /** Sends until it is taken, refused or hopeless; how many of its calls were exported, and what became of the others. */
  async #deliver(body: string, calls: number): Promise<{ readonly exported: number; readonly lost: "refused" | "unreachable" }> {
    for (let tries = 1; ; tries++) {
      const { status, retryAfterMs, rejectedSpans = 0, reason } = await this.#options.sender.send(body);
      if (status !== undefined && status >= 200 && status < 300) {
        this.#tell(false, "");
        return { exported: Math.max(0, calls - rejectedSpans), lost: "refused" };
      }
      this.#tell(true, status === undefined ? (reason ?? "no answer") : `HTTP ${status}`);
      if (status !== undefined && !RETRYABLE.has(status)) return { exported: 0, lost: "refused" };
      if (tries >= TRIES || this.#closed) return { exported: 0, lost: "unreachable" };
      await this.#pause(retryAfterMs ?? FIRST_PAUSE_MS * 2 ** (tries - 1));
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(Math.min(ms, LONGEST_PAUSE_MS), resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }

  #tell(failing: boolean, why: string): void {
    if (failing === this.#failing) return;
    this.#failing = failing;
    this.#options.log(
      failing
        ? `Telemetry cannot be exported: ${why}. Calls go on; what does not fit the queue is dropped.`
        : "Telemetry is exported again.",
    );
  }
}

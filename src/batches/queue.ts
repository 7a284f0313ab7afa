import type { Batch } from "../canon/index.ts";
import type { BatchDialect } from "./batches.ts";
import { BatchRun, type RunDeps } from "./run.ts";
import { Slots } from "./slots.ts";

/** How long a batch is held by whoever works on it, and how often that is renewed, in milliseconds. */
const LEASE_MS = 15_000;
const TICK_MS = 5000;
/** Batches that one process works on at once; their calls share `concurrency`. */
const MOST_RUNNING = 100;

export interface QueueDeps extends Omit<RunDeps, "slots"> {
  /** Do other processes use the same record? Then batches that they took, or left behind, are looked for all the time. */
  readonly shared: boolean;
  readonly report: (error: unknown) => void;
}

/** Batches that this process works on: it alone writes what becomes of them, for as long as it holds them. */
export class BatchQueue {
  readonly #deps: QueueDeps;
  readonly #slots: Slots;
  readonly #runs = new Map<string, { readonly run: BatchRun; readonly done: Promise<void> }>();
  #leasedAt = 0;
  #cancelTick: (() => void) | undefined;
  #ticking: Promise<void> | undefined;
  #again = false;
  #closed = false;

  constructor(deps: QueueDeps) {
    this.#deps = deps;
    this.#slots = new Slots(() => deps.options().concurrency);
  }

  /** Goes on with what a process left that is gone. */
  async start(): Promise<void> {
    // Nobody else is there: whoever holds anything is gone.
    if (!this.#deps.shared) await this.#deps.store.release(undefined);
    this.nudge();
  }

  /** There is something new. */
  nudge(): void {
    if (this.#closed) return;
    this.#again = true;
    this.#ticking ??= this.#tick().finally(() => (this.#ticking = undefined));
  }

  /** Begins nothing more; resolves when what was asked has been kept, and others may take the batches. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelTick?.();
    await this.#ticking;
    for (const { run } of this.#runs.values()) run.stop("lost");
    await Promise.all([...this.#runs.values()].map(({ done }) => done));
    await this.#deps.store.release(this.#deps.gateway.node).catch(() => {});
  }

  async #tick(): Promise<void> {
    this.#cancelTick?.();
    this.#cancelTick = undefined;
    while (this.#again && !this.#closed) {
      this.#again = false;
      await this.#lease().catch((error: unknown) => this.#keepOrLose(error));
    }
    const isWanted = this.#deps.shared || this.#runs.size > 0 || this.#leasedAt === 0;
    if (!this.#closed && isWanted) this.#cancelTick = this.#deps.gateway.clock.after(TICK_MS, () => this.nudge());
  }

  async #lease(): Promise<void> {
    const { store, gateway } = this.#deps;
    const now = gateway.clock.now();
    const asked = gateway.clock.monotonic();
    const leased = await store.lease(gateway.node, now, now + LEASE_MS, MOST_RUNNING);
    this.#leasedAt = asked;
    const held = new Set(leased.map(keyOf));
    for (const [key, { run }] of this.#runs) if (!held.has(key)) run.stop("lost");
    for (const batch of leased) {
      const run = this.#runs.get(keyOf(batch))?.run ?? this.#begin(batch);
      if (batch.cancelledAt !== undefined) run?.stop("cancelled");
    }
  }

  /** What could not be renewed in time may be somebody else's. */
  #keepOrLose(error: unknown): void {
    if (this.#runs.size > 0) this.#deps.report(error);
    if (this.#deps.gateway.clock.monotonic() - this.#leasedAt < LEASE_MS - TICK_MS) return;
    for (const { run } of this.#runs.values()) run.stop("lost");
    this.#leasedAt = 0;
  }

  #begin(batch: Batch): BatchRun | undefined {
    const { gateway, report } = this.#deps;
    const dialect = gateway.dialects.get(batch.dialect);
    if (!dialect || !hasBatches(dialect)) return undefined;
    const key = keyOf(batch);
    const run = new BatchRun({ ...this.#deps, slots: this.#slots }, dialect, batch, gateway.node);
    const work = async (): Promise<void> => {
      try {
        await run.run();
        // There may be room for another.
        this.#runs.delete(key);
        this.nudge();
      } catch (error) {
        this.#runs.delete(key);
        report(error);
        gateway.clock.after(TICK_MS, () => this.nudge());
      }
    };
    this.#runs.set(key, { run, done: Promise.resolve().then(work) });
    return run;
  }
}

function hasBatches(dialect: { readonly batches?: unknown }): dialect is BatchDialect {
  return dialect.batches !== undefined;
}

function keyOf({ scope, id }: Batch): string {
  return JSON.stringify([scope, id]);
}

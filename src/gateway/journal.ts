import type { Clock, JournalPart, JournalStore, Limits } from "../canon/index.ts";
import type { LiveCall } from "./live.ts";

/** Frames leave for the store this long after the first of them, in milliseconds; what is left of the promised 100 is for the writing. */
const SPILL_MS = 80;
/** Pause after a failure, in milliseconds; it doubles up to the limit. */
const RETRY_MS = 1000;
const RETRY_MAX_MS = 30_000;
/** Calls whose end could not be written are remembered, so that nobody waits for more of them; beyond this the oldest are not. */
const MAX_ENDINGS = 10_000;

export interface JournalOptions {
  readonly store: JournalStore;
  readonly clock: Clock;
  /** This running gateway's name. */
  readonly node: string;
  readonly limits: () => Pick<Limits, "journalMs">;
  /** One line for the operator. */
  readonly log: (line: string) => void;
  /** All of a call is in the store. */
  readonly onKept?: (call: LiveCall) => void;
}

/** Where frames go that are to outlive the memory. */
export interface Spiller {
  /** The call has something new; told once until `take`. */
  touch(call: LiveCall): void;
  /** Nothing can be spilled now: what memory cannot hold is lost. */
  readonly failing: boolean;
}

/**
 * Spills the frames of all running calls to the store, in one append at a time. A store that fails costs resumption from it, and no
 * call: they stay in memory, within its limits, and what follows is spilled when the store works again.
 */
export class Journal implements Spiller {
  readonly #options: JournalOptions;
  #touched: LiveCall[] = [];
  readonly #endings = new Map<string, JournalPart>();
  #cancel: (() => void) | undefined;
  #underWay: Promise<void> | undefined;
  #pauseMs = 0;

  constructor(options: JournalOptions) {
    this.#options = options;
  }

  get failing(): boolean {
    return this.#pauseMs > 0;
  }

  touch(call: LiveCall): void {
    this.#touched.push(call);
    this.#cancel ??= this.#underWay ? undefined : this.#options.clock.after(SPILL_MS, this.#due);
  }

  /** Resolves when everything said so far is in the store, or the store refuses it. */
  async flush(): Promise<void> {
    while (this.#underWay ?? this.#touched.length > 0) {
      if (this.#underWay) await this.#underWay;
      else if (!this.#spill()) return;
      if (this.failing) return;
    }
  }

  readonly #due = (): void => {
    this.#cancel = undefined;
    this.#spill();
  };

  /** False when there was nothing to write. */
  #spill(): boolean {
    this.#cancel?.();
    this.#cancel = undefined;
    const { clock, node, limits, store } = this.#options;
    const now = clock.now();
    const until = now + limits().journalMs;
    const calls: LiveCall[] = [];
    const parts: JournalPart[] = [];
    const touched = this.#touched;
    this.#touched = [];
    for (const call of touched) {
      const part = call.take(node, until);
      if (!part) continue;
      calls.push(call);
      parts.push(part);
    }
    if (parts.length === 0 && this.#endings.size === 0) return false;
    const endings = [...this.#endings.values()];
    this.#underWay = store.append(endings.length === 0 ? parts : [...endings, ...parts], now).then(
      () => this.#kept(calls, parts, endings),
      (error: unknown) => this.#failed(calls, parts, error),
    );
    return true;
  }

  #kept(calls: readonly LiveCall[], parts: readonly JournalPart[], endings: readonly JournalPart[]): void {
    if (this.failing) this.#options.log("The journal can be written again.");
    this.#pauseMs = 0;
    for (const { callId } of endings) this.#endings.delete(callId);
    for (const [place, call] of calls.entries()) {
      const part = parts[place];
      if (!part) continue;
      call.kept(part);
      if (call.isSafe) this.#options.onKept?.(call);
    }
    this.#goOn(SPILL_MS);
  }

  #failed(calls: readonly LiveCall[], parts: readonly JournalPart[], error: unknown): void {
    if (!this.failing) {
      const why = error instanceof Error ? error.message : String(error);
      this.#options.log(`The journal cannot be written: ${why} Calls go on; a client that comes back gets what is still in memory.`);
    }
    this.#pauseMs = Math.min(RETRY_MAX_MS, this.#pauseMs * 2 || RETRY_MS);
    for (const [place, call] of calls.entries()) {
      const part = parts[place];
      if (part?.until !== undefined) this.#rememberEnd(part);
      else if (part) call.notKept(part);
    }
    // Whoever ends meanwhile must not be held in memory by this list: the register of calls bounds what is kept of them.
    this.#touched = this.#touched.filter((call) => !this.#letGo(call));
    this.#goOn(this.#pauseMs);
  }

  #letGo(call: LiveCall): boolean {
    if (!call.ended) return false;
    const { clock, node, limits } = this.#options;
    const part = call.take(node, clock.now() + limits().journalMs);
    if (part) this.#rememberEnd(part);
    return true;
  }

  /** Whoever follows the call in the store must learn that nothing more comes. */
  #rememberEnd(part: JournalPart): void {
    const { callId, scope, dialect, node, first, frames, until } = part;
    if (until === undefined) return;
    this.#endings.set(callId, { callId, scope, dialect, node, first: first + frames.length, frames: [], until });
    const [oldest] = this.#endings.keys();
    if (this.#endings.size > MAX_ENDINGS && oldest !== undefined) this.#endings.delete(oldest);
  }

  #goOn(ms: number): void {
    this.#underWay = undefined;
    if (this.failing) this.#touched = this.#touched.filter((call) => !this.#letGo(call));
    if (this.#touched.length > 0 || this.#endings.size > 0) this.#cancel ??= this.#options.clock.after(ms, this.#due);
  }
}

import type { Problem } from "../../canon/index.ts";
import type { KeyState } from "./keys.ts";
import { type Queued } from "./queue.ts";
import type { TargetState } from "./target.ts";

/** What a permit and a wait report to. */
export interface Gatekeeper {
  started(permit: Permit): void;
  left(permit: Permit, problem: Problem | undefined, outputTokens: number): void;
  cancelled(waiting: Waiting): void;
}

/** One attempt may run, and does until it leaves. Every permit must leave exactly once; a second time does nothing. */
export class Permit {
  readonly state = "in";
  readonly target: TargetState;
  readonly key: KeyState | undefined;
  /** Monotonic milliseconds. */
  readonly begunAt: number;
  /** Number of the breaker's probe that it is; 0: none. */
  probe: number;
  probesKey: boolean;
  /** When the first meaningful event came; 0: not yet. */
  startedAt = 0;
  isOver = false;
  readonly #keeper: Gatekeeper;

  constructor(keeper: Gatekeeper, target: TargetState, key: KeyState | undefined, begunAt: number, probe: number, probesKey: boolean) {
    this.#keeper = keeper;
    this.target = target;
    this.key = key;
    this.begunAt = begunAt;
    this.probe = probe;
    this.probesKey = probesKey;
  }

  /** Id of the provider's key to use: `UpstreamCall.credential`. */
  get credential(): string | undefined {
    return this.key?.credential.id;
  }

  /** The first meaningful event of a stream is there. Not for whole answers. */
  started(): void {
    if (!this.isOver && this.startedAt === 0) this.#keeper.started(this);
  }

  /**
   * The attempt is over.
   *
   * @param problem why it failed; undefined: it went well. `cancelled` and our own failures say nothing of the target
   * @param outputTokens what the answer held, where that is known
   */
  leave(problem?: Problem, outputTokens = 0): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#keeper.left(this, problem, outputTokens);
  }
}

/** The attempt may not run now. */
export class Refusal {
  readonly state = "refused";
  /** What the call fails with unless another target takes it; `retryAfterMs` where it is known. */
  readonly problem: Problem;

  constructor(problem: Problem) {
    this.problem = problem;
  }
}

/** The attempt waits for a place. */
export class Waiting implements Queued {
  readonly state = "waiting";
  readonly target: TargetState;
  readonly priority: number;
  readonly since: number;
  before: Queued | undefined = undefined;
  after: Queued | undefined = undefined;
  /** Resolves once, and never rejects. Whoever gets a permit holds it, also if nobody wants it any more: then it must leave at once. */
  readonly entered: Promise<Permit | Refusal>;
  isOver = false;
  stopTimer: () => void = () => {};
  readonly #keeper: Gatekeeper;
  #resolve!: (outcome: Permit | Refusal) => void;

  constructor(keeper: Gatekeeper, target: TargetState, priority: number, since: number) {
    this.#keeper = keeper;
    this.target = target;
    this.priority = priority;
    this.since = since;
    this.entered = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** Nobody waits any more: `entered` resolves with a refusal of kind `cancelled`. Does nothing once it is decided. */
  cancel(): void {
    if (!this.isOver) this.#keeper.cancelled(this);
  }

  /** Decided; called by the keeper alone. */
  settle(outcome: Permit | Refusal): void {
    if (this.isOver) return;
    this.isOver = true;
    this.stopTimer();
    this.#resolve(outcome);
  }
}

/** What a good attempt says of its target's pace. */
export function measure({ target, begunAt, startedAt }: Permit, outputTokens: number, now: number): void {
  if (startedAt === 0) target.speed.wholeAnswer(now - begunAt);
  target.speed.pace(outputTokens, now - (startedAt === 0 ? begunAt : startedAt));
}

import { PROBLEM_KINDS, type Clock, type Problem, type Randomness, type Signals } from "../canon/index.ts";
import type { RetryOptions } from "./retry-options.ts";

/** What a failed attempt means for the next one, before anything else is known. */
export type FailureClass =
  /** A passing fault: the same target may well answer now. */
  | "repeat here"
  /** This target will not do better at once; another one may. */
  | "move on"
  /** No target would answer otherwise. */
  | "give up";

/** A person shut the target: `Problem.code` of the refusal. */
export const FORCED_SHUT = "forced_shut";

/** Busy, as a status of the upstream says it: 503 (RFC 9110) and 529, which some providers use beside it. */
const OVERLOAD_STATUSES: ReadonlySet<number> = new Set([503, 529]);
/** The target does not know the model or the path: other targets may. */
const ABSENT_STATUSES: ReadonlySet<number> = new Set([404, 410]);

export function isOverload(problem: Problem): boolean {
  return problem.kind === "upstream_unavailable" && OVERLOAD_STATUSES.has(problem.upstream?.status ?? 0);
}

export function classOf(problem: Problem): FailureClass {
  if (problem.fault === "credentials") return "move on";
  switch (problem.kind) {
    case "upstream_broken":
      return "repeat here";
    case "upstream_unavailable":
      // Without a status nothing answered at all, or the gateway itself would not ask: no reason to wait for it.
      return problem.upstream === undefined || isOverload(problem) || problem.retryAfterMs !== undefined ? "move on" : "repeat here";
    case "rate_limited":
    case "upstream_timeout":
    case "overloaded":
    // This target's language has no words for it.
    case "unsupported":
      return "move on";
    case "upstream_rejected":
      return ABSENT_STATUSES.has(problem.upstream?.status ?? 0) ? "move on" : "give up";
    default:
      return "give up";
  }
}

/** May the same target be asked again after this, when there is no other? */
function mayRepeat(problem: Problem): boolean {
  if (problem.fault === "credentials" || problem.kind === "overloaded" || problem.code === FORCED_SHUT) return false;
  return PROBLEM_KINDS[problem.kind].retryable;
}

/** Where a call stands after an attempt failed. */
export interface Situation {
  /** Repeats made at this target so far. */
  readonly repeats: number;
  /** Repeats the alias allows at one target. */
  readonly retries: number;
  /** Is there a target left that may be tried? */
  readonly another: boolean;
  /** Has the provider another key that is ready? Only asked where a key was at fault. */
  readonly anotherKey: boolean;
  /** Keys changed at this target so far. */
  readonly keyChanges: number;
}

export type NextStep =
  /** The same target after a wait, in milliseconds. `countsAs`: a repeat, or a change of keys. */
  | { readonly do: "repeat"; readonly waitMs: number; readonly countsAs: "repeat" | "key change" }
  | { readonly do: "move on" }
  | { readonly do: "give up" };

/** Keys of one provider that one call goes through at most. */
const MAX_KEY_CHANGES = 10;
const MOVE_ON: NextStep = { do: "move on" };
const GIVE_UP: NextStep = { do: "give up" };
const NEXT_KEY: NextStep = { do: "repeat", waitMs: 0, countsAs: "key change" };

/** Some providers answer so to a key that may not use one model, others to a text they do not like: it condemns no key. */
const FORBIDDEN = 403;

/** Is it the key that the attempt failed on, so that another key would do better? */
export function isKeysFault(problem: Problem): boolean {
  return (problem.fault === "credentials" && problem.upstream?.status !== FORBIDDEN) || problem.kind === "rate_limited";
}

/** Decides what comes after a failed attempt; knows the retry budget. */
export class Retries {
  readonly #clock: Clock;
  readonly #randomness: Randomness;
  #options: RetryOptions;
  #budget: RetryBudget;
  readonly #onGrant: () => void;

  /** `signals`: to and from the other processes, which share what is granted by the second. */
  constructor(options: RetryOptions, clock: Clock, randomness: Randomness, signals?: Signals) {
    this.#options = options;
    this.#clock = clock;
    this.#randomness = randomness;
    this.#onGrant = () => signals?.tell({ type: "repeat" });
    this.#budget = new RetryBudget(options.budget, clock, this.#onGrant);
    signals?.hear(({ type }) => {
      if (type === "repeat") this.#budget.spentElsewhere();
    });
  }

  /** Takes over changed options; what was earned under the old ones is forgotten. */
  configure(options: RetryOptions): void {
    const { share, perSecond } = this.#options.budget;
    this.#options = options;
    if (options.budget.share !== share || options.budget.perSecond !== perSecond)
      this.#budget = new RetryBudget(options.budget, this.#clock, this.#onGrant);
  }

  /** A call begins: it earns its share of the budget. */
  begin(): void {
    this.#budget.earn();
  }

  /** A hedge is asked for: it is paid for like a repeat. */
  mayHedge(): boolean {
    return this.#budget.spend();
  }

  next(problem: Problem, situation: Situation): NextStep {
    const { repeats, retries, another, anotherKey, keyChanges } = situation;
    const failure = classOf(problem);
    if (failure === "give up") return GIVE_UP;
    if (anotherKey && isKeysFault(problem) && keyChanges < MAX_KEY_CHANGES) return NEXT_KEY;
    const elsewhere = another ? MOVE_ON : GIVE_UP;
    if ((failure === "move on" && another) || !mayRepeat(problem) || repeats >= retries) return elsewhere;
    const waitMs = backoffMs(repeats, problem.retryAfterMs, this.#randomness.number(), this.#options);
    if (waitMs === undefined || !this.#budget.spend()) return elsewhere;
    return { do: "repeat", waitMs, countsAs: "repeat" };
  }
}

/** Of a wait that was asked for, what is added at random at most, so that those who wait do not all come back at once. */
const SPREAD_SHARE = 0.1;
const SPREAD_MS = 500;

/**
 * Full jitter (Brooker, "Exponential Backoff And Jitter", 2015): anywhere between 0 and the doubled bound. A wait that was asked for is
 * kept to the end, and a little more. Undefined: it asks for longer than we wait.
 *
 * @param repeat 0 before the first repeat
 * @param random in [0, 1)
 */
export function backoffMs(
  repeat: number,
  askedMs: number | undefined,
  random: number,
  { firstBackoffMs, maxBackoffMs }: Pick<RetryOptions, "firstBackoffMs" | "maxBackoffMs">,
): number | undefined {
  if (askedMs === undefined) return Math.floor(random * Math.min(maxBackoffMs, firstBackoffMs * 2 ** repeat));
  if (askedMs > maxBackoffMs) return undefined;
  return Math.ceil(askedMs + random * Math.min(SPREAD_MS, askedMs * SPREAD_SHARE));
}

/** Repeats that a quiet time may save up: a long peace must not pay for a storm. */
const MOST_EARNED = 100;

/**
 * Bounds repeats by the calls they belong to (after the retry budgets of Finagle). Over any time there are no more repeats than
 * `share` of the calls, and `perSecond` of its seconds, and what may be saved up: `MOST_EARNED` and one second's worth. The share holds over
 * any number of processes by itself, since each spends what its own calls earned; what is granted by the second they tell each other of,
 * so together they exceed it only by what is on its way at the same moment.
 */
export class RetryBudget {
  readonly #share: number;
  readonly #perSecond: number;
  readonly #clock: Clock;
  readonly #onGrant: () => void;
  #earned = 0;
  #granted: number;
  #grantedAt: number;

  constructor({ share, perSecond }: RetryOptions["budget"], clock: Clock, onGrant: () => void = () => {}) {
    this.#onGrant = onGrant;
    this.#share = share;
    this.#perSecond = perSecond;
    this.#clock = clock;
    this.#granted = perSecond;
    this.#grantedAt = clock.monotonic();
  }

  earn(): void {
    this.#earned = Math.min(MOST_EARNED, this.#earned + this.#share);
  }

  /** False: no repeat may be made now. */
  spend(): boolean {
    if (this.#earned >= 1) {
      this.#earned -= 1;
      return true;
    }
    this.#refill();
    if (this.#granted < 1) return false;
    this.#granted -= 1;
    this.#onGrant();
    return true;
  }

  /** Another process has repeated an attempt that nobody's calls had earned. At most a second's worth is owed to others. */
  spentElsewhere(): void {
    this.#refill();
    this.#granted = Math.max(-this.#perSecond, this.#granted - 1);
  }

  #refill(): void {
    const now = this.#clock.monotonic();
    this.#granted = Math.min(this.#perSecond, this.#granted + ((now - this.#grantedAt) / 1000) * this.#perSecond);
    this.#grantedAt = now;
  }
}

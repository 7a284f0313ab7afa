import type { TargetLatency } from "../view.ts";
import { Adaptive } from "./adaptive.ts";
import { Breaker } from "./breaker.ts";
import { Cooldown } from "./cooldown.ts";
import type { KeyRing } from "./keys.ts";
import type { HealthOptions } from "./options.ts";
import type { PeerGroup } from "./ejection.ts";
import { PriorityQueue } from "./queue.ts";
import type { Waiting } from "./permit.ts";

/** What a person decided: `open` is always asked, `shut` never, `auto` as its health says. */
export type Force = "open" | "shut" | "auto";

/** Weight of the newest attempt in the moving averages. */
const NEWEST = 0.2;
/** Answers shorter than this say nothing of a target's pace. */
const LEAST_TOKENS = 8;
const LEAST_MS = 50;

/** Moving averages of how fast a target answers. */
export class Speed implements TargetLatency {
  ttftMs = 0;
  tokensPerSecond: number | undefined = undefined;
  samples = 0;
  #streamed = false;

  /** The first meaningful event of a stream. */
  firstEvent(ms: number): void {
    // Whole answers only stand in while there are no streams: they take longer by all that was written.
    if (!this.#streamed) this.samples = 0;
    this.#streamed = true;
    this.#blend(ms);
  }

  wholeAnswer(ms: number): void {
    if (!this.#streamed) this.#blend(ms);
  }

  pace(tokens: number, ms: number): void {
    if (tokens < LEAST_TOKENS || ms < LEAST_MS) return;
    const pace = (tokens / ms) * 1000;
    this.tokensPerSecond = this.tokensPerSecond === undefined ? pace : this.tokensPerSecond + NEWEST * (pace - this.tokensPerSecond);
  }

  /** Begins anew: what was measured is out of date. */
  forget(): void {
    this.samples = 0;
    this.tokensPerSecond = undefined;
  }

  #blend(ms: number): void {
    this.ttftMs = this.samples === 0 ? ms : this.ttftMs + NEWEST * (ms - this.ttftMs);
    this.samples++;
  }
}

/** Everything remembered of one target. */
export class TargetState {
  readonly name: string;
  readonly provider: ProviderState;
  readonly model: string;
  readonly breaker: Breaker;
  readonly cooldown = new Cooldown();
  readonly adaptive = new Adaptive();
  readonly speed = new Speed();
  readonly queue = new PriorityQueue<Waiting>();
  force: Force = "auto";
  inFlight = 0;
  /** Configured attempts at once. */
  concurrency = Number.POSITIVE_INFINITY;
  /** Aliases in which it stands beside others. */
  groups: readonly PeerGroup[] = [];
  ejectedUntil = 0;
  /** Ejections in a row. */
  ejections = 0;
  /** Why it was set aside last. */
  ejectedFor = "";
  /** What went wrong last, as a kind of problem. */
  lastProblem: string | undefined;
  usedAt: number;
  /** Of the newest news of its breaker, ours or another process's; milliseconds since 1970. */
  toldAt = 0;

  constructor(provider: ProviderState, model: string, options: HealthOptions, now: number) {
    this.provider = provider;
    this.model = model;
    this.name = `${provider.name}/${model}`;
    this.breaker = new Breaker(options.breaker, now);
    this.concurrency = provider.limits?.get(model) ?? Number.POSITIVE_INFINITY;
    this.usedAt = now;
  }

  get room(): number {
    return Math.min(this.concurrency, this.adaptive.limit) - this.inFlight;
  }

  /** What holds for it: its own word, else its provider's. */
  get forced(): Force {
    return this.force === "auto" ? this.provider.force : this.force;
  }
}

/** What a provider's targets share. */
export class ProviderState {
  readonly name: string;
  readonly targets = new Map<string, TargetState>();
  /** Targets for which somebody waits. */
  readonly waiting = new Set<TargetState>();
  keys: KeyRing | undefined;
  force: Force = "auto";
  inFlight = 0;
  concurrency = Number.POSITIVE_INFINITY;
  /** Configured attempts at once of single models. */
  limits: ReadonlyMap<string, number> | undefined;
  /** Ends the wait for a key's next request. */
  stopTimer: (() => void) | undefined;

  constructor(name: string) {
    this.name = name;
  }
}

/** Nothing known speaks against asking it now. Called for every target of every call. */
export function isUp(target: TargetState, now: number): boolean {
  const { keys } = target.provider;
  return target.breaker.admits(now) && target.cooldown.isOver(now) && now >= target.ejectedUntil && (!keys || keys.isAlive(now));
}

export function hasSeveralKeys({ provider }: TargetState): boolean {
  return (provider.keys?.keys.length ?? 0) > 1;
}

/** Whoever comes must not go before those who wait for the same place. */
export function mustQueue({ queue, provider }: TargetState): boolean {
  if (provider.waiting.size === 0) return false;
  return queue.size > 0 || provider.keys !== undefined || Number.isFinite(provider.concurrency);
}

/** Nobody runs, nobody waits, and no person decided anything. */
export function isIdle(target: TargetState): boolean {
  return target.inFlight === 0 && target.queue.size === 0 && target.force === "auto";
}

import type { HealthOptions } from "./options.ts";
import { Window } from "./window.ts";

export type BreakerState = "closed" | "open" | "half-open";
export type BreakerOptions = HealthOptions["breaker"];

/** Rests differ by up to this share either way, so that processes do not all come back at once. */
const JITTER_SHARE = 0.2;
/** A rest is doubled no more often than this: beyond, only the cap counts. */
const MOST_DOUBLINGS = 20;
/** Stands for a probe that another process makes. */
const ELSEWHERE = -1;

/**
 * Circuit breaker (Nygard, "Release It!"): closed, it lets everything through and counts; after too many failures it opens and lets
 * nothing through; after a rest exactly one attempt, the probe, decides whether it closes. Attempts begun before it opened say nothing
 * of the time after it, so their ends are not counted then. Times are milliseconds of one monotonic clock.
 */
export class Breaker {
  window: Window;
  #options: BreakerOptions;
  #state: BreakerState = "closed";
  /** Failures in a row. */
  #failures = 0;
  #openedTimes = 0;
  #openUntil = 0;
  /** Number of the probe under way; 0: none is. */
  #probe = 0;
  #probesSoFar = 0;
  #probeUntil = 0;

  constructor(options: BreakerOptions, now: number) {
    this.#options = options;
    this.window = new Window(options.windowMs, now);
  }

  get state(): BreakerState {
    return this.#state;
  }
  /** In a row; each doubles the next rest. */
  get openedTimes(): number {
    return this.#openedTimes;
  }
  /** Milliseconds that this process's own probe may still be silent; 0: it makes none. */
  probeMs(now: number): number {
    return this.#probe > 0 ? Math.max(0, this.#probeUntil - now) : 0;
  }

  configure(options: BreakerOptions, now: number): void {
    if (options.windowMs !== this.#options.windowMs) this.window = new Window(options.windowMs, now);
    this.#options = options;
    // What was changed may be what was wrong: the next attempt may find out.
    if (this.#state === "open") this.#openUntil = 0;
  }

  /** May an attempt begin? Changes nothing. */
  admits(now: number): boolean {
    if (this.#state === "closed") return true;
    if (this.#state === "open") return now >= this.#openUntil;
    // One that was silent for too long holds nobody up: whoever comes next ends it first, see `expireProbe`.
    return this.#probe === 0 || now >= this.#probeUntil;
  }

  /** Milliseconds until an attempt may begin; 0 when it may now or nobody knows. */
  restMs(now: number): number {
    return this.#state === "open" ? Math.max(0, Math.ceil(this.#openUntil - now)) : 0;
  }

  /** An attempt begins. Returns the number of the probe it is, or 0 for an ordinary one. */
  begin(now: number): number {
    if (this.#state === "closed") return 0;
    // Whoever begins although it does not admit was let in by a person: no probe, and its end counts for nothing.
    if (!this.admits(now)) return 0;
    this.#state = "half-open";
    this.#probe = ++this.#probesSoFar;
    this.#probeUntil = now + this.#options.probeMs;
    return this.#probe;
  }

  /** A probe that has been silent for too long counts as failed. True when the breaker opened for it. */
  expireProbe(now: number, random: number): boolean {
    if (this.#probe === 0 || now < this.#probeUntil) return false;
    this.#open(now, random);
    return true;
  }

  /** The answer began. A probe closes the breaker, on parole: the next failure opens it again. True when it closed. */
  started(probe: number): boolean {
    if (!this.#isNews(probe) || this.#state === "closed") return false;
    this.#close();
    this.#failures = this.#options.failures - 1;
    return true;
  }

  /** An attempt ended well. True when the breaker closed. */
  good(now: number, probe: number): boolean {
    if (this.#state === "closed") {
      this.#failures = 0;
      this.#openedTimes = 0;
      this.window.add(now, false);
      return false;
    }
    if (!this.#isNews(probe)) return false;
    this.#close();
    this.#openedTimes = 0;
    return true;
  }

  /** An attempt failed. True when the breaker opened. */
  bad(now: number, probe: number, random: number): boolean {
    if (this.#state !== "closed") {
      if (probe === 0 || probe !== this.#probe) return false;
      this.#open(now, random);
      return true;
    }
    this.#failures++;
    this.window.add(now, true);
    if (this.#failures < this.#options.failures && !this.#tooMany(now)) return false;
    this.#open(now, random);
    return true;
  }

  /** An attempt ended in a way that says nothing of the target: another may probe. True when it was the probe. */
  neutral(probe: number): boolean {
    if (probe === 0 || probe !== this.#probe) return false;
    this.#probe = 0;
    return true;
  }

  /** Another process opened it. A rest under way is never shortened by that. True when it opened here as well. */
  hearOpened(now: number, restMs: number, times: number): boolean {
    const until = now + Math.min(restMs, this.#options.maxOpenMs);
    const opens = this.#state !== "open";
    this.#openUntil = opens ? until : Math.max(this.#openUntil, until);
    this.#openedTimes = Math.max(this.#openedTimes, times);
    this.#state = "open";
    this.#probe = 0;
    return opens;
  }

  /** Another process probes it. A probe of our own goes on beside it. */
  hearProbing(now: number, ms: number): void {
    if (this.#probe > 0) return;
    this.#state = "half-open";
    this.#probe = ELSEWHERE;
    this.#probeUntil = now + Math.min(ms, this.#options.probeMs);
  }

  /** The probe of another process told nothing: whoever comes next may probe. */
  hearUnproven(): void {
    if (this.#probe === ELSEWHERE) this.#probe = 0;
  }

  /** The probe of another process went well; on parole here too, until an attempt of our own ends well. True when it closed. */
  hearClosed(): boolean {
    if (this.#state === "closed") return false;
    this.#close();
    this.#failures = this.#options.failures - 1;
    return true;
  }

  /** The newest probe, also one that took longer than we waited: no attempt began later. */
  #isNews(probe: number): boolean {
    return probe !== 0 && probe === this.#probesSoFar;
  }

  #tooMany(now: number): boolean {
    const { share, calls } = this.#options;
    const counted = this.window.calls(now);
    return share > 0 && counted >= calls && this.window.failures(now) >= share * counted;
  }

  #open(now: number, random: number): void {
    const { openMs, maxOpenMs } = this.#options;
    const rest = openMs * 2 ** Math.min(this.#openedTimes, MOST_DOUBLINGS) * (1 - JITTER_SHARE + 2 * JITTER_SHARE * random);
    this.#state = "open";
    this.#openedTimes++;
    this.#openUntil = now + Math.min(rest, maxOpenMs);
    this.#probe = 0;
  }

  #close(): void {
    this.#state = "closed";
    this.#failures = 0;
    this.#probe = 0;
    this.window.clear();
  }
}

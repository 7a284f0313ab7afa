import type { Credential } from "../../canon/index.ts";
import type { Blame } from "./blame.ts";
import { Cooldown } from "./cooldown.ts";
import type { HealthOptions } from "./options.ts";

const MINUTE_MS = 60_000;
/** Of a minute's requests, what may go out at once: so no minute sees more than this share too many. */
const BURST_SHARE = 0.1;
/** How long the attempt that tries out a refused key holds up the others. */
const PROBE_MS = 30_000;

/** How an attempt ended, as far as its key is concerned. */
export interface AttemptEnd {
  readonly blame: Blame;
  /** Milliseconds that the provider asks to be left alone. */
  readonly askedMs: number | undefined;
  readonly begunAt: number;
  /** Was it the one that tried out a refused key? */
  readonly probesKey: boolean;
}

/** What is known of one key, by its id; the secret itself is not here. */
export class KeyState {
  readonly credential: Credential;
  /** After refusals and empty accounts. */
  readonly refused = new Cooldown();
  /** After rate limits. */
  readonly limited = new Cooldown();
  inFlight = 0;
  /** Of the newest news of it, ours or another process's; milliseconds since 1970. */
  toldAt = 0;
  /** Turns taken, divided by its weight (stride scheduling: Waldspurger and Weihl, 1995). */
  pass = 0;
  /** Until when nobody else tries a refused key, because one attempt does. */
  #probingUntil = Number.NEGATIVE_INFINITY;
  #tokens: number;
  #tokensAt: number;

  constructor(credential: Credential, now: number) {
    this.credential = credential;
    this.#tokens = this.#burst;
    this.#tokensAt = now;
  }

  get #burst(): number {
    return Math.max(1, Math.floor((this.credential.requestsPerMinute ?? 0) * BURST_SHARE));
  }

  /** Is it at rest, or being tried out after one? */
  isResting(now: number): boolean {
    return !this.refused.isOver(now) || !this.limited.isOver(now) || this.isProbing(now);
  }

  /** Does one attempt find out whether it is good again? */
  isProbing(now: number): boolean {
    return now < this.#probingUntil;
  }

  restMs(now: number): number {
    return Math.max(this.refused.restMs(now), this.limited.restMs(now));
  }

  hasRoom(now: number): boolean {
    const { concurrency } = this.credential;
    return (concurrency === undefined || this.inFlight < concurrency) && this.tokenMs(now) === 0;
  }

  /** Milliseconds until its requests a minute allow the next one. */
  tokenMs(now: number): number {
    const { requestsPerMinute } = this.credential;
    if (requestsPerMinute === undefined) return 0;
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#tokensAt) / MINUTE_MS) * requestsPerMinute);
    this.#tokensAt = now;
    return this.#tokens >= 1 ? 0 : Math.ceil(((1 - this.#tokens) / requestsPerMinute) * MINUTE_MS);
  }

  /** An attempt begins. True: it is the one that finds out whether a refused key is good again. */
  begin(now: number): boolean {
    this.inFlight++;
    if (this.credential.requestsPerMinute !== undefined) this.#tokens -= 1;
    if (this.refused.strikes === 0 || this.isProbing(now)) return false;
    this.#probingUntil = now + PROBE_MS;
    return true;
  }

  /** Another process finds out whether it is good again. */
  hearProbing(now: number): void {
    this.#probingUntil = now + PROBE_MS;
  }

  /** Another process has found out, or could not. */
  hearProbed(): void {
    this.#probingUntil = Number.NEGATIVE_INFINITY;
  }

  /** The provider takes the key again. */
  accepted(): void {
    this.#probingUntil = Number.NEGATIVE_INFINITY;
    this.refused.good();
  }

  /** What the end of an attempt says of its key. True when the key now rests. */
  judge(end: AttemptEnd, now: number, random: number, options: HealthOptions["cooldown"]): boolean {
    const { blame, askedMs, begunAt } = end;
    if (end.probesKey) this.#probingUntil = Number.NEGATIVE_INFINITY;
    if (blame === "credentials") {
      if (this.refused.isOldNews(begunAt)) return false;
      this.refused.rest(now, this.refused.growing(options.credentialsMs, options.maxCredentialsMs, random));
      return true;
    }
    if (blame === "limited") return this.#limit(askedMs, begunAt, now, random, options);
    if (blame === "well") {
      this.limited.good();
      if (end.probesKey) this.refused.good();
    }
    return false;
  }

  #limit(askedMs: number | undefined, begunAt: number, now: number, random: number, options: HealthOptions["cooldown"]): boolean {
    if (this.limited.isOldNews(begunAt)) {
      if (askedMs !== undefined) this.limited.extend(now, Math.min(askedMs, options.longestAskedMs));
      return false;
    }
    const grown = this.limited.growing(options.rateLimitedMs, options.maxRateLimitedMs, random);
    this.limited.rest(now, askedMs === undefined ? grown : Math.min(askedMs, options.longestAskedMs));
    return true;
  }
}

/** The keys of one provider: which one takes the next attempt, and which ones rest. */
export class KeyRing {
  readonly keys: readonly KeyState[];
  /** The pass of whoever went last: a key back from its rest begins there, and does not make up for its absence. */
  #pass = 0;

  constructor(credentials: readonly Credential[], now: number) {
    this.keys = credentials.map((credential) => new KeyState(credential, now));
  }

  /** The key that has the least to do for its weight, and of equals the one whose turn it is. Undefined: none may begin now. */
  choose(now: number, whatever: boolean): KeyState | undefined {
    let best: KeyState | undefined;
    let bestLoad = 0;
    let bestPass = 0;
    for (const key of this.keys) {
      if ((key.isResting(now) && !whatever) || !key.hasRoom(now)) continue;
      const { weight } = key.credential;
      const load = key.inFlight / weight;
      const pass = Math.max(key.pass, this.#pass - 1 / weight);
      if (best && (load > bestLoad || (load === bestLoad && pass >= bestPass))) continue;
      best = key;
      bestLoad = load;
      bestPass = pass;
    }
    if (!best) return undefined;
    this.#pass = bestPass;
    best.pass = bestPass + 1 / best.credential.weight;
    return best;
  }

  /** Is any key ready, or only busy for the moment? */
  isAlive(now: number): boolean {
    for (const key of this.keys) if (!key.isResting(now)) return true;
    return false;
  }

  /** Is any key ready to take an attempt at once? */
  hasReady(now: number): boolean {
    for (const key of this.keys) if (!key.isResting(now) && key.hasRoom(now)) return true;
    return false;
  }

  /** Milliseconds until the first key is back; 0 when one is being tried out. */
  restMs(now: number): number {
    return this.keys.reduce((least, key) => Math.min(least, key.restMs(now)), Number.POSITIVE_INFINITY);
  }

  /** Milliseconds until a key that is neither resting nor full has a request left; undefined: none waits for that. */
  tokenMs(now: number): number | undefined {
    let least: number | undefined;
    for (const key of this.keys) {
      const wait = key.isResting(now) ? 0 : key.tokenMs(now);
      if (wait > 0 && (least === undefined || wait < least)) least = wait;
    }
    return least;
  }
}

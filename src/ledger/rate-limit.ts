import type { Clock, RequestLimit } from "../canon/index.ts";

const WINDOW_MS = { minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const;

export type RateDecision =
  | {
      readonly ok: true;
      /** Requests left at once, of the limit that has the fewest; infinite without limits. */
      readonly remaining: number;
      readonly limit: RequestLimit | undefined;
      /** Until that limit is whole again, if nothing more is taken. */
      readonly resetMs: number;
    }
  | {
      readonly ok: false;
      /** When the next request will pass, at the earliest. */
      readonly retryAfterMs: number;
      readonly limit: RequestLimit;
    };

/** One caller's buckets, one for each of its limits in the same order. */
interface Buckets {
  limits: readonly RequestLimit[];
  levels: number[];
  /** Monotonic milliseconds of the last refill. */
  at: number;
}

/** Callers remembered at once. A forgotten caller starts with full buckets, so the fullest are forgotten first. */
const MAX_CALLERS = 100_000;
/** Callers looked at to find one to forget; bounds the cost of a new caller. */
const LOOKED_AT = 16;

/** What adding up fractions may lose. */
const ROUNDING = 1e-9;
/** One request. */
const WHOLE = 1 - ROUNDING;

const UNLIMITED: RateDecision = { ok: true, remaining: Number.POSITIVE_INFINITY, limit: undefined, resetMs: 0 };

/**
 * Token buckets: a bucket holds a whole window's requests, all of which may be used at once, and fills evenly over the window. A request
 * takes from all of its caller's limits or from none. Counts are this process's own.
 */
export class RateLimiter {
  readonly #clock: Clock;
  readonly #maxCallers: number;
  readonly #callers = new Map<string, Buckets>();

  constructor(clock: Clock, maxCallers = MAX_CALLERS) {
    this.#clock = clock;
    this.#maxCallers = maxCallers;
  }

  take(callerId: string, limits: readonly RequestLimit[]): RateDecision {
    if (limits.length === 0) return UNLIMITED;
    const now = this.#clock.monotonic();
    const buckets = this.#callers.get(callerId) ?? this.#admit(callerId, limits, now);
    if (buckets.limits !== limits) adopt(buckets, limits);
    const elapsed = now - buckets.at;
    buckets.at = now;
    const short = refill(buckets, elapsed);
    if (short) return short;
    return takeOne(buckets);
  }

  #admit(callerId: string, limits: readonly RequestLimit[], now: number): Buckets {
    if (this.#callers.size >= this.#maxCallers) this.#forgetOne(now);
    const buckets: Buckets = { limits, levels: limits.map((limit) => limit.requests), at: now };
    this.#callers.set(callerId, buckets);
    return buckets;
  }

  /** Looks at the callers that have waited longest, puts back those in use, and forgets the first idle one or else the fullest. */
  #forgetOne(now: number): void {
    let fullest: string | undefined;
    let most = -1;
    const looked: [string, Buckets][] = [];
    for (const [callerId, buckets] of this.#callers) {
      const share = fullness(buckets, now);
      if (share > most) {
        most = share;
        fullest = callerId;
      }
      looked.push([callerId, buckets]);
      if (share >= 1 || looked.length >= LOOKED_AT) break;
    }
    for (const [callerId, buckets] of looked) {
      this.#callers.delete(callerId);
      if (callerId !== fullest) this.#callers.set(callerId, buckets);
    }
  }
}

/** Fills all buckets. When one of them holds no whole request, says how long that takes. */
function refill(buckets: Buckets, elapsed: number): RateDecision | undefined {
  const { limits, levels } = buckets;
  let retryAfterMs = 0;
  let short: RequestLimit | undefined;
  for (let index = 0; index < limits.length; index++) {
    const limit = limits[index];
    if (!limit) continue;
    const windowMs = WINDOW_MS[limit.per];
    const level = Math.min(limit.requests, (levels[index] ?? 0) + (elapsed * limit.requests) / windowMs);
    levels[index] = level;
    if (level >= WHOLE) continue;
    const waitMs = Math.ceil(((1 - level) * windowMs) / limit.requests);
    if (waitMs > retryAfterMs) {
      retryAfterMs = waitMs;
      short = limit;
    }
  }
  return short && { ok: false, retryAfterMs, limit: short };
}

function takeOne(buckets: Buckets): RateDecision {
  const { limits, levels } = buckets;
  let tightest: RequestLimit | undefined;
  let remaining = Number.POSITIVE_INFINITY;
  for (let index = 0; index < limits.length; index++) {
    const level = (levels[index] ?? 0) - 1;
    levels[index] = level;
    if (level < remaining) {
      remaining = level;
      tightest = limits[index];
    }
  }
  if (!tightest) return UNLIMITED;
  const resetMs = Math.ceil(((tightest.requests - remaining) * WINDOW_MS[tightest.per]) / tightest.requests);
  return { ok: true, remaining: Math.max(0, Math.floor(remaining + ROUNDING)), limit: tightest, resetMs };
}

/** The caller's limits were read anew or changed: a bucket keeps what was used of it where the limit is still the same. */
function adopt(buckets: Buckets, limits: readonly RequestLimit[]): void {
  buckets.levels = limits.map((limit) => {
    const before = buckets.limits.findIndex((other) => other.per === limit.per);
    const old = buckets.limits[before];
    const used = old ? old.requests - (buckets.levels[before] ?? 0) : 0;
    return Math.max(0, limit.requests - used);
  });
  buckets.limits = limits;
}

/** 1 when every bucket is whole by now. */
function fullness(buckets: Buckets, now: number): number {
  let least = 1;
  for (const [index, limit] of buckets.limits.entries()) {
    const level = (buckets.levels[index] ?? 0) / limit.requests + (now - buckets.at) / WINDOW_MS[limit.per];
    least = Math.min(least, level);
  }
  return least;
}

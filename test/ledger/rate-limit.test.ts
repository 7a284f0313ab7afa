import { describe, expect, it } from "vitest";
import type { RequestLimit } from "../../src/canon/index.ts";
import { ManualClock } from "../../src/kit/index.ts";
import { limitsOptions } from "../../src/ledger/options.ts";
import { RateLimiter } from "../../src/ledger/rate-limit.ts";

const minute = (requests: number): RequestLimit[] => [{ requests, per: "minute" }];

/** How many of `tries` pass. */
function passes(limiter: RateLimiter, callerId: string, limits: readonly RequestLimit[], tries: number): number {
  return Array.from({ length: tries }, () => limiter.take(callerId, limits)).filter((decision) => decision.ok).length;
}

describe("RateLimiter", () => {
  it("lets a whole window's worth pass at once, and then no more", () => {
    const limiter = new RateLimiter(new ManualClock());
    expect(passes(limiter, "a", minute(600), 700)).toBe(600);
  });

  it("fills evenly: what it says about retrying is exact", () => {
    const clock = new ManualClock();
    const limiter = new RateLimiter(clock);
    const limits = minute(7);
    passes(limiter, "a", limits, 7);
    for (let round = 0; round < 50; round++) {
      const refused = limiter.take("a", limits);
      expect(refused).toMatchObject({ ok: false, limit: limits[0] });
      const waitMs = refused.ok ? 0 : refused.retryAfterMs;
      clock.advance(waitMs - 1);
      expect(limiter.take("a", limits).ok).toBe(false);
      clock.advance(1);
      expect(limiter.take("a", limits).ok).toBe(true);
    }
  });

  it("over many windows lets no more pass than one burst and the rate", () => {
    const clock = new ManualClock();
    const limiter = new RateLimiter(clock);
    let passed = 0;
    for (let step = 0; step < 6000; step++) {
      clock.advance(100);
      passed += passes(limiter, "a", minute(60), 1);
    }
    expect(passed).toBeGreaterThanOrEqual(600);
    expect(passed).toBeLessThanOrEqual(660);
  });

  it("says how many are left and when all are", () => {
    const clock = new ManualClock();
    const limiter = new RateLimiter(clock);
    const limits = minute(60);
    expect(limiter.take("a", limits)).toEqual({ ok: true, remaining: 59, limit: limits[0], resetMs: 1000 });
    expect(limiter.take("a", limits)).toEqual({ ok: true, remaining: 58, limit: limits[0], resetMs: 2000 });
    clock.advance(1500);
    expect(limiter.take("a", limits)).toMatchObject({ remaining: 58, resetMs: 1500 });
  });

  it("takes from all limits or from none, and names the tightest", () => {
    const clock = new ManualClock();
    const limiter = new RateLimiter(clock);
    const limits: RequestLimit[] = [
      { requests: 2, per: "minute" },
      { requests: 3, per: "day" },
    ];
    expect(limiter.take("a", limits)).toMatchObject({ ok: true, remaining: 1, limit: limits[0] });
    expect(passes(limiter, "a", limits, 5)).toBe(1);
    clock.advance(60_000);
    expect(limiter.take("a", limits)).toMatchObject({ ok: true, remaining: 0, limit: limits[1] });
    const refused = limiter.take("a", limits);
    expect(refused).toMatchObject({ ok: false, limit: limits[1] });
    expect(refused.ok ? 0 : refused.retryAfterMs).toBeGreaterThan(3_600_000);
  });

  it("keeps callers apart and lets those without limits pass", () => {
    const limiter = new RateLimiter(new ManualClock());
    expect(passes(limiter, "a", minute(1), 3)).toBe(1);
    expect(passes(limiter, "b", minute(1), 3)).toBe(1);
    expect(limiter.take("c", [])).toMatchObject({ ok: true, remaining: Number.POSITIVE_INFINITY });
  });

  it("a key read anew keeps what was used; a changed limit counts at once", () => {
    const limiter = new RateLimiter(new ManualClock());
    expect(passes(limiter, "a", minute(5), 3)).toBe(3);
    expect(passes(limiter, "a", minute(5), 9)).toBe(2);
    expect(passes(limiter, "a", minute(8), 9)).toBe(3);
    expect(passes(limiter, "a", [{ requests: 4, per: "hour" }], 9)).toBe(4);
  });

  it("a limit of less than one request a second still lets the first pass", () => {
    const clock = new ManualClock();
    const limiter = new RateLimiter(clock);
    const limits: RequestLimit[] = [{ requests: 1, per: "day" }];
    expect(passes(limiter, "a", limits, 2)).toBe(1);
    clock.advance(86_400_000);
    expect(passes(limiter, "a", limits, 2)).toBe(1);
  });

  it("forgets idle callers first when there are too many, and never those in use", () => {
    const clock = new ManualClock();
    const limiter = new RateLimiter(clock, 3);
    expect(passes(limiter, "busy", minute(2), 2)).toBe(2);
    expect(passes(limiter, "idle", minute(60), 1)).toBe(1);
    expect(passes(limiter, "half", minute(2), 1)).toBe(1);
    clock.advance(1000);
    for (let number = 0; number < 20; number++) limiter.take(`guest-${number}`, minute(1_000_000));
    expect(limiter.take("busy", minute(2)).ok).toBe(false);
  });
});

describe("limits: in the configuration", () => {
  it("takes requests per window", () => {
    expect(limitsOptions.parse([{ match: { key: "*" }, requests: 600 }])).toEqual([{ match: { key: "*" }, requests: 600, per: "minute" }]);
  });

  it.each(["inputTokens", "outputTokens", "concurrency"])("refuses %s in a sentence", (name) => {
    const outcome = limitsOptions.safeParse([{ match: { key: "*" }, requests: 600, [name]: 5, per: "minute" }]);
    expect(outcome.error?.issues[0]).toMatchObject({
      path: [0, name],
      message: `limits[].${name} is not built yet; only \`requests\` is enforced. Remove it.`,
    });
  });

  it.each([
    [{ requests: 5 }],
    [{ match: { key: "*" }, requests: 0 }],
    [{ match: { key: "*" }, requests: 1.5 }],
    [{ match: { key: "*" }, requests: 1, per: "week" }],
    [{ match: { key: "*" } }],
    [{ match: { keys: "*" }, requests: 1 }],
  ])("refuses %j", (limit) => {
    expect(limitsOptions.safeParse([limit]).success).toBe(false);
  });
});

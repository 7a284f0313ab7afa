import { z } from "zod";

const MOST_MS = 24 * 3_600_000;
const milliseconds = (fallback: number, meaning: string) =>
  z.int().min(1).max(MOST_MS).default(fallback).describe(`${meaning}, in milliseconds.`);
const count = (fallback: number, meaning: string) => z.int().min(1).max(1_000_000).default(fallback).describe(meaning);
const share = (fallback: number, meaning: string) => z.number().min(0).max(1).default(fallback).describe(meaning);

const breaker = z
  .strictObject({
    failures: count(5, "Failures in a row after which a target is no longer asked."),
    share: share(0.5, "Share of failed attempts within `windowMs` that has the same effect; 0 looks at failures in a row only."),
    calls: count(20, "Attempts within `windowMs` before their share means anything."),
    windowMs: milliseconds(30_000, "How far back attempts are counted"),
    openMs: milliseconds(1000, "Rest of a target before it is tried again with a single attempt; doubles with each that fails"),
    maxOpenMs: milliseconds(30_000, "Longest such rest"),
    probeMs: milliseconds(30_000, "How long that single attempt may stay silent before it counts as failed"),
  })
  .prefault({})
  .describe("Circuit breaker of a target.");

const ejection = z
  .strictObject({
    errorShare: share(
      0.3,
      "A target is set aside when its share of failures is this much above that of the alias's other targets; 0 turns it off.",
    ),
    latencyFactor: z
      .number()
      .min(0)
      .max(1000)
      .default(5)
      .describe("A target is set aside when its time to the first event is this many times that of the others; 0 turns it off."),
    latencyMs: milliseconds(3000, "How much longer it must take besides"),
    calls: count(20, "Attempts at a target before it is compared."),
    everyMs: milliseconds(5000, "How often an alias's targets are compared"),
    ejectMs: milliseconds(30_000, "How long a target is set aside; grows with each time in a row"),
    maxEjectMs: milliseconds(300_000, "Longest time it is set aside"),
    maxShare: share(0.5, "Largest share of an alias's targets that may be set aside at once."),
  })
  .prefault({})
  .describe("A target that does far worse than the others of its alias is set aside for a while.");

const cooldown = z
  .strictObject({
    rateLimitedMs: milliseconds(1000, "Rest after a rate limit that says no time of its own; doubles with each in a row"),
    maxRateLimitedMs: milliseconds(60_000, "Longest such rest"),
    credentialsMs: milliseconds(10_000, "Rest of a key that was refused or whose account is empty; doubles with each in a row"),
    maxCredentialsMs: milliseconds(300_000, "Longest such rest"),
    longestAskedMs: milliseconds(3_600_000, "Longest rest that a provider may ask for itself"),
  })
  .prefault({})
  .describe("Rests by kind of failure.");

/** `health:` of `gimbal.yaml`: when targets and keys are left alone, and how much runs at once. */
export const healthOptions = z
  .strictObject({
    breaker,
    ejection,
    cooldown,
    queue: z
      .strictObject({
        length: z.int().min(0).max(100_000).default(1000).describe("Attempts that wait for one target at its limit; more are refused."),
        timeoutMs: milliseconds(10_000, "Longest wait for a place"),
      })
      .prefault({})
      .describe("Where attempts wait that a `concurrency` holds back. Higher priority goes first; a second of waiting counts as one step."),
    adaptive: z
      .strictObject({
        enabled: z
          .boolean()
          .default(true)
          .describe("Lower a target's concurrency when it says that it is overloaded, and raise it step by step."),
        cut: z.number().min(0.1).max(0.95).default(0.7).describe("What is left of the concurrency after an overload."),
        least: count(4, "The concurrency is never lowered below this, or below what is configured where that is less."),
        quietMs: milliseconds(60_000, "Time without overload after which the limit is lifted"),
      })
      .prefault({})
      .describe("Concurrency that follows what a target can take."),
    targets: count(10_000, "Targets remembered; the longest unused are forgotten first."),
  })
  .prefault({});

export type HealthOptions = z.output<typeof healthOptions>;

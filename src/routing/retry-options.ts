import { z } from "zod";

const MOST_MS = 600_000;

/** `retry:` of `gimbal.yaml`: how failed attempts are repeated. */
export const retryOptions = z
  .strictObject({
    firstBackoffMs: z
      .int()
      .min(1)
      .max(MOST_MS)
      .default(100)
      .describe(
        "Longest wait before the first repeat, in milliseconds; it doubles with each further one. The wait itself is drawn at random below it.",
      ),
    maxBackoffMs: z
      .int()
      .min(1)
      .max(MOST_MS)
      .default(10_000)
      .describe("Longest wait before any repeat, in milliseconds. A provider that asks for longer is left, and its target with it."),
    budget: z
      .strictObject({
        share: z.number().min(0).max(10).default(0.2).describe("Repeats allowed for each call, all calls together."),
        perSecond: z
          .number()
          .min(0)
          .max(1_000_000)
          .default(10)
          .describe("Repeats allowed each second on top of that share, over all processes of the record together."),
      })
      .prefault({})
      .describe(
        "Bounds repeats at one target, so that a provider in trouble is not buried under them. Moving on to another target is free.",
      ),
  })
  .prefault({});

export type RetryOptions = z.output<typeof retryOptions>;

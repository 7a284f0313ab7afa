import { z } from "zod";

const RETRIES = 20;
const TIMEOUT_MS = 24 * 3_600_000;
export const DEFAULT_RETRIES = 2;
export const DEFAULT_CONTINUATIONS = 3;
const MOST_CONTINUATIONS = 20;
const DEFAULT_HEDGE_SHARE = 0.1;
const PERCENTILE_RANGE = "A percentile is a number from 1 to 99.9.";

const limit = (meaning: string) => z.int().positive().max(TIMEOUT_MS).optional().describe(meaning);

/** Members of an alias under `models:` that say how one target is tried, and when it is tried again. */
export const attemptShape = {
  retries: z.int().min(0).max(RETRIES).default(DEFAULT_RETRIES).describe("Extra attempts per target, after failures that may be retried."),
  timeoutMs: z
    .int()
    .positive()
    .max(TIMEOUT_MS)
    .optional()
    .describe(
      "Milliseconds per attempt: to the first meaningful event when streaming, to the whole answer otherwise. Default: `serve.limits.defaultTimeoutMs`.",
    ),
  timeouts: z
    .strictObject({
      firstOutputMs: limit("Of each attempt at a stream: to its first meaningful event. Default: `timeoutMs`."),
      betweenMs: limit("Of a stream: the longest silence between two pieces. Default: `serve.limits.betweenDataMs`."),
      totalMs: limit("Of the whole call: all attempts together with the waits between them. Default: none."),
    })
    .optional()
    .describe("Finer bounds, in milliseconds."),
  hedge: z
    .strictObject({
      afterPercentile: z
        .number({ error: PERCENTILE_RANGE })
        .min(1, { error: PERCENTILE_RANGE })
        .max(99.9, { error: PERCENTILE_RANGE })
        .default(95)
        .describe("The second target is asked once the first took longer to begin than this per cent of its own recent answers."),
      afterMs: limit(
        "Instead of that: after so many milliseconds. Without it nothing is done until ten answers of the target were measured.",
      ),
      maxShare: z
        .number()
        .min(0)
        .max(1)
        .default(DEFAULT_HEDGE_SHARE)
        .describe("Of the alias's calls, the share for which a second target may be asked."),
    })
    .optional()
    .describe(
      "When the first target is slow to begin, the next one is asked as well. Whoever begins first answers, the other is cancelled; what both used is booked. Not for calls that already failed over, nor while the answer is shared with identical calls.",
    ),
  continue: z
    .enum(["always", "same-model", "never"], { error: "A broken stream is continued always, same-model or never." })
    .default("never")
    .describe(
      "Whether a stream that breaks after text went out is gone on with: by the same target first, with `always` then by the next ones, with `same-model` only by those of the same model. Frames of tool calls are then held until the answer is complete.",
    ),
  maxContinuations: z
    .int()
    .min(1)
    .max(MOST_CONTINUATIONS)
    .default(DEFAULT_CONTINUATIONS)
    .describe("How often one stream is continued at most."),
} as const;

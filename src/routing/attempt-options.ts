import { z } from "zod";

const RETRIES = 20;
const TIMEOUT_MS = 24 * 3_600_000;
export const DEFAULT_RETRIES = 2;

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
  continue: z
    .enum(["always", "same-model", "never"])
    .default("never")
    .describe(
      "Whether a stream that breaks after text went out is to be continued. Not built yet: anything but `never` gives a warning, and the stream ends in a problem.",
    ),
} as const;

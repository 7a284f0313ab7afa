import { z } from "zod";
import type { AliasCache, CacheLimits } from "../canon/index.ts";

const MIB = 1024 * 1024;
/** Beyond a year a time to live is a mistake in its unit. */
const LONGEST_SECONDS = 366 * 24 * 3600;

/** `cache:` of an alias: that its answers may be repeated, and to whom. */
export const aliasCacheOptions = z
  .strictObject({
    ttlSeconds: z.int().positive().max(LONGEST_SECONDS).describe("How long an answer may be repeated, in seconds."),
    staleSeconds: z
      .int()
      .nonnegative()
      .max(LONGEST_SECONDS)
      .default(0)
      .describe("How long after that it may still be given, in seconds, while a new answer is fetched in the background."),
    share: z
      .enum(["key", "team", "project", "all"])
      .default("key")
      .describe(
        "Who gets an answer that another call paid for: only calls of the same key, of its team, of its project, or everybody. A key without team or project shares with itself.",
      ),
    replay: z.enum(["burst", "paced"]).default("burst").describe("How a stream is repeated: at once, or at the pace at which it came."),
    keyWith: z
      .array(z.enum(["endUser", "metadata"]))
      .default([])
      .describe("What else must be equal for two calls to count as identical: the end user's id, the call's metadata."),
  })
  .describe(
    "Repeat complete answers to identical calls, and let identical calls that run at the same time share one. Applies to any temperature, because it is asked for by name.",
  );

/** `cache:` of the whole gateway: bounds of the kept answers. */
export const cacheOptions = z
  .strictObject({
    entryBytes: z.int().positive().default(MIB).describe("Largest answer that is kept, in bytes."),
    memoryBytes: z
      .int()
      .nonnegative()
      .default(64 * MIB)
      .describe("Bytes of answers held in memory, in front of the store; those unused for longest give way."),
    storeBytes: z
      .int()
      .nonnegative()
      .default(512 * MIB)
      .describe("Bytes of answers held on disk; those that expire soonest give way."),
    flightBytes: z
      .int()
      .positive()
      .default(16 * MIB)
      .describe(
        "Largest running answer that identical calls can share, in bytes; whoever still needs what came before is told that it broke.",
      ),
  })
  .describe(
    "Bounds of the answers kept for identical calls; an alias asks for them with its own `cache`.",
  ) satisfies z.ZodType<CacheLimits>;

export const DEFAULT_CACHE_LIMITS: CacheLimits = cacheOptions.parse({});

/** An alias's section in canon's terms. */
export function aliasCacheOf(options: z.output<typeof aliasCacheOptions>): AliasCache {
  const { ttlSeconds, staleSeconds, share, replay, keyWith } = options;
  return { ttlMs: ttlSeconds * 1000, staleMs: staleSeconds * 1000, share, replay, keyWith };
}

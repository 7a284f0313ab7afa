import { z } from "zod";

const MIB = 1024 * 1024;

/** `files`: what callers may keep here. */
export const filesOptions = z.strictObject({
  maxBytes: z
    .int()
    .min(1)
    .max(512 * MIB)
    .default(100 * MIB)
    .describe("Largest file, in bytes; beyond it the answer is 413."),
  callerBytes: z
    .int()
    .min(1)
    .default(1024 * MIB)
    .describe("Bytes that one caller's files may have together."),
  days: z.int().min(1).max(3650).default(30).describe("How long a file is kept unless its owner wants it gone earlier, in days."),
  uploads: z
    .int()
    .min(1)
    .max(1000)
    .default(4)
    .describe("Uploads at once; each is held in memory until it is kept. Beyond it the answer is 503."),
});

const clockTime = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, { error: "Must be a time such as `22:00`." });

const zone = z.string().refine(isZone, { error: "Must be a time zone such as `Europe/Berlin`." });

/** `batches`: calls that nobody waits for. */
export const batchesOptions = z.strictObject({
  via: z
    .enum(["provider", "gateway"])
    .default("provider")
    .describe(
      "Who answers lines whose provider has a batch service of its own: `provider`, at its price for batches and in its time, or `gateway`, which asks them one by one as it does all others.",
    ),
  concurrency: z.int().min(1).max(10_000).default(8).describe("Calls of batches at once, in each process."),
  window: z
    .strictObject({
      from: clockTime.describe("When calls of batches may begin."),
      to: clockTime.describe("When no more begin; earlier than `from`: on the next day."),
      zone: zone.default("UTC").describe("Time zone of both."),
    })
    .optional()
    .describe("The hours in which calls of batches are made. Default: all."),
  hours: z.int().min(1).max(720).default(24).describe("How long a batch may take, in hours; what is not answered then expires."),
  keepDays: z.int().min(1).max(365).default(29).describe("How long a batch and its answers are kept, in days."),
  lines: z.int().min(1).max(1_000_000).default(50_000).describe("Calls in one batch."),
  open: z.int().min(1).max(10_000).default(20).describe("Batches of one caller that have not ended."),
  retries: z.int().min(0).max(100).default(5).describe("How often a line that met a failing provider is asked again."),
});

export type FilesOptions = z.output<typeof filesOptions>;
export type BatchesOptions = z.output<typeof batchesOptions>;

function isZone(name: string): boolean {
  try {
    return Intl.DateTimeFormat("en", { timeZone: name }) !== undefined;
  } catch {
    return false;
  }
}

import { z } from "zod";

const MEBIBYTE = 1024 * 1024;

/** The part of `gimbal.yaml` that belongs to the stores: `storage:`. Every limit of the writer is named here. */
export const storageOptions = z
  .strictObject({
    queueRows: z
      .int()
      .min(100)
      .max(1_000_000)
      .default(20_000)
      .describe("Writes that may wait while the disk is slow or refuses; more are rejected and the gateway reports itself unhealthy."),
    queueBytes: z
      .int()
      .min(MEBIBYTE)
      .default(128 * MEBIBYTE)
      .describe("The same bound in characters of the waiting writes; kept turns can be large."),
    reads: z.int().min(1).default(10_000).describe("Reads that may wait at the writer's thread; more are rejected."),
    batchRows: z.int().min(1).max(10_000).default(512).describe("Most writes of one transaction."),
    flushRows: z.int().min(1).max(10_000).default(256).describe("Waiting writes that are committed at once instead of after a pause."),
    flushMs: z
      .int()
      .min(0)
      .max(100)
      .default(2)
      .describe(
        "Longest wait of a write for others to share its commit, in milliseconds; ledger rows wait twice this where they do share it.",
      ),
    busyRows: z
      .int()
      .min(1)
      .max(10_000)
      .default(32)
      .describe("A batch of so many writes means a busy gateway: ledger rows then wait up to `busyMs`."),
    busyMs: z
      .int()
      .min(0)
      .max(1000)
      .default(8)
      .describe(
        "Longest wait of a ledger row in a busy gateway, in milliseconds. A process that is killed loses the rows that still wait.",
      ),
    openHoldMs: z
      .int()
      .min(1)
      .max(1000)
      .default(5)
      .describe(
        "How long the record of a call just begun may wait (up to twice this) for the call to end, in milliseconds: a call that ends sooner needs none. A process that is killed leaves no trace of calls that began within twice this time.",
      ),
    journalDiskBytes: z
      .int()
      .min(MEBIBYTE)
      .default(256 * MEBIBYTE)
      .describe("Bytes of streamed answers on disk for clients that come back; beyond it the oldest are forgotten first."),
    connections: z
      .int()
      .min(1)
      .max(100)
      .default(8)
      .describe("PostgreSQL only: connections for reads, at most; four more write, listen and keep the journal."),
    spoolBytes: z
      .int()
      .min(MEBIBYTE)
      .default(256 * MEBIBYTE)
      .describe(
        "PostgreSQL only: bytes of rows that wait in the data folder while the database is away; when they are used up, calls are refused.",
      ),
    retryMs: z
      .int()
      .min(1)
      .default(100)
      .describe("Wait before the first retry after a failed commit, in milliseconds; it doubles up to `retryMaxMs`."),
    retryMaxMs: z.int().min(1).default(5000).describe("Longest wait between retries, in milliseconds."),
  })
  .describe("How the record on disk is written.");

export type StorageOptions = z.output<typeof storageOptions>;

export const DEFAULT_STORAGE: StorageOptions = storageOptions.parse({});

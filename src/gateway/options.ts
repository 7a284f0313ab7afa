import { z } from "zod";
import type { Limits } from "../canon/index.ts";

const bytes = (fallback: number, meaning: string) => z.number().int().positive().default(fallback).describe(meaning);
const milliseconds = (fallback: number, meaning: string) => z.number().int().positive().default(fallback).describe(meaning);
const count = (fallback: number, meaning: string) => z.number().int().positive().default(fallback).describe(meaning);

const MIB = 1024 * 1024;

/** `serve.limits`: every bound of the gateway, with its default. */
export const limitsOptions = z
  .strictObject({
    bodyBytes: bytes(32 * MIB, "Largest request body, in bytes; beyond it the answer is 413."),
    jsonDepth: count(128, "Deepest nesting of a JSON body."),
    answerBytes: bytes(64 * MIB, "Largest plain answer of a provider, in bytes."),
    frameBytes: bytes(16 * MIB, "Largest single event of a provider's stream, in bytes."),
    journalBytes: bytes(MIB, "Bytes of one call's stream that are remembered for readers who are slow or come back."),
    journalTotalBytes: bytes(16 * MIB, "The same over all finished calls together."),
    journalMs: milliseconds(600_000, "How long a finished stream can be read again, in milliseconds."),
    calls: count(20_000, "Calls running at once; beyond it the answer is 503."),
    requestBodyMs: milliseconds(60_000, "Longest time a client may take to send its body, in milliseconds."),
    drainMs: milliseconds(30_000, "How long running calls may go on after SIGTERM, in milliseconds."),
    turnMs: milliseconds(30 * 24 * 3_600_000, "How long kept turns live, in milliseconds."),
    turnChain: count(1000, "Turns followed back from a previous response or message."),
    defaultTimeoutMs: milliseconds(600_000, "Timeout of an attempt where the alias names none, in milliseconds."),
    betweenDataMs: milliseconds(120_000, "Longest silence between two pieces of a stream, in milliseconds."),
  })
  .prefault({}) satisfies z.ZodType<Limits>;

/** `access`: who may call without a key. */
export const accessOptions = z
  .strictObject({
    anonymous: z
      .enum(["loopback", "never", "any"])
      .default("loopback")
      .describe("Who may call without a key: clients on this machine, nobody, or anybody."),
  })
  .prefault({});

import { NO_USAGE, type AttemptRecord, type LedgerRow } from "../../../src/canon/index.ts";

export const ATTEMPT: AttemptRecord = {
  target: "lab/small-1",
  startedMs: 2,
  endedMs: 52,
  status: 200,
  usage: { ...NO_USAGE, inputUncached: 10, cacheRead: 30, cacheWrite5m: 5, output: 7, reasoning: 3, media: { audio_input_tokens: 4 } },
};

/** A streamed call that its first target answered. */
export function rowOf(change: Partial<LedgerRow> = {}): LedgerRow {
  return {
    callId: "call_0000000001abcdefghjk",
    state: "done",
    startedAt: Date.UTC(2026, 0, 1),
    callerId: "key_1",
    callerName: "search",
    team: "red",
    dialect: "openai-chat",
    operation: "generate",
    model: "fast",
    target: "lab/small-1",
    upstreamModel: "small-1-2026",
    stream: true,
    fastPath: true,
    usage: ATTEMPT.usage ?? NO_USAGE,
    costNanodollars: 1_500_000,
    priceVersion: "book-1",
    timings: { readyMs: 2, firstOutputMs: 22, totalMs: 53 },
    attempts: [ATTEMPT],
    stop: "end",
    session: "thread-7",
    configVersion: 3,
    ...change,
  };
}

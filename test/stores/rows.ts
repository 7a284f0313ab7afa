import { type KeptTurn, type KeyRecord, type LedgerRow, NO_USAGE, type OpenRecord } from "../../src/canon/index.ts";

export const START = Date.UTC(2026, 0, 1);

export function ledgerRow(callId: string, patch: Partial<LedgerRow> = {}): LedgerRow {
  return {
    callId,
    state: "done",
    startedAt: START,
    callerId: "key_1",
    callerName: "first",
    dialect: "one",
    operation: "generate",
    model: "fast",
    stream: false,
    fastPath: true,
    usage: { ...NO_USAGE, inputUncached: 10, output: 5 },
    priceVersion: "prices-1",
    timings: { readyMs: 0.5, totalMs: 120.25 },
    attempts: [{ target: "lab/small", startedMs: 0.5, endedMs: 120, status: 200 }],
    configVersion: 1,
    ...patch,
  };
}

export function openRecord(callId: string, patch: Partial<OpenRecord> = {}): OpenRecord {
  return { callId, startedAt: START, callerId: "key_1", model: "fast", dialect: "one", inputEstimate: 42, node: "node-a", ...patch };
}

export function keyRecord(id: string, patch: Partial<KeyRecord> = {}): KeyRecord {
  return { id, name: `name of ${id}`, hash: `hash-${id}`, prefix: "gk_abcd", scopes: {}, limits: [], createdAt: START, ...patch };
}

export function keptTurn(id: string, patch: Partial<KeptTurn> = {}): KeptTurn {
  return {
    scope: "key_1",
    id,
    dialect: "one",
    input: [{ type: "message", role: "user", parts: [{ type: "text", text: `to ${id}` }] }],
    output: [{ type: "message", role: "assistant", parts: [{ type: "text", text: `from ${id}` }] }],
    answer: { id, text: "hello" },
    createdAt: START,
    expiresAt: START + 1000,
    ...patch,
  };
}

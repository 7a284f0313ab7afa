import { describe, expect, it } from "vitest";
import type { Command } from "../../src/stores/backend.ts";
import { rowToValues } from "../../src/stores/ledger-values.ts";
import { packBatch, unpackBatch } from "../../src/stores/sqlite/pack.ts";
import { ledgerRow, openRecord } from "./rows.ts";

function settle(callId: string, opened: 0 | 1, patch = {}): Command<"settle"> {
  return { name: "settle", args: [opened, rowToValues(ledgerRow(callId, patch))] };
}

function open(callId: string): Command<"open"> {
  const record = openRecord(callId);
  const { startedAt, callerId, model, dialect, inputEstimate, node } = record;
  return { name: "open", args: [callId, startedAt, callerId, model, dialect, inputEstimate, node] };
}

describe("a batch packed for the writer's thread", () => {
  it("is what it was when it is unpacked there, in the same order", () => {
    const commands: Command[] = [
      open("call_1"),
      settle("call_2", 0),
      settle("call_3", 1, {
        team: "blue",
        session: "s",
        costNanodollars: 12_345_678_901,
        problem: "cancelled",
        timings: { readyMs: 0, totalMs: 1e-7 },
      }),
      open("call_4"),
      { name: "probe", args: [] },
      settle("call_5", 1, { metadata: { line: "a\nb", "\u2028": "ü" }, model: "with\nbreak" }),
    ];
    expect(unpackBatch(structuredClone(packBatch(commands)))).toEqual(commands);
    expect(unpackBatch(structuredClone(packBatch([])))).toEqual([]);
  });

  it("keeps an id that holds a line break, and leaves behind who waits for a write", () => {
    const commands = [settle("call_1", 0), settle("call\n2", 1), { ...open("call_3"), resolve: () => {} }];
    expect(unpackBatch(structuredClone(packBatch(commands)))).toEqual([commands[0], commands[1], open("call_3")]);
  });
});

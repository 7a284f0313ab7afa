import { describe, expect, it } from "vitest";
import type { CounterSpend } from "../../src/canon/index.ts";
import type { Command, Spends } from "../../src/stores/backend.ts";
import { rowToValues } from "../../src/stores/ledger-values.ts";
import { commandsOf, dropOpened, ownedRows, packBatch, packEntries, unpackBatch } from "../../src/stores/pack.ts";
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

  it("carries what rows book on counters, each with its own row", () => {
    const spends = (entries: CounterSpend[]): Spends => ({ node: "node_1", entries });
    const settled = (callId: string, booked?: Spends): Command<"settle"> => {
      const [opened, row] = settle(callId, 1).args;
      return { name: "settle", args: booked ? [opened, row, booked] : [opened, row] };
    };
    const commands = [
      settled("call_1", spends([["month", 1_767_225_600_000, 9_007_199_254_740_991, 0]])),
      settled("call_2"),
      settled(
        "call_3",
        spends([
          ["month", 1_767_225_600_000, 5, 7],
          ["life", -1, 0.5, 1],
        ]),
      ),
      settled("call_4", spends([])),
    ];
    expect(unpackBatch(structuredClone(packBatch(commands)))).toEqual(commands);
  });

  it("is one with parts that another process packed, in order, in memory of their own", () => {
    const theirs = [settle("call_2", 1), settle("call_3", 0)];
    const packed = packBatch(theirs);
    const shared = { ...packed, cells: new Float64Array(new ArrayBuffer(packed.cells.byteLength + 64), 64, packed.cells.length) };
    shared.cells.set(packed.cells);
    const owned = ownedRows(shared);
    expect(owned.cells.buffer.byteLength).toBe(packed.cells.byteLength);
    const entries = [open("call_1"), { packed: owned }, settle("call_4", 1), open("call_5")];
    const all = [open("call_1"), ...theirs, settle("call_4", 1), open("call_5")];
    expect(packEntries(entries).flatMap(unpackBatch)).toEqual(all);
    expect(commandsOf(entries)).toEqual(all);
  });

  it("forgets the beginnings that can still be dropped, of the rows that have one", () => {
    const packed = packBatch([settle("call_1", 1), settle("call_2", 0), settle("call_3", 1)]);
    const asked: string[] = [];
    dropOpened(packed, (callId) => asked.push(callId) === 1);
    expect(asked).toEqual(["call_1", "call_3"]);
    expect(unpackBatch(packed).map(({ args }) => args[0])).toEqual([0, 0, 1]);
  });

  it("keeps an id that holds a line break, and leaves behind who waits for a write", () => {
    const commands = [settle("call_1", 0), settle("call\n2", 1), { ...open("call_3"), resolve: () => {} }];
    expect(unpackBatch(structuredClone(packBatch(commands)))).toEqual([commands[0], commands[1], open("call_3")]);
  });
});

import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../src/kit/index.ts";
import { Logs, logsOptions, type LogsOptions } from "../../../src/ledger/telemetry/index.ts";
import { rowOf } from "./rows.ts";

function setUp(options: Partial<LogsOptions>): { logs: Logs; lines: string[] } {
  const lines: string[] = [];
  const logs = new Logs((line) => lines.push(line), new ManualClock(), { ...logsOptions.parse({}), ...options });
  return { logs, lines };
}
const FAILED = rowOf({ state: "failed", problem: "upstream_timeout", problemMessage: "quotes a prompt" });

describe("logs", () => {
  it("are plain lines unless they are wanted otherwise", () => {
    const { logs, lines } = setUp({});
    logs.line("it begins");
    logs.call(FAILED);
    expect(lines).toEqual(["it begins"]);
  });
  it("are one JSON object a line, with time and level", () => {
    const { logs, lines } = setUp({ format: "json" });
    logs.line('a "line"\nof two');
    logs.warn("careful");
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { time: "2026-01-01T00:00:00.000Z", level: "info", message: 'a "line"\nof two' },
      { time: "2026-01-01T00:00:00.000Z", level: "warn", message: "careful" },
    ]);
    expect(lines.join("")).not.toContain("\n");
  });
  it("leave out what is below their level", () => {
    const { logs, lines } = setUp({ level: "error" });
    logs.line("a");
    logs.warn("b");
    logs.error("c");
    expect(lines).toEqual(["c"]);
    logs.configure(logsOptions.parse({}));
    logs.line("d");
    expect(lines).toEqual(["c", "d"]);
  });
  it("tell of calls where that is wanted, each problem at its own level, and never its message", () => {
    const { logs, lines } = setUp({ format: "json", calls: "problems" });
    logs.call(rowOf());
    logs.call(FAILED);
    logs.call(rowOf({ state: "cancelled", problem: "cancelled" }));
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      expect.objectContaining({
        level: "warn",
        call: FAILED.callId,
        state: "failed",
        problem: "upstream_timeout",
        model: "fast",
        target: "lab/small-1",
      }),
    ]);
    expect(lines.join("")).not.toContain("quotes");
    const all = setUp({ level: "debug", calls: "all" });
    all.logs.call(rowOf());
    expect(all.lines).toEqual([expect.stringMatching(/^call call_\w+ done model=fast target=lab\/small-1 ms=53$/)]);
  });
});

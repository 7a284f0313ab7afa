import { describe, expect, it } from "vitest";
import { readMetrics } from "../../../src/providers/servers/exposition.ts";

const read = (text: string, ...names: string[]) => Object.fromEntries(readMetrics(text, new Set(names)));

describe("metrics in Prometheus's format", () => {
  it("are added up over their labels, and the largest is told", () => {
    const text = `# HELP a Something.
# TYPE a gauge
a{engine="0",model_name="m"} 3.0
a{engine="1",model_name="m"} 4.5
ab 9
b 1e2 1700000000000
`;
    expect(read(text, "a", "b", "c")).toEqual({ a: { sum: 7.5, largest: 4.5 }, b: { sum: 100, largest: 100 } });
  });
  it("are read past labels that hold braces, quotes, spaces and line ends", () => {
    expect(read('a{x="} 7 {",y="\\"} 8",z="a\\\\"} 2\n', "a")).toEqual({ a: { sum: 2, largest: 2 } });
    expect(read('a{x="open 5\na 1', "a")).toEqual({ a: { sum: 1, largest: 1 } });
  });
  it.each(["NaN", "+Inf", "-Inf", "", "many", "0x", "--1"])("are left out where the value is %j", (value) => {
    expect(read(`a ${value}\n`, "a")).toEqual({});
  });
  it("do not mistake a time stamp or an exemplar for the value, nor a longer name for the name", () => {
    expect(read('a_count{le="1"} 4 # {trace="x"} 9 1.5\na 2 99\n', "a", "a_count")).toEqual({
      a: { sum: 2, largest: 2 },
      a_count: { sum: 4, largest: 4 },
    });
  });
  it("are read so far and no further", () => {
    expect(read(`${"# x\n".repeat(60_000)}a 1\n`, "a")).toEqual({});
    expect(read("<html><body>busy</body></html>", "a")).toEqual({});
  });
});

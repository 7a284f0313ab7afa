import { describe, expect, it } from "vitest";
import { defaultThreads } from "../../../src/providers/local/processors.ts";
import { grammarSchema } from "../../../src/providers/local/schema.ts";

const files = (given: Readonly<Record<string, string>>) => (path: string) => given[path];

describe("threads", () => {
  it("are one less than the cores that may be used, and one at least", () => {
    expect(defaultThreads(8, files({}))).toBe(7);
    expect(defaultThreads(1, files({}))).toBe(1);
  });
  it("obey the tightest control group of the second version", () => {
    const read = files({
      "/proc/self/cgroup": "0::/a/b\n",
      "/sys/fs/cgroup/a/cpu.max": "300000 100000\n",
      "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
    });
    expect(defaultThreads(16, read)).toBe(2);
  });
  it("obey one of the first version, also where only its root is mounted", () => {
    const quota = { "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "250000", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000" };
    expect(defaultThreads(16, files({ "/proc/self/cgroup": "4:cpu,cpuacct:/docker/x\n", ...quota }))).toBe(1);
    expect(defaultThreads(16, files({ ...quota, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1" }))).toBe(15);
  });
});

describe("a JSON Schema as a grammar", () => {
  it("keeps what a grammar can hold", () => {
    const schema = {
      type: "object",
      required: ["kind"],
      additionalProperties: false,
      properties: {
        kind: { anyOf: [{ const: "a" }, { type: ["integer", "null"] }] },
        many: { type: "array", items: { $ref: "#/$defs/one" }, maxItems: 3 },
      },
      $defs: { one: { type: "string", maxLength: 4 } },
    };
    expect(grammarSchema(schema, true)).toEqual({
      type: "object",
      properties: {
        kind: { oneOf: [{ const: "a" }, { oneOf: [{ type: "integer" }, { type: "null" }] }] },
        many: { type: "array", items: { $ref: "#/$defs/one" }, maxItems: 3 },
      },
      $defs: { one: { type: "string", maxLength: 4 } },
    });
  });
  it("refuses what it cannot hold only where that is strict", () => {
    const schema = { type: "object", properties: { code: { type: "string", pattern: "^a+$" } } };
    expect(() => grammarSchema(schema, true)).toThrow("Models in process cannot be held to `pattern` at $.code of the JSON Schema.");
    expect(grammarSchema(schema, false)).toEqual({ type: "object", properties: { code: { type: "string" } } });
  });
  it("follows a schema that names itself, and refuses references elsewhere", () => {
    const tree = { type: "object", properties: { child: { anyOf: [{ $ref: "#" }, { type: "null" }] } } };
    expect(grammarSchema(tree, true)["$defs"]).toHaveProperty("_whole");
    expect(() => grammarSchema({ $ref: "https://example.com/x" }, false)).toThrow(/a reference to/);
    expect(() => grammarSchema({ allOf: [{ $ref: "#/$defs/a" }, { $ref: "#/$defs/b" }] }, false)).toThrow(/`allOf`/);
  });
});

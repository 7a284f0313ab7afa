import { describe, expect, it } from "vitest";
import { defaultConfig, snapshotOf } from "../../src/config/index.ts";

describe("snapshotOf", () => {
  it("lists what was found and always the simulator", () => {
    const snapshot = snapshotOf(defaultConfig({ providers: {}, models: { found: ["m/1"] } }), 7, new Map());
    expect([...snapshot.aliases.keys()].slice(0, 2)).toEqual(["found/m/1", "sim/echo"]);
    expect(snapshot.aliases.get("found/m/1")?.targets).toEqual([{ provider: "found", model: "m/1", weight: 1 }]);
    expect(snapshot.version).toBe(7);
  });
});

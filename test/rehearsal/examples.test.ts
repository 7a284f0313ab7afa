import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ConfigDocument } from "../../src/config/index.ts";
import { play } from "./support.ts";

const folder = join(import.meta.dirname, "../../examples/scenarios");
const scenarios = readdirSync(folder).filter((name) => name !== "gimbal.yaml");
const config = readFileSync(join(folder, "gimbal.yaml"), "utf8").replaceAll(/\$\{\w+\}/g, "a-key");

describe("the scenarios to begin with", () => {
  it.each(scenarios)("%s is met by the plan beside it", async (name) => {
    const { value } = new ConfigDocument(readFileSync(join(folder, name), "utf8"));
    const report = await play(value, { config });
    expect(report.verdicts.filter(({ met }) => !met)).toEqual([]);
    expect(report.calls.calls).toBeGreaterThan(100);
    expect(report.calls.unpriced).toBe(0);
  });
});

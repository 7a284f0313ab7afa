import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PriceFollower, loadPrices, readConfig, readPrices, type GimbalConfig } from "../../src/config/index.ts";
import { ManualClock } from "../../src/kit/index.ts";
import type { LocalPrices } from "../../src/models/index.ts";

const problems = (text: string): string[] => {
  const outcome = readPrices(text, ["openai", "lab"]);
  return (outcome.ok ? outcome.warnings : outcome.problems).map(({ line, message }) => `${line}: ${message}`);
};

describe("the price file's mistakes", () => {
  it.each([
    ["", "1: The price file is a mapping that begins with `version: 1`."],
    ["version: 2\n", "1: version: The price file begins with `version: 1`."],
    ["version: 1\nprice: {}\n", '2: Unknown key "price". Did you mean "prices"?'],
    [
      "version: 1\nprices:\n  openai/gpt-5-mini:\n    inputUsd: 1\n    ouputUsd: 2\n",
      '5: prices.openai/gpt-5-mini: Unknown key "ouputUsd". Did you mean "outputUsd"?',
    ],
    [
      "version: 1\nprices:\n  openai/a:\n    - { inputUsd: 1, until: 2026-01-01 }\n    - { discountPercnt: 5 }\n",
      '5: prices.openai/a.1: Unknown key "discountPercnt". Did you mean "discountPercent"?',
    ],
    [
      "version: 1\nprices:\n  openai/a:\n    inputUsd: 1\n    tiers:\n      - { aboveInputTokens: 1000, inputUsdd: 1 }\n",
      '6: prices.openai/a.tiers.0: Unknown key "inputUsdd". Did you mean "inputUsd"?',
    ],
    ["version: 1\nprices:\n  openai/a: { inputUsd: -1 }\n", "3: prices.openai/a.inputUsd: Too small: expected number to be >=0."],
    [
      "version: 1\nprices:\n  openia/a: { free: true }\n",
      '3: prices.openia/a: There is no provider "openia" in the configuration. Did you mean "openai"?',
    ],
  ])("%j", (text, expected) => {
    expect(problems(text)).toContain(expected);
  });
  it("are none in a good file", () => {
    expect(
      problems('version: 1\nprices:\n  openai/*: { discountPercent: 10 }\n  "*/x": { free: true }\n  lab/y: { gpuHourUsd: 2 }\n'),
    ).toEqual([]);
  });
});

it("the example of the documentation is valid", async () => {
  const text = await readFile(join(import.meta.dirname, "../../docs/costs.md"), "utf8");
  const example = /```yaml\n([\s\S]*?)\n```/.exec(text)?.[1] ?? "";
  expect(readPrices(example, ["openai", "anthropic", "lab"])).toMatchObject({ ok: true, warnings: [] });
});

describe("following the price file", () => {
  let folder: string;
  let told: string[];
  let applied: (LocalPrices | undefined)[];
  let changed: () => void;
  let follower: PriceFollower;
  const clock = new ManualClock();

  const config = (pricing = ""): GimbalConfig => {
    const outcome = readConfig(`version: 1\nproviders: { openai: { apiKey: x } }\n${pricing}`, {});
    if (!outcome.ok) throw new Error(JSON.stringify(outcome.problems));
    return outcome.config;
  };
  const write = (text: string, name = "prices.local.yaml"): Promise<void> => writeFile(join(folder, name), text);
  const start = async (): Promise<void> => {
    const configFile = join(folder, "gimbal.yaml");
    const loaded = await loadPrices(configFile, config());
    const notice = (_folder: string, tell: () => void): (() => void) => {
      changed = tell;
      return () => {};
    };
    const report = (lines: readonly string[]): void => void told.push(...lines);
    follower = new PriceFollower({ configFile, clock, report, notice, apply: (prices) => applied.push(prices) }, config(), loaded, true);
  };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "gimbal-prices-"));
    told = [];
    applied = [];
  });
  afterEach(async () => {
    follower.close();
    await rm(folder, { recursive: true, force: true });
  });

  it("begins with none, takes a new file, keeps it against an invalid one, and goes back to list prices without it", async () => {
    await start();
    expect(follower.prices).toBeUndefined();
    await write("version: 1\nprices: { openai/a: { perCallUsd: 1 } }\n");
    changed();
    clock.advance(150);
    await follower.reload();
    expect(applied).toHaveLength(1);
    await write("version: 1\nprices: { openai/a: { perCalUsd: 1 } }\n");
    await follower.reload();
    expect(applied).toHaveLength(1);
    expect(told.join("\n")).toContain('prices.local.yaml:2:23 prices.openai/a: Unknown key "perCalUsd". Did you mean "perCallUsd"?');
    expect(told.at(-1)).toBe("The price file was refused; the prices in force stay.");
    expect(follower.prices?.prices).toHaveProperty(["openai/a"]);
    await rm(join(folder, "prices.local.yaml"));
    await follower.reload();
    expect(applied.at(-1)).toBeUndefined();
  });

  it("follows the configuration to another file, and stays with the old one when that is not there", async () => {
    await write("version: 1\nprices: { openai/a: { perCallUsd: 1 } }\n");
    await start();
    expect(await follower.configure(config("pricing: { file: other.yaml }"))).toHaveProperty("prices", expect.objectContaining({}));
    expect(told.join("\n")).toContain("other.yaml cannot be read (ENOENT)");
    await write("version: 1\nprices: { openai/b: { perCallUsd: 2 } }\n", "other.yaml");
    const prices = await follower.configure(config("pricing: { file: other.yaml }"));
    expect(Object.keys(prices?.prices ?? {})).toEqual(["openai/b"]);
  });
});

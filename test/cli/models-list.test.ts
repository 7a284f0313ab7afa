import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli } from "../../src/cli/index.ts";
import { bookOf, openProviders } from "../../src/in-force.ts";
import { ManualClock, SeededRandomness } from "../../src/kit/index.ts";
import { memoryStores } from "../../src/stores/index.ts";

const NOVEMBER = Date.UTC(2026, 10, 1, 12);
const CONFIG =
  "version: 1\nproviders: { openai: { apiKey: x } }\nmodels: { smart: openai/gpt-5-mini, vectors: openai/text-embedding-3-small }\n";

const clock = new ManualClock(NOVEMBER);
const randomness = new SeededRandomness(7);
let folder: string;
let output = "";
let complaints = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "gimbal-models-list-"));
  writeFileSync(join(folder, "gimbal.yaml"), CONFIG);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function list(...flags: string[]): Promise<number> {
  [output, complaints] = ["", ""];
  return runCli(["models", ...flags], {
    env: {},
    cwd: folder,
    root: folder,
    version: "0",
    nodeVersion: "26.0.0",
    clock,
    randomness,
    out: (text) => void (output += text),
    err: (text) => void (complaints += text),
    serve: () => Promise.resolve(0),
    openStores: () => Promise.resolve(memoryStores(clock)),
    discover: () => Promise.resolve({ providers: {}, models: {} }),
    openProviders: (config) => Promise.resolve(openProviders(config, { clock, env: {}, randomness, book: bookOf(config) })),
    book: (config) => bookOf(config),
    openStage: () => Promise.reject(new Error("no rehearsal here")),
    isRunning: () => true,
    fetch,
  });
}

const printed = (): { readonly models: readonly { readonly id: string }[] } => JSON.parse(output) as ReturnType<typeof printed>;
const models = (): readonly string[] => printed().models.map(({ id }) => id);

describe("gimbal models", () => {
  it("tells what is known of each, and finds those that fit", async () => {
    expect(await list("--json")).toBe(0);
    expect(printed().models[0]).toMatchObject({
      id: "smart",
      strategy: "fallback",
      card: { contextTokens: 400_000, tools: true, operations: ["generate"], prices: { inputUsd: "0.250000000" } },
    });
    await list("--json", "--operation", "embed", "--provider", "openai");
    expect(models()).toEqual(["vectors"]);
    await list("--json", "--known", "--provider", "openai", "--operation", "embed");
    expect(models()).toContain("openai/text-embedding-3-large");
    await list("--json", "--known", "--needs", "vision,reasoning", "--min-context", "1000000", "--max-input-usd", "3");
    expect(models()).toContain("openai/gpt-5.4");
    expect(models()).not.toContain("smart");
    await list("--json", "--needs", "tools", "--max-input-usd", "0.2", "--provider", "openai");
    expect(models()).toEqual([]);
  });

  it("shows a table, and what is not known as such", async () => {
    expect(await list()).toBe(0);
    expect(output).toMatch(/^smart +openai\/gpt-5-mini +generate +400000 +128000 .* 0\.25\/2\/0\.025 /m);
    expect(output).toMatch(/^sim\/echo .*\? /m);
    await list("--provider", "nobody");
    expect(output).toBe("No model is known to fit.\n");
  });

  it.each([
    [["--needs", "wings"], '--needs knows tools, structuredOutput, reasoning, vision, files, audio, not "wings".'],
    [["--min-context", "many"], "--min-context"],
    [["--max-input-usd", "-1"], "--max-input-usd"],
    [["--max-input-usd", ""], "--max-input-usd"],
  ])("%j is wrong use", async (flags, words) => {
    expect(await list(...flags)).toBe(2);
    expect(complaints).toContain(words);
  });
});

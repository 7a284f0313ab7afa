import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runCli } from "../../src/cli/index.ts";
import { bookOf, openProviders } from "../../src/in-force.ts";
import { openStage } from "../../src/stage.ts";
import { SeededRandomness, systemClock } from "../../src/kit/index.ts";

const root = join(import.meta.dirname, "../..");
const CONFIG = `version: 1
providers:
  lab: { kind: openai-compatible, baseUrl: "http://127.0.0.1:9/v1", apiKey: \${LAB_KEY}, allowPrivateNetwork: true }
  spare: { kind: openai-compatible, baseUrl: "\${SPARE_URL:-http://127.0.0.1:9/v1}", apiKey: x, allowPrivateNetwork: true }
models:
  fast: { targets: [lab/small, spare/small] }
`;
const SCENARIO = `name: Spare takes over
duration: 30s
load:
  callsPerSecond: 2
  mix: [{ model: fast, outputTokens: 20 }]
targets:
  "*": { price: { inputUsd: 1, outputUsd: 2 } }
incidents:
  - { at: 10s, for: 10s, target: lab, kind: server-error }
expect: { successShare: 1 }
`;

let folder: string;
let output: string;
let complaints: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gimbal-rehearse-"));
  [output, complaints] = ["", ""];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function rehearse(scenario: string, ...flags: readonly string[]): Promise<number> {
  writeFileSync(join(folder, "gimbal.yaml"), CONFIG);
  writeFileSync(join(folder, "scenario.yaml"), scenario);
  const clock = systemClock;
  const randomness = new SeededRandomness(7);
  const log = (line: string): void => void (complaints += `${line}\n`);
  return runCli(["rehearse", "scenario.yaml", ...flags], {
    env: {},
    cwd: folder,
    root,
    version: "0.0.1",
    nodeVersion: "26.10.0",
    clock,
    randomness,
    out: (text) => void (output += text),
    err: (text) => void (complaints += text),
    serve: () => Promise.reject(new Error("nothing is served")),
    openStores: () => Promise.reject(new Error("no record is opened")),
    discover: () => Promise.reject(new Error("nothing is looked for")),
    openProviders: async (config) => openProviders(config, { clock, env: {}, randomness, book: bookOf(config) }),
    book: bookOf,
    openStage: (config, parts) => openStage(config, {}, log, parts),
    isRunning: () => false,
    fetch: () => Promise.reject(new Error("nothing is fetched")),
  });
}

describe("gimbal rehearse", () => {
  it("plays a scenario although a key is not set here, and writes nothing", async () => {
    expect(await rehearse(SCENARIO)).toBe(0);
    expect(output).toContain("Spare takes over: 0:30 of scenario time, seed 1");
    expect(output).toMatch(/0:10-0:20 +server-error lab +\d+ +100\.00 %/);
    expect(output).toContain("spare/small");
    expect(output).toContain("met      the whole run: successShare was 100.00 %");
    expect(readdirSync(folder).toSorted()).toEqual(["gimbal.yaml", "scenario.yaml"]);
    expect(existsSync(join(folder, ".gimbal"))).toBe(false);
  });

  it("answers programs, and with 1 when an expectation is not met", async () => {
    const code = await rehearse(SCENARIO.replace("successShare: 1", "p95: 1ms"), "--json", "--seed", "5");
    const report = JSON.parse(output) as Record<string, unknown>;
    expect([code, report["met"], report["seed"]]).toEqual([1, false, 5]);
    expect(report["verdicts"]).toMatchObject([{ what: "p95", wanted: 1, met: false }]);
  });

  it.each([
    ["mix:", "mixx:", 'scenario.yaml:5:3 load: Unknown key "mixx". Did you mean "mix"?'],
    ["kind: server-error", "kind: server-eror", "scenario.yaml:9:"],
    ["duration: 30s", "duration: 30", "scenario.yaml:2:11 duration: A time is a number with its unit: 250ms, 30s, 5m, 1h."],
    ["target: lab,", "target: lap,", 'The configuration has no provider or target "lap". Did you mean "lab"?'],
    ["model: fast", "model: fasd", 'The configuration has no model "fasd". Did you mean "fast"?'],
    ["target: lab,", 'target: lab, key: "lab#7",', 'The configuration has no key "lab#7".'],
    ["at: 10s", "at: 40s", "The incident begins when the scenario is over"],
    ["callsPerSecond: 2", "callsPerSecond: 9999", "a rehearsal makes at most 200000"],
    ["callsPerSecond: 2", "{}", "scenario.yaml:"],
    ["callsPerSecond: 2", "callsPerSecond: 2\n  concurrency: 3", "Give either callsPerSecond or concurrency."],
    ["outputTokens: 20", "outputTokens: [30, 20]", "The least comes first"],
  ])("refuses %s as %s in words that help", async (right, wrong, words) => {
    expect(await rehearse(SCENARIO.replace(right, wrong))).toBe(1);
    expect(complaints).toContain(words);
    expect(output).toBe("");
  });
});

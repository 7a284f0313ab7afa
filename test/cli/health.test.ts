import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Stores } from "../../src/canon/index.ts";
import { runCli } from "../../src/cli/index.ts";
import { ManualClock, SeededRandomness } from "../../src/kit/index.ts";
import { createModelBook } from "../../src/models/index.ts";
import { memoryStores } from "../../src/stores/index.ts";

let folder: string;
let stores: Stores;
let output: string;
let complaints: string;
let asked: { url: string; body: unknown }[];
let answer: unknown;
const clock = new ManualClock();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gimbal-health-"));
  stores = memoryStores(clock);
  [output, complaints, asked, answer] = ["", "", [], {}];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function run(...argv: string[]): Promise<number> {
  return runCli([...argv, "--data", folder], {
    env: { GIMBAL_ADMIN_TOKEN: "t" },
    cwd: folder,
    root: folder,
    version: "0",
    nodeVersion: "26.0.0",
    clock,
    randomness: new SeededRandomness(1),
    out: (text) => void (output += text),
    err: (text) => void (complaints += text),
    serve: () => Promise.resolve(0),
    openStores: () => Promise.resolve({ ...stores, close: () => Promise.resolve() }),
    discover: () => Promise.resolve({ providers: {}, models: {} }),
    openProviders: () => Promise.resolve(new Map()),
    book: () => createModelBook(),
    openStage: () => Promise.reject(new Error("no rehearsal here")),
    isRunning: () => true,
    fetch: (url, options) => {
      asked.push({
        url: typeof url === "string" ? url : "not a text",
        body: typeof options?.body === "string" ? (JSON.parse(options.body) as unknown) : undefined,
      });
      return Promise.resolve(Response.json(answer));
    },
  });
}

const serving = (): void => writeFileSync(join(folder, "server.json"), JSON.stringify({ url: "http://127.0.0.1:4100", pid: 1 }));

describe("gimbal health", () => {
  it("shows the servers that tell of themselves", async () => {
    serving();
    const load = { running: 3, waiting: 7, slots: 4, cacheShare: 0.5 };
    answer = {
      targets: [],
      providers: [],
      servers: [
        { provider: "box", state: "up", detail: "it answers", load, models: [{ name: "q" }] },
        { provider: "gone", state: "down", detail: "refused the connection", models: [] },
      ],
    };
    expect(await run("health", "list")).toBe(0);
    expect(output).toMatch(/^box +up +1 +3 of 4 running, 7 waiting, its cache is 50% full *$/m);
    expect(output).toMatch(/^gone +down +0 +- +refused the connection$/m);
  });

  it("shows what a running gateway knows, and says when none runs", async () => {
    expect(await run("health", "list")).toBe(1);
    expect(complaints).toContain("No gateway runs");
    serving();
    answer = {
      targets: [
        {
          target: "lab/small",
          state: "open",
          reason: "its breaker is open for 900 ms",
          force: "auto",
          inFlight: 2,
          queued: 1,
          attempts: 9,
          failures: 5,
        },
        {
          target: "lab/big",
          state: "closed",
          force: "auto",
          inFlight: 0,
          queued: 0,
          attempts: 1,
          failures: 0,
          latency: { ttftMs: 120.4, tokensPerSecond: 80.2, samples: 4 },
        },
      ],
      providers: [
        {
          provider: "lab",
          force: "auto",
          inFlight: 2,
          keys: [
            { key: "lab#1", state: "limited", restMs: 800, inFlight: 0, weight: 1 },
            { key: "lab#2", state: "ready", inFlight: 0, weight: 1 },
          ],
        },
      ],
    };
    expect(await run("health", "list")).toBe(0);
    expect(output).toMatch(/lab\/small +open +5 of 9 +2 +1 +- +- +its breaker is open for 900 ms/);
    expect(output).toMatch(/lab\/big +closed +0 of 1 +0 +0 +120 +80/);
    expect(output).toMatch(/lab#1 +limited +800/);
    expect(output).not.toContain("lab#2");
    output = "";
    expect(await run("health", "list", "--json")).toBe(0);
    expect(JSON.parse(output)).toEqual(answer);
  });

  it("forces through a running gateway, and on the record where none runs", async () => {
    expect(await run("health", "force", "lab/small", "shut")).toBe(0);
    expect(await run("health", "force", "lab", "open", "--provider")).toBe(0);
    expect(await stores.switches.list()).toMatchObject([
      { kind: "open", scope: "provider", value: "lab", author: "cli" },
      { kind: "shut", scope: "target", value: "lab/small" },
    ]);
    expect(await run("health", "force", "lab", "auto", "--provider")).toBe(0);
    expect(await stores.switches.list()).toHaveLength(1);
    serving();
    expect(await run("health", "force", "lab/small", "auto")).toBe(0);
    expect(asked).toEqual([{ url: "http://127.0.0.1:4100/admin/api/health/targets", body: { target: "lab/small", force: "auto" } }]);
  });

  it.each([
    [["lab/small", "closed"], "open, shut or auto"],
    [["small", "shut"], "provider/model"],
    [["lab/small"], "needs FORCE"],
  ])("%j is wrong use", async (operands, word) => {
    expect(await run("health", "force", ...operands)).toBe(2);
    expect(complaints).toContain(word);
  });
});

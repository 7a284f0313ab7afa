import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Clock } from "../../src/canon/index.ts";
import { runCli } from "../../src/cli/index.ts";
import { SeededRandomness } from "../../src/kit/index.ts";
import { createModelBook } from "../../src/models/index.ts";
import { memoryStores } from "../../src/stores/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

const CONFIG = `models:
  fast: { targets: [sim/echo, sim/lorem] }
  ready: { targets: [sim/echo], warm: { target: sim/lorem, share: 1, coldAfterMinutes: 5 } }
`;
const MINUTE = 60_000;

let gateway: TestGateway;
let folder: string;
let output = "";
let complaints = "";
let running = true;
/** The gateway beside it runs on real time too. */
const clock: Clock = { now: () => Date.now(), monotonic: () => 0, after: () => () => {} };
const stores = memoryStores(clock);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gimbal-release-"));
  gateway = await startGateway({ config: CONFIG });
  writeFileSync(join(folder, "server.json"), JSON.stringify({ url: gateway.url, pid: 1 }));
  writeFileSync(join(folder, "gimbal.yaml"), `version: 1\n${CONFIG}`);
});
afterAll(async () => {
  await gateway.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  [output, complaints, running] = ["", "", true];
});

function run(...argv: string[]): Promise<number> {
  return runCli([...argv, "--data", folder], {
    env: { GIMBAL_ADMIN_TOKEN: gateway.house.adminToken.reveal() },
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
    isRunning: () => running,
    fetch,
  });
}

async function call(model: string): Promise<string | null> {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "hello" }] }),
  });
  await response.text();
  return response.headers.get("x-gimbal-target");
}

describe("gimbal models canary, promote, abort", () => {
  it("set, compare, promote and end a canary", async () => {
    expect(await run("models", "canary", "fast", "--targets", "sim/lorem", "--percent", "100")).toBe(0);
    expect(complaints).toMatch(/^Version 2 is in force after \d+ ms\.\n$/);
    expect(await call("fast")).toBe("sim/lorem");
    await gateway.rows();
    expect(await run("models", "canary", "fast")).toBe(0);
    expect(output).toContain("fast: 100% of the sessions try sim/lorem.");
    expect(output).toMatch(/canary +1 +0 .*sim\/lorem 1/);
    expect(await run("models", "canary", "fast", "--percent", "0", "--sticky", "call", "--json")).toBe(0);
    expect(await call("fast")).toBe("sim/echo");
    output = "";
    expect(await run("models", "canary", "fast", "--json")).toBe(0);
    expect(JSON.parse(output)).toMatchObject({
      canary: { targets: ["sim/lorem"], percent: 0, sticky: "call" },
      arms: { canary: { calls: 1 } },
    });
    expect(await run("models", "promote", "fast")).toBe(0);
    expect(await call("fast")).toBe("sim/lorem");
    expect(await run("models", "canary", "fast", "--targets", "sim/echo", "--percent", "5")).toBe(0);
    expect(await run("models", "abort", "fast")).toBe(0);
    expect(await run("models", "canary", "fast")).toBe(0);
    expect(output).toContain("fast has no canary.");
  });

  it.each([
    [["canary", "fast", "--percent", "101"], 2, "--percent is a number from 0 to 100"],
    [["canary", "fast", "--percent", "5"], 1, "either `target` or `targets`"],
    [["canary", "fats"], 1, 'Did you mean "fast"'],
    [["canary", "fast", "--targets", ""], 2, "--targets names nothing"],
    [["promote", "fast"], 1, "has no canary"],
    [["abort", "fast"], 1, "has no canary"],
    [["shadow", "fast", "--share", "2", "--target", "sim/echo"], 2, "--share is a number from 0 to 1"],
    [["shadow", "fast", "--off", "--share", "1"], 2, "--off goes with no other option"],
    [["warm", "fast", "--share", "0.1"], 1, "target"],
  ])("models %j ends with %d in clear words", async (argv, code, words) => {
    expect(await run("models", ...argv)).toBe(code);
    expect(complaints).toContain(words);
  });
});

describe("gimbal models shadow and warm", () => {
  it("set, show and take out a shadow", async () => {
    expect(await run("models", "shadow", "fast")).toBe(0);
    expect(output).toBe("fast has no shadow.\nNo copy was made yet.\n");
    expect(await run("models", "shadow", "fast", "--target", "sim/echo", "--share", "1")).toBe(0);
    await call("fast");
    await gateway.rows();
    output = "";
    expect(await run("models", "shadow", "fast")).toBe(0);
    expect(output).toContain("100% of the calls of fast are copied to sim/echo.");
    expect(output).toMatch(/sim\/echo +1 +0 +1 +0%/);
    expect(await run("models", "shadow", "fast", "--off")).toBe(0);
    expect(gateway.house.snapshot().aliases.get("fast")?.shadow).toBeUndefined();
  });

  it("show and change what is kept warm", async () => {
    expect(await call("ready")).toBe("sim/lorem");
    await gateway.rows();
    expect(await run("models", "warm", "ready")).toBe(0);
    expect(output).toContain("sim/lorem is kept warm with 100% of the calls.");
    expect(output).toMatch(/warm +1 +0/);
    expect(await run("models", "warm", "fast", "--target", "sim/echo", "--share", "0.25")).toBe(0);
    expect(gateway.house.snapshot().aliases.get("fast")?.warm).toMatchObject({ share: 0.25 });
    expect(await run("models", "warm", "fast", "--off")).toBe(0);
  });
});

describe("gimbal doctor", () => {
  const finding = (check: string): { status: string; detail: string; remedy?: string } | undefined =>
    (JSON.parse(output) as { findings: { check: string; status: string; detail: string }[] }).findings.find((one) => one.check === check);

  it("finds warm what answered lately, by the running gateway's ledger", async () => {
    await call("ready");
    await gateway.rows();
    await run("doctor", "--json");
    expect(finding("warm ready")).toMatchObject({ status: "ok", detail: "sim/lorem answered a call within the last minute." });
  });

  it("says when it is cold: nothing went there, or nothing was answered; read from the data folder where none runs", async () => {
    running = false;
    await run("doctor", "--json");
    expect(finding("warm ready")).toMatchObject({
      status: "warning",
      detail: "sim/lorem is cold: in the last 5 minutes no call went there.",
      remedy: expect.stringContaining("raise its share"),
    });
    const row = (await gateway.rows()).findLast(({ target }) => target === "sim/lorem");
    if (!row) throw new Error("no row");
    await stores.ledger.settle({ ...row, callId: "call_failed", state: "failed" });
    await stores.ledger.settle({ ...row, callId: "call_early", startedAt: Date.now() - 6 * MINUTE });
    output = "";
    await run("doctor", "--json");
    expect(finding("warm ready")?.detail).toContain("none of 1 calls was answered");
    await stores.ledger.settle({ ...row, callId: "call_late", startedAt: Date.now() - 3 * MINUTE });
    output = "";
    await run("doctor", "--json");
    expect(finding("warm ready")).toMatchObject({ status: "ok", detail: "sim/lorem answered a call 3 min ago." });
  });
});

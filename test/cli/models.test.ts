import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { runCli } from "../../src/cli/index.ts";
import { ManualClock, SeededRandomness } from "../../src/kit/index.ts";
import { createModelBook } from "../../src/models/index.ts";
import { memoryStores } from "../../src/stores/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

let gateway: TestGateway;
let folder: string;
let output = "";
let complaints = "";
const clock = new ManualClock();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gimbal-models-"));
  gateway = await startGateway({ config: "models:\n  fast: { targets: [sim/echo, sim/lorem] }\n" });
  writeFileSync(join(folder, "server.json"), JSON.stringify({ url: gateway.url, pid: 1 }));
});
afterAll(async () => {
  await gateway.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  [output, complaints] = ["", ""];
});

/** The command line against the running gateway. */
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
    openStores: () => Promise.resolve(memoryStores(clock)),
    discover: () => Promise.resolve({ providers: {}, models: {} }),
    openProviders: () => Promise.resolve(new Map()),
    book: () => createModelBook(),
    openStage: () => Promise.reject(new Error("no rehearsal here")),
    isRunning: () => true,
    fetch,
  });
}

async function answeredBy(model: string): Promise<string | null> {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "hello" }] }),
  });
  return response.headers.get("x-gimbal-target") ?? response.headers.get("x-gimbal-problem");
}

describe("gimbal models", () => {
  it("set, versions, diff and rollback change a running gateway and say what they did", async () => {
    expect(await run("models", "set", "fast", "--targets", "sim/lorem", "--strategy", "fallback")).toBe(0);
    expect(complaints).toMatch(/^Version 2 is in force after \d+ ms\.\n$/);
    expect(await answeredBy("fast")).toBe("sim/lorem");
    expect(await run("models", "diff", "2")).toBe(0);
    expect(output).toContain("-  fast: { targets: [sim/echo, sim/lorem] }");
    expect(await run("models", "rollback", "1")).toBe(0);
    expect(complaints).toContain("Version 3, which is version 1 again, is in force");
    expect(await answeredBy("fast")).toBe("sim/echo");
    output = "";
    expect(await run("models", "versions")).toBe(0);
    expect(output.split("\n").map((line) => line.split(/ {2,}/)[0])).toEqual(["VERSION", "3", "2", "1", ""]);
    expect(output).toContain("in force, version 1 again");
  });

  it("weights are written target by target", async () => {
    expect(await run("models", "set", "fast", "--weights", "sim/echo=0,sim/lorem=2", "--strategy", "weighted", "--json")).toBe(0);
    expect(JSON.parse(output)).toMatchObject({ author: "admin" });
    expect(await answeredBy("fast")).toBe("sim/lorem");
  });

  it("kill, kills and revive switch off and on again", async () => {
    expect(await run("models", "kill", "provider", "sim", "--reason", "drill")).toBe(0);
    const id = /revive (\S+)`/.exec(complaints)?.[1] ?? "";
    expect(await answeredBy("fast")).toBe("killed");
    expect(await run("models", "kills")).toBe(0);
    expect(output).toContain("drill");
    expect(await run("models", "revive", id)).toBe(0);
    expect(await answeredBy("fast")).toBe("sim/lorem");
    output = "";
    await run("models", "kills");
    expect(output).toBe("No kill switch is in force.\n");
  });

  it.each([
    [["models", "set", "fast"], 2, "Say what to change"],
    [["models", "set", "fast", "--weights", "sim/echo"], 2, "Weights are written"],
    [["models", "set", "fats", "--targets", "sim/echo"], 1, 'Did you mean "fast"'],
    [["models", "set", "fast", "--strategy", "fastest"], 1, "A strategy is"],
    [["models", "rollback", "99"], 1, "There is no version 99"],
    [["models", "rollback", "one"], 2, "A version is a number"],
    [["models", "diff", "99"], 1, 'There is no version "99"'],
    [["models", "kill", "planet", "x"], 2, "SCOPE is"],
    [["models", "kill", "model", "fats"], 1, "nothing was switched off"],
    [["models", "revive", "kill_x"], 1, "There is no kill switch"],
  ] as const)("%j: exit code %d and a sentence", async (argv, code, words) => {
    expect(await run(...argv)).toBe(code);
    expect(complaints).toContain(words);
  });
});

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readArguments } from "../../src/cli/command.ts";
import { COMMANDS } from "../../src/cli/commands.ts";
import type { CliDeps } from "../../src/cli/deps.ts";
import { systemClock } from "../../src/kit/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";

let gateway: TestGateway;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gimbal-serve-test-"));
  gateway = await startGateway({
    config: `sim:
  models:
    steady: { length: 20, tokensPerSecond: 400 }
    single: { text: "one" }
    broken: { length: 20, faults: [{ kind: cut, afterTokens: 3 }] }
    silent: { faults: [{ kind: empty }] }
access: { anonymous: never }
`,
  });
  writeFileSync(join(folder, "server.json"), JSON.stringify({ url: gateway.url, pid: 1 }));
});
afterAll(async () => {
  await gateway.close();
  rmSync(folder, { recursive: true, force: true });
});

async function measure(
  key: string | undefined,
  data: string,
  ...args: string[]
): Promise<{ readonly ended: number | string; readonly out: string }> {
  const command = COMMANDS.find(({ name }) => name === "models serve-test");
  if (!command) throw new Error("no such command");
  let out = "";
  const deps: Pick<CliDeps, "cwd" | "env" | "clock" | "out" | "err" | "isRunning" | "fetch"> = {
    cwd: data,
    env: key === undefined ? {} : { GIMBAL_API_KEY: key },
    clock: systemClock,
    fetch: globalThis.fetch,
    isRunning: (pid) => pid === 1,
    out: (text) => void (out += text),
    err: () => {},
  };
  try {
    return { ended: await command.run(readArguments(command, [...args, "--data", data]), deps as CliDeps), out };
  } catch (error) {
    return { ended: error instanceof Error ? error.message : String(error), out };
  }
}

describe("gimbal models serve-test", () => {
  it("says how fast a model answered, of a call that is recorded as any other", async () => {
    const key = await gateway.key({ name: "tester" });
    const { ended, out } = await measure(key, folder, "sim/steady", "--json");
    expect(ended).toBe(0);
    const measured = JSON.parse(out) as { outputTokens: number; tokensPerSecond: number; firstTokenMs: number; totalMs: number };
    expect(measured).toMatchObject({ model: "sim/steady", outputTokens: 20 });
    expect(measured.tokensPerSecond).toBeGreaterThan(10);
    expect(measured.tokensPerSecond).toBeLessThan(1000);
    expect(measured.firstTokenMs).toBeLessThanOrEqual(measured.totalMs);
    expect(await gateway.lastRow()).toMatchObject({ callerName: "tester", stream: true, usage: { output: 20 } });
    expect((await measure(key, folder, "sim/single")).out).toMatch(
      /^sim\/single: first token after \d+ ms, no second one \(\d+ read, 1 written/,
    );
  });
  it("tells what went wrong in the gateway's words, also in the middle", async () => {
    const key = await gateway.key({ name: "tester" });
    expect((await measure(undefined, folder, "sim/steady")).ended).toMatch(/needs a key/);
    expect((await measure(key, folder, "sim/stedy")).ended).toMatch(/Did you mean "sim\/steady"/);
    expect((await measure(key, folder, "sim/broken")).ended).toMatch(/cut|broke|ended/i);
    expect((await measure(key, folder, "sim/silent")).ended).toMatch(/answered nothing|empty/i);
    expect((await measure(key, folder, "sim/steady", "--tokens", "0")).ended).toMatch(/--tokens/);
    expect((await measure(key, tmpdir(), "sim/steady")).ended).toMatch(/No gateway serves from this data folder/);
  });
});

import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { writeTinyGguf } from "../support/gguf.ts";
import { fetchPackage } from "./fetch-agent.ts";

// What goes wrong with the real engine; see `local.test.ts` for what works. LOCAL_ENGINES: folders of `node_modules` that have it already.

const ENGINE = "node-llama-cpp@3.22.1";

let folder: string;
let gateway: TestGateway | undefined;
let unreachable: string | undefined;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gimbal-trouble-"));
  const places = process.env["LOCAL_ENGINES"] ?? (await fetched());
  if (places === undefined) return;
  await writeTinyGguf(join(folder, "tiny.gguf"));
  const file = JSON.stringify(join(folder, "tiny.gguf"));
  gateway = await startGateway({
    trusting: true,
    env: { PATH: process.env["PATH"] ?? "", NODE_PATH: places },
    config: `offline: true
providers:
  here:
    kind: local
    models:
      tiny: { file: ${file}, gpuLayers: 0, contextTokens: 1024 }
      small: { file: ${file}, gpuLayers: 0, contextTokens: 1024, memoryMiB: 64 }
models:
  once: { targets: [here/tiny], retries: 0, continue: never }
  fenced: { targets: [here/small], retries: 0 }
  either: { targets: [here/small, sim/echo], retries: 0 }
`,
  });
});
afterAll(async () => {
  await gateway?.close();
  await rm(folder, { recursive: true, force: true });
});

async function fetched(): Promise<string | undefined> {
  const outcome = await fetchPackage(ENGINE, join(folder, "engine"));
  if (outcome.ok) return join(folder, "engine", "node_modules");
  if (process.env["CI"]) throw new Error(outcome.reason);
  unreachable = outcome.reason;
  return undefined;
}

type Skip = (note: string) => never;

function ask(skip: Skip, model: string, stream: boolean): Promise<Response> {
  if (!gateway) return skip(unreachable ?? "no engine");
  return fetch(`${gateway.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, stream, max_tokens: 400, messages: [{ role: "user", content: "hello" }] }),
  });
}

/** The model's process: a child of this one. */
function modelProcess(): number {
  const parentOf = (pid: string): string => {
    try {
      return `${/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]} ${readFileSync(`/proc/${pid}/cmdline`, "utf8")}`;
    } catch {
      return "";
    }
  };
  const found = readdirSync("/proc").find(
    (name) => /^\d+$/.test(name) && new RegExp(`^${process.pid} .*providers/local/child`).test(parentOf(name)),
  );
  return Number(found ?? 0);
}

describe.skipIf(process.platform !== "linux")("a model's real process", () => {
  it("that is killed in the middle of an answer is told as one that may be asked again, and is", async ({ skip }) => {
    await (await ask(skip, "once", false)).text();
    const response = await ask(skip, "once", true);
    const reader = response.body?.getReader();
    await reader?.read();
    process.kill(modelProcess(), "SIGKILL");
    let text = "";
    for (let piece = await reader?.read(); piece && !piece.done; piece = await reader?.read())
      text += new TextDecoder().decode(piece.value);
    expect(text).toContain('"error"');
    expect(text).toContain("SIGKILL");
    expect(await gateway?.lastRow()).toMatchObject({ state: "failed", problem: "upstream_unavailable", usage: { estimated: true } });
    for (let tries = 0; modelProcess() === 0 && tries < 200; tries++) await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await ask(skip, "once", false)).status).toBe(200);
  });

  it("that takes more memory than it may is ended, says so, and another target answers", async ({ skip }) => {
    const refused = await ask(skip, "fenced", false);
    expect(refused.status).toBe(502);
    expect(await refused.text()).toMatch(/used \d+ MiB of memory, more than its memoryMiB of 64/);
    const either = await ask(skip, "either", false);
    expect([either.status, either.headers.get("x-gimbal-target")]).toEqual([200, "sim/echo"]);
  });
});

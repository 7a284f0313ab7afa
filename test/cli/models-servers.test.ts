import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readArguments } from "../../src/cli/command.ts";
import { COMMANDS } from "../../src/cli/commands.ts";
import type { CliDeps } from "../../src/cli/deps.ts";
import { bookOf, openProviders } from "../../src/in-force.ts";
import { SeededRandomness, systemClock } from "../../src/kit/index.ts";
import { ModelServerStandIn } from "../support/model-server.ts";

const clock = systemClock;
const randomness = new SeededRandomness(1);
let folder: string;
let server: ModelServerStandIn;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "gimbal-servers-"));
  server = await new ModelServerStandIn({
    "/api/tags": { models: [{ name: "small:latest", digest: "d" }] },
    "/api/ps": { models: [] },
    "/api/show": { model_info: { "general.architecture": "l", "l.context_length": 8192 }, capabilities: ["completion", "tools"] },
    "/api/pull": `${JSON.stringify({ status: "pulling manifest" })}\n${JSON.stringify({ status: "pulling a", digest: "a", total: 2_097_152, completed: 2_097_152 })}\n{"status":"success"}\n`,
  }).open();
});
afterEach(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

async function run(name: string, ...args: string[]): Promise<{ code: number | string; out: string; err: string }> {
  const file = join(folder, "gimbal.yaml");
  await writeFile(
    file,
    `version: 1
providers:
  box: { kind: ollama, baseUrl: "${server.url}", models: { small: {} } }
  lab: { kind: openai-compatible, baseUrl: "${server.url}/v1", allowPrivateNetwork: true }
  gone: { kind: vllm, baseUrl: "http://127.0.0.1:1/v1", models: { q: {} } }
`,
  );
  const command = COMMANDS.find((one) => one.name === name);
  if (!command) throw new Error("no such command");
  let out = "";
  let err = "";
  const deps: Partial<CliDeps> = {
    cwd: folder,
    env: {},
    clock,
    randomness,
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    openProviders: async (config, dataFolder, learned) =>
      openProviders(config, { clock, env: {}, randomness, book: bookOf(config, undefined, learned), dataFolder }),
    book: bookOf,
  };
  try {
    return { code: await command.run(readArguments(command, [...args, "--config", file]), deps as CliDeps), out, err };
  } catch (error) {
    return { code: error instanceof Error ? error.message : String(error), out, err };
  }
}

const card = (out: string, id: string) =>
  (JSON.parse(out) as { models: { id: string; card: object }[] }).models.find((model) => model.id === id)?.card;

describe("gimbal models", () => {
  it("shows what servers tell of their models, also where another one is not there; unasked it asks nobody", async () => {
    const { code, out } = await run("models", "--json");
    expect(code).toBe(0);
    expect(card(out, "box/small")).toMatchObject({ contextTokens: 8192, operations: ["generate"], tools: true, input: ["text", "file"] });
    expect(card(out, "gone/q")).not.toHaveProperty("contextTokens");
    server.asked.length = 0;
    expect(card((await run("models", "--json", "--unasked")).out, "box/small")).not.toHaveProperty("contextTokens");
    expect(server.asked).toEqual([]);
  });
});

describe("gimbal models pull of a provider's model", () => {
  it("has its server fetch it, and tells how far it is", async () => {
    expect(await run("models pull", "box/llama3.2:1b")).toEqual({
      code: 0,
      out: "box/llama3.2:1b is on its server.\n",
      err: expect.stringMatching(/^pulling manifest\n\r\[#{30}\] 100% 2\.0 MiB, .*\n$/),
    });
    expect(server.asked).toEqual(['POST /api/pull {"model":"llama3.2:1b","stream":true}']);
    expect(await run("models pull", "box/small", "--json")).toEqual({ code: 0, out: '{"model":"box/small","bytes":2097152}\n', err: "" });
  });

  it("says what is wrong, and what to do", async () => {
    server.answers["/api/pull"] = { error: "pull model manifest: file does not exist" };
    expect((await run("models pull", "box/nothing")).code).toBe(
      'The server of the provider "box" did not pull "nothing": pull model manifest: file does not exist.',
    );
    expect((await run("models pull", "bx/small")).code).toBe('There is no provider "bx". Did you mean "box"?');
    expect((await run("models pull", "lab/small")).code).toBe(
      'The provider "lab" fetches no models; these do: box. Files are fetched by their URL.',
    );
    expect((await run("models pull", "small")).code).toBe('"small" is neither a URL nor a provider/model.');
    expect((await run("models pull", "box/small", "--sha256", "0".repeat(64))).code).toBe(
      "--sha256 is for files that are fetched by their URL.",
    );
    await server.close();
    expect((await run("models pull", "box/small")).code).toMatch(/^The pull of "small" broke off \(.*\)/);
    await server.open();
  });
});

describe("gimbal doctor", () => {
  it("tells of each server what it serves, or that it is not there", async () => {
    const { checkProviders } = await import("../../src/cli/doctor-config.ts");
    const { readConfig } = await import("../../src/config/index.ts");
    const read = readConfig(
      `version: 1\nproviders:\n  box: { kind: ollama, baseUrl: "${server.url}" }\n  gone: { kind: vllm, baseUrl: "http://127.0.0.1:1/v1" }\n`,
      {},
    );
    if (!read.ok) throw new Error("unreadable");
    server.answers["/v1/models"] = { data: [{ id: "small:latest", owned_by: "library" }] };
    const deps: Partial<CliDeps> = {
      clock,
      openProviders: async (config) => openProviders(config, { clock, env: {}, randomness, book: bookOf(config) }),
    };
    const findings = await checkProviders(read.config, folder, deps as CliDeps);
    expect(findings.map(({ check, status }) => `${check} ${status}`)).toEqual(["provider box ok", "provider gone failure"]);
    expect(findings[0]?.detail).toMatch(/answers and lists 1 model\. It serves small:latest \(8192 tokens, not loaded\)\.$/);
  });
});

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeTinyGguf } from "../test/support/gguf.ts";
import { family, pause, readyPort, start } from "./processes.ts";
import type { Figure } from "./report.ts";

const ROOT = join(import.meta.dirname, "..");
/** Fetched into a temporary folder when the bench runs; never a dependency. */
const ENGINE = "node-llama-cpp@3";
const SEQUENCES = 2;
/** Tokens of an answer; the model never ends by itself. */
const TOKENS = 400;
const ANSWERS = 24;
/** Each rests twice as long as the one before until the process is there again. */
const KILLS = 5;
const RESTARTED_MS = 30_000;

/** A model in process: how free it leaves the gateway, how soon the death of its process is told. A sentence where its engine is absent. */
export async function local(folder: string): Promise<readonly Figure[] | string> {
  const home = join(folder, "local");
  mkdirSync(home, { recursive: true });
  const engines = process.env["LOCAL_ENGINES"] ?? fetched(home);
  if (engines === undefined) return `${ENGINE} could not be fetched; models in process were not measured.`;
  await writeTinyGguf(join(home, "tiny.gguf"));
  const model = `{ file: ${JSON.stringify(join(home, "tiny.gguf"))}, gpuLayers: 0, contextTokens: 1024, sequences: ${SEQUENCES} }`;
  writeFileSync(
    join(home, "gimbal.yaml"),
    `version: 1
offline: true
providers: { here: { kind: local, models: { tiny: ${model} } } }
# What is told is measured, not how often it is tried again.
models: { once: { targets: [here/tiny], retries: 0, continue: never } }
`,
  );
  const args = ["serve", "--port", "0", "--config", join(home, "gimbal.yaml"), "--data", join(home, "data")];
  const child = start("any", process.execPath, [join(ROOT, "src", "main.ts"), ...args], { NODE_PATH: engines });
  try {
    const gateway = { url: `http://127.0.0.1:${await readyPort(child)}`, pid: child.pid, home };
    await answer(gateway.url, 1);
    return [...(await whileItGenerates(gateway)), ...(await whenItsProcessDies(gateway))];
  } finally {
    await child.stop();
  }
}

interface Gateway {
  readonly url: string;
  readonly pid: number;
  readonly home: string;
}

function fetched(home: string): string | undefined {
  writeFileSync(join(home, "package.json"), '{"private":true}');
  try {
    execFileSync("npm", ["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", ENGINE], { cwd: home, stdio: "ignore" });
  } catch {
    return undefined;
  }
  return join(home, "node_modules");
}

function ask(url: string, seed: number, stream: boolean): Promise<Response> {
  const messages = [{ role: "user", content: "go" }];
  return fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "once", messages, seed, max_tokens: TOKENS, stream }),
  });
}

async function answer(url: string, seed: number): Promise<number> {
  const response = await ask(url, seed, false);
  const text = await response.text();
  if (response.status !== 200) throw new Error(`a model in process answered ${response.status}: ${text.slice(0, 300)}`);
  return (JSON.parse(text) as { readonly usage: { readonly completion_tokens: number } }).usage.completion_tokens;
}

async function whileItGenerates({ url }: Gateway): Promise<readonly Figure[]> {
  // What is told of delays is of the time since the last look.
  await delayP99Ms(url);
  const began = performance.now();
  const tokens = await Promise.all(Array.from({ length: ANSWERS }, (_, seed) => answer(url, seed)));
  const seconds = (performance.now() - began) / 1000;
  const delay = await delayP99Ms(url);
  const sum = tokens.reduce((all, one) => all + one, 0);
  return [
    { what: "a model in process, the gateway's event loop delay while it generates, p99", figure: delay, limit: 20, unit: "ms" },
    {
      what: `the same, ${SEQUENCES} conversations at once of a tiny model, all threads`,
      figure: sum / seconds,
      limit: undefined,
      unit: "tokens/s",
    },
  ];
}

async function delayP99Ms(url: string): Promise<number | undefined> {
  const page = await (await fetch(`${url}/metrics`)).text();
  const seconds = /event_loop_delay_seconds\{[^}]*quantile="0\.99"[^}]*\} (\S+)/.exec(page)?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}

async function whenItsProcessDies(gateway: Gateway): Promise<readonly Figure[]> {
  const { url, pid, home } = gateway;
  // What is killed on purpose is no sign of a bad target.
  const token = readFileSync(join(home, "data", "admin-token"), "utf8").trim();
  await fetch(`${url}/admin/api/health/targets`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ provider: "here", force: "open" }),
  });
  const told: number[] = [];
  let restarted = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const stream = (await ask(url, kill, true)).body?.getReader();
    await stream?.read();
    const model = modelProcess(pid);
    const at = performance.now();
    process.kill(model, "SIGKILL");
    const text = await rest(stream);
    told.push(performance.now() - at);
    if (!text.includes('"error"')) throw new Error(`the death of a model's process was not told: ${text.slice(-300)}`);
    if (await isAnew(pid, model)) restarted++;
    await answer(url, kill);
  }
  return [
    { what: "its process killed in the middle of an answer, until the problem is told", figure: Math.max(...told), limit: 100, unit: "ms" },
    { what: `the same, of ${KILLS} begun anew without being asked`, figure: restarted, limit: KILLS, atLeast: true, unit: "" },
  ];
}

async function rest(stream: ReadableStreamDefaultReader<Uint8Array> | undefined): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const piece = await stream?.read().catch(() => undefined);
    if (!piece || piece.done) return text;
    text += decoder.decode(piece.value, { stream: true });
    if (text.includes('"error"')) return text;
  }
}

/** The child in which the model runs, by what it was started with. */
function modelProcess(gateway: number): number {
  return family(gateway).find((pid) => pid !== gateway && commandOf(pid).includes("providers/local/child.ts")) ?? fail();
}

function fail(): never {
  throw new Error("no process of the model was found");
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

async function isAnew(gateway: number, before: number): Promise<boolean> {
  const until = performance.now() + RESTARTED_MS;
  while (performance.now() < until) {
    if (family(gateway).some((pid) => pid !== before && commandOf(pid).includes("providers/local/child.ts"))) return true;
    await pause(50);
  }
  return false;
}

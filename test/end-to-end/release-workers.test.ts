import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { endAll, serve, type Served } from "./resume-process.ts";
import { promisedMs } from "../support/promised.ts";

const CONFIG = `version: 1
models:
  fast: { targets: [sim/old, sim/new] }
  slowly: sim/endless
sim:
  models:
    old: { text: "old" }
    new: { text: "new" }
    endless: { length: 5000, tokensPerSecond: 20 }
`;
const TOKEN = "workers-token";
/** What the gateway promises every process within. */
const PROMISED_MS = promisedMs(1000);
/** Fresh connections are dealt out in turn: so many meet every worker. */
const CONNECTIONS = 4;

let folder: string;
let file: string;
let served: Served;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gimbal-workers-"));
  file = join(folder, "gimbal.yaml");
  await writeFile(file, CONFIG);
  await writeFile(join(folder, "admin-token"), TOKEN, { mode: 0o600 });
  served = await serve(folder, file, ["--workers", "2"]);
}, 60_000);
afterAll(async () => {
  endAll();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

interface Answer {
  readonly status: number;
  readonly header: (name: string) => string | undefined;
  /** Resolves with all of the body when it has ended. */
  readonly text: Promise<string>;
}

/** One request over a connection of its own; resolves with its head. */
function send(method: string, path: string, body?: object): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", ...(path.startsWith("/admin") && { authorization: `Bearer ${TOKEN}` }) };
    const sent = request(`${served.url}${path}`, { method, headers, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      resolve({
        status: response.statusCode ?? 0,
        header: (name) => response.headers[name]?.toString(),
        text: new Promise((done) => response.on("close", () => done(text))),
      });
    });
    sent.on("error", reject);
    sent.end(body && JSON.stringify(body));
  });
}

async function admin(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
  const answer = await send(method, `/admin/api${path}`, body);
  return JSON.parse(await answer.text) as Record<string, unknown>;
}

const chat = (model: string, stream = false): object => ({ model, stream, messages: [{ role: "user", content: "hello" }] });

/** What answers on fresh connections, of every worker. */
async function answers(model: string): Promise<readonly string[]> {
  const calls = await Promise.all(Array.from({ length: CONNECTIONS }, () => send("POST", "/v1/chat/completions", chat(model))));
  await Promise.all(calls.map(({ text }) => text));
  return calls.map(({ header }) => header("x-gimbal-problem") ?? header("x-gimbal-target") ?? "nothing");
}

/** Milliseconds until every worker answers so. */
async function untilAll(model: string, wanted: string): Promise<number> {
  const begun = performance.now();
  for (;;) {
    const seen = await answers(model);
    const took = performance.now() - begun;
    if (seen.every((one) => one === wanted)) return took;
    if (took > 5 * PROMISED_MS) throw new Error(`after ${Math.round(took)} ms: ${seen.join(", ")}`);
  }
}

describe("with two serving processes", () => {
  it("a change and its way back are in force in both within a second, and the record says how long it took", async () => {
    const changed = await admin("PATCH", "/models/fast", { targets: ["sim/new"] });
    expect(await untilAll("fast", "sim/new")).toBeLessThan(PROMISED_MS);
    expect(changed["version"]).toBe(2);
    await admin("POST", "/config/rollback", { version: 1 });
    expect(await untilAll("fast", "sim/old")).toBeLessThan(PROMISED_MS);
    const { versions } = (await admin("GET", "/config/versions")) as {
      versions: { version: number; tookMs: number; stoodMs: number; inForce: { processes: number } }[];
    };
    expect(versions.map(({ version, inForce }) => [version, inForce.processes])).toEqual([
      [3, 2],
      [2, 2],
      [1, 2],
    ]);
    for (const { version, tookMs } of versions) if (version > 1) expect(tookMs).toBeLessThan(PROMISED_MS);
    expect(versions[0]?.stoodMs).toBeGreaterThan(0);
  });

  it("a kill switch stops streams in both within a second, each with one terminal problem", async () => {
    const streams = await Promise.all(
      Array.from({ length: CONNECTIONS }, () => send("POST", "/v1/chat/completions", chat("slowly", true))),
    );
    expect(streams.map(({ status }) => status)).toEqual(streams.map(() => 200));
    const begun = performance.now();
    // Its answer waits for the disk, the streams do not.
    const killing = admin("POST", "/kill", { scope: "model", value: "slowly", reason: "drill" });
    const texts = await Promise.all(streams.map(({ text }) => text));
    expect(performance.now() - begun).toBeLessThan(PROMISED_MS);
    const { id } = await killing;
    for (const text of texts) {
      expect(text.match(/"error"/g)).toHaveLength(1);
      expect(text).not.toContain("[DONE]");
      expect(text).toContain("drill");
    }
    expect(await untilAll("slowly", "killed")).toBeLessThan(PROMISED_MS);
    await admin("DELETE", `/kill/${String(id)}`);
    expect((await admin("DELETE", `/kill/${String(id)}`))["error"]).toBeDefined();
  });

  it("a forced target is forced in both within a second", async () => {
    await admin("POST", "/health/targets", { target: "sim/old", force: "shut" });
    expect(await untilAll("fast", "sim/new")).toBeLessThan(PROMISED_MS);
    await admin("POST", "/health/targets", { target: "sim/old", force: "auto" });
    expect(await untilAll("fast", "sim/old")).toBeLessThan(PROMISED_MS);
  });

  it("changes at once by both are each a version, and none is lost", async () => {
    const before = Number((await admin("GET", "/config/versions"))["inForce"]);
    const retries = [0, 1, 3, 4, 5, 6];
    await Promise.all(retries.map((one) => admin("PATCH", "/models/fast", { retries: one, timeoutMs: 1000 + one })));
    const { versions } = (await admin("GET", "/config/versions")) as { versions: { version: number }[] };
    expect(versions[0]?.version).toBe(before + retries.length);
    const based = await admin("PATCH", "/models/fast", { retries: 7, base: before });
    expect(JSON.stringify(based)).toContain("conflict");
  });

  it("what an administrator decided survives kill -9: kill switches, forced targets, and the version, while the file is the same", async () => {
    await admin("PATCH", "/models/fast", { targets: ["sim/new", "sim/old"] });
    await admin("POST", "/kill", { scope: "model", value: "slowly" });
    await admin("POST", "/health/targets", { target: "sim/new", force: "shut" });
    const standing = Number((await admin("GET", "/config/versions"))["inForce"]);
    await served.kill();
    served = await serve(folder, file, ["--workers", "2"]);
    expect(await answers("slowly")).toEqual(Array.from({ length: CONNECTIONS }, () => "killed"));
    expect(await answers("fast")).toEqual(Array.from({ length: CONNECTIONS }, () => "sim/old"));
    expect((await admin("GET", "/config/versions"))["inForce"]).toBe(standing);
    await admin("POST", "/health/targets", { target: "sim/new", force: "auto" });
    expect(await untilAll("fast", "sim/new")).toBeLessThan(PROMISED_MS);
  }, 60_000);

  it("a changed file wins, in both", async () => {
    await writeFile(file, (await readFile(file, "utf8")).replace("targets: [sim/old, sim/new]", "targets: [sim/old]"));
    // Editors write in several steps: the file is given a moment to settle.
    expect(await untilAll("fast", "sim/old")).toBeLessThan(2 * PROMISED_MS);
    const { versions } = (await admin("GET", "/config/versions")) as { versions: { author: string }[] };
    expect(versions[0]?.author).toBe("file");
  });
});

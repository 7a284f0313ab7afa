import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { endAll, serve, type Served } from "./resume-process.ts";
import { promisedMs } from "../support/promised.ts";

const TOKEN = "workers-token";
const PROMISED_MS = promisedMs(1000);
/** Fresh connections are dealt out in turn: so many meet every worker. */
const CONNECTIONS = 4;

let folder: string;
let served: Served;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gimbal-keys-"));
  const file = join(folder, "gimbal.yaml");
  await writeFile(file, "version: 1\naccess: { anonymous: never }\n");
  await writeFile(join(folder, "admin-token"), TOKEN, { mode: 0o600 });
  served = await serve(folder, file, ["--workers", "2"]);
}, 60_000);
afterAll(async () => {
  endAll();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

/** One request over a connection of its own. */
function send(method: string, path: string, key: string, body?: object): Promise<readonly [number, Record<string, string>]> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", authorization: `Bearer ${key}` };
    const sent = request(`${served.url}${path}`, { method, headers, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      response.on("end", () => resolve([response.statusCode ?? 0, JSON.parse(text) as Record<string, string>]));
    });
    sent.on("error", reject);
    sent.end(body && JSON.stringify(body));
  });
}
const admin = async (method: string, path: string, body?: object): Promise<Record<string, string>> =>
  (await send(method, `/admin/api${path}`, TOKEN, body))[1];
const statuses = (key: string): Promise<readonly number[]> =>
  Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      const call = { model: "sim/echo", messages: [{ role: "user", content: "hello" }] };
      return (await send("POST", "/v1/chat/completions", key, call))[0];
    }),
  );
const all = (status: number): readonly number[] => Array.from({ length: CONNECTIONS }, () => status);
/** Every worker answers so within the promised time, and once one does, it stays so. */
async function soon(key: string, status: number): Promise<void> {
  await expect.poll(() => statuses(key), { timeout: PROMISED_MS, interval: 20 }).toEqual(all(status));
}

it("a revoked key is refused by both workers within a second", async () => {
  const { id = "", key = "" } = await admin("POST", "/keys", { name: "shared" });
  expect(await statuses(key)).toEqual(all(200));
  await admin("DELETE", `/keys/${id}`);
  await soon(key, 401);
});

it("a rotated one too where there is no overlap, and its successor is let in by both", async () => {
  const { id = "", key = "" } = await admin("POST", "/keys", { name: "rotated" });
  expect(await statuses(key)).toEqual(all(200));
  const next = await admin("POST", `/keys/${id}/rotate`, { overlapHours: 0 });
  expect(await statuses(next["key"] ?? "")).toEqual(all(200));
  await soon(key, 401);
});

it("a role ends with its key in both workers", async () => {
  const { id = "", key = "" } = await admin("POST", "/keys", { name: "brief", surfaces: ["admin"], role: "viewer" });
  const asked = (): Promise<readonly number[]> =>
    Promise.all(Array.from({ length: CONNECTIONS }, async () => (await send("GET", "/admin/api/keys", key))[0]));
  expect(await asked()).toEqual(all(200));
  await admin("DELETE", `/keys/${id}`);
  await expect.poll(asked, { timeout: PROMISED_MS, interval: 20 }).toEqual(all(401));
});

it("the key that seals data at rest is rotated in the process that has the record, while both serve, and the audit says by whom", async () => {
  const kept = async (previous?: string): Promise<string> => {
    const body = { model: "sim/echo", input: "hi", ...(previous !== undefined && { previous_response_id: previous }) };
    const [status, { id = "" }] = await send("POST", "/v1/responses", key, body);
    expect(status).toBe(200);
    return id;
  };
  const { key = "" } = await admin("POST", "/keys", { name: "turns" });
  const before = await kept();
  const said = execFileSync(
    process.execPath,
    [join(import.meta.dirname, "../../src/main.ts"), "keys", "rotate-data-key", "--data", folder],
    {
      encoding: "utf8",
    },
  );
  expect(said).toMatch(/^A new key [0-9a-f]{16} seals from now on; \d+ rows were sealed anew\. 1 older key still opens /);
  expect((await readFile(join(folder, "serving.key"), "utf8")).trim().split("\n")).toHaveLength(2);
  for (let turn = 0; turn < CONNECTIONS; turn++) await kept(before);
  const { entries } = (await admin("GET", "/audit/entries")) as unknown as { entries: readonly { readonly text: string }[] };
  expect(JSON.stringify(entries)).toContain("data-key.rotate");
});

import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { BARE_ENV } from "../support/children.ts";

const MAIN = join(import.meta.dirname, "../../src/main.ts");
/** No file may grow beyond this: what a full disk is to whoever writes, without the rights that mounting a small one needs. In KiB. */
const FILE_KIB = 3000;
const SOON = { timeout: 30_000, interval: 100 };
const CONFIG = `version: 1
storage: { retryMs: 50, retryMaxMs: 200 }
serve: { limits: { drainMs: 3000 } }
`;
const hasLimits = process.platform === "linux" && spawnSync("prlimit", ["--version"]).status === 0;

let children: ChildProcess[] = [];
let folders: string[] = [];
afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true, maxRetries: 5 })));
  [children, folders] = [[], []];
});

interface Limited {
  readonly url: string;
  readonly data: string;
  readonly child: ChildProcess;
  readonly said: () => string;
  /** Room again, as after somebody has cleared the disk. */
  makeRoom(): void;
}

async function serveLimited(flags: string): Promise<Limited> {
  const folder = await mkdtemp(join(tmpdir(), "gimbal-disk-"));
  folders.push(folder);
  await writeFile(join(folder, "gimbal.yaml"), CONFIG);
  const data = join(folder, "data");
  const command = `ulimit -S -f ${FILE_KIB}; exec "${process.execPath}" "${MAIN}" serve --config "${folder}/gimbal.yaml" --data "${data}" --host 127.0.0.1 --port 0 ${flags}`;
  const child = spawn("bash", ["-c", command], { env: BARE_ENV, stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  let output = "";
  const url = await new Promise<string>((resolve, reject) => {
    const look = (text: Buffer): void => {
      output += text.toString();
      const ready = /gimbal ready on (http:\S+)/.exec(output)?.[1];
      if (ready) resolve(ready);
    };
    child.stdout.on("data", look);
    child.stderr.on("data", look);
    child.on("exit", () => reject(new Error(`the gateway did not start:\n${output}`)));
  });
  return {
    url,
    data,
    child,
    said: () => output,
    makeRoom: () => void execFileSync("prlimit", ["--pid", String(child.pid), "--fsize=unlimited:unlimited"]),
  };
}

async function call({ url }: Limited): Promise<readonly [number, string | null, string]> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-gimbal-metadata": JSON.stringify({ padding: "x".repeat(2000) }) },
    body: JSON.stringify({ model: "sim/echo", messages: [{ role: "user", content: "hello" }] }),
  });
  await response.text();
  return [response.status, response.headers.get("x-gimbal-problem"), response.headers.get("x-gimbal-call-id") ?? ""];
}

async function admin(at: Limited, path: string, body?: object): Promise<Response> {
  const token = (await readFile(join(at.data, "admin-token"), "utf8")).trim();
  return fetch(`${at.url}/admin/api${path}`, {
    method: body ? "POST" : "GET",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body && { body: JSON.stringify(body) }),
  });
}

/** Calls until one is refused for want of a record; ids of those that were answered. */
async function fill(at: Limited): Promise<readonly string[]> {
  const answered: string[] = [];
  for (let round = 0; round < 400; round++) {
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => call(at)));
    answered.push(...outcomes.flatMap(([status, , id]) => (status === 200 ? [id] : [])));
    const refused = outcomes.find(([status]) => status !== 200);
    if (!refused) continue;
    expect(refused.slice(0, 2)).toEqual([503, "storage_unavailable"]);
    return answered;
  }
  throw new Error("the disk never became full");
}

const exitOf = (child: ChildProcess): Promise<number | null> => new Promise((resolve) => child.once("exit", resolve));

describe.skipIf(!hasLimits)("a disk that is full", () => {
  it(
    "refuses calls that need a record, lets what is kept be read, and needs no hand when there is room again",
    { timeout: 120_000 },
    async () => {
      const at = await serveLimited("");
      expect((await admin(at, "/keys", { name: "before" })).status).toBe(201);
      const answered = await fill(at);
      expect((await fetch(`${at.url}/readyz`)).status).toBe(503);
      expect((await admin(at, "/ledger?limit=5")).status).toBe(200);
      expect((await admin(at, "/keys")).status).toBe(200);
      // A change that could not be noted is none.
      expect((await admin(at, "/keys", { name: "during" })).status).toBe(503);
      at.makeRoom();
      await expect.poll(async () => (await call(at))[0], SOON).toBe(200);
      expect((await admin(at, "/keys", { name: "after" })).status).toBe(201);
      const { keys } = (await (await admin(at, "/keys")).json()) as { keys: readonly { readonly name: string }[] };
      expect(keys.map(({ name }) => name)).toEqual(["before", "after"]);
      const { rows } = (await (await admin(at, "/ledger?limit=10000")).json()) as { rows: readonly { readonly callId: string }[] };
      const ids = rows.map(({ callId }) => callId);
      expect(answered.filter((id) => !ids.includes(id))).toEqual([]);
      expect(new Set(ids).size).toBe(ids.length);
      const verdict = execFileSync(process.execPath, [MAIN, "audit", "verify", "--data", at.data], { encoding: "utf8" });
      expect(verdict).toMatch(/^The audit holds: /);
      const ended = exitOf(at.child);
      at.child.kill("SIGTERM");
      expect(await ended, at.said()).toBe(0);
    },
  );

  for (const flags of ["", "--workers 2"])
    it(
      `at the stop of a gateway${flags && " with workers"} loses rows, which it counts and ends with 1`,
      { timeout: 120_000 },
      async () => {
        const at = await serveLimited(flags);
        const answered = await fill(at);
        const ended = exitOf(at.child);
        at.child.kill("SIGTERM");
        expect(await ended, at.said()).toBe(1);
        const lost = Number(/(\d+) rows of the ledger could not be written and are lost/.exec(at.said())?.[1]);
        expect(lost).toBeGreaterThan(0);
        expect(lost).toBeLessThanOrEqual(answered.length);
      },
    );
});

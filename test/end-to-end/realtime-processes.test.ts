import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, describe, expect, it } from "vitest";
import type { LedgerRow } from "../../src/canon/index.ts";
import { openHouse } from "../../src/house.ts";
import { ANSWER, say, talk, type Talk } from "../support/session.ts";
import { BARE_ENV, urlWhenReady } from "../support/children.ts";
import { promisedMs } from "../support/promised.ts";

const ROOT = join(import.meta.dirname, "../..");
/** Each answer is one token of input more than the one before, and as much of output; a token costs a thousandth of a dollar. */
const CONFIG = `version: 1
storage: { openHoldMs: 1 }
serve: { limits: { drainMs: 200 } }
sim: { models: { voice: { echo: true, contextTokens: 100, price: { inputUsd: 1000, outputUsd: 1000 } } } }
budgets: [{ match: { key: talker }, usd: 1000, per: day, hard: true }]
`;

let folder = "";
const children: ChildProcess[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await rm(folder, { recursive: true, force: true });
});

async function serve(...more: readonly string[]): Promise<{ readonly url: string; readonly child: ChildProcess }> {
  folder = await mkdtemp(join(tmpdir(), "gimbal-sessions-"));
  await writeFile(join(folder, "gimbal.yaml"), CONFIG);
  const args = ["serve", "--config", join(folder, "gimbal.yaml"), "--data", folder, "--host", "127.0.0.1", "--port", "0", ...more];
  const child = spawn(process.execPath, [join(ROOT, "src/main.ts"), ...args], {
    cwd: ROOT,
    env: BARE_ENV,
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  const url = await urlWhenReady(child);
  return { url, child };
}

async function admin(url: string, method: string, path: string, body?: object): Promise<Record<string, unknown>> {
  const token = (await readFile(join(folder, "admin-token"), "utf8")).trim();
  const response = await fetch(`${url}/admin/api${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body && { body: JSON.stringify(body) }),
  });
  return (response.status === 204 ? {} : await response.json()) as Record<string, unknown>;
}

function exited(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) =>
    child.exitCode === null && child.signalCode === null ? child.on("exit", resolve) : resolve(child.exitCode),
  );
}

/** What the record holds once the gateway is gone. */
async function rowsAfterwards(): Promise<readonly LedgerRow[]> {
  const config = { text: CONFIG, fileName: "gimbal.yaml" };
  const house = await openHouse({ folder, config, host: "127.0.0.1", port: 0, env: {}, log: () => {} });
  const rows = await house.stores.ledger.list({ limit: 100 });
  await house.close();
  return rows;
}

async function answered(session: Talk): Promise<void> {
  session.send(say("four"));
  session.send(ANSWER);
  await session.until("response.done");
}

describe("a gateway that dies in the middle of a session", () => {
  it("leaves one row with what was used until a second before, and its budget knows", async () => {
    const { url, child } = await serve();
    const { key } = (await admin(url, "POST", "/keys", { name: "talker" })) as { key: string };
    const session = await talk(`${url}/v1/realtime?model=sim%2Fvoice`, key);
    await session.until("session.created");
    const answers = 5;
    for (let at = 0; at < answers; at++) await answered(session);
    // Input of 1, 3, 5, ... tokens, for each answer reads everything before it.
    const used = answers * answers + answers;
    await recorded(used);
    child.kill("SIGKILL");
    await exited(child);
    expect(await session.closed).toBe(1006);
    for (let start = 0; start < 2; start++) {
      const rows = await rowsAfterwards();
      expect(rows).toMatchObject([
        { state: "interrupted", callerName: "talker", model: "sim/voice", usage: { inputUncached: used, estimated: true } },
      ]);
    }
    const config = { text: CONFIG, fileName: "gimbal.yaml" };
    const house = await openHouse({ folder, config, host: "127.0.0.1", port: 0, env: {}, log: () => {} });
    const spent = JSON.stringify(await admin(house.url, "GET", "/budgets"));
    await house.close();
    // What was used, 0.03, and the room for one more answer that it held: its context of 100 tokens and the longest answer, 16,384.
    expect(spent).toContain('"spent":"16.514000000"');
  });

  it("is told that the gateway stops, and the gateway waits for no session longer than it says", async () => {
    const { url, child } = await serve();
    const session = await talk(`${url}/v1/realtime?model=sim%2Fvoice`);
    await session.until("session.created");
    await answered(session);
    child.kill("SIGTERM");
    expect(await session.until("error")).toMatchObject({ error: { type: "gateway_restarted" } });
    expect(await session.closed).toBe(1011);
    expect(await exited(child)).toBe(0);
    expect(await rowsAfterwards()).toMatchObject([
      { state: "failed", problem: "gateway_restarted", usage: { inputUncached: 1, output: 1 } },
    ]);
  });
});

describe("sessions of two workers", () => {
  it("end in both when their key is revoked or they are switched off, with a row each", async () => {
    const { url } = await serve("--workers", "2");
    const sessions = await Promise.all([1, 2, 3, 4].map(() => talk(`${url}/v1/realtime?model=sim%2Fvoice`)));
    for (const session of sessions) {
      await session.until("session.created");
      await answered(session);
    }
    const { id, key } = (await admin(url, "POST", "/keys", { name: "leaver" })) as { id: string; key: string };
    const leaving = await Promise.all([1, 2, 3, 4].map(() => talk(`${url}/v1/realtime?model=sim%2Fvoice`, key)));
    for (const session of leaving) await session.until("session.created");
    const revoked = performance.now();
    await admin(url, "DELETE", `/keys/${id}`);
    for (const session of leaving) expect(await session.until("error")).toMatchObject({ error: { type: "unauthenticated" } });
    // A second, and another for machines that have much else to do.
    expect(performance.now() - revoked).toBeLessThan(2000);
    const from = performance.now();
    await admin(url, "POST", "/kill", { scope: "model", value: "sim/voice" });
    for (const session of sessions) expect(await session.until("error")).toMatchObject({ error: { type: "killed" } });
    expect(performance.now() - from).toBeLessThan(promisedMs(1000));
    for (const session of sessions) await session.closed;
    const { rows } = (await admin(url, "GET", "/ledger")) as { rows: LedgerRow[] };
    expect(rows.map(({ problem, usage }) => `${problem} ${usage.output}`).toSorted()).toEqual([
      ...sessions.map(() => "killed 1"),
      ...leaving.map(() => "unauthenticated 0"),
    ]);
  });
});

/** Waits until the record says of the running session that it has used so much. */
async function recorded(tokens: number): Promise<void> {
  const database = new DatabaseSync(join(folder, "record.db"), { readOnly: true });
  const estimate = database.prepare("SELECT input_estimate FROM open_calls");
  while (estimate.get()?.["input_estimate"] !== tokens) await new Promise((resolve) => setTimeout(resolve, 20));
  database.close();
}

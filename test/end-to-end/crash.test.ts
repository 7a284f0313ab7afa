import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { openHouse } from "../../src/house.ts";
import { BARE_ENV, urlWhenReady } from "../support/children.ts";

const ROOT = join(import.meta.dirname, "../..");
/** Records of begun calls are written at once: what is tested is that they are found again, not how soon. */
const CONFIG = `version: 1
storage: { openHoldMs: 1 }
sim: { models: { endless: { length: 100000, tokensPerSecond: 500 } } }
`;

const PIECES = 10;

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

/** Starts a gateway of its own and waits until it says that it is ready. */
async function serve(folder: string, file: string): Promise<{ url: string; child: ChildProcess }> {
  const child = spawn(
    process.execPath,
    [join(ROOT, "src/main.ts"), "serve", "--config", file, "--data", folder, "--host", "127.0.0.1", "--port", "0"],
    {
      cwd: ROOT,
      env: BARE_ENV,
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  children.push(child);
  const url = await urlWhenReady(child);
  return { url, child };
}

/** Begins a stream and returns once its first piece of text is here. */
async function beginStream(url: string): Promise<{ callId: string; leave: () => void }> {
  const leave = new AbortController();
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "sim/endless", stream: true, messages: [{ role: "user", content: "Go on." }] }),
    signal: leave.signal,
  });
  const reader = response.body?.getReader();
  // A few pieces, hundredths of a second apart, so that the record of its beginning is on its way.
  for (let piece = 0; piece < PIECES; piece++) await reader?.read();
  return { callId: response.headers.get("x-gimbal-call-id") ?? "", leave: () => leave.abort() };
}

function exited(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) =>
    child.exitCode === null && child.signalCode === null ? child.on("exit", resolve) : resolve(child.exitCode),
  );
}

describe("a gateway that dies", () => {
  it("leaves one interrupted row for each call it was at, and none twice", async () => {
    const folder = await mkdtemp(join(tmpdir(), "gimbal-crash-"));
    try {
      const file = join(folder, "gimbal.yaml");
      await writeFile(file, CONFIG);
      const { url, child } = await serve(folder, file);
      const begun = [await beginStream(url), await beginStream(url)];
      const finished = await fetch(`${url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model: "sim/echo", messages: [{ role: "user", content: "whole" }] }),
      });
      const wholeId = finished.headers.get("x-gimbal-call-id") ?? "";
      await finished.text();
      await everythingRecorded(url, folder);
      child.kill("SIGKILL");
      await exited(child);
      for (const { leave } of begun) leave();

      for (let start = 0; start < 2; start++) {
        const house = await openHouse({
          folder,
          config: { text: CONFIG, fileName: "gimbal.yaml" },
          host: "127.0.0.1",
          port: 0,
          env: {},
          log: () => {},
        });
        const rows = await house.stores.ledger.list({ limit: 100 });
        await house.close();
        expect(rows).toHaveLength(3);
        expect(rows.find((row) => row.callId === wholeId)).toMatchObject({ state: "done" });
        for (const { callId } of begun) {
          const row = rows.find((candidate) => candidate.callId === callId);
          expect(row).toMatchObject({ state: "interrupted", model: "sim/endless", dialect: "openai-chat" });
          expect(row?.usage).toMatchObject({ estimated: true });
          expect(row?.usage.inputUncached).toBeGreaterThan(0);
        }
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it("that is asked to stop finishes what it is at", async () => {
    const folder = await mkdtemp(join(tmpdir(), "gimbal-drain-"));
    try {
      const file = join(folder, "gimbal.yaml");
      await writeFile(file, "version: 1\nsim: { models: { brief: { length: 60, tokensPerSecond: 100 } } }\n");
      const { url, child } = await serve(folder, file);
      const response = await fetch(`${url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model: "sim/brief", stream: true, messages: [{ role: "user", content: "Go on." }] }),
      });
      child.kill("SIGTERM");
      expect(await response.text()).toContain("[DONE]");
      expect(await exited(child)).toBe(0);
      const house = await openHouse({
        folder,
        config: { text: CONFIG, fileName: "gimbal.yaml" },
        host: "127.0.0.1",
        port: 0,
        env: {},
        log: () => {},
      });
      const rows = await house.stores.ledger.list({ limit: 100 });
      await house.close();
      expect(rows.map((row) => row.state)).toEqual(["done"]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

/**
 * Waits until what was told to the record so far is durable. A row can be read before that, so reading proves nothing; but a new key is
 * answered only once its commit has landed, behind everything queued before it. The first one outlasts the time (twice `openHoldMs`) for
 * which the records of calls just begun are held back; the next ones land behind them.
 */
async function everythingRecorded(url: string, folder: string): Promise<void> {
  const token = (await readFile(join(folder, "admin-token"), "utf8")).trim();
  for (const name of ["first", "second", "third"]) {
    const made = await fetch(`${url}/admin/api/keys`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ name }),
    });
    expect(made.status).toBe(201);
  }
}

import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { LedgerRow } from "../../src/canon/index.ts";
import { openHouse, type House } from "../../src/house.ts";
import { systemClock } from "../../src/kit/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { BARE_ENV, urlWhenReady } from "../support/children.ts";

const ROOT = join(import.meta.dirname, "../..");
const children: ChildProcess[] = [];
const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const close of closing.splice(0).toReversed()) await close();
});

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "gimbal-batches-"));
  closing.push(() => rm(made, { recursive: true, force: true }));
  return made;
}

async function gatewayWith(config: string): Promise<TestGateway> {
  const gateway = await startGateway({ config });
  closing.push(() => gateway.close());
  return gateway;
}

async function serve(data: string, file: string): Promise<{ url: string; child: ChildProcess }> {
  const child = spawn(process.execPath, [join(ROOT, "src/main.ts"), "serve", "--config", file, "--data", data, "--port", "0"], {
    cwd: ROOT,
    env: BARE_ENV,
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  const url = await urlWhenReady(child);
  return { url, child };
}

function exited(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve) => (child.exitCode === null && child.signalCode === null ? child.on("exit", resolve) : resolve(0)));
}

interface Told {
  readonly id: string;
  readonly status: string;
  readonly output_file_id: string | null;
  readonly error_file_id: string | null;
  readonly request_counts: { readonly total: number; readonly completed: number; readonly failed: number };
}

const line = (id: number, model: string): string =>
  JSON.stringify({
    custom_id: `n${id}`,
    method: "POST",
    url: "/v1/chat/completions",
    body: { model, messages: [{ role: "user", content: `text ${id}` }] },
  });

async function begin(url: string, lines: readonly string[], key = "x"): Promise<Told> {
  const headers = { authorization: `Bearer ${key}` };
  const form = new FormData();
  form.set("purpose", "batch");
  form.set("file", new Blob([lines.join("\n")]), "in.jsonl");
  const { id } = (await (await fetch(`${url}/v1/files`, { method: "POST", headers, body: form })).json()) as { id: string };
  const body = JSON.stringify({ endpoint: "/v1/chat/completions", completion_window: "24h", input_file_id: id });
  return (await (await fetch(`${url}/v1/batches`, { method: "POST", headers, body })).json()) as Told;
}

async function read(url: string, id: string, key = "x"): Promise<Told> {
  return (await (await fetch(`${url}/v1/batches/${id}`, { headers: { authorization: `Bearer ${key}` } })).json()) as Told;
}
async function cancel(url: string, id: string): Promise<Told> {
  return (await (await fetch(`${url}/v1/batches/${id}/cancel`, { method: "POST" })).json()) as Told;
}
async function until(url: string, id: string, isOver: (seen: Told) => boolean, key?: string): Promise<Told> {
  for (;;) {
    const seen = await read(url, id, key);
    if (isOver(seen)) return seen;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

interface Result {
  readonly custom_id: string;
  readonly response: {
    readonly status_code: number;
    readonly body: { readonly choices?: readonly { readonly message: { readonly content: string } }[] };
  } | null;
  readonly error: { readonly code: string } | null;
}
async function results(url: string, file: string | null, key = "x"): Promise<readonly Result[]> {
  if (file === null) return [];
  const text = await (await fetch(`${url}/v1/files/${file}/content`, { headers: { authorization: `Bearer ${key}` } })).text();
  return text
    .trim()
    .split("\n")
    .map((each) => JSON.parse(each) as Result);
}

/** How often each line was asked, by how the call ended. */
function asked(rows: readonly LedgerRow[]): ReadonlyMap<string, readonly string[]> {
  const byLine = new Map<string, string[]>();
  for (const { metadata, state } of rows) {
    const name = JSON.stringify(metadata?.["custom_id"] ?? null);
    byLine.set(name, [...(byLine.get(name) ?? []), state]);
  }
  return byLine;
}

const LINES = 24;
const SLOW = "batches: { concurrency: 3 }\nsim: { models: { slow: { text: ok, ttftMs: 150 } } }\n";

describe("a batch whose gateway goes", () => {
  it.each(["SIGKILL", "SIGTERM"] as const)("is gone on with after %s, and no answered line is asked twice", async (signal) => {
    const data = await folder();
    const file = join(data, "gimbal.yaml");
    await writeFile(file, `version: 1\nstorage: { openHoldMs: 1 }\n${SLOW}`);
    const first = await serve(data, file);
    const { id } = await begin(
      first.url,
      Array.from({ length: LINES }, (_, place) => line(place, "sim/slow")),
    );
    const before = await until(first.url, id, ({ request_counts: counts }) => counts.completed >= 6);
    first.child.kill(signal);
    await exited(first.child);
    expect(before.status).toBe("in_progress");

    const second = await serve(data, file);
    const ended = await until(second.url, id, ({ status }) => status === "completed");
    expect(ended.request_counts).toEqual({ total: LINES, completed: LINES, failed: 0 });
    expect(ended.error_file_id).toBeNull();
    const told = await results(second.url, ended.output_file_id);
    expect(told.map((each) => each.custom_id)).toEqual(Array.from({ length: LINES }, (_, place) => `n${place}`));
    second.child.kill("SIGTERM");
    await exited(second.child);

    const house = await openHouse({ folder: data, env: {}, log: () => {}, host: "127.0.0.1", port: 0 });
    const rows = (await house.stores.ledger.list({ limit: 1000 })).filter(({ metadata }) => metadata?.["batch"] === id);
    await house.close();
    const states = [...asked(rows).values()];
    expect(states).toHaveLength(LINES);
    for (const each of states) expect(each.filter((state) => state === "done")).toHaveLength(1);
    // Only what was under way when the gateway was killed was asked again.
    expect(rows.length - LINES).toBeLessThanOrEqual(signal === "SIGKILL" ? 3 : 0);
    // What is kept is sealed.
    const kept = await readFile(join(data, "serving.db"));
    expect(kept.includes("text 17")).toBe(false);
  });

  it("expires when its time is over", async () => {
    const data = await folder();
    let ahead = 0;
    const open = (): Promise<House> =>
      openHouse({
        config: { text: `version: 1\n${SLOW}`, fileName: "gimbal.yaml" },
        folder: data,
        env: {},
        log: () => {},
        host: "127.0.0.1",
        port: 0,
        clock: {
          now: () => systemClock.now() + ahead,
          monotonic: () => systemClock.monotonic(),
          after: (ms, work) => systemClock.after(ms, work),
        },
      });
    const first = await open();
    const { id } = await begin(
      first.url,
      Array.from({ length: 12 }, (_, place) => line(place, "sim/slow")),
    );
    await until(first.url, id, ({ request_counts: counts }) => counts.completed >= 3);
    await first.close();
    ahead = 24 * 3_600_000;
    const second = await open();
    closing.push(() => second.close());
    const ended = await until(second.url, id, ({ status }) => status === "expired");
    const done = (await results(second.url, ended.output_file_id)).length;
    expect(done).toBe(ended.request_counts.completed);
    expect(done).toBeGreaterThanOrEqual(3);
    const errors = await results(second.url, ended.error_file_id);
    expect(errors.map(({ error }) => error?.code)).toEqual(Array.from({ length: 12 - done }, () => "batch_expired"));
  });
});

describe("a batch", () => {
  it("is cancelled in the middle, and what was answered is kept", async () => {
    const gateway = await gatewayWith(SLOW);
    const { url } = gateway;
    const { id } = await begin(
      url,
      Array.from({ length: LINES }, (_, place) => line(place, "sim/slow")),
    );
    await until(url, id, ({ request_counts: counts }) => counts.completed >= 3);
    expect(["cancelling", "cancelled"]).toContain((await cancel(url, id)).status);
    const ended = await until(url, id, ({ status }) => status === "cancelled");
    const told = await results(url, ended.output_file_id);
    expect(told.length).toBe(ended.request_counts.completed);
    expect(told.length).toBeLessThan(LINES);
    expect(ended.error_file_id).toBeNull();
    expect((await gateway.rows()).length).toBeLessThan(LINES);
  });

  it("runs so many calls at once as all batches together may", async () => {
    const { url, house } = await gatewayWith(SLOW);
    const lines = Array.from({ length: 6 }, (_, place) => line(place, "sim/slow"));
    const batches = await Promise.all([begin(url, lines), begin(url, lines), begin(url, lines)]);
    let most = 0;
    const look = (): void => {
      let open = 0;
      house.gateway.live.findRunning((call) => {
        // Answered calls wait for their rows.
        if (call.state === "open") open++;
        return false;
      });
      most = Math.max(most, open);
    };
    const watch = setInterval(look, 5);
    await Promise.all(batches.map(({ id }) => until(url, id, ({ status }) => status === "completed")));
    clearInterval(watch);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(3);
  });

  it("waits for its hours, and can be cancelled while it does", async () => {
    const hour = (offset: number): string => new Date(Date.now() + offset * 3_600_000).toISOString().slice(11, 16);
    const gateway = await gatewayWith(`batches: { window: { from: "${hour(2)}", to: "${hour(4)}" } }\n`);
    const { url } = gateway;
    const { id } = await begin(url, [line(1, "sim/echo"), "no json"]);
    const seen = await until(url, id, ({ request_counts: counts }) => counts.failed === 1);
    expect(seen).toMatchObject({ status: "in_progress", request_counts: { total: 2, completed: 0, failed: 1 } });
    expect(await gateway.rows()).toEqual([]);
    await cancel(url, id);
    await until(url, id, ({ status }) => status === "cancelled");
    expect(await gateway.rows()).toEqual([]);
  });

  it("goes no further than its budget, and does not fail for it", async () => {
    const gateway = await gatewayWith(
      `batches: { concurrency: 1 }\nsim: { models: { penny: { text: ok, price: { perCallUsd: 0.01 } } } }\nbudgets: [{ match: { session: "batch:*" }, usd: 0.03, per: day, hard: true }]\n`,
    );
    const { url } = gateway;
    const { id } = await begin(
      url,
      Array.from({ length: 6 }, (_, place) => line(place, "sim/penny")),
    );
    const refused = async (): Promise<number> => (await gateway.rows()).filter(({ problem }) => problem === "budget_exhausted").length;
    while ((await refused()) === 0) await new Promise((resolve) => setTimeout(resolve, 25));
    expect((await gateway.rows()).filter(({ state }) => state === "done")).toHaveLength(3);
    expect(await read(url, id)).toMatchObject({ status: "in_progress", request_counts: { total: 6, completed: 3, failed: 0 } });
    await cancel(url, id);
    const ended = await until(url, id, ({ status }) => status === "cancelled");
    expect(ended.request_counts.completed).toBe(3);
  });

  it("ends with its key", async () => {
    const gateway = await gatewayWith(SLOW);
    const { url, house } = gateway;
    const secret = await gateway.key({ name: "leaver" });
    const { id } = await begin(
      url,
      Array.from({ length: 12 }, (_, place) => line(place, "sim/slow")),
      secret,
    );
    await until(url, id, ({ request_counts: counts }) => counts.completed >= 3, secret);
    const [record] = (await house.stores.keys.list()).filter(({ name }) => name === "leaver");
    await house.stores.keys.revoke(record?.id ?? "", Date.now());
    house.gateway.admission.forgetKeys();
    const scope = record?.id ?? "";
    const batch = async () => house.stores.batches.read(scope, id, Date.now());
    while (!(await batch())?.ended) await new Promise((resolve) => setTimeout(resolve, 25));
    const counts = (await batch())?.counts;
    expect(counts?.failed).toBeGreaterThan(0);
    expect((counts?.ok ?? 0) + (counts?.failed ?? 0)).toBe(12);
  });

  it("says that its file was deleted", async () => {
    const { url, house } = await gatewayWith("batches: { window: { from: '00:00', to: '00:00' } }\n");
    const { id } = await begin(url, [line(1, "sim/echo")]);
    await until(url, id, ({ status }) => status === "completed");
    const made = await begin(
      url,
      Array.from({ length: 4000 }, (_, place) => line(place, `sim/echo`)),
    );
    const batch = await house.stores.batches.read("anonymous", made.id, Date.now());
    await house.stores.files.delete("anonymous", batch?.inputFile ?? "");
    const ended = await until(url, made.id, ({ status }) => status === "failed");
    expect(ended).toMatchObject({ errors: { data: [{ code: "not_found", message: expect.stringContaining("deleted") }] } });
  });
});

describe("an upload", () => {
  it("that says it has 200 MB is refused unread", async () => {
    const { url } = await gatewayWith("");
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const headers = { "content-type": "multipart/form-data; boundary=b", "content-length": String(200 * 1024 * 1024) };
      const upload = request(`${url}/v1/files`, { method: "POST", headers }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
        upload.destroy();
      });
      upload.on("error", reject);
      upload.write("--b\r\n");
    });
    expect(status).toBe(413);
  });

  it("is bounded also when it does not say how long it is, and by all files together", async () => {
    const { url } = await gatewayWith("files: { maxBytes: 100000, callerBytes: 150000 }\n");
    const upload = async (bytes: number): Promise<readonly [number, string | null]> => {
      const form = new FormData();
      form.set("purpose", "user_data");
      form.set("file", new Blob([Buffer.alloc(bytes)]), "a.bin");
      const answer = await fetch(`${url}/v1/files`, { method: "POST", body: form });
      await answer.text();
      return [answer.status, answer.headers.get("x-gimbal-problem")];
    };
    expect(await upload(100_001)).toEqual([413, "too_large"]);
    expect(await upload(100_000)).toEqual([200, null]);
    expect(await upload(50_001)).toEqual([413, "too_large"]);
    expect(await upload(50_000)).toEqual([200, null]);
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) yield Buffer.alloc(64 * 1024);
    }
    const answer = await fetch(`${url}/v1/files`, {
      method: "POST",
      headers: { "content-type": "multipart/form-data; boundary=b" },
      body: endless(),
      duplex: "half",
    }).catch(() => undefined);
    // A client that goes on sending may miss the answer, but never fills the memory.
    if (answer) expect(answer.status).toBe(413);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
  });
});

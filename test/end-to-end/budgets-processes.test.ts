import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { endAll, serve, type Served } from "./resume-process.ts";

const folders: string[] = [];
afterEach(async () => {
  endAll();
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true, force: true, maxRetries: 5 })));
});

interface Place {
  readonly folder: string;
  readonly file: string;
}

async function place(config: string): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), "gimbal-budgets-"));
  folders.push(folder);
  const file = join(folder, "gimbal.yaml");
  await writeFile(file, `version: 1\n${config}`);
  return { folder: join(folder, "data"), file };
}

function ask(url: string, model: string, stream = false): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, stream, messages: [{ role: "user", content: "hi" }], max_tokens: 10 }),
  });
}

async function status(url: string, model: string): Promise<number> {
  const response = await ask(url, model);
  await response.text();
  return response.status;
}

interface Counter {
  readonly spent: string;
  readonly reserved: string;
}

async function counterOf({ url }: Served, { folder }: Place): Promise<Counter | undefined> {
  const token = (await readFile(join(folder, "admin-token"), "utf8")).trim();
  const response = await fetch(`${url}/admin/api/budgets`, { headers: { authorization: `Bearer ${token}` } });
  const { budgets } = (await response.json()) as { budgets: { counters: Counter[] }[] };
  return budgets[0]?.counters[0];
}

const PENNY = `  penny: { text: "ok", price: { perCallUsd: 0.01 } }`;

describe("budgets over processes", () => {
  it("let exactly as many calls pass as they have room for, of a thousand at once over three processes", async () => {
    const at = await place(`sim:\n  models:\n  ${PENNY}\nbudgets: [{ usd: 1, per: lifetime }]\n`);
    const served = await serve(at.folder, at.file, ["--workers", "3"]);
    const statuses = await Promise.all(Array.from({ length: 1000 }, () => status(served.url, "sim/penny")));
    expect(statuses.filter((code) => code === 200)).toHaveLength(100);
    expect(statuses.filter((code) => code === 402)).toHaveLength(900);
    expect(await status(served.url, "sim/penny")).toBe(402);
    await expect.poll(() => counterOf(served, at), { timeout: 10_000 }).toMatchObject({ spent: "1.000000000", reserved: "0.000000000" });
  }, 90_000);

  it("book what running calls had reserved when all processes are killed, and hold after that", async () => {
    const at = await place(`sim:
  models:
  ${PENNY}
    slow: { text: "some words that take long", ttftMs: 10, tokensPerSecond: 1, price: { perCallUsd: 0.01 } }
budgets: [{ usd: 0.1, per: lifetime }]
`);
    const first = await serve(at.folder, at.file);
    for (let call = 0; call < 3; call++) expect(await status(first.url, "sim/penny")).toBe(200);
    const running = await Promise.all(Array.from({ length: 4 }, () => ask(first.url, "sim/slow", true)));
    const readers = running.map((response) => response.body?.getReader());
    await Promise.all(readers.map(async (reader) => reader?.read()));
    // Their open records leave for the disk by themselves, within a moment.
    await expect.poll(() => openCalls(at), { timeout: 10_000 }).toBe(4);
    await first.kill();
    await Promise.all(readers.map(async (reader) => reader?.cancel().catch(() => {})));
    const second = await serve(at.folder, at.file);
    expect(await counterOf(second, at)).toMatchObject({ spent: "0.070000000", reserved: "0.000000000" });
    const statuses = await Promise.all(Array.from({ length: 20 }, () => status(second.url, "sim/penny")));
    expect(statuses.filter((code) => code === 200)).toHaveLength(3);
  }, 60_000);

  it("limits of a day are not begun anew by a restart, also after kill -9", async () => {
    const at = await place(`limits: [{ match: {}, requests: 50, per: day }]\n`);
    const first = await serve(at.folder, at.file);
    for (let call = 0; call < 30; call++) expect(await status(first.url, "sim/echo")).toBe(200);
    await first.kill();
    const second = await serve(at.folder, at.file);
    const statuses = await Promise.all(Array.from({ length: 40 }, () => status(second.url, "sim/echo")));
    const passed = statuses.filter((code) => code === 200).length;
    // What the dead process had leased and not used counts as used: at most a sixteenth.
    expect(passed).toBeLessThanOrEqual(20);
    expect(passed).toBeGreaterThanOrEqual(16);
  }, 60_000);

  it("limits hold over three processes", async () => {
    const at = await place(`limits: [{ match: {}, requests: 100, per: day }]\n`);
    const served = await serve(at.folder, at.file, ["--workers", "3"]);
    const statuses = await Promise.all(Array.from({ length: 300 }, () => status(served.url, "sim/echo")));
    expect(statuses.filter((code) => code === 200)).toHaveLength(100);
    expect(statuses.filter((code) => code === 429)).toHaveLength(200);
  }, 90_000);
});

async function openCalls({ folder }: Place): Promise<number> {
  const { DatabaseSync } = await import("node:sqlite");
  const database = new DatabaseSync(join(folder, "record.db"), { readOnly: true });
  try {
    return Number(database.prepare("SELECT count(*) AS open FROM open_calls WHERE holds IS NOT NULL").get()?.["open"]);
  } finally {
    database.close();
  }
}

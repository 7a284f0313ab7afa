import { spawn } from "node:child_process";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { ProblemError } from "../../src/canon/index.ts";
import { ManualClock } from "../../src/kit/index.ts";
import { FOLDER_IN_USE, lockHolder, openSqlite } from "../../src/stores/index.ts";
import { DEFAULT_STORAGE } from "../../src/stores/options.ts";
import { temporaryFolder } from "./folders.ts";
import { keptTurn, keyRecord, ledgerRow, openRecord, START } from "./rows.ts";

const clock = new ManualClock(START);
const open = (folder: string): ReturnType<typeof openSqlite> => openSqlite({ folder, node: "node-a", clock });

async function problemOf(promise: Promise<unknown>): Promise<ProblemError["problem"] | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    if (error instanceof ProblemError) return error.problem;
    throw error;
  }
}

describe("the data folder", () => {
  it("keeps everything over a restart", async () => {
    const folder = temporaryFolder();
    const first = await open(folder);
    await first.ledger.settle(ledgerRow("call_1"));
    await first.keys.create(keyRecord("key_1"));
    await first.config.append({ createdAt: START, author: "file", text: "a" });
    await first.calls.keepTurn(keptTurn("resp_1"));
    first.ledger.open(openRecord("call_2"));
    const generation = await first.keys.generation();
    await first.close();

    const second = await open(folder);
    expect(await second.ledger.read("call_1")).toEqual(ledgerRow("call_1"));
    expect(await second.keys.byHash("hash-key_1")).toEqual(keyRecord("key_1"));
    expect(await second.keys.generation()).toBe(generation);
    expect((await second.config.append({ createdAt: START, author: "file", text: "a" })).version).toBe(1);
    expect(await second.calls.readTurn("key_1", "resp_1", START)).toEqual(keptTurn("resp_1"));
    expect(await second.ledger.interruptOpen("node-a", "p")).toBe(1);
    await second.close();
  });

  it("is refused to a second opening, naming the process, and free again after closing", async () => {
    const folder = temporaryFolder();
    const first = await open(folder);
    const problem = await problemOf(open(folder));
    expect(problem).toMatchObject({ kind: "conflict", code: FOLDER_IN_USE });
    expect(problem?.message).toContain(`process ${process.pid}`);
    expect(lockHolder(folder)).toMatchObject({ pid: process.pid, node: "node-a" });
    await first.close();
    await (await open(folder)).close();
  });

  it("is refused to a second process", async () => {
    const folder = temporaryFolder();
    const stores = await open(folder);
    const child = spawn(process.execPath, [join(import.meta.dirname, "crash-child.ts"), folder, "x"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
    const code = await new Promise((resolve) => child.once("close", resolve));
    expect(code).toBe(1);
    expect(said).toContain(`is in use by process ${process.pid}`);
    await stores.close();
  });

  it("says what to do when it cannot be made", async () => {
    const file = join(temporaryFolder(), "a-file");
    writeFileSync(file, "");
    const problem = await problemOf(open(file));
    expect(problem?.kind).toBe("storage_unavailable");
    expect(problem?.message).toContain("--data");
  });

  it("is refused when its database is none, and the lock is given back", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "record.db"), "this is no database, however long one looks at it ".repeat(100));
    for (const _ of [1, 2]) expect((await problemOf(open(folder)))?.kind).toBe("storage_unavailable");
  });

  it("is for its owner only", async () => {
    const folder = join(temporaryFolder(), "data");
    const stores = await open(folder);
    await stores.calls.keepTurn(keptTurn("resp_1"));
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(folder).filter((file) => /^(record|serving)/.test(file)))
      expect([name, statSync(join(folder, name)).mode & 0o077]).toEqual([name, 0]);
    await stores.close();
  });

  it("a closed record takes nothing more and says so", async () => {
    const stores = await open(temporaryFolder());
    await stores.close();
    await stores.close();
    expect((await problemOf(stores.ledger.settle(ledgerRow("call_1"))))?.kind).toBe("storage_unavailable");
    expect((await problemOf(stores.ledger.count()))?.kind).toBe("storage_unavailable");
  });

  it("one bad row is refused alone", async () => {
    const stores = await open(temporaryFolder());
    const bad = stores.ledger.settle(ledgerRow("call_bad", { costNanodollars: 0.5 }));
    const good = stores.ledger.settle(ledgerRow("call_good"));
    expect((await problemOf(bad))?.message).toContain("cost_nanodollars");
    await good;
    expect(stores.ledger.failure()).toBeUndefined();
    expect(await stores.ledger.count()).toBe(1);
    await stores.close();
  });
});

describe("serving data at rest", () => {
  it("cannot be read from the files, nor without the key", async () => {
    const folder = temporaryFolder();
    const secret = "the-patient-has-a-cold";
    const first = await open(folder);
    await first.calls.keepTurn(keptTurn("resp_1", { answer: secret }));
    await first.calls.keepNative([
      { scope: "key_1", anchor: "call:1", items: [{ type: "compaction", text: secret }], expiresAt: START + 9 },
    ]);
    await first.close();
    for (const name of readdirSync(folder)) expect([name, readFileSync(join(folder, name)).includes(secret)]).toEqual([name, false]);

    const key = join(folder, "serving.key");
    const old = readFileSync(key, "utf8");
    const other = `${Buffer.alloc(32, 7).toString("base64")}\n`;
    writeFileSync(key, other);
    const second = await open(folder);
    expect(await second.calls.readTurn("key_1", "resp_1", START)).toBeUndefined();
    await second.calls.keepTurn(keptTurn("resp_2"));
    await second.close();

    // A new key on top of the old one: both kinds of rows open.
    writeFileSync(key, other + old);
    const third = await open(folder);
    expect((await third.calls.readTurn("key_1", "resp_1", START))?.answer).toBe(secret);
    expect(await third.calls.readTurn("key_1", "resp_2", START)).toBeDefined();
    await third.close();
  });

  it("does not open when a row was moved to another caller", async () => {
    const folder = temporaryFolder();
    const first = await open(folder);
    await first.calls.keepTurn(keptTurn("resp_1"));
    await first.close();
    const database = new DatabaseSync(join(folder, "serving.db"));
    database.exec("UPDATE turns SET scope = 'key_2'");
    database.close();
    const second = await open(folder);
    expect(await second.calls.readTurn("key_2", "resp_1", START)).toBeUndefined();
    await second.close();
  });

  it("a damaged key file is said, not replaced; one that others can read is closed to them", async () => {
    const folder = temporaryFolder();
    const key = join(folder, "serving.key");
    writeFileSync(key, "c2hvcnQ=\n");
    expect((await problemOf(open(folder)))?.message).toContain("is damaged");
    expect(readFileSync(key, "utf8")).toBe("c2hvcnQ=\n");
    writeFileSync(key, `${Buffer.alloc(32, 7).toString("base64")}\n`, { mode: 0o644 });
    await (await open(folder)).close();
    expect(statSync(key).mode & 0o777).toBe(0o600);
  });

  it("is erased with its file, while the record stays", async () => {
    const folder = temporaryFolder();
    const first = await open(folder);
    await first.calls.keepTurn(keptTurn("resp_1"));
    await first.ledger.settle(ledgerRow("call_1"));
    await first.close();
    writeFileSync(join(folder, "serving.db"), "");
    const second = await open(folder);
    expect(await second.calls.readTurn("key_1", "resp_1", START)).toBeUndefined();
    expect(await second.ledger.count()).toBe(1);
    await second.close();
  });
});

describe("a disk that refuses", () => {
  /** Another connection that holds the write lock is the one failure of writing that a test can end again. */
  function blocked(folder: string): () => void {
    const database = new DatabaseSync(join(folder, "record.db"));
    database.exec("BEGIN IMMEDIATE");
    return () => {
      database.exec("ROLLBACK");
      database.close();
    };
  }

  /** Resolves at the next change of the failure. */
  function failures(): { onFailure: (why: string | undefined) => void; next: () => Promise<string | undefined> } {
    const seen: (string | undefined)[] = [];
    let wake = (): void => {};
    return {
      onFailure: (why) => {
        seen.push(why);
        wake();
      },
      next: async () => {
        while (seen.length === 0) await new Promise<void>((resolve) => (wake = resolve));
        return seen.shift();
      },
    };
  }

  it("keeps ledger rows, rejects what people wait for, says why, and recovers by itself", async () => {
    const folder = temporaryFolder();
    const own = new ManualClock(START);
    const { onFailure, next } = failures();
    const stores = await openSqlite({ folder, node: "n", clock: own, onFailure });
    const release = blocked(folder);
    const row = stores.ledger.settle(ledgerRow("call_1"));
    const key = problemOf(stores.keys.create(keyRecord("key_1")));
    expect(await next()).toContain("locked");
    expect(stores.ledger.failure()).toContain("locked");
    expect((await key)?.kind).toBe("storage_unavailable");
    expect((await problemOf(stores.keys.create(keyRecord("key_1"))))?.kind).toBe("storage_unavailable");
    const later = stores.ledger.settle(ledgerRow("call_2"));
    expect(await stores.ledger.count()).toBe(0);
    release();
    own.advance(DEFAULT_STORAGE.retryMs);
    expect(await next()).toBeUndefined();
    await Promise.all([row, later]);
    expect(await stores.ledger.count()).toBe(2);
    await stores.keys.create(keyRecord("key_1"));
    await stores.close();
  });

  it("recovers also when nothing waits to be written", async () => {
    const folder = temporaryFolder();
    const own = new ManualClock(START);
    const { onFailure, next } = failures();
    const stores = await openSqlite({ folder, node: "n", clock: own, onFailure });
    const release = blocked(folder);
    expect((await problemOf(stores.keys.create(keyRecord("key_1"))))?.kind).toBe("storage_unavailable");
    expect(await next()).toContain("locked");
    release();
    own.advance(DEFAULT_STORAGE.retryMs);
    expect(await next()).toBeUndefined();
    await stores.close();
  });

  it("has a bounded queue: more is rejected and said, and room comes back", async () => {
    const folder = temporaryFolder();
    const own = new ManualClock(START);
    const { onFailure, next } = failures();
    const options = { ...DEFAULT_STORAGE, queueRows: 100 };
    const stores = await openSqlite({ folder, node: "n", clock: own, onFailure, options });
    const release = blocked(folder);
    const first = stores.ledger.settle(ledgerRow("call_first"));
    expect(await next()).toContain("locked");
    const rows = Array.from({ length: 99 }, (_, number) => stores.ledger.settle(ledgerRow(`call_${number}`)));
    const problem = await problemOf(stores.ledger.settle(ledgerRow("call_too_many")));
    expect(problem?.message).toContain("100 writes wait");
    expect(await next()).toContain("storage.queueRows");
    release();
    own.advance(DEFAULT_STORAGE.retryMs);
    expect(await next()).toBeUndefined();
    await Promise.all([first, ...rows]);
    expect(await stores.ledger.count()).toBe(100);
    await stores.close();
  });

  it("closing tries once more and then gives up, rejecting what is lost", async () => {
    const folder = temporaryFolder();
    const { onFailure, next } = failures();
    const stores = await openSqlite({ folder, node: "n", clock: new ManualClock(START), onFailure });
    const release = blocked(folder);
    const row = problemOf(stores.ledger.settle(ledgerRow("call_1")));
    expect(await next()).toContain("locked");
    await stores.close();
    expect((await row)?.kind).toBe("storage_unavailable");
    release();
  });

  it("is noticed also when files may not grow: nothing acknowledged is lost", async () => {
    const folder = temporaryFolder();
    // The shell's unit is 512 or 1024 bytes; either way the record hits the limit after some dozen rows.
    const child = spawn(
      "sh",
      ["-c", 'ulimit -f 800; exec "$0" "$@"', process.execPath, join(import.meta.dirname, "full-child.ts"), folder],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    expect(await new Promise((resolve) => child.once("close", resolve))).toBe(0);
    const lines = output.trim().split("\n");
    expect(lines.filter((line) => line.startsWith("failed: "))).toHaveLength(1);
    const stores = await open(folder);
    const acknowledged = lines.filter((line) => line.startsWith("call_"));
    expect(acknowledged.length).toBeGreaterThan(10);
    for (const id of acknowledged) expect(await stores.ledger.read(id)).toBeDefined();
    await stores.close();
  });
});

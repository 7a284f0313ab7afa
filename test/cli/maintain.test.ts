import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runCli } from "../../src/cli/index.ts";
import { ManualClock, SeededRandomness } from "../../src/kit/index.ts";
import { createModelBook } from "../../src/models/index.ts";
import { openSqlite } from "../../src/stores/index.ts";
import { migrate } from "../../src/stores/sqlite/migrate.ts";
import { recordMigrations } from "../../src/stores/sqlite/migrations/record.ts";
import { servingMigrations } from "../../src/stores/sqlite/migrations/serving.ts";
import { keptTurn, ledgerRow, START } from "../stores/rows.ts";

const clock = new ManualClock(START);
let folder: string;
let output: string;
let complaints: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gimbal-maintain-"));
  output = complaints = "";
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const data = (): string => join(folder, ".gimbal");
const open = (at = data()): ReturnType<typeof openSqlite> => openSqlite({ folder: at, node: "node-a", clock });

function run(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<number> {
  return runCli(argv, {
    env,
    cwd: folder,
    root: folder,
    version: "0.0.1",
    nodeVersion: "26.10.0",
    clock,
    randomness: new SeededRandomness(7),
    out: (text) => void (output += text),
    err: (text) => void (complaints += text),
    serve: () => Promise.resolve(0),
    openStores: () => Promise.reject(new Error("unexpected")),
    discover: () => Promise.resolve({ providers: {}, models: {} }),
    openProviders: () => Promise.resolve(new Map()),
    openStage: () => Promise.reject(new Error("unexpected")),
    book: () => createModelBook(),
    isRunning: () => true,
    fetch: () => Promise.reject(new Error("unexpected")),
  });
}

describe("gimbal backup and restore", () => {
  it("copies a record that is being written, and puts it back as it was", async () => {
    const stores = await open();
    await stores.ledger.settle(ledgerRow("call_1"));
    await stores.calls.keepTurn(keptTurn("resp_1"));
    expect(await run(["backup", "--to", "copy", "--with-keys"])).toBe(0);
    await stores.ledger.settle(ledgerRow("call_2"));
    expect(await run(["restore", "--from", "copy"])).toBe(1);
    expect(complaints).toContain("is in use by process");
    await stores.close();
    expect(readdirSync(join(folder, "copy")).toSorted()).toEqual(["backup.json", "record.db", "serving.db", "serving.key"]);
    expect(statSync(join(folder, "copy/serving.key")).mode & 0o077).toBe(0);
    expect(await run(["restore", "--from", "copy"])).toBe(0);
    const restored = await open();
    expect((await restored.ledger.list({ limit: 9 })).map((row) => row.callId)).toEqual(["call_1"]);
    expect((await restored.calls.readTurn("key_1", "resp_1", START))?.id).toBe("resp_1");
    await restored.close();
    const aside = readdirSync(data()).find((name) => name.startsWith("before-restore-")) ?? "";
    expect(readdirSync(join(data(), aside))).toContain("record.db");
    expect(output).toContain(aside);
  });

  it("leaves keys out unless asked, and into a folder that has none the record comes without them", async () => {
    const stores = await open();
    await stores.ledger.settle(ledgerRow("call_1"));
    await stores.calls.keepTurn(keptTurn("resp_1"));
    await stores.close();
    expect(await run(["backup", "--to", "copy"])).toBe(0);
    expect(output).toContain("It holds no keys");
    expect(existsSync(join(folder, "copy/serving.key"))).toBe(false);
    expect(await run(["restore", "--from", "copy", "--data", "other"])).toBe(0);
    const restored = await open(join(folder, "other"));
    expect(await restored.ledger.count()).toBe(1);
    expect(await restored.calls.readTurn("key_1", "resp_1", START)).toBeUndefined();
    await restored.close();
  });

  it("refuses what is no backup, is damaged or newer, and leaves the folder alone", async () => {
    const stores = await open();
    await stores.ledger.settle(ledgerRow("call_1"));
    await stores.close();
    await run(["backup", "--to", "copy"]);
    const before = readdirSync(data());
    expect(await run(["restore", "--from", "absent"])).toBe(1);
    const manifestFile = join(folder, "copy/backup.json");
    const manifest = readFileSync(manifestFile, "utf8");
    const refused = async (text: string, words: string): Promise<void> => {
      writeFileSync(manifestFile, text);
      complaints = "";
      expect(await run(["restore", "--from", "copy"])).toBe(1);
      expect(complaints).toContain(words);
    };
    await refused("{", "is no backup");
    await refused(manifest.replace('"version": 1', '"version": 2'), "does not know");
    await refused(manifest.replace('"record.db"', '"../record.db"'), "no part of a backup");
    await refused(manifest.replace(/"schema": \d+/, '"schema": 999'), "newer version");
    chmodSync(join(folder, "copy/record.db"), 0o600);
    writeFileSync(join(folder, "copy/record.db"), "damage");
    await refused(manifest, "not what was backed up");
    expect(readdirSync(data())).toEqual(before);
  });

  it("says what is missing, and sends a database to its own tools", async () => {
    expect(await run(["backup"])).toBe(2);
    expect(await run(["restore"])).toBe(2);
    expect(await run(["backup", "--to", "copy"])).toBe(1);
    await (await open()).close();
    await run(["backup", "--to", "copy"]);
    expect(await run(["backup", "--to", "copy"])).toBe(1);
    expect(complaints).toContain("exists already");
    expect(await run(["backup", "--to", "b"], { GIMBAL_DATABASE_URL: "postgres://x" })).toBe(2);
    expect(complaints).toContain("pg_dump");
    expect(await run(["restore", "--from", "b"], { GIMBAL_DATABASE_URL: "postgres://x" })).toBe(2);
    expect(complaints).toContain("pg_restore");
  });
});

describe("gimbal migrate", () => {
  it("says what is missing, keeps a copy of what was there, and then has nothing to do", async () => {
    expect(await run(["migrate"])).toBe(1);
    mkdirSync(data());
    const path = join(data(), "record.db");
    migrate(path, recordMigrations.slice(0, 1), START);
    expect(await run(["migrate", "--dry-run", "--json"])).toBe(0);
    const { databases } = JSON.parse(output) as { databases: { database: string; from: number; steps: string[] }[] };
    expect(databases[0]).toMatchObject({ database: "record.db", from: 1, to: recordMigrations.length });
    expect(databases[0]?.steps[0]).toBe("2 rollbacks and switches");
    expect(readdirSync(data()).filter((name) => name.includes("before"))).toEqual([]);
    output = "";
    expect(await run(["migrate"])).toBe(0);
    expect(readdirSync(data()).filter((name) => name.startsWith("record.db.before-2-"))).toHaveLength(1);
    expect(output).toContain("record.db.before-2-");
    output = "";
    expect(await run(["migrate"])).toBe(0);
    expect(output).toBe(
      `record.db: version ${recordMigrations.length}, nothing to do.\nserving.db: version ${servingMigrations.length}, nothing to do.\n`,
    );
  });

  it("refuses while a gateway holds the folder, and for a newer version's record", async () => {
    const stores = await open();
    expect(await run(["migrate"])).toBe(1);
    expect(complaints).toContain("is in use");
    await stores.close();
    expect(await run(["migrate"])).toBe(0);
    expect(output).toContain("nothing to do");
    const database = new DatabaseSync(join(data(), "record.db"));
    database.exec("INSERT INTO migrations VALUES (999, 'later', 0)");
    database.close();
    expect(await run(["migrate", "--dry-run"])).toBe(1);
    expect(complaints).toContain("newer version");
  });

  it("says why a database cannot be used", async () => {
    expect(await run(["migrate"], { GIMBAL_DATABASE_URL: "postgres://127.0.0.1:1/x" })).toBe(1);
    expect(complaints).toContain("nothing listens there");
  });
});

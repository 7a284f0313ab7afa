import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../src/kit/index.ts";
import { openSqlite } from "../../src/stores/index.ts";
import { temporaryFolder } from "./folders.ts";
import { START } from "./rows.ts";

const SECRET = "sk-live-4f6b1d0c9a8e7";
const TEXT = `version: 1\nproviders: { openai: { apiKey: ${SECRET} } }\n`;
const clock = new ManualClock(START);
const open = (folder: string): ReturnType<typeof openSqlite> => openSqlite({ folder, node: "n", clock });

/** Names of the folder's files that hold the text anywhere. */
function holding(folder: string, text: string): string[] {
  return readdirSync(folder).filter((name) => readFileSync(join(folder, name)).includes(text));
}

/** The record as releases before this one left it: every version in plain text, and what was rewritten still lying about. */
async function oldRecord(folder: string): Promise<void> {
  await (await open(folder)).close();
  const database = new DatabaseSync(join(folder, "record.db"));
  database.exec("PRAGMA secure_delete = OFF");
  const insert = database.prepare("INSERT INTO config_versions (version, created_at, author, text) VALUES (?, ?, 'file', ?)");
  for (let version = 1; version <= 40; version++) insert.run(version, START, `${TEXT}# ${version}\n${"x".repeat(version * 200)}`);
  database.exec("DELETE FROM config_versions WHERE version > 30");
  database.close();
}

describe("versions of the configuration", () => {
  it("are nowhere in the data folder in plain text", async () => {
    const folder = temporaryFolder();
    const stores = await open(folder);
    await stores.config.append({ createdAt: START, author: "file", text: TEXT });
    expect(holding(folder, SECRET)).toEqual([]);
    expect((await stores.config.read(1))?.text).toBe(TEXT);
    expect((await stores.config.list(9)).map(({ text }) => text)).toEqual([TEXT]);
    expect((await stores.config.append({ createdAt: START, author: "file", text: TEXT })).version).toBe(1);
    await stores.close();
    expect(holding(folder, SECRET)).toEqual([]);
  });

  it("that an earlier release kept in plain text are sealed at the next start, residues included", async () => {
    const folder = temporaryFolder();
    await oldRecord(folder);
    expect(holding(folder, SECRET)).toEqual(["record.db"]);
    const stores = await open(folder);
    expect((await stores.config.read(7))?.text).toContain(`${TEXT}# 7\n`);
    expect(await stores.config.list(99)).toHaveLength(30);
    await stores.close();
    expect(holding(folder, SECRET)).toEqual([]);
  });

  it("cannot be read without their key, nor moved to another number, and are then no hindrance", async () => {
    const folder = temporaryFolder();
    const first = await open(folder);
    for (const text of ["a", "b"]) await first.config.append({ createdAt: START, author: "file", text });
    await first.close();
    const database = new DatabaseSync(join(folder, "record.db"));
    database.exec("UPDATE config_versions SET text = (SELECT text FROM config_versions WHERE version = 1) WHERE version = 2");
    database.close();
    const moved = await open(folder);
    expect((await moved.config.read(1))?.text).toBe("a");
    expect(await moved.config.read(2)).toBeUndefined();
    await moved.close();

    rmSync(join(folder, "serving.key"));
    const second = await open(folder);
    expect(await second.config.read(1)).toBeUndefined();
    expect((await second.config.list(9)).map(({ version, text }) => [version, text.startsWith("#")])).toEqual([
      [2, true],
      [1, true],
    ]);
    expect((await second.config.append({ createdAt: START, author: "file", text: "b" })).version).toBe(3);
    await second.close();
  });
});

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../src/kit/index.ts";
import { openSqlite } from "../../src/stores/index.ts";
import { migrate, type Migration } from "../../src/stores/sqlite/migrate.ts";
import { recordMigrations } from "../../src/stores/sqlite/migrations/record.ts";
import { servingMigrations } from "../../src/stores/sqlite/migrations/serving.ts";
import { temporaryFolder } from "./folders.ts";
import { ledgerRow, START } from "./rows.ts";

const one: Migration = { number: 1, name: "people", sql: "CREATE TABLE people (name TEXT); INSERT INTO people VALUES ('ada')" };
const two: Migration = { number: 2, name: "ages", sql: "ALTER TABLE people ADD COLUMN age INTEGER" };
const broken: Migration = { number: 3, name: "broken", sql: "INSERT INTO people VALUES ('eve', 1); CREATE TABLE nonsense" };

function query(path: string, sql: string): unknown[] {
  const database = new DatabaseSync(path);
  try {
    return database
      .prepare(sql)
      .all()
      .map((row) => ({ ...row }));
  } finally {
    database.close();
  }
}

describe("migrations", () => {
  it.each([
    ["record", recordMigrations],
    ["serving", servingMigrations],
  ])("of the %s are numbered from 1 without gaps", (_, list) => {
    expect(list.map((migration) => migration.number)).toEqual(list.map((_migration, index) => index + 1));
  });

  it("go forward once, each recorded", () => {
    const path = join(temporaryFolder(), "a.db");
    expect(migrate(path, [one, two], 7)).toEqual({ from: 0, to: 2 });
    expect(migrate(path, [one, two], 8)).toEqual({ from: 2, to: 2 });
    expect(query(path, "SELECT * FROM migrations")).toEqual([
      { number: 1, name: "people", applied_at: 7 },
      { number: 2, name: "ages", applied_at: 7 },
    ]);
  });

  it("copy a database in use before they change it", () => {
    const path = join(temporaryFolder(), "a.db");
    migrate(path, [one], 7);
    const { backup } = migrate(path, [one, two], 8);
    expect(backup).toBe(`${path}.before-2-8`);
    expect(query(backup ?? "", "SELECT * FROM people")).toEqual([{ name: "ada" }]);
    expect(query(path, "SELECT * FROM people")).toEqual([{ name: "ada", age: null }]);
  });

  it("a step that fails leaves nothing of itself", () => {
    const path = join(temporaryFolder(), "a.db");
    migrate(path, [one, two], 7);
    expect(() => migrate(path, [one, two, broken], 8)).toThrow(/Step 3 \(broken\) of the upgrade failed/);
    expect(query(path, "SELECT count(*) AS people FROM people")).toEqual([{ people: 1 }]);
    expect(migrate(path, [one, two], 9)).toEqual({ from: 2, to: 2 });
  });

  it("a database of a newer version is refused and left alone", async () => {
    const folder = temporaryFolder();
    const clock = new ManualClock(START);
    const stores = await openSqlite({ folder, node: "n", clock });
    await stores.ledger.settle(ledgerRow("call_1"));
    await stores.close();
    const path = join(folder, "record.db");
    query(path, `INSERT INTO migrations VALUES (${recordMigrations.length + 1}, 'from tomorrow', 0) RETURNING number`);
    await expect(openSqlite({ folder, node: "n", clock })).rejects.toThrow(/written by a newer version of Gimbal/);
    expect(query(path, "SELECT count(*) AS rows FROM ledger")).toEqual([{ rows: 1 }]);
    expect(readdirSync(folder).filter((name) => name.includes("before"))).toEqual([]);
    expect(existsSync(path)).toBe(true);
  });
});

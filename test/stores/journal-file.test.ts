import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { part, texts } from "../contracts/journal.contract.ts";
import { packSpill, type Spill } from "../../src/stores/journal-block.ts";
import { JournalFile } from "../../src/stores/sqlite/journal-file.ts";
import { Sealer } from "../../src/stores/sealing/sealer.ts";
import { temporaryFolder } from "./folders.ts";
import { START } from "./rows.ts";

const HEAD = { status: 200, headers: {} };
const FRAME = "f".repeat(10_000);
const MIB = 1024 * 1024;
const FOREVER = START + 1e9;

const open = (folder: string, maxBytes = MIB): JournalFile => new JournalFile(folder, new Sealer([Buffer.alloc(32, 1)]), maxBytes);
const one = (id: string, first: number, frames: readonly string[], rest: object = {}): Spill =>
  packSpill([part(id, first, frames, rest)], START);
const sizeOf = (folder: string): number => statSync(join(folder, "journal.db")).size;

function sqlOn(folder: string, work: (database: DatabaseSync) => void): void {
  const database = new DatabaseSync(join(folder, "journal.db"));
  work(database);
  database.close();
}

describe("the journal's file", () => {
  it("is bounded: the oldest go first, and what is gone is told as gone", () => {
    const folder = temporaryFolder();
    const journal = open(folder);
    journal.append(one("call_old", 1, ["first", FRAME], { head: HEAD, until: FOREVER }));
    journal.append(one("call_new", 1, ["first"], { head: HEAD }));
    for (let number = 2; number < 500; number++) journal.append(one("call_new", number, [`${number};${FRAME}`]));
    const page = journal.page("call_new", 0, 10 * MIB, START, 0);
    expect(page?.head).toBeUndefined();
    expect(page?.first).toBeGreaterThan(400 - 5);
    expect(page?.frames.length).toBeLessThanOrEqual(105);
    expect(journal.page("call_old", 0, MIB, START, 0)).toMatchObject({ first: 3, frames: [] });
    journal.close();
    expect(sizeOf(folder)).toBeLessThan(3 * MIB);
    const again = open(folder);
    expect(texts(again.page("call_new", 498, MIB, START, 0))[0]).toMatch(/^499;/);
    again.close();
  });

  it("forgets in time what nobody may read any more, and keeps what a running call needs", () => {
    const folder = temporaryFolder();
    const journal = open(folder, 100 * MIB);
    journal.append(one("call_short", 1, [FRAME], { head: HEAD, until: START + 10 }));
    journal.append(one("call_long", 1, ["begin"], { head: HEAD }));
    for (let number = 0; number < 20; number++) journal.append(one(`call_${number}`, 1, [FRAME], { head: HEAD, until: START + 10 }));
    for (let step = 0; step < 5; step++) journal.append(packSpill([], START + 20));
    expect(journal.entry("call_short", START)).toBeUndefined();
    expect(texts(journal.page("call_long", 0, MIB, START + 20, 0))).toEqual(["begin"]);
    journal.append(packSpill([part("call_long", 2, [], { until: START + 30 })], START + 20));
    for (let step = 0; step < 5; step++) journal.append(packSpill([], START + 40));
    journal.close();
    sqlOn(folder, (database) => {
      expect(database.prepare("SELECT (SELECT count(*) FROM calls) AS calls, (SELECT count(*) FROM blocks) AS blocks").get()).toMatchObject(
        {
          calls: 0,
          blocks: 0,
        },
      );
    });
  });

  it("shows nothing of an answer in clear", () => {
    const folder = temporaryFolder();
    const journal = open(folder);
    journal.append(
      one("call_1", 1, ["a very secret answer"], { head: { status: 200, headers: { "x-hidden": "private" } }, until: FOREVER }),
    );
    journal.close();
    const bytes = readFileSync(join(folder, "journal.db")).toString("latin1");
    expect(bytes).toContain("call_1");
    expect(bytes).not.toContain("secret");
    expect(bytes).not.toContain("private");
    expect(statSync(join(folder, "journal.db")).mode & 0o077).toBe(0);
  });

  it("takes a block that was tampered with for one that is gone, and gives the others", () => {
    const folder = temporaryFolder();
    const journal = open(folder);
    for (const number of [1, 2, 3]) journal.append(one("call_1", number, [`frame ${number}`], number === 1 ? { head: HEAD } : {}));
    journal.close();
    sqlOn(folder, (database) => database.exec("UPDATE blocks SET sealed = zeroblob(length(sealed)) WHERE id = 2"));
    const again = open(folder);
    const page = again.page("call_1", 0, MIB, START, 0);
    expect([page?.first, texts(page)]).toEqual([1, ["frame 1"]]);
    const rest = again.page("call_1", 1, MIB, START, page?.next ?? 0);
    expect([rest?.first, texts(rest)]).toEqual([3, ["frame 3"]]);
    // A block moved to another's place opens no more than a forged one.
    again.close();
    sqlOn(folder, (database) => database.exec("UPDATE blocks SET sealed = (SELECT sealed FROM blocks WHERE id = 3) WHERE id = 1"));
    const moved = open(folder);
    expect(moved.page("call_1", 0, MIB, START, 0)).toMatchObject({ first: 3, head: undefined });
    moved.close();
  });

  it("is begun anew when it is damaged or of another version", () => {
    for (const harm of [
      (folder: string) => writeFileSync(join(folder, "journal.db"), "this is no database ".repeat(1000)),
      (folder: string) => sqlOn(folder, (database) => database.exec("PRAGMA user_version = 99")),
    ]) {
      const folder = temporaryFolder();
      const before = open(folder);
      before.append(one("call_1", 1, ["old"], { head: HEAD }));
      before.close();
      harm(folder);
      const after = open(folder);
      expect(after.entry("call_1", START)).toBeUndefined();
      after.append(one("call_2", 1, ["new"], { head: HEAD }));
      expect(texts(after.page("call_2", 0, MIB, START, 0))).toEqual(["new"]);
      after.close();
    }
  });

  it("that cannot be written refuses the whole append, and works again afterwards", () => {
    const folder = temporaryFolder();
    let journal = open(folder);
    journal.append(one("call_1", 1, ["one"], { head: HEAD }));
    journal.close();
    sqlOn(folder, (database) =>
      database.exec("CREATE TRIGGER full BEFORE INSERT ON blocks WHEN NEW.id > 2 BEGIN SELECT RAISE(ABORT, 'full'); END"),
    );
    journal = open(folder);
    const both = packSpill([part("call_1", 2, ["x".repeat(200_000)]), part("call_2", 1, ["z"], { head: HEAD })], START);
    expect(both.blocks).toHaveLength(2);
    expect(() => journal.append(both)).toThrow("full");
    expect(texts(journal.page("call_1", 0, MIB, START, 0))).toEqual(["one"]);
    expect(journal.entry("call_2", START)).toBeUndefined();
    journal.close();
    sqlOn(folder, (database) => database.exec("DROP TRIGGER full"));
    journal = open(folder);
    journal.append(one("call_1", 2, ["two"]));
    expect(texts(journal.page("call_1", 0, MIB, START, 0))).toEqual(["one", "two"]);
    journal.close();
  });
});

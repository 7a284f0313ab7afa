import { fork, spawn } from "node:child_process";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { ChainVerifier, parseEntry } from "../../src/ledger/audit/index.ts";
import type { Stores } from "../../src/canon/index.ts";
import { ManualClock, SeededRandomness } from "../../src/kit/index.ts";
import { ipcChannel, openSqlite, primaryHost } from "../../src/stores/index.ts";
import { Database } from "../../src/stores/sqlite/database.ts";
import { JournalFile } from "../../src/stores/sqlite/journal-file.ts";
import { Sealer } from "../../src/stores/sealing/sealer.ts";
import { auditNote } from "../contracts/audit.contract.ts";
import { temporaryFolder } from "./folders.ts";
import { keyRecord } from "./rows.ts";

const CHILD = join(import.meta.dirname, "audit-child.ts");
const KILLS = 5;
const clock = new ManualClock();

/** The subjects of a chain that holds, in order. */
async function subjectsOf({ audit }: Stores): Promise<string[]> {
  const verifier = new ChainVerifier(undefined, []);
  const subjects: string[] = [];
  for (let after = 0; ;) {
    const page = await audit.read(after, 1000);
    for (const { text, ...kept } of page) {
      verifier.add(text, kept);
      subjects.push(parseEntry(text)?.subject ?? "");
    }
    if (page.length < 1000) break;
    after += page.length;
  }
  expect(verifier.end()).toMatchObject({ ok: true, entries: subjects.length });
  return subjects;
}

async function killedAfter(folder: string, prefix: string, after: number): Promise<string[]> {
  const child = spawn(process.execPath, [CHILD, prefix, folder], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (text: string) => {
    output += text;
    if (output.split("\n").length > after) child.kill("SIGKILL");
  });
  await new Promise((resolve) => child.once("close", resolve));
  return output.split("\n").slice(0, -1);
}

describe("the audit in the data folder", () => {
  it("holds after kill -9, with an entry for every key and a key for every entry", async () => {
    const folder = temporaryFolder();
    const random = new SeededRandomness(20_260_104);
    const acknowledged: string[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      acknowledged.push(...(await killedAfter(folder, `run${kill}`, 1 + Math.floor(random.number() * 300))));
      const stores = await openSqlite({ folder, node: "node-a", clock });
      const subjects = await subjectsOf(stores);
      const keys = (await stores.keys.list()).map(({ id }) => `key:${id}`);
      await stores.close();
      expect(subjects.toSorted()).toEqual(keys.toSorted());
      const kept = new Set(subjects);
      expect(acknowledged.filter((id) => !kept.has(`key:${id}`))).toEqual([]);
    }
    expect(acknowledged.length).toBeGreaterThan(KILLS);
  });

  it("is one chain for two processes, in the order in which the primary had them", async () => {
    const stores = await openSqlite({ folder: temporaryFolder(), node: "primary", clock });
    const host = primaryHost(stores);
    const exits = ["one", "two"].map((name) => {
      const child = fork(CHILD, [name, "100"], { serialization: "advanced", execArgv: [], silent: true });
      host.attach(ipcChannel(child));
      return new Promise((resolve) => child.once("exit", resolve));
    });
    expect(await Promise.all(exits)).toEqual([0, 0]);
    const subjects = await subjectsOf(stores);
    expect(subjects).toHaveLength(200);
    for (const name of ["one", "two"]) {
      const own = subjects.filter((subject) => subject.startsWith(`key:${name}-`)).map((subject) => Number(subject.split("-")[1]));
      // Five at a time are under way; those of a batch come before those of the next.
      expect(own.map((number) => Math.floor(number / 5))).toEqual(Array.from({ length: 100 }, (_, place) => Math.floor(place / 5)));
    }
    await stores.close();
  });

  it("is neither changed nor shortened by a statement, and a change without its entry is none", async () => {
    const folder = temporaryFolder();
    await (await openSqlite({ folder, node: "n", clock })).close();
    const sealer = new Sealer([Buffer.alloc(32, 1)]);
    const database = new Database(folder, sealer, new JournalFile(folder, sealer, 1_000_000));
    database.commit([{ name: "appendAudit", args: [auditNote("a")] }]);
    // An entry that the record refuses: its key is not made either, while the rest of the batch is.
    const unwritable = auditNote("b", { details: { big: "x".repeat(10) } });
    const outcome = database.commit([
      { name: "createKey", args: [keyRecord("k1")] },
      {
        name: "noted",
        args: [
          { ...unwritable, id: null as unknown as string },
          { name: "createKey", args: [keyRecord("k2")] },
        ],
      },
      { name: "createKey", args: [keyRecord("k3")] },
    ]);
    expect(outcome).toMatchObject({ outcomes: [undefined, { problem: { kind: "storage_unavailable" } }] });
    expect(database.read("keys", []).map(({ id }) => id)).toEqual(["k1", "k3"]);
    expect(database.read("auditHead", [])?.sequence).toBe(1);
    database.close();
    const file = new DatabaseSync(join(folder, "record.db"));
    for (const statement of ["UPDATE audit SET text = ''", "DELETE FROM audit"])
      expect(() => file.exec(statement)).toThrow("the audit is only appended to");
    file.close();
  });
});

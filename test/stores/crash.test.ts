import { spawn } from "node:child_process";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { ManualClock, SeededRandomness } from "../../src/kit/index.ts";
import { openSqlite } from "../../src/stores/index.ts";
import { temporaryFolder } from "./folders.ts";

const CHILD = join(import.meta.dirname, "crash-child.ts");
const KILLS = 5;

/** Runs the child until it has acknowledged `after` rows, kills it, and returns the ids it had acknowledged. */
async function killedAfter(folder: string, prefix: string, after: number): Promise<string[]> {
  const child = spawn(process.execPath, [CHILD, folder, prefix], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (text: string) => {
    output += text;
    if (output.split("\n").length > after) child.kill("SIGKILL");
  });
  await new Promise((resolve) => child.once("close", resolve));
  // Its last line may be cut short, and was not said then.
  return output.split("\n").slice(1, -1);
}

function integrityOf(folder: string): unknown {
  const database = new DatabaseSync(join(folder, "record.db"));
  try {
    return database.prepare("PRAGMA integrity_check").get()?.["integrity_check"];
  } finally {
    database.close();
  }
}

describe("a process killed while it writes", () => {
  it("has lost no row it was told is durable, doubled none, and left a record for what was open", async () => {
    const folder = temporaryFolder();
    const random = new SeededRandomness(20_260_101);
    const clock = new ManualClock();
    const acknowledged: string[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const said = await killedAfter(folder, `run${kill}`, 1 + Math.floor(random.number() * 1200));
      acknowledged.push(...said);
      // Opening succeeds at once: the lock died with the process.
      const stores = await openSqlite({ folder, node: "node-a", clock });
      expect(await stores.ledger.interruptOpen("node-a", "prices-1")).toBeGreaterThanOrEqual(1);
      expect((await stores.ledger.read(`run${kill}-never-settled`))?.state).toBe("interrupted");
      const rows = await stores.ledger.count();
      await stores.close();
      const ids = idsIn(folder);
      expect(rows).toBe(ids.length);
      expect(new Set(ids).size).toBe(ids.length);
      const kept = new Set(ids);
      expect(acknowledged.filter((id) => !kept.has(id))).toEqual([]);
      expect(integrityOf(folder)).toBe("ok");
    }
    expect(acknowledged.length).toBeGreaterThan(KILLS);
  });
});

function idsIn(folder: string): string[] {
  const database = new DatabaseSync(join(folder, "record.db"), { readOnly: true });
  try {
    return database
      .prepare("SELECT call_id FROM ledger")
      .all()
      .map((row) => String(row["call_id"]));
  } finally {
    database.close();
  }
}

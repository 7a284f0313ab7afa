import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Verdict } from "../../src/ledger/audit/index.ts";
import { runCli } from "../../src/cli/index.ts";
import { openHouse, type House } from "../../src/house.ts";
import { systemClock, SystemRandomness } from "../../src/kit/index.ts";
import { createModelBook } from "../../src/models/index.ts";
import { announce } from "../../src/server/admin-token.ts";
import { openSqlite } from "../../src/stores/index.ts";

let folder: string;
let output = "";
let complaints = "";
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "gimbal-audit-"))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(() => void ([output, complaints] = ["", ""]));

function run(...argv: readonly string[]): Promise<number> {
  [output, complaints] = ["", ""];
  return runCli([...argv, "--data", folder], {
    env: {},
    cwd: folder,
    root: folder,
    version: "0",
    nodeVersion: "26.0.0",
    clock: systemClock,
    randomness: new SystemRandomness(),
    out: (text) => void (output += text),
    err: (text) => void (complaints += text),
    serve: () => Promise.reject(new Error("unexpected")),
    openStores: (path) => openSqlite({ folder: path, node: "cli", clock: systemClock }),
    discover: () => Promise.resolve({ providers: {}, models: {} }),
    openProviders: () => Promise.resolve(new Map()),
    book: () => createModelBook(),
    openStage: () => Promise.reject(new Error("unexpected")),
    isRunning: () => true,
    fetch,
  });
}
async function verdict(...argv: readonly string[]): Promise<Verdict & { readonly exit: number }> {
  const exit = await run("audit", "verify", "--json", ...argv);
  return { ...(JSON.parse(output) as Verdict), exit };
}
/** Changes the record as somebody with the file in hand can. */
function tamper(...statements: readonly string[]): void {
  const database = new DatabaseSync(join(folder, "record.db"));
  database.exec("DROP TRIGGER IF EXISTS audit_unchanged; DROP TRIGGER IF EXISTS audit_kept");
  for (const statement of statements) database.exec(statement);
  database.close();
}

describe("gimbal audit", () => {
  let house: House;
  let retract: () => Promise<void>;
  beforeAll(async () => {
    house = await openHouse({
      config: { text: "version: 1\naudit: { keyName: log.example/cli }\n", fileName: "gimbal.yaml" },
      folder,
      host: "127.0.0.1",
      port: 0,
      env: {},
      log: () => {},
    });
    retract = await announce(folder, house.url);
    for (let number = 0; number < 5; number++) await run("keys", "create", "--name", `key ${number}`);
  });

  it("asks a running gateway: what happened, by whom, and whether it holds", async () => {
    expect(await run("audit", "list", "--limit", "2")).toBe(0);
    expect(output).toMatch(/NO +TIME +ACTOR +ACTION +SUBJECT +OUTCOME\n\d+ .* admin +key\.create +key:\S+ +done\n/);
    expect(await verdict()).toMatchObject({ exit: 0, ok: true, signed: 0, checkpoints: 0 });
    expect(await run("audit", "checkpoint")).toBe(0);
    writeFileSync(join(folder, "kept.txt"), output);
    expect(output).toMatch(/^log\.example\/cli\n/);
    const after = await verdict("--checkpoint", "kept.txt");
    expect(after).toMatchObject({ exit: 0, ok: true, checkpoints: 2 });
    expect(after.signed).toBeGreaterThan(6);
    expect(await run("audit", "verify")).toBe(0);
    expect(output).toContain("The audit holds");
  });

  it("exports what verifies by itself, with the public key", async () => {
    expect(await run("audit", "key")).toBe(0);
    const key = output.trim();
    expect(statSync(join(folder, "audit.key")).mode & 0o777).toBe(0o600);
    expect(await run("audit", "export", "--out", "audit.jsonl")).toBe(0);
    expect(await run("audit", "export", "--out", "audit.jsonl")).toBe(1);
    const text = readFileSync(join(folder, "audit.jsonl"), "utf8");
    expect(await verdict("--file", "audit.jsonl", "--key", key)).toMatchObject({ exit: 0, ok: true, keyGiven: true });
    expect(await verdict("--file", "audit.jsonl")).toMatchObject({ exit: 0, ok: true, keyGiven: false });
    expect(complaints).toContain("whoever wrote the file chose it");
    writeFileSync(join(folder, "edited.jsonl"), text.replace('"action":"key.create"', '"action":"key.revoke"'));
    const edited = await verdict("--file", "edited.jsonl", "--key", key);
    expect(edited).toMatchObject({ exit: 1, ok: false, fault: { kind: "edited" } });
    writeFileSync(join(folder, "short.jsonl"), `${text.trimEnd().split("\n").slice(0, -2).join("\n")}\n`);
    expect(await run("audit", "verify", "--file", "short.jsonl", "--key", key)).toBe(1);
    expect(complaints).toMatch(/The audit does not hold\. .* the end is missing from entry \d+ on/);
  });

  it("refuses wrong use", async () => {
    expect(await run("audit", "verify", "--key", "nonsense")).toBe(2);
    expect(await run("audit", "verify", "--checkpoint", "missing.txt")).toBe(2);
    expect(await run("audit", "verify", "--file", "missing.jsonl")).toBe(2);
    expect(await run("audit", "verify", "--file", "kept.txt")).toBe(1);
  });

  it("reads the data folder of a gateway that has stopped, and finds what was done to it meanwhile", async () => {
    await retract();
    await house.close();
    const { entries, signed, exit } = await verdict("--checkpoint", "kept.txt");
    // It signed a last checkpoint when it stopped.
    expect([exit, signed]).toEqual([0, entries]);
    tamper("CREATE TABLE backup AS SELECT * FROM audit");
    const restore = "DELETE FROM audit; INSERT INTO audit SELECT * FROM backup";

    tamper(`UPDATE audit SET text = replace(text, '"admin"', '"nobody"') WHERE sequence = 4`);
    expect(await verdict()).toMatchObject({ exit: 1, fault: { kind: "edited", sequence: 4 } });
    tamper(restore, "DELETE FROM audit WHERE sequence = 3");
    expect(await verdict()).toMatchObject({ exit: 1, fault: { kind: "removed", sequence: 3 } });
    tamper(
      restore,
      "UPDATE audit SET text = (SELECT text FROM backup WHERE sequence = 11 - audit.sequence), hash = (SELECT hash FROM backup WHERE sequence = 11 - audit.sequence) WHERE sequence IN (5, 6)",
    );
    expect(await verdict()).toMatchObject({ exit: 1, fault: { kind: "reordered", sequence: 5 } });
    tamper(restore, "DELETE FROM audit WHERE sequence > 4");
    expect(await verdict()).toMatchObject({ exit: 1, fault: { kind: "truncated", sequence: 5 } });
    // Together with its checkpoints: only what was kept elsewhere knows better.
    tamper("DELETE FROM audit_checkpoints");
    expect(await verdict()).toMatchObject({ exit: 0 });
    expect(await verdict("--checkpoint", "kept.txt")).toMatchObject({ exit: 1, fault: { kind: "truncated", sequence: 5 } });
    tamper(restore);
    expect(await verdict("--checkpoint", "kept.txt")).toMatchObject({ exit: 0 });
  });
});

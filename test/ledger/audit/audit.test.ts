import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { ProblemError, type AuditStore } from "../../../src/canon/index.ts";
import { ManualClock, SeededRandomness } from "../../../src/kit/index.ts";
import { Audit, openAuditKey, parseEntry, readAuditKey, type Entry } from "../../../src/ledger/audit/index.ts";
import { newSeed, signerKey } from "../../../src/ledger/audit/signed-note.ts";
import { memoryAudit } from "../../../src/stores/audit.ts";

const START = Date.UTC(2026, 0, 1);
const MINUTE = 60_000;

interface Bench {
  readonly audit: Audit;
  readonly clock: ManualClock;
  readonly lines: string[];
  readonly entries: () => Promise<readonly Entry[]>;
  readonly sizes: () => Promise<readonly number[]>;
}

function bench(store: AuditStore = memoryAudit(), checkpointEntries = 1000): Bench {
  const clock = new ManualClock(START);
  const lines: string[] = [];
  const signer = signerKey("log.example/a", newSeed());
  const audit = new Audit({
    store,
    clock,
    randomness: new SeededRandomness(3),
    key: () => signer,
    options: { checkpointEntries, checkpointMinutes: 60 },
    log: (line) => lines.push(line),
  });
  return {
    audit,
    clock,
    lines,
    entries: async () => (await store.read(0, 1000)).flatMap(({ text }) => parseEntry(text) ?? []),
    sizes: async () => (await store.checkpoints(0, 1000)).map(({ size }) => size),
  };
}

function folderOf(): string {
  const folder = mkdtempSync(join(tmpdir(), "gimbal-audit-key-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
/** Lets everything that is settled go on. */
const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve();
};

describe("the audit of a process", () => {
  it("knows who acts, in which request, also where two act at once", async () => {
    const { audit, entries } = bench();
    await Promise.all([
      audit.as({ actor: "person:ada", requestId: "req_1" }, async () => {
        await turns();
        await audit.note({ action: "budget.change", subject: "team:search" });
      }),
      audit.as({ actor: "person:bob", requestId: "req_2" }, () =>
        audit.note({ action: "key.rotate", subject: "key:1", outcome: "failed" }),
      ),
      audit.note({ action: "gateway.start", subject: "node:a" }),
    ]);
    const { notes } = await audit.as({ actor: "admin" }, () => Promise.resolve());
    expect(notes).toBe(0);
    expect(
      (await entries())
        .map(({ actor, requestId, outcome }) => [actor, requestId, outcome])
        .toSorted((a, b) => (String(a) < String(b) ? -1 : 1)),
    ).toEqual([
      ["gateway", undefined, "done"],
      ["person:ada", "req_1", "done"],
      ["person:bob", "req_2", "failed"],
    ]);
  });

  it("keeps names within bounds, and details that are too large as their hash", async () => {
    const { audit, entries } = bench();
    await audit.note({ action: "a", subject: "s".repeat(5000), details: { text: "x".repeat(9000) } });
    const [entry] = await entries();
    expect(entry?.subject).toHaveLength(401);
    expect(entry?.details).toEqual({ hash: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as unknown, letters: 9011 });
  });

  it("refuses what cannot be noted, and notes reading as soon as it can", async () => {
    const store = memoryAudit();
    let full = true;
    const { audit, clock, entries, lines } = bench({
      ...store,
      append: (note) =>
        full ? Promise.reject(new ProblemError({ kind: "storage_unavailable", message: "the disk is full" })) : store.append(note),
    });
    await expect(audit.note({ action: "key.create", subject: "key:1" })).rejects.toThrow("the disk is full");
    for (let number = 0; number < 1003; number++) await audit.noteRead({ action: "data.read", subject: `GET /ledger ${number}` });
    expect(lines).toHaveLength(1);
    full = false;
    clock.advance(10_000);
    await turns();
    for (let turn = 0; turn < 200; turn++) await turns();
    await audit.note({ action: "after", subject: "x" });
    const all = await store.read(1000, 10);
    expect((await entries()).slice(0, 1000).every(({ action }) => action === "data.read")).toBe(true);
    expect(all.map(({ text }) => parseEntry(text)?.action)).toEqual(["audit.lost", "after"]);
    expect(parseEntry(all[0]?.text ?? "")?.details).toEqual({ notes: 3 });
  });

  it("signs after so many entries, after so long, and when it ends", async () => {
    const { audit, clock, sizes } = bench(memoryAudit(), 3);
    const say = (): Promise<unknown> => audit.note({ action: "a", subject: "s" });
    for (let number = 0; number < 3; number++) await say();
    clock.advance(1);
    await turns();
    expect(await sizes()).toEqual([3]);
    await say();
    for (let minute = 0; minute < 61; minute++) {
      clock.advance(MINUTE);
      await turns();
    }
    expect(await sizes()).toEqual([3, 4]);
    for (let minute = 0; minute < 200; minute++) {
      clock.advance(MINUTE);
      await turns();
    }
    expect(await sizes()).toEqual([3, 4]);
    await say();
    await audit.close();
    await audit.close();
    expect(await sizes()).toEqual([3, 4, 5]);
  });

  it("says that a chain is broken instead of signing it", async () => {
    const store = memoryAudit();
    const { audit, lines } = bench({ ...store, read: async (after, limit) => (await store.read(after, limit)).slice(1) });
    for (let number = 0; number < 3; number++) await audit.note({ action: "a", subject: "s" });
    await expect(audit.checkpoint()).rejects.toThrow("The audit is broken at entry 1");
    await audit.note({ action: "a", subject: "s" });
    await audit.close();
    expect(lines).toEqual([expect.stringContaining("No checkpoint of the audit was signed: The audit is broken")]);
  });
});

describe("the key of the audit", () => {
  const random = new SeededRandomness(5);

  it("is made once, for its owner's eyes only, with a name of its own", () => {
    const folder = folderOf();
    expect(readAuditKey({ folder })).toBeUndefined();
    const made = openAuditKey({ folder }, random);
    expect(made.verifier.name).toMatch(/^gimbal\.local\/audit\//);
    expect(statSync(join(folder, "audit.key")).mode & 0o777).toBe(0o600);
    expect(openAuditKey({ folder }, random).verifier.text).toBe(made.verifier.text);
    expect(readFileSync(join(folder, "audit.key"), "utf8")).toMatch(/^PRIVATE\+KEY\+gimbal\.local/);
    // PRIVATE+KEY+name+id+key, and the key is base64, which may hold a plus itself.
    const secret = readFileSync(join(folder, "audit.key"), "utf8").trim().split("+").slice(4).join("+");
    expect(secret.length).toBeGreaterThan(40);
    expect(JSON.stringify(made)).not.toContain(secret);
  });

  it("has the name and the place that the configuration says, and no other afterwards", () => {
    const folder = folderOf();
    mkdirSync(join(folder, "keys"));
    const place = { folder, file: "keys/own.key", name: "log.example/b" };
    expect(openAuditKey(place, random).verifier.name).toBe("log.example/b");
    expect(statSync(join(folder, "keys/own.key")).mode & 0o777).toBe(0o600);
    expect(() => openAuditKey({ ...place, name: "log.example/c" }, random)).toThrow('is called "log.example/b"');
  });

  it("is not replaced when it is damaged", () => {
    const folder = folderOf();
    writeFileSync(join(folder, "audit.key"), "rubbish\n");
    expect(() => openAuditKey({ folder }, random)).toThrow("holds no audit key");
  });
});

import { describe, expect, it } from "vitest";
import type { AuditNote, AuditRecord } from "../../../src/canon/index.ts";
import { ChainVerifier, checkpointNow, exportHead, verifyExport, type Verdict } from "../../../src/ledger/audit/index.ts";
import { newSeed, signerKey } from "../../../src/ledger/audit/signed-note.ts";
import { memoryAudit, nextEntry, NO_PREVIOUS } from "../../../src/stores/audit.ts";

const ENTRIES = 20;
const signer = signerKey("log.example/a", newSeed());
const other = signerKey("log.example/a", newSeed());

function note(number: number, change: Partial<AuditNote> = {}): AuditNote {
  return { id: `n${number}`, at: number, actor: "admin", action: "key.create", subject: `key:${number}`, outcome: "done", ...change };
}

/** A chain with checkpoints of 5, 12 and all of its entries. */
async function chain(): Promise<{ records: readonly AuditRecord[]; checkpoints: readonly string[] }> {
  const store = memoryAudit();
  for (let number = 1; number <= ENTRIES; number++) {
    await store.append(note(number));
    if ([5, 12, ENTRIES].includes(number)) await checkpointNow(store, signer, number);
  }
  return { records: await store.read(0, 1000), checkpoints: (await store.checkpoints(0, 100)).map((one) => one.note) };
}

/** As from the data folder, where hashes are kept beside the texts. */
function verify(records: readonly AuditRecord[], checkpoints: readonly string[], key = signer): Verdict {
  const verifier = new ChainVerifier(key.verifier, checkpoints);
  for (const { text, ...kept } of records) verifier.add(text, kept);
  return verifier.end();
}
async function verifyTexts(texts: readonly string[], checkpoints: readonly string[], kept: readonly string[] = []): Promise<Verdict> {
  const lines = [...exportHead(signer.verifier.text, checkpoints).trimEnd().split("\n"), ...texts];
  async function* each(): AsyncGenerator<string> {
    yield* lines;
  }
  return verifyExport(each(), signer.verifier, kept);
}
const edit = (record: AuditRecord): AuditRecord => ({ ...record, text: record.text.replace('"admin"', '"nobody"') });

/** The chain from `from` on with another history, hashes and all. */
function rewritten(records: readonly AuditRecord[], from: number): AuditRecord[] {
  const made: AuditRecord[] = records.slice(0, from - 1);
  for (let number = from; number <= records.length; number++)
    made.push(nextEntry(note(number, number === from ? { actor: "nobody" } : {}), made.at(-1)));
  return made;
}

describe("verification", () => {
  it("holds for what was not touched", async () => {
    const { records, checkpoints } = await chain();
    const fine = { ok: true, entries: ENTRIES, signed: ENTRIES, checkpoints: 3 };
    expect(verify(records, checkpoints)).toEqual(fine);
    expect(verify(records.slice(0, 14), checkpoints.slice(0, 2))).toEqual({ ok: true, entries: 14, signed: 12, checkpoints: 2 });
    expect(verify([], [])).toEqual({ ok: true, entries: 0, signed: 0, checkpoints: 0 });
    expect(
      await verifyTexts(
        records.map(({ text }) => text),
        checkpoints,
      ),
    ).toMatchObject({ ...fine, keyGiven: true });
  });

  it("finds an edit at every place, whether or not its hash was made to fit", async () => {
    const { records, checkpoints } = await chain();
    for (let place = 0; place < ENTRIES; place++) {
      const fault = { kind: "edited", sequence: place + 1 };
      const edited = records.map((record, at) => (at === place ? edit(record) : record));
      expect(verify(edited, checkpoints).fault).toMatchObject(fault);
      // In an export nothing follows the last entry that could contradict it: the checkpoint does.
      const found = (
        await verifyTexts(
          edited.map(({ text }) => text),
          checkpoints,
        )
      ).fault;
      if (place < ENTRIES - 1) expect(found).toMatchObject(fault);
      else expect(found).toMatchObject({ kind: "rewritten", sequence: 13, through: ENTRIES });
      const changed = nextEntry({ ...note(place + 1), actor: "nobody" }, records[place - 1]);
      const hashed = records.map((record, at) => (at === place ? changed : record));
      if (place < ENTRIES - 1) expect(verify(hashed, checkpoints).fault).toMatchObject(fault);
    }
  });

  it("finds what was removed, at every place, and what was swapped", async () => {
    const { records, checkpoints } = await chain();
    for (let place = 0; place < ENTRIES; place++) {
      const gone = records.filter((_, at) => at !== place);
      const kind = place === ENTRIES - 1 ? "truncated" : "removed";
      expect(verify(gone, checkpoints).fault).toMatchObject({ kind, sequence: place + 1 });
      expect(
        (
          await verifyTexts(
            gone.map(({ text }) => text),
            checkpoints,
          )
        ).fault,
      ).toMatchObject({ kind, sequence: place + 1 });
    }
    for (let place = 0; place + 1 < ENTRIES; place++) {
      const swapped = [...records];
      const [one, two] = [records[place], records[place + 1]];
      if (!one || !two) throw new Error("no entries");
      [swapped[place], swapped[place + 1]] = [two, one];
      const fault = { kind: "reordered", sequence: place + 1 };
      expect(
        (
          await verifyTexts(
            swapped.map(({ text }) => text),
            checkpoints,
          )
        ).fault,
      ).toMatchObject(fault);
      expect(verify(swapped, checkpoints).fault).toMatchObject(fault);
      // As in a database: the numbers beside the texts are in order.
      const renumbered = swapped.map((record, at) => ({ ...record, sequence: at + 1 }));
      expect(verify(renumbered, checkpoints).fault).toMatchObject(fault);
    }
  });

  it("finds a history that was made anew, between the checkpoints that say so", async () => {
    const { records, checkpoints } = await chain();
    const ranges = [
      [1, 1, 5],
      [5, 1, 5],
      [6, 6, 12],
      [20, 13, 20],
    ] as const;
    for (const [from, sequence, through] of ranges) {
      expect(verify(rewritten(records, from), checkpoints).fault).toMatchObject({ kind: "rewritten", sequence, through });
      // Without a checkpoint it is a chain like any other.
      expect(verify(rewritten(records, from), []).ok).toBe(true);
    }
    const kept = checkpoints.slice(1, 2);
    expect(
      (
        await verifyTexts(
          rewritten(records, 3).map(({ text }) => text),
          [],
          kept,
        )
      ).fault,
    ).toMatchObject({ kind: "rewritten", sequence: 1 });
  });

  it("finds a missing end against a checkpoint kept elsewhere", async () => {
    const { records, checkpoints } = await chain();
    const [five = "", , all = ""] = checkpoints;
    const texts = records.slice(0, 14).map(({ text }) => text);
    expect((await verifyTexts(texts, [five])).ok).toBe(true);
    expect((await verifyTexts(texts, [five], [all])).fault).toMatchObject({ kind: "truncated", sequence: 15 });
    expect((await verifyTexts([], [], [all])).fault).toMatchObject({ kind: "truncated", sequence: 1 });
  });

  it("believes no checkpoint of another key, and no damaged one", async () => {
    const { records, checkpoints } = await chain();
    expect(verify(records, checkpoints, other).fault).toMatchObject({ kind: "checkpoint", sequence: 5 });
    const [five = "", twelve = ""] = checkpoints;
    expect(verify(records, [five, twelve.replace("\n12\n", "\n13\n")]).fault).toMatchObject({ kind: "checkpoint", sequence: 13 });
    expect(verify(records, [five, "nothing"]).fault).toMatchObject({ kind: "checkpoint", sequence: 1 });
    const verifier = new ChainVerifier(undefined, [five]);
    expect(verifier.end().ok).toBe(false);
  });

  it("takes no text that says the same in other letters", async () => {
    const { records } = await chain();
    const [first] = records;
    const padded = { ...nextEntry(note(1), undefined), text: `${first?.text ?? ""} ` };
    expect(verify([padded], []).fault).toMatchObject({ kind: "edited", sequence: 1 });
    expect((await verifyTexts([padded.text], [])).fault).toMatchObject({ kind: "edited", sequence: 1 });
    expect((await verifyTexts(["rubbish"], [])).fault).toMatchObject({ kind: "edited", sequence: 1 });
    const begun = nextEntry(note(1), { sequence: 0, hash: NO_PREVIOUS.replace("0", "1") });
    expect((await verifyTexts([begun.text], [])).fault).toMatchObject({ kind: "edited", sequence: 1 });
  });

  it("signs no chain that is broken", async () => {
    const store = memoryAudit();
    for (let number = 1; number <= 3; number++) await store.append(note(number));
    await checkpointNow(store, signer, 1);
    await store.append(note(4));
    const [, , , fourth] = await store.read(0, 10);
    if (!fourth) throw new Error("no entry");
    const damaged = { ...store, read: async (after: number) => (after === 2 ? store.read(2, 1) : [edit(fourth)]) };
    await expect(checkpointNow(damaged, signer, 2)).rejects.toThrow("broken at entry 4");
    const shortened = { ...store, read: () => Promise.resolve([]) };
    await expect(checkpointNow(shortened, signer, 2)).rejects.toThrow("broken at entry 3");
  });

  it("says of a file that is no export that it is none", async () => {
    async function* lines(...texts: readonly string[]): AsyncGenerator<string> {
      yield* texts;
    }
    for (const texts of [[], ["{}"], ["rubbish"], ['{"format":"gimbal-audit","version":2,"key":"","checkpoints":0}']])
      await expect(verifyExport(lines(...texts), signer.verifier, [])).rejects.toThrow(/It is (no|an) export/);
  });
});

import { describe, expect, it } from "vitest";
import { readCheckpoint, signCheckpoint } from "../../../src/ledger/audit/checkpoint.ts";
import { Frontier, leafHash } from "../../../src/ledger/audit/merkle.ts";
import {
  isSignedBy,
  newSeed,
  readNote,
  readSignerKey,
  readVerifierKey,
  signerKey,
  signNote,
  writeSignerKey,
} from "../../../src/ledger/audit/signed-note.ts";

/** Entries and roots with which implementations of RFC 6962 are compared. */
const LEAVES = ["", "\u0000", "\u0010", " !", "01", "@ABC", "PQRSTUVW", "`abcdefghijklmno"];
const ROOTS = [
  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
  "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
  "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
  "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
  "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
  "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
  "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
  "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/** The example of the C2SP signed-note specification. */
const VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const NOTE =
  "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n" +
  "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

describe("the Merkle tree", () => {
  it("has the roots that RFC 6962 says", () => {
    const tree = new Frontier();
    expect(tree.root().toString("hex")).toBe(ROOTS[0]);
    for (const [place, leaf] of LEAVES.entries()) {
      tree.append(leafHash(leaf));
      expect(tree.root().toString("hex")).toBe(ROOTS[place + 1]);
    }
  });
  it("goes on from its frontier at every size", () => {
    for (let size = 0; size <= LEAVES.length; size++) {
      const before = new Frontier();
      for (const leaf of LEAVES.slice(0, size)) before.append(leafHash(leaf));
      const after = Frontier.fromHex(size, before.toHex());
      for (const leaf of LEAVES.slice(size)) after?.append(leafHash(leaf));
      expect(after?.root().toString("hex")).toBe(ROOTS.at(-1));
      expect(after?.size).toBe(LEAVES.length);
    }
  });
  it("takes no frontier of another size", () => {
    expect(Frontier.fromHex(3, ["aa"])).toBeUndefined();
    expect(Frontier.fromHex(1, ["aa"])).toBeUndefined();
    expect(Frontier.fromHex(1, [])).toBeUndefined();
  });
});

describe("signed notes", () => {
  it("verify the example of the specification, and nothing near it", () => {
    const key = readVerifierKey(VERIFIER);
    const note = readNote(NOTE);
    if (!key || !note) throw new Error("not read");
    expect([key.name, key.id, key.text]).toEqual(["PeterNeumann", "c74f20a3", VERIFIER]);
    expect(isSignedBy(note, key)).toBe(true);
    const other = readNote(NOTE.replace("know", "knew"));
    expect(other && isSignedBy(other, key)).toBe(false);
    expect(isSignedBy(note, signerKey("PeterNeumann", newSeed()).verifier)).toBe(false);
  });
  it("are written and read back, beside signatures of others", () => {
    const [one, two] = [signerKey("log.example/a", newSeed()), signerKey("witness", newSeed())];
    const text = "several\n\nlines\n";
    const both = signNote(text, one) + signNote(text, two).slice(text.length + 1);
    const note = readNote(both);
    if (!note) throw new Error("not read");
    expect(note.text).toBe(text);
    expect([one, two].map(({ verifier }) => isSignedBy(note, verifier))).toEqual([true, true]);
    expect(isSignedBy(note, signerKey("third", newSeed()).verifier)).toBe(false);
  });
  it.each(["", "\n", "text\n", "text\n\n", "text\n\n— name\n", "text\n\n- name AAAAAAAA\n", "te\rxt\n\n— name AAAAAAAA\n", NOTE.trimEnd()])(
    "refuse %j",
    (text) => expect(readNote(text)).toBeUndefined(),
  );
  it("keep keys that fit their names only", () => {
    const seed = newSeed();
    const kept = writeSignerKey("log.example/a", seed);
    expect(kept).toMatch(/^PRIVATE\+KEY\+log\.example\/a\+[0-9a-f]{8}\+/);
    expect(readSignerKey(`${kept}\n`)?.verifier.text).toBe(signerKey("log.example/a", seed).verifier.text);
    for (const wrong of [kept.replace("/a", "/b"), kept.slice(0, -8), "", "PRIVATE+KEY+x+00000000+AAAA"])
      expect(readSignerKey(wrong)).toBeUndefined();
    for (const wrong of [VERIFIER.replace("Peter", "Petra"), VERIFIER.replace("c74f", "c74e"), `${VERIFIER}AAAA`, "", "a+b+c"])
      expect(readVerifierKey(wrong)).toBeUndefined();
  });
});

describe("checkpoints", () => {
  it("say origin, size and root", () => {
    const signer = signerKey("log.example/a", newSeed());
    const tree = new Frontier();
    tree.append(leafHash(""));
    const text = signCheckpoint(tree, signer);
    expect(text.split("\n").slice(0, 4)).toEqual(["log.example/a", "1", "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=", ""]);
    expect(readCheckpoint(text)).toMatchObject({ origin: "log.example/a", size: 1, root: ROOTS[1] });
    for (const [from, to] of [
      ["\n1\n", "\n01\n"],
      ["\n1\n", "\n-1\n"],
      ["\n1\n", "\n99999999999999999\n"],
      ["bjQ", ""],
    ] as const)
      expect(readCheckpoint(text.replace(from, to))).toBeUndefined();
  });
});

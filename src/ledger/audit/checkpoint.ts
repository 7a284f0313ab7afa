import type { Frontier } from "./merkle.ts";
import { readNote, signNote, type SignedNote, type SignerKey } from "./signed-note.ts";

/** C2SP tlog-checkpoint: what a log of `size` entries commits to. */
export interface Checkpoint {
  /** The log's own name, which is its key's. */
  readonly origin: string;
  readonly size: number;
  /** Of the Merkle tree, lower-case hex. */
  readonly root: string;
  readonly note: SignedNote;
}

const ROOT_BYTES = 32;

export function signCheckpoint(frontier: Frontier, signer: SignerKey): string {
  const lines = [signer.verifier.name, String(frontier.size), frontier.root().toString("base64")];
  return signNote(`${lines.join("\n")}\n`, signer);
}

/** Undefined when the text is no signed checkpoint. Who signed it is not looked at. */
export function readCheckpoint(text: string): Checkpoint | undefined {
  const note = readNote(text);
  if (!note) return undefined;
  // Further lines are a log's own extensions.
  const [origin = "", size = "", encoded = ""] = note.text.split("\n");
  const root = Buffer.from(encoded, "base64");
  if (origin === "" || !/^(0|[1-9]\d{0,15})$/.test(size) || root.length !== ROOT_BYTES || root.toString("base64") !== encoded)
    return undefined;
  const number = Number(size);
  return Number.isSafeInteger(number) ? { origin, size: number, root: root.toString("hex"), note } : undefined;
}

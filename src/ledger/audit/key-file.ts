import { linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { ProblemError, type Randomness } from "../../canon/index.ts";
import { makeFolder, reasonOf, unavailable } from "../../stores/index.ts";
import { newSeed, readSignerKey, type SignerKey, writeSignerKey } from "./signed-note.ts";

/** In the data folder, unless the configuration names another file. */
export const AUDIT_KEY_FILE = "audit.key";
const OWNER_ONLY = 0o600;

export interface KeyPlace {
  readonly folder: string;
  /** From the folder; undefined: `audit.key`. */
  readonly file?: string | undefined;
  /** What the key is called; undefined: as in the file, or a new unique name. */
  readonly name?: string | undefined;
}

/** The key that signs checkpoints, if there is one. @throws ProblemError storage_unavailable, conflict */
export function readAuditKey(place: KeyPlace): SignerKey | undefined {
  const file = fileOf(place);
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw unavailable(`The audit key ${file} cannot be read: ${reasonOf(error)}.`, { cause: error });
  }
  const key = readSignerKey(text);
  if (!key) throw unavailable(`${file} holds no audit key. Put the right one back; without it nothing can be signed.`);
  if (place.name !== undefined && place.name !== key.verifier.name)
    throw new ProblemError({
      kind: "conflict",
      message: `The audit key in ${file} is called "${key.verifier.name}", and the configuration calls it "${place.name}" (audit.keyName). Take that setting out, or move the file away to begin with a new key.`,
    });
  return key;
}

/** Makes the key where there is none: mode 0600, the same for ever after. @throws ProblemError storage_unavailable, conflict */
export function openAuditKey(place: KeyPlace, randomness: Randomness): SignerKey {
  const there = readAuditKey(place);
  if (there) return there;
  const file = fileOf(place);
  const name = place.name ?? randomness.id("gimbal.local/audit/");
  const draft = `${file}.${randomness.id("")}`;
  try {
    if (place.file === undefined) makeFolder(place.folder);
    writeFileSync(draft, `${writeSignerKey(name, newSeed())}\n`, { mode: OWNER_ONLY, flag: "wx" });
    try {
      // Whole from its first moment, and of two processes one makes it: a link does not replace what is there.
      linkSync(draft, file);
    } finally {
      rmSync(draft, { force: true });
    }
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST"))
      throw unavailable(`The audit key ${file} cannot be written: ${reasonOf(error)}.`, { cause: error });
  }
  const made = readAuditKey(place);
  if (!made) throw unavailable(`The audit key ${file} is gone again.`);
  return made;
}

function fileOf({ folder, file }: KeyPlace): string {
  return resolve(folder, file ?? AUDIT_KEY_FILE);
}

import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { reasonOf, unavailable } from "../problems.ts";
import type { Sealer } from "./serving-key.ts";

/** Begins a text that is sealed: the key's id and the bytes in Base64 follow, each behind a colon. */
const MARK = "gimbal-sealed:1:";

function identity(version: number): readonly string[] {
  return ["config", String(version)];
}

/** A configuration can hold keys written out, and its versions are kept for good: at rest they are sealed like kept turns. */
export function sealConfigText(sealer: Sealer, version: number, text: string): string {
  const { keyId, bytes } = sealer.seal(text, identity(version));
  return `${MARK}${keyId}:${Buffer.from(bytes).toString("base64")}`;
}

/** Undefined when the key is gone, or the row is not what was written. */
export function openConfigText(sealer: Sealer, version: number, stored: string): string | undefined {
  if (!stored.startsWith(MARK)) return undefined;
  const [keyId = "", bytes = ""] = stored.slice(MARK.length).split(":");
  return sealer.open({ keyId, bytes: Buffer.from(bytes, "base64") }, identity(version));
}

/**
 * Seals what earlier releases kept in plain text, and leaves none of it in the file: freed bytes are overwritten, and the file is written
 * anew once. Before migrations, so that the copy they make holds no plain text either. Does nothing where there is nothing to seal.
 * Returns how many versions were sealed. Throws `storage_unavailable`.
 */
export function sealConfiguration(path: string, sealer: Sealer): number {
  if (!existsSync(path)) return 0;
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path);
    database.exec("PRAGMA busy_timeout = 2000; PRAGMA secure_delete = ON");
    if (!database.prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'config_versions'").get()) return 0;
    const plain = database.prepare("SELECT version, text FROM config_versions WHERE substr(text, 1, ?) <> ?").all(MARK.length, MARK);
    if (plain.length === 0) return 0;
    const update = database.prepare("UPDATE config_versions SET text = ? WHERE version = ?");
    database.exec("BEGIN IMMEDIATE");
    for (const row of plain) {
      const version = Number(row["version"]);
      update.run(sealConfigText(sealer, version, String(row["text"])), version);
    }
    database.exec("COMMIT; PRAGMA wal_checkpoint(TRUNCATE); VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
    return plain.length;
  } catch (error) {
    throw unavailable(`${path} cannot be opened: ${reasonOf(error)}. Check the disk and the folder's permissions.`, { cause: error });
  } finally {
    database?.close();
  }
}

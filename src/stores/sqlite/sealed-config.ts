import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { reasonOf, unavailable } from "../problems.ts";
import { SEALED_MARK, sealConfigText } from "../sealing/config-text.ts";
import type { Sealer } from "../sealing/sealer.ts";

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
    const plain = database
      .prepare("SELECT version, text FROM config_versions WHERE substr(text, 1, ?) <> ?")
      .all(SEALED_MARK.length, SEALED_MARK);
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

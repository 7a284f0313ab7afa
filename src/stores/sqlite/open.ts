import { chmodSync } from "node:fs";
import type { Clock } from "../../canon/index.ts";
import { makeFolder } from "../folder.ts";
import { DEFAULT_STORAGE, type StorageOptions } from "../options.ts";
import { type HostedStores, storesOver } from "../over-backend.ts";
import { recordPath, servingPath } from "./database.ts";
import { type Environment, Keyring } from "../sealing/keyring.ts";
import { lockFolder } from "./lock.ts";
import { migrate } from "./migrate.ts";
import { recordMigrations } from "./migrations/record.ts";
import { servingMigrations } from "./migrations/serving.ts";
import { sealConfiguration } from "./sealed-config.ts";
import { WriterThread } from "./writer-thread.ts";

export interface SqliteOptions {
  /** The data folder; made when absent. */
  readonly folder: string;
  /** The name of this running gateway. */
  readonly node: string;
  readonly clock: Clock;
  readonly options?: StorageOptions;
  /** May hold the keys under which data is sealed. */
  readonly env?: Environment;
  /** Called when writing begins to fail (why), and with undefined when it works again. */
  readonly onFailure?: (why: string | undefined) => void;
}

const OWNER_ONLY = 0o600;

/**
 * The record of one machine, in the files of one folder that only this process may use: `record.db` (ledger, keys, configuration) and
 * `serving.db` (kept turns, sealed).
 *
 * Rejects with `conflict` (code `data_folder_in_use`) when another process holds the folder, and with `storage_unavailable` when it
 * cannot be written, is damaged, or was written by a newer version.
 */
export async function openSqlite(settings: SqliteOptions): Promise<HostedStores> {
  const { folder, node, clock, options = DEFAULT_STORAGE, env = {}, onFailure } = settings;
  makeFolder(folder);
  const unlock = lockFolder(folder, { pid: process.pid, node, since: clock.now() });
  try {
    const keyring = await Keyring.open({ env, folder });
    sealConfiguration(recordPath(folder), keyring.sealer);
    migrate(recordPath(folder), recordMigrations, clock.now());
    migrate(servingPath(folder), servingMigrations, clock.now());
    for (const path of [recordPath(folder), servingPath(folder)]) chmodSync(path, OWNER_ONLY);
    const backend = await WriterThread.start(folder, options, clock, keyring);
    let failure: string | undefined;
    backend.watch(() => {
      if (backend.failure() === failure) return;
      failure = backend.failure();
      onFailure?.(failure);
    });
    let closed: Promise<void> | undefined;
    return storesOver(backend, clock, () => (closed ??= backend.close().finally(unlock)));
  } catch (error) {
    unlock();
    throw error;
  }
}

import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { DatabaseSync } from "node:sqlite";
import { makeFolder } from "../folder.ts";
import { reasonOf, unavailable } from "../problems.ts";
import { recordPath, servingPath } from "./database.ts";
import { lockFolder } from "./lock.ts";
import { type Migration, type MigrationOutcome, migrate, versionOf } from "./migrate.ts";
import { recordMigrations } from "./migrations/record.ts";
import { servingMigrations } from "./migrations/serving.ts";

/** What a backup is made of, by kind of file. The journal holds minutes of streams and is left out; so is whatever belongs to a running process. */
const DATABASE_FILES = ["record.db", "serving.db"] as const;
const KEY_FILES = ["serving.key", "admin-token", "audit.key"] as const;
const MANIFEST_FILE = "backup.json";
const MANIFEST_VERSION = 1;
const OWNER_ONLY = 0o600;
const OWNER_FOLDER = 0o700;
const BUSY_TIMEOUT_MS = 10_000;
const COMPANIONS = ["-wal", "-shm", "-journal"] as const;

export interface BackupManifest {
  readonly version: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly keys: boolean;
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly sha256: string; readonly schema?: number }[];
}

const MIGRATIONS: Readonly<Record<(typeof DATABASE_FILES)[number], readonly Migration[]>> = {
  "record.db": recordMigrations,
  "serving.db": servingMigrations,
};

/**
 * Copies the databases of a data folder into a new folder, each as it was at one moment, while a gateway may be writing. `keys`: also what
 * opens the sealed data and the admin API, which makes the backup as secret as the gateway itself.
 *
 * Throws `storage_unavailable`; a folder that was begun is removed then.
 */
export async function backupFolder(folder: string, target: string, keys: boolean, now: number): Promise<BackupManifest> {
  if (!existsSync(recordPath(folder))) throw unavailable(`There is no record in ${folder}: nothing to back up.`);
  if (existsSync(target)) throw unavailable(`${target} exists already. Name a folder that is not there yet.`);
  try {
    mkdirSync(target, { recursive: true, mode: OWNER_FOLDER });
    const names: string[] = DATABASE_FILES.filter((name) => copyDatabase(join(folder, name), join(target, name)));
    if (keys) names.push(...KEY_FILES.filter((name) => copyKey(join(folder, name), join(target, name))));
    const files = [];
    for (const name of names) files.push(await described(target, name));
    const manifest: BackupManifest = { version: MANIFEST_VERSION, createdAt: now, keys, files };
    writeFileSync(join(target, MANIFEST_FILE), `${JSON.stringify(manifest, null, 2)}\n`, { mode: OWNER_ONLY });
    return manifest;
  } catch (error) {
    rmSync(target, { recursive: true, force: true });
    throw unavailable(`The backup to ${target} failed: ${reasonOf(error)}.`, { cause: error });
  }
}

/** One transaction reads the whole file, so the copy is of one moment; writers go on meanwhile (sqlite.org/lang_vacuum.html). */
function copyDatabase(source: string, target: string): boolean {
  if (!existsSync(source)) return false;
  const database = new DatabaseSync(source);
  try {
    database.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    database.prepare("VACUUM INTO ?").run(target);
  } finally {
    database.close();
  }
  chmodSync(target, OWNER_ONLY);
  return true;
}

function copyKey(source: string, target: string): boolean {
  if (!existsSync(source)) return false;
  copyFileSync(source, target);
  chmodSync(target, OWNER_ONLY);
  return true;
}

async function described(folder: string, name: string): Promise<BackupManifest["files"][number]> {
  const path = join(folder, name);
  const isDatabase = name.endsWith(".db");
  return { name, bytes: statSync(path).size, sha256: await sha256Of(path), ...(isDatabase && { schema: schemaOf(path) }) };
}

async function sha256Of(path: string): Promise<string> {
  const sum = createHash("sha256");
  await pipeline(createReadStream(path), sum);
  return sum.digest("hex");
}

function schemaOf(path: string): number {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return versionOf(database);
  } finally {
    database.close();
  }
}

/**
 * Puts a backup in place of a data folder's record. What was there is moved aside into the folder returned, when there was anything.
 * Throws `conflict` (code `data_folder_in_use`) while a gateway holds the folder and `storage_unavailable` for a backup that is not whole,
 * or is of a newer version; the folder is unchanged then.
 */
export async function restoreFolder(
  source: string,
  folder: string,
  node: string,
  now: number,
): Promise<{ readonly manifest: BackupManifest; readonly aside: string | undefined }> {
  const manifest = await checkedManifest(source);
  makeFolder(folder);
  const unlock = lockFolder(folder, { pid: process.pid, node, since: now });
  try {
    const drafts = manifest.files.map(({ name }) => name);
    for (const name of drafts) copyKey(join(source, name), join(folder, `${name}.restoring`));
    const aside = moveAside(folder, now, drafts);
    for (const name of drafts) renameSync(join(folder, `${name}.restoring`), join(folder, name));
    return { manifest, aside };
  } catch (error) {
    for (const { name } of manifest.files) rmSync(join(folder, `${name}.restoring`), { force: true });
    throw unavailable(`The backup cannot be put into ${folder}: ${reasonOf(error)}.`, { cause: error });
  } finally {
    unlock();
  }
}

async function checkedManifest(source: string): Promise<BackupManifest> {
  const path = join(source, MANIFEST_FILE);
  let manifest: BackupManifest;
  try {
    manifest = JSON.parse(readFileSync(path, "utf8")) as BackupManifest;
  } catch (error) {
    throw unavailable(`${resolve(source)} is no backup: ${MANIFEST_FILE} cannot be read there (${reasonOf(error)}).`, { cause: error });
  }
  if (manifest.version !== MANIFEST_VERSION || !Array.isArray(manifest.files))
    throw unavailable(`${path} is of a form that this version of Gimbal does not know.`);
  for (const { name, sha256, schema = 0 } of manifest.files) {
    const known: readonly string[] = [...DATABASE_FILES, ...KEY_FILES];
    if (!known.includes(name)) throw unavailable(`${path} names ${JSON.stringify(name)}, which is no part of a backup.`);
    if (!existsSync(join(source, name)) || (await sha256Of(join(source, name))) !== sha256)
      throw unavailable(`${join(source, name)} is missing or not what was backed up.`);
    const newest = name in MIGRATIONS ? MIGRATIONS[name as keyof typeof MIGRATIONS].length : 0;
    if (schema > newest)
      throw unavailable(
        `${join(source, name)} was written by a newer version of Gimbal (its schema is ${schema}, this version knows ${newest}).`,
      );
  }
  return manifest;
}

/** Everything that belongs to the old record: also logs and the journal, which would be taken for the new one's. Keys stay where none come. */
function moveAside(folder: string, now: number, coming: readonly string[]): string | undefined {
  const old = new Set(
    [...DATABASE_FILES, "journal.db", ...KEY_FILES.filter((name) => coming.includes(name))].flatMap((name) => [
      name,
      ...COMPANIONS.map((ending) => name + ending),
    ]),
  );
  const present = readdirSync(folder).filter((name) => old.has(name));
  if (present.length === 0) return undefined;
  const aside = join(folder, `before-restore-${now}`);
  mkdirSync(aside, { mode: OWNER_FOLDER });
  for (const name of present) renameSync(join(folder, name), join(aside, name));
  return aside;
}

export interface FolderUpgrade {
  readonly file: string;
  readonly from: number;
  readonly to: number;
  readonly steps: readonly string[];
  /** Path of the copy made before the first step. */
  readonly backup?: string;
}

/** What an upgrade of this folder would do. Throws `storage_unavailable` for a record of a newer version. */
export function pendingUpgrade(folder: string): readonly FolderUpgrade[] {
  return DATABASE_FILES.map((file) => {
    const migrations = MIGRATIONS[file];
    const path = join(folder, file);
    const from = existsSync(path) ? schemaOf(path) : 0;
    const to = migrations.length;
    if (from > to) throw unavailable(`${path} was written by a newer version of Gimbal (its schema is ${from}, this version knows ${to}).`);
    return { file, from, to, steps: migrations.slice(from).map(({ number, name }) => `${number} ${name}`) };
  });
}

/** Brings the databases to this version, each copied before. Throws as `pendingUpgrade`, and `conflict` while a gateway holds the folder. */
export function upgradeFolder(folder: string, node: string, now: number): readonly FolderUpgrade[] {
  const pending = pendingUpgrade(folder);
  makeFolder(folder);
  const unlock = lockFolder(folder, { pid: process.pid, node, since: now });
  try {
    return pending.map((upgrade) => {
      const path = upgrade.file === "record.db" ? recordPath(folder) : servingPath(folder);
      const { backup }: MigrationOutcome = migrate(path, MIGRATIONS[upgrade.file as keyof typeof MIGRATIONS], now);
      chmodSync(path, OWNER_ONLY);
      return { ...upgrade, ...(backup !== undefined && { backup }) };
    });
  } finally {
    unlock();
  }
}

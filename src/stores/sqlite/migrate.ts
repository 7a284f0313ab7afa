import { chmodSync, rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { ProblemError } from "../../canon/index.ts";
import { reasonOf, unavailable } from "../problems.ts";

/** One step forward. Steps are numbered from 1 without gaps and never change once released; there is no way back but the backup. */
export interface Migration {
  readonly number: number;
  readonly name: string;
  readonly sql: string;
}

export interface MigrationOutcome {
  readonly from: number;
  readonly to: number;
  /** Path of the copy made before the first step, when the database held something. */
  readonly backup?: string;
}

/**
 * Brings the database file at `path` (made when absent) to the newest of `migrations`, each step in a transaction of its own. Before a
 * database that is already in use is changed, a copy is made beside it.
 *
 * Throws `storage_unavailable` when the file was written by a newer version, is no database, or a step fails (nothing of that step
 * remains then).
 */
export function migrate(path: string, migrations: readonly Migration[], now: number): MigrationOutcome {
  const newest = migrations.length;
  try {
    const database = new DatabaseSync(path);
    try {
      database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 2000;");
      database.exec(
        "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT",
      );
      const from = versionOf(database);
      if (from > newest) {
        throw unavailable(
          `${path} was written by a newer version of Gimbal (its schema is ${from}, this version knows ${newest}). Start that version again, or restore a backup made before the upgrade.`,
        );
      }
      if (from === newest) return { from, to: newest };
      const backup = from > 0 ? backUp(database, `${path}.before-${from + 1}-${now}`) : undefined;
      for (const migration of migrations.slice(from)) step(database, migration, now);
      return { from, to: newest, ...(backup !== undefined && { backup }) };
    } finally {
      database.close();
    }
  } catch (error) {
    if (error instanceof ProblemError) throw error;
    throw unavailable(`${path} cannot be opened: ${reasonOf(error)}. Check the disk and the folder's permissions.`, { cause: error });
  }
}

export function versionOf(database: DatabaseSync, schema = "main"): number {
  const row = database.prepare(`SELECT coalesce(max(number), 0) AS version FROM ${schema}.migrations`).get();
  return Number(row?.["version"]);
}

function backUp(database: DatabaseSync, target: string): string {
  // A copy cut short by an earlier crash in the same millisecond: useless, and in the way.
  rmSync(target, { force: true });
  database.prepare("VACUUM INTO ?").run(target);
  chmodSync(target, 0o600);
  return target;
}

function step(database: DatabaseSync, migration: Migration, now: number): void {
  try {
    database.exec("BEGIN IMMEDIATE");
    database.exec(migration.sql);
    database.prepare("INSERT INTO migrations VALUES (?, ?, ?)").run(migration.number, migration.name, now);
    database.exec("COMMIT");
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw unavailable(`Step ${migration.number} (${migration.name}) of the upgrade failed: ${reasonOf(error)}. Nothing of it was kept.`, {
      cause: error,
    });
  }
}

import { ProblemError } from "../../canon/index.ts";
import { unavailable } from "../problems.ts";
import { type Connections, type Session, statement } from "./connections.ts";
import { reasonOfDatabase } from "./faults.ts";
import { type PostgresMigration, postgresMigrations } from "./migrations.ts";

/** What of the schema is there. */
export interface SchemaState {
  /** 0: nothing is there yet. */
  readonly version: number;
  readonly newest: number;
  readonly pending: readonly PostgresMigration[];
}

const OLDEST_SERVER = 150_000;

const EXISTS = statement(
  "migrations.exists",
  "SELECT 1 AS found FROM information_schema.tables WHERE table_schema = $1 AND table_name = 'migrations'",
);
const SERVER = statement("migrations.server", "SELECT current_setting('server_version_num')::int AS version");
const VERSION = statement("migrations.version", "SELECT coalesce(max(number), 0)::int AS version FROM migrations");
const DONE = statement("migrations.done", "INSERT INTO migrations VALUES ($1, $2, $3)");
const LOCK = statement("migrations.lock", "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))");

/** Throws `storage_unavailable` for a server that is too old and for a schema that a newer version wrote. */
export async function schemaState(session: Session, schema: string, migrations = postgresMigrations): Promise<SchemaState> {
  const [server] = await session.rows<{ readonly version: number }>(SERVER);
  if (server && server.version < OLDEST_SERVER)
    throw unavailable(`The database's server is PostgreSQL ${Math.floor(server.version / 10_000)}; Gimbal needs 15 or newer.`);
  const [exists] = await session.rows(EXISTS, [schema]);
  const version = exists ? ((await session.rows<{ readonly version: number }>(VERSION))[0]?.version ?? 0) : 0;
  const newest = migrations.length;
  if (version > newest) {
    throw unavailable(
      `The schema "${schema}" was written by a newer version of Gimbal (it is ${version}, this version knows ${newest}). Start that version again, or restore a backup made before the upgrade.`,
    );
  }
  return { version, newest, pending: migrations.slice(version) };
}

/**
 * Brings the schema to the newest step, all steps in one transaction: a step that fails leaves nothing of any. Whoever else tries at the
 * same moment waits and then finds nothing to do. `dry`: everything is tried out and taken back.
 *
 * Throws `storage_unavailable`. Returns what was pending.
 */
export async function migratePostgres(
  connections: Connections,
  schema: string,
  now: number,
  { dry = false, migrations = postgresMigrations }: { readonly dry?: boolean; readonly migrations?: readonly PostgresMigration[] } = {},
): Promise<SchemaState> {
  let state: SchemaState | undefined;
  try {
    await connections.transaction(async (session) => {
      await session.rows(LOCK, [`gimbal.migrations.${schema}`]);
      const found = await schemaState(session, schema, migrations);
      state = found;
      if (found.pending.length === 0) return;
      await session.run(`CREATE SCHEMA IF NOT EXISTS "${schema}"`);
      await session.run(
        "CREATE TABLE IF NOT EXISTS migrations (number integer PRIMARY KEY, name text NOT NULL, applied_at bigint NOT NULL)",
      );
      for (const migration of found.pending) await step(session, migration, now);
      if (dry) throw new DryRun();
    });
  } catch (error) {
    if (error instanceof ProblemError) throw error;
    if (!(error instanceof DryRun))
      throw unavailable(`The schema "${schema}" cannot be brought up to date: ${reasonOfDatabase(error)}.`, { cause: error });
  }
  return state ?? { version: 0, newest: migrations.length, pending: migrations };
}

class DryRun extends Error {}

async function step(session: Session, { number, name, sql }: PostgresMigration, now: number): Promise<void> {
  try {
    await session.run(sql);
    await session.changes(DONE, [number, name, now]);
  } catch (error) {
    throw unavailable(`Step ${number} (${name}) of the upgrade failed: ${reasonOfDatabase(error)}. Nothing of any step was kept.`, {
      cause: error,
    });
  }
}

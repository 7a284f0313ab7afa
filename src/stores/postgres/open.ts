import { type Clock, ProblemError } from "../../canon/index.ts";
import { makeFolder } from "../folder.ts";
import { DEFAULT_STORAGE, type StorageOptions } from "../options.ts";
import { type HostedStores, storesOver } from "../over-backend.ts";
import { reasonOf, unavailable } from "../problems.ts";
import { lockFolder, lockHolder } from "../sqlite/lock.ts";
import { type Address, readAddress } from "./address.ts";
import { PostgresBackend } from "./backend.ts";
import { BatchWriter } from "./batch.ts";
import { Connections } from "./connections.ts";
import { Keyring } from "../sealing/keyring.ts";
import { registerDataKey } from "./data-key.ts";
import { reasonOfDatabase } from "./faults.ts";
import { Leases } from "./leases.ts";
import { migratePostgres, schemaState } from "./migrate.ts";
import { type PostgresMigration, postgresMigrations } from "./migrations.ts";
import { Spool } from "./spool.ts";

export interface PostgresOptions {
  /** `postgres://...`; `?schema=NAME` chooses another schema than `gimbal`. */
  readonly url: string;
  /** This gateway's own folder: rows wait there while the database is away. */
  readonly folder: string;
  /** The name of this running gateway. */
  readonly node: string;
  readonly clock: Clock;
  /** May hold the key of the record's sealed data. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly options?: StorageOptions;
  /** A command that runs for a moment: it takes no lease, holds no folder, and its rows wait nowhere. */
  readonly brief?: boolean;
  /** How long a gateway that says nothing counts as alive, in milliseconds. */
  readonly leaseMs?: number;
  readonly onFailure?: (why: string | undefined) => void;
  /** One line for the operator. */
  readonly log?: (line: string) => void;
  readonly migrations?: readonly PostgresMigration[];
}

/** `code` of the problem by which a record that cannot be reached at the start is refused. */
export const DATABASE_UNUSABLE = "database_unusable";

const LEASE_MS = 15_000;
/** Batches go one after the other; the second connection replays what has waited. */
const BATCH_CONNECTIONS = 2;
const JOURNAL_CONNECTIONS = 1;

/**
 * A record that several gateways share. Makes its tables in an empty schema; an older schema is left alone, because a backup comes first.
 *
 * Rejects with `storage_unavailable` and code `database_unusable` when it cannot be reached, has another version's schema or is sealed
 * with another key, and with `conflict` when another process holds the folder.
 */
export async function openPostgres(settings: PostgresOptions): Promise<HostedStores> {
  const { folder, node, clock, env, options = DEFAULT_STORAGE, brief = false, leaseMs = LEASE_MS, log = () => {} } = settings;
  const address = addressOf(settings.url);
  makeFolder(folder);
  const before = brief ? undefined : lockHolder(folder)?.node;
  const unlock = brief ? () => {} : lockFolder(folder, { pid: process.pid, node, since: clock.now() });
  const connections = {
    batches: new Connections(address.config, BATCH_CONNECTIONS, `gimbal ${node}`),
    journal: new Connections(address.config, JOURNAL_CONNECTIONS, `gimbal ${node} journal`),
    reads: new Connections(address.config, options.connections, `gimbal ${node} reads`),
  };
  try {
    await readySchema(connections.batches, address, clock.now(), settings.migrations ?? postgresMigrations);
    const keyring = await Keyring.open({ env, folder });
    const { sealer } = keyring;
    await registerDataKey(connections.batches, sealer);
    const channel = `gimbal:${address.schema}`;
    const leases = new Leases(brief ? undefined : node, leaseMs, clock);
    const backend = await PostgresBackend.start({
      connections,
      writer: new BatchWriter({ connections: connections.batches, sealer, channel }),
      keyring,
      spool: brief ? undefined : await openSpool(folder, options.spoolBytes),
      leases,
      link: { address, channel, node, clock },
      options,
      clock,
      log,
    });
    tellFailures(backend, settings.onFailure);
    // The folder was ours to take, so whoever had it before is gone, whatever its lease says.
    if (before !== undefined && before !== node) leases.gone(before);
    let closed: Promise<void> | undefined;
    const stores = storesOver(backend, clock, () => (closed ??= backend.close().finally(unlock)));
    return { ...stores, nodes: { onDead: (bury) => leases.onDead(bury) } };
  } catch (error) {
    await Promise.all(Object.values(connections).map((one) => one.close().catch(() => {})));
    unlock();
    throw unusable(error, address);
  }
}

/** Tries the steps that are missing and, unless `dry`, keeps them. Rejects as `openPostgres`. */
export async function migrateRecord(url: string, clock: Clock, dry: boolean): Promise<Awaited<ReturnType<typeof migratePostgres>>> {
  const address = addressOf(url);
  const connections = new Connections(address.config, 1, "gimbal migrate");
  try {
    return await migratePostgres(connections, address.schema, clock.now(), { dry });
  } catch (error) {
    throw unusable(error, address);
  } finally {
    await connections.close();
  }
}

function addressOf(url: string): Address {
  try {
    return readAddress(url);
  } catch (error) {
    throw unusable(error, undefined);
  }
}

function unusable(error: unknown, address: Address | undefined): Error {
  if (error instanceof ProblemError) {
    const { problem } = error;
    return problem.kind === "conflict" ? error : new ProblemError({ ...problem, code: DATABASE_UNUSABLE }, { cause: error });
  }
  const message = `The database ${address?.shown ?? ""} of GIMBAL_DATABASE_URL cannot be used: ${reasonOfDatabase(error)}.`;
  return new ProblemError({ kind: "storage_unavailable", message, code: DATABASE_UNUSABLE }, { cause: error });
}

async function readySchema(
  connections: Connections,
  { schema }: Address,
  now: number,
  migrations: readonly PostgresMigration[],
): Promise<void> {
  const { version, newest, pending } = await connections.use((session) => schemaState(session, schema, migrations));
  if (pending.length === 0) return;
  if (version === 0) {
    await migratePostgres(connections, schema, now, { migrations });
    return;
  }
  throw unavailable(
    `The schema "${schema}" is of version ${version}, and this version of Gimbal needs ${newest}. Back up the database (pg_dump), then run: gimbal migrate`,
  );
}

async function openSpool(folder: string, maxBytes: number): Promise<Spool> {
  try {
    return await Spool.open(folder, maxBytes);
  } catch (error) {
    throw unavailable(`Rows cannot wait in the data folder ${folder}: ${reasonOf(error)}. Make room, or choose another with --data.`, {
      cause: error,
    });
  }
}

function tellFailures(backend: PostgresBackend, onFailure: PostgresOptions["onFailure"]): void {
  let failure: string | undefined;
  backend.watch(() => {
    if (backend.failure() === failure) return;
    failure = backend.failure();
    onFailure?.(failure);
  });
}

import type { HostedStores } from "./over-backend.ts";
import { openPostgres } from "./postgres/open.ts";
import { openSqlite, type SqliteOptions } from "./sqlite/open.ts";

/** By this variable the record is in PostgreSQL, for all gateways that have it. */
const DATABASE_VARIABLE = "GIMBAL_DATABASE_URL";

export interface RecordOptions extends Pick<SqliteOptions, "folder" | "node" | "clock" | "options"> {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: (line: string) => void;
  /** A command that runs for a moment, perhaps beside a gateway. */
  readonly brief?: boolean;
}

/** The record where the environment says it is: in a PostgreSQL database, else in the data folder. @throws ProblemError */
export function openRecord({ env, log, brief = false, ...rest }: RecordOptions): Promise<HostedStores> {
  const url = databaseUrl(env);
  const onFailure = tellFailure(log);
  return url === undefined ? openSqlite({ ...rest, env, onFailure }) : openPostgres({ ...rest, url, env, log, brief, onFailure });
}

function databaseUrl(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const url = env[DATABASE_VARIABLE];
  return url === "" ? undefined : url;
}

/** Says when the record stops and starts being writable. */
export function tellFailure(log: (line: string) => void): (why: string | undefined) => void {
  return (why) => log(why === undefined ? "The record can be written again." : `The record cannot be written: ${why}`);
}

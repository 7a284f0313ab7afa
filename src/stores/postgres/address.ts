import pg from "pg";
import { ProblemError } from "../../canon/index.ts";

/** Where the record is and under which name. */
export interface Address {
  /** Everything a connection needs; holds the password. */
  readonly config: pg.ClientConfig;
  /** The schema that holds all tables; several gateways that share a database but not a record use different ones. */
  readonly schema: string;
  /** For people: without user and password. */
  readonly shown: string;
}

const DEFAULT_SCHEMA = "gimbal";
/** PostgreSQL cuts longer names (NAMEDATALEN), and the channel's name is a few letters longer. */
const SCHEMA = /^[a-z_][a-z0-9_]{0,39}$/;
/** Parameters of the address that mean something here; the rest is the driver's. */
const SCHEMA_PARAMETER = "schema";

/** A connection that is not there by then is not coming. */
const CONNECT_MS = 5000;
/** A statement that takes longer is given up on both sides: a network that swallows packets looks the same as a slow query. */
export const STATEMENT_MS = 15_000;
/** The server gives up first, so that its own words arrive. */
const SERVER_GRACE_MS = 1000;
const KEEP_ALIVE_MS = 5000;

/** OID of `bigint`, pg_type.dat. */
const INT8 = 20;

/** Times and nanodollars are `bigint` and fit a JavaScript number by their meaning; one that does not is damage, not data. */
function safeNumber(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number)) throw new RangeError(`${text} is larger than any number this record writes`);
  return number;
}

const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: "text" | "binary") =>
    oid === INT8 && format !== "binary" ? safeNumber : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
};

/** Throws `invalid_request` for an address that is none; its own text is not repeated, because it may hold a password. */
export function readAddress(url: string): Address {
  let parsed: URL;
  try {
    parsed = new URL(url);
    if (parsed.protocol !== "postgres:" && parsed.protocol !== "postgresql:") throw new Error("another protocol");
  } catch {
    throw wrong("GIMBAL_DATABASE_URL is no address of a PostgreSQL database: it looks like postgres://user:password@host:5432/database.");
  }
  const schema = parsed.searchParams.get(SCHEMA_PARAMETER) ?? DEFAULT_SCHEMA;
  parsed.searchParams.delete(SCHEMA_PARAMETER);
  if (!SCHEMA.test(schema))
    throw wrong(`The schema of GIMBAL_DATABASE_URL is at most 40 small letters, digits and underscores, not "${schema}".`);
  const own = parsed.searchParams.get("options") ?? "";
  parsed.searchParams.delete("options");
  // An acknowledged row is a durable one, whatever the server's default says.
  const settings = `-c search_path=${schema} -c synchronous_commit=on -c statement_timeout=${STATEMENT_MS - SERVER_GRACE_MS}`;
  const place = parsed.searchParams.get("host") ?? (parsed.hostname || "localhost");
  return {
    schema,
    shown: `${place}${parsed.port === "" ? "" : `:${parsed.port}`}${parsed.pathname}`,
    config: {
      connectionString: parsed.href,
      options: `${own} ${settings}`.trim(),
      types,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
      connectionTimeoutMillis: CONNECT_MS,
      query_timeout: STATEMENT_MS,
    },
  };
}

function wrong(message: string): ProblemError {
  return new ProblemError({ kind: "invalid_request", message });
}

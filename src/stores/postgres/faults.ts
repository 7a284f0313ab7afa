import pg from "pg";
import { ProblemError } from "../../canon/index.ts";

/** What an error means for the batch it came from. */
export type Fault =
  /** The database is away, full, read-only or too slow: all of it is for later. */
  | "away"
  /** Two transactions were in each other's way: the same once more. */
  | "again"
  /** One statement was refused, and would be again. */
  | "statement";

/**
 * Classes and codes of PostgreSQL's errors (appendix A of its manual) that are about one statement. Everything else (connection, resources,
 * operator's intervention, read-only standby, system, internal) is about the server.
 */
const STATEMENT_CLASSES: ReadonlySet<string> = new Set(["0A", "21", "22", "23", "42", "44", "54"]);
/** Tables that are not there belong to another version, or to a server that is being restored. */
const NO_TABLES: ReadonlySet<string> = new Set(["42P01", "42501", "3F000"]);
const COLLISIONS: ReadonlySet<string> = new Set(["40001", "40P01", "55P03"]);

export function faultOf(error: unknown): Fault {
  if (!(error instanceof pg.DatabaseError) || error.code === undefined) return "away";
  if (COLLISIONS.has(error.code)) return "again";
  if (NO_TABLES.has(error.code)) return "away";
  return STATEMENT_CLASSES.has(error.code.slice(0, 2)) ? "statement" : "away";
}

/** By these a connection that broke while nobody used it shows itself only to whoever uses it next. */
const BROKEN: ReadonlySet<string> = new Set(["ECONNRESET", "EPIPE", "57P01", "57P02"]);

/** Is it the connection that is gone, and perhaps not the server? */
export function isBrokenConnection(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ("code" in error && BROKEN.has(String(error.code))) || /Connection terminated unexpectedly|not queryable/.test(error.message);
}

const PLAIN_WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there",
  ENOENT: "nothing listens there",
  ENOTFOUND: "there is no such host",
  EAI_AGAIN: "its host's name cannot be resolved now",
  ETIMEDOUT: "it does not answer",
  EHOSTUNREACH: "there is no way to its host",
  ECONNRESET: "it closed the connection",
  "28P01": "it does not accept the password",
  "28000": "it does not accept this user",
  "3D000": "there is no such database",
  "53100": "its disk is full",
  "53300": "it has no connection to spare",
  "57P01": "it is being stopped",
  "57P03": "it is starting",
  "57014": "it is too slow",
  "25006": "it can only be read, as a standby",
};

/** Why, in a few words, without anything secret. */
export function reasonOfDatabase(thrown: unknown): string {
  if (thrown instanceof ProblemError) return thrown.problem.message;
  if (!(thrown instanceof Error)) return String(thrown);
  const code = "code" in thrown && typeof thrown.code === "string" ? thrown.code : "";
  if (PLAIN_WORDS[code] !== undefined) return PLAIN_WORDS[code];
  // Several addresses of one host were tried.
  if (thrown instanceof AggregateError && thrown.errors.length > 0) return reasonOfDatabase(thrown.errors[0]);
  if (/timeout/i.test(thrown.message)) return "it does not answer in time";
  return thrown.message === "" ? code : thrown.message;
}

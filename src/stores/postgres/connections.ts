import pg from "pg";
import { faultOf } from "./faults.ts";
import { bytesOf, storable } from "./values.ts";

/** A prepared statement: planned once a connection, and known there by its name. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

export function statement(name: string, text: string): Statement {
  return { name, text };
}

export type Value = string | number | boolean | null | Uint8Array;

/** One connection, for as long as somebody has it. */
export interface Session {
  /** The caller knows the columns: it wrote them. */
  rows<T>(what: Statement, values?: readonly Value[]): Promise<readonly T[]>;
  /** How many rows were written. */
  changes(what: Statement, values?: readonly Value[]): Promise<number>;
  /** Plain SQL, several statements perhaps. */
  run(sql: string): Promise<void>;
}

export function sessionOf(client: pg.ClientBase): Session {
  const query = ({ name, text }: Statement, values: readonly Value[]): Promise<pg.QueryResult> =>
    client.query({ name, text, values: values.map(parameter) });
  return {
    rows: async <T>(what: Statement, values: readonly Value[] = []) => (await query(what, values)).rows as T[],
    changes: async (what, values = []) => (await query(what, values)).rowCount ?? 0,
    run: async (sql) => {
      const result = (await client.query(sql)) as pg.QueryResult | readonly pg.QueryResult[];
      // A COMMIT of a transaction that had failed says ROLLBACK, and is no error to PostgreSQL.
      if (sql === "COMMIT" && !Array.isArray(result) && (result as pg.QueryResult).command !== "COMMIT")
        throw new Error("the transaction was rolled back");
    },
  };
}

function parameter(value: Value): Exclude<Value, Uint8Array> | Buffer {
  if (typeof value === "string") return storable(value);
  return value instanceof Uint8Array ? bytesOf(value) : value;
}

/** Connections to one database, taken and given back. One that failed in any way that is not a plain refusal is thrown away. */
export class Connections {
  readonly #pool: pg.Pool;

  constructor(config: pg.ClientConfig, max: number, name: string) {
    this.#pool = new pg.Pool({ ...config, max, application_name: name, allowExitOnIdle: true });
    // A connection that breaks says so to whoever uses it next; without listeners, idle or not, it would end the process.
    this.#pool.on("error", () => {});
    this.#pool.on("connect", (client) => client.on("error", () => {}));
  }

  async use<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect();
    try {
      const result = await work(sessionOf(client));
      client.release();
      return result;
    } catch (error) {
      client.release(faultOf(error) === "away");
      throw error;
    }
  }

  /** Everything or nothing. */
  transaction<T>(work: (session: Session) => Promise<T>, begin = "BEGIN"): Promise<T> {
    return this.use(async (session) => {
      await session.run(begin);
      try {
        const result = await work(session);
        await session.run("COMMIT");
        return result;
      } catch (error) {
        // On a broken connection this fails as well, and the server rolls back by itself.
        await session.run("ROLLBACK").catch(() => {});
        throw error;
      }
    });
  }

  close(): Promise<void> {
    return this.#pool.end();
  }
}

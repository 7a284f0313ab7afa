import type { ReadName, Reads, WriteName, Writes } from "../backend.ts";
import type { Sealer } from "../sealing/sealer.ts";
import type { Session } from "./connections.ts";

/** What the writes of one batch share. */
export interface BatchContext {
  readonly session: Session;
  readonly sealer: Sealer;
  /** Schema, by which gateways that share the record hear of each other. */
  readonly channel: string;
  /** Which part of the sums is this gateway's. */
  readonly part: number;
  /** Of keys, configuration and switches, once one of the writes has raised it. */
  generation?: number;
}

/** Writes that are done many at a time. */
export type GroupedWrite = "open" | "settle" | "keepTurn" | "keepNative";

/** Writes of the audit, which wrap others. */
export type AuditWrite = "appendAudit" | "noted" | "keepCheckpoint";

/** Implementations by name. Each may throw a `ProblemError` before it has written anything; whatever else it throws undoes its batch. */
export type PostgresWrites = {
  readonly [K in Exclude<WriteName, GroupedWrite>]: (batch: BatchContext, args: Writes[K]["args"]) => Promise<Writes[K]["result"]>;
};

export type PostgresReads = {
  readonly [K in ReadName]: (session: Session, args: Reads[K]["args"], sealer: Sealer) => Promise<Reads[K]["result"]>;
};

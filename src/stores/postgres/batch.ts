import { ProblemError } from "../../canon/index.ts";
import type { BatchOutcome, Command, Outcome, WriteName, Writes } from "../backend.ts";
import type { Sealer } from "../sealing/sealer.ts";
import { accessWrites } from "./access-tables.ts";
import { pinWrites } from "./pin-table.ts";
import { batchWrites } from "./batch-tables.ts";
import { fileWrites } from "./file-tables.ts";
import { adminWrites } from "./admin-tables.ts";
import { auditWrites } from "./audit-table.ts";
import { CACHE_PARTS, cacheWrites } from "./cache-tables.ts";
import { type Connections, type Session, statement } from "./connections.ts";
import { contentWrites } from "./content-table.ts";
import { counterWrites, lockCounters } from "./counter-table.ts";
import { repricingWrites } from "./repricing-table.ts";
import { faultOf, isBrokenConnection, reasonOfDatabase } from "./faults.ts";
import { idempotencyWrites } from "./idempotency-table.ts";
import { resealWrites } from "./reseal.ts";
import { rollupWrites } from "./rollup-table.ts";
import { interruptCalls, noteProgress, openCalls, settleCalls } from "./ledger-table.ts";
import { lineageWrites } from "./lineage-table.ts";
import type { AuditWrite, BatchContext, GroupedWrite, PostgresWrites } from "./tables.ts";
import { keepNatives, keepTurns, turnWrites } from "./turn-tables.ts";

const PROBE = statement("probe", "SELECT 1");

const plain: Omit<PostgresWrites, AuditWrite> = {
  ...adminWrites,
  ...accessWrites,
  ...pinWrites,
  ...fileWrites,
  ...batchWrites,
  ...cacheWrites,
  ...counterWrites,
  ...repricingWrites,
  ...resealWrites,
  ...rollupWrites,
  ...idempotencyWrites,
  ...turnWrites,
  ...lineageWrites,
  ...contentWrites,
  progress: ({ session }, args) => noteProgress(session, args),
  interrupt: ({ session }, args) => interruptCalls(session, args),
  probe: async ({ session }) => {
    await session.rows(PROBE);
  },
};
const singles: PostgresWrites = { ...plain, ...auditWrites(plain) };

/** Transactions that collide with another gateway's are tried this often. */
const COLLISION_TRIES = 5;

/** Which waiting groups a write must find written. */
const NEEDS: Readonly<Partial<Record<WriteName, readonly GroupedWrite[]>>> = {
  progress: ["open"],
  interrupt: ["open", "settle"],
  lease: ["settle"],
  deleteTurn: ["keepTurn"],
  reseal: ["keepTurn", "keepNative"],
  expire: ["keepTurn", "keepNative"],
};

/** Writes of one kind that wait to be done in one statement. Opens go before settles: a call that does both in one batch is over. */
class Groups {
  readonly #context: BatchContext;
  #opens: Writes["open"]["args"][] = [];
  #settles: Writes["settle"]["args"][] = [];
  #turns: Writes["keepTurn"]["args"][] = [];
  #natives: Writes["keepNative"]["args"][] = [];

  constructor(context: BatchContext) {
    this.#context = context;
  }

  /** False when the write is none that waits. */
  add({ name, args }: Command): boolean {
    switch (name) {
      case "open":
        this.#opens.push(args as Writes["open"]["args"]);
        return true;
      case "settle":
        this.#settles.push(args as Writes["settle"]["args"]);
        return true;
      case "keepTurn":
        this.#turns.push(args as Writes["keepTurn"]["args"]);
        return true;
      case "keepNative":
        this.#natives.push(args as Writes["keepNative"]["args"]);
        return true;
      default:
        return false;
    }
  }

  async flush(names: readonly GroupedWrite[] = ["open", "settle", "keepTurn", "keepNative"]): Promise<void> {
    const { session, sealer } = this.#context;
    if (names.includes("open") && this.#opens.length > 0) await openCalls(session, this.#opens.splice(0));
    if (names.includes("settle") && this.#settles.length > 0) await settleCalls(session, this.#settles.splice(0));
    if (names.includes("keepTurn") && this.#turns.length > 0) await keepTurns(session, sealer, this.#turns.splice(0));
    if (names.includes("keepNative") && this.#natives.length > 0) await keepNatives(session, sealer, this.#natives.splice(0));
  }
}

export interface BatchWriterOptions {
  readonly connections: Connections;
  readonly sealer: Sealer;
  readonly channel: string;
}

/** Writes batches, each in one transaction, over a connection of its own. */
export class BatchWriter {
  readonly #options: BatchWriterOptions;
  readonly #part = Math.floor(Math.random() * CACHE_PARTS);

  constructor(options: BatchWriterOptions) {
    this.#options = options;
  }

  /** Never rejects. A write that the database refuses is told apart from the others of its batch, which are written. */
  async commit(commands: readonly Command[]): Promise<BatchOutcome> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#transact(commands);
      } catch (error) {
        const fault = faultOf(error);
        if (fault === "again" && tries < COLLISION_TRIES) continue;
        // A pooled connection may have broken long ago: once more, on another.
        if (tries === 1 && isBrokenConnection(error)) continue;
        if (fault !== "statement") return { why: `the database cannot be used now: ${reasonOfDatabase(error)}` };
        if (commands.length !== 1) return this.#oneByOne(commands);
        const message = `The record refused this entry: ${reasonOfDatabase(error)}`;
        return { outcomes: [{ problem: { kind: "storage_unavailable", message } }] };
      }
    }
  }

  /** After one of them was refused. All of them may be repeated, so it does no harm when the database goes away in the middle. */
  async #oneByOne(commands: readonly Command[]): Promise<BatchOutcome> {
    const outcomes: Outcome[] = [];
    let generation: number | undefined;
    for (const [place, command] of commands.entries()) {
      const outcome = await this.commit([command]);
      if (outcome.why !== undefined) return outcome;
      if (outcome.outcomes?.[0]) outcomes[place] = outcome.outcomes[0];
      generation = outcome.generation ?? generation;
    }
    return { outcomes, ...(generation !== undefined && { generation }) };
  }

  #transact(commands: readonly Command[]): Promise<BatchOutcome> {
    const { connections, sealer, channel } = this.#options;
    const work = (session: Session): Promise<BatchOutcome> => runBatch({ session, sealer, channel, part: this.#part }, commands);
    // One statement is a transaction by itself.
    const isOneStatement = commands.length > 0 && commands.every(({ name, args }) => name === "settle" && args.length === 2);
    return isOneStatement ? connections.use(work) : connections.transaction(work);
  }
}

async function runBatch(context: BatchContext, commands: readonly Command[]): Promise<BatchOutcome> {
  const groups = new Groups(context);
  const outcomes: Outcome[] = [];
  if (commands.length === 0) await singles.probe(context, []);
  await lockCounters(context.session, commands);
  for (const [place, command] of commands.entries()) {
    if (groups.add(command)) continue;
    const needs = NEEDS[command.name];
    if (needs) await groups.flush(needs);
    const outcome = await attempt(context, command);
    if (outcome) outcomes[place] = outcome;
  }
  await groups.flush();
  return { outcomes, ...(context.generation !== undefined && { generation: context.generation }) };
}

const anySingle: Readonly<Record<string, (batch: BatchContext, args: never) => Promise<unknown>>> = { ...singles };

async function attempt(context: BatchContext, { name, args }: Command): Promise<Outcome> {
  try {
    const value = await anySingle[name]?.(context, args as never);
    return value === undefined ? undefined : { value };
  } catch (error) {
    if (error instanceof ProblemError) return { problem: error.problem };
    throw error;
  }
}

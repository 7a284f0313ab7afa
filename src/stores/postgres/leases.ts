import type { Clock } from "../../canon/index.ts";
import { type Session, statement } from "./connections.ts";

/** Part of a lease after which it is renewed. */
const RENEWALS = 4;

const RENEW = statement(
  "leases.renew",
  "INSERT INTO nodes VALUES ($1, clock_timestamp()) ON CONFLICT (node) DO UPDATE SET seen_at = excluded.seen_at",
);
const END = statement("leases.end", "DELETE FROM nodes WHERE node = $1");
/** Names that anything left behind goes by: open calls, journaled streams, leased budgets, and leases themselves. */
const NAMED = `named AS (
     SELECT node FROM nodes UNION SELECT DISTINCT node FROM open_calls UNION SELECT DISTINCT node FROM leases
     UNION SELECT DISTINCT node FROM journal_calls WHERE state = 'open')`;
/** A worker's name begins with its gateway's; behind a dot follows its own. */
const GATEWAY = "split_part(named.node, '.', 1)";
/** Whose gateway's lease has run out or never was. */
const DEAD = statement(
  "leases.dead",
  `WITH alive AS (SELECT node FROM nodes WHERE seen_at > clock_timestamp() - $1::double precision * interval '1 millisecond'), ${NAMED}
   SELECT node FROM named WHERE NOT EXISTS (SELECT 1 FROM alive WHERE alive.node = ${GATEWAY}) ORDER BY node LIMIT 100`,
);
const NAMES_OF = statement("leases.names-of", `WITH ${NAMED} SELECT node FROM named WHERE ${GATEWAY} = $1 ORDER BY node`);

export type Bury = (node: string) => Promise<void>;

/**
 * Which gateways of the record are alive. Each renews its lease by the database's clock; one whose lease ran out is buried by whoever sees
 * it: its open calls get their rows, its streams are broken off. Several may bury the same one; each call gets one row all the same.
 *
 * After the database was away every lease may have run out, so nobody buries before it has been connected for the time of a lease.
 */
export class Leases {
  /** Undefined: somebody who comes and goes, and neither counts nor looks after others. */
  readonly #node: string | undefined;
  readonly #leaseMs: number;
  readonly #clock: Clock;
  #renewAt = 0;
  #connectedAt: number | undefined;
  #bury: Bury | undefined;
  #burying = false;
  /** Known to be dead, whatever their leases say. */
  readonly #gone = new Set<string>();

  constructor(node: string | undefined, leaseMs: number, clock: Clock) {
    this.#node = node;
    this.#leaseMs = leaseMs;
    this.#clock = clock;
  }

  connected(): void {
    this.#connectedAt = this.#clock.monotonic();
    this.#renewAt = 0;
  }

  /** This gateway, and with it its workers, is dead for sure. */
  gone(node: string): void {
    this.#gone.add(node);
    this.#renewAt = 0;
  }

  onDead(bury: Bury): () => void {
    this.#bury = bury;
    this.#renewAt = 0;
    return () => {
      if (this.#bury === bury) this.#bury = undefined;
    };
  }

  /** Renews this gateway's lease and looks for others' that ran out, where it is time. */
  async look(session: Session): Promise<void> {
    const now = this.#clock.monotonic();
    if (this.#node === undefined || this.#renewAt > now) return;
    await session.changes(RENEW, [this.#node]);
    this.#renewAt = now + this.#leaseMs / RENEWALS;
    if (!this.#bury || this.#burying) return;
    const dead = await this.#dead(session, now);
    if (dead.length === 0) return;
    this.#burying = true;
    // Not waited for: it writes over other connections, and this one must go on renewing.
    void this.#buryAll(session, dead, this.#bury).finally(() => (this.#burying = false));
  }

  async #dead(session: Session, now: number): Promise<readonly string[]> {
    const dead = new Set<string>();
    for (const gone of this.#gone) {
      const names = await session.rows<{ readonly node: string }>(NAMES_OF, [gone]);
      if (names.length === 0) this.#gone.delete(gone);
      for (const { node } of names) dead.add(node);
    }
    const isSettled = this.#connectedAt !== undefined && now - this.#connectedAt >= this.#leaseMs;
    if (isSettled) for (const { node } of await session.rows<{ readonly node: string }>(DEAD, [this.#leaseMs])) dead.add(node);
    return [...dead];
  }

  async #buryAll(session: Session, dead: readonly string[], bury: Bury): Promise<void> {
    for (const node of dead) {
      try {
        await bury(node);
        // Last, so that who stops in the middle leaves it for the next.
        await session.changes(END, [node]);
      } catch {
        return;
      }
    }
  }

  async end(session: Session): Promise<void> {
    if (this.#node !== undefined) await session.changes(END, [this.#node]);
  }
}

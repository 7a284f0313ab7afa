import type { DatabaseSync } from "node:sqlite";
import type { CounterHold, LeaseAnswer, LeaseAsk } from "../../canon/index.ts";
import type { ReadTable, Spends, WriteTable } from "../backend.ts";
import { answerAsk, type Counter, type Lease, newCounter, NO_LEASE } from "../counters.ts";

interface CounterColumns {
  readonly spent: number;
  readonly leased: number;
  readonly at: number;
  readonly contended_until: number;
}

/** What rows of one node book on one counter, summed up. */
interface Booked {
  readonly begins: number;
  spent: number;
  released: number;
}

/**
 * What calls book on counters, in the transaction of their rows. Rows of a batch mostly share their few counters, and a statement costs as
 * much as a tenth of a row: so they are summed up, until `flush`. Whoever reads or changes counters in between flushes first.
 */
export class CounterBook {
  readonly #spend;
  readonly #leaseOf;
  readonly #release;
  readonly #book;
  readonly #leases;
  readonly #forget;
  readonly #takeBack;
  /** By node and key. */
  readonly #booked = new Map<string, Map<string, Booked[]>>();

  constructor(database: DatabaseSync) {
    this.#spend = database.prepare("UPDATE counters SET spent = spent + ?, leased = leased - ? WHERE key = ? AND begins = ?");
    this.#leaseOf = database.prepare("SELECT leased FROM leases WHERE key = ? AND begins = ? AND node = ?");
    this.#release = database.prepare("UPDATE leases SET leased = leased - ? WHERE key = ? AND begins = ? AND node = ?");
    this.#book = database.prepare("UPDATE counters SET spent = spent + ? WHERE key = ? AND begins = ?");
    this.#leases = database.prepare("SELECT key, begins, leased FROM leases WHERE ?1 IS NULL OR node = ?1");
    this.#forget = database.prepare("DELETE FROM leases WHERE ?1 IS NULL OR node = ?1");
    // Of what refills nobody knows how much was used: it is little, and soon forgotten.
    this.#takeBack = database.prepare(
      "UPDATE counters SET leased = leased - ?1, spent = spent + iif(refill_ms > 0, ?1, 0) WHERE key = ?2 AND begins = ?3",
    );
  }

  spend({ node, entries }: Spends): void {
    const ofNode = gotten(this.#booked, node, () => new Map<string, Booked[]>());
    for (const [key, begins, spent, released] of entries) {
      const ofKey = gotten(ofNode, key, () => []);
      const booked = ofKey.find((one) => one.begins === begins);
      if (!booked) ofKey.push({ begins, spent, released });
      else {
        booked.spent += spent;
        booked.released += released;
      }
    }
  }

  /** Writes what was summed up. */
  flush(): void {
    if (this.#booked.size === 0) return;
    for (const [node, ofNode] of this.#booked) {
      for (const [key, ofKey] of ofNode) for (const booked of ofKey) this.#write(node, key, booked);
    }
    this.#booked.clear();
  }

  bookHolds(holds: readonly CounterHold[]): void {
    for (const [key, begins, amount] of holds) this.#book.run(amount, key, begins);
  }

  /** Null: from every node. */
  takeBack(node: string | null): void {
    this.flush();
    for (const { key, begins, leased } of this.#leases.all(node)) {
      if (Number(leased) > 0) this.#takeBack.run(Number(leased), String(key), Number(begins));
    }
    this.#forget.run(node);
  }

  #write(node: string, key: string, { begins, spent, released }: Booked): void {
    const leased = released === 0 ? 0 : Number(this.#leaseOf.get(key, begins, node)?.["leased"] ?? 0);
    const back = Math.min(released, leased);
    if (back > 0) this.#release.run(back, key, begins, node);
    this.#spend.run(spent, back, key, begins);
  }
}

function gotten<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

export function counterWrites(database: DatabaseSync, book: CounterBook): Pick<WriteTable, "lease" | "expireCounters"> {
  const counterOf = database.prepare("SELECT spent, leased, at, contended_until FROM counters WHERE key = ? AND begins = ?");
  const keepCounter = database.prepare(
    `INSERT INTO counters VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key, begins) DO UPDATE
     SET ends = excluded.ends, refill_ms = excluded.refill_ms, spent = excluded.spent, leased = excluded.leased, at = excluded.at,
       contended_until = excluded.contended_until`,
  );
  const leaseOf = database.prepare("SELECT leased, turn, granted, asked FROM leases WHERE key = ? AND begins = ? AND node = ?");
  const keepLease = database.prepare("INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?, ?, ?)");
  const recall = database.prepare("UPDATE leases SET asked = 1 WHERE key = ? AND begins = ? AND node <> ? AND leased > 0");
  const pendingOf = database.prepare("SELECT count(*) AS pending FROM leases WHERE key = ? AND begins = ? AND node <> ? AND asked = 1");
  const expireLeases = database.prepare(
    "DELETE FROM leases WHERE (key, begins) IN (SELECT key, begins FROM counters WHERE ends < ? ORDER BY ends LIMIT ?)",
  );
  const expire = database.prepare(
    "DELETE FROM counters WHERE (key, begins) IN (SELECT key, begins FROM counters WHERE ends < ? ORDER BY ends LIMIT ?)",
  );
  const answer = (node: string, ask: LeaseAsk, now: number): LeaseAnswer => {
    const { key, begins } = ask;
    const counter = counterFrom(counterOf.get(key, begins) as CounterColumns | undefined) ?? newCounter(now);
    const lease = (leaseOf.get(key, begins, node) as Lease | undefined) ?? { ...NO_LEASE };
    const granted = answerAsk(counter, lease, ask, now);
    keepCounter.run(key, begins, ask.ends, ask.refillMs, counter.spent, counter.leased, counter.at, counter.contendedUntil);
    keepLease.run(key, begins, node, lease.leased, lease.turn, lease.granted, lease.asked);
    if (ask.recall) recall.run(key, begins, node);
    const pending = Number(pendingOf.get(key, begins, node)?.["pending"]);
    return { granted, spent: counter.spent, leased: counter.leased, pending, recalled: lease.asked === 1 };
  };
  return {
    lease: ([node, now, asks]) => {
      book.flush();
      return asks.map((ask) => answer(node, ask, now));
    },
    expireCounters: ([before, limit]) => {
      book.flush();
      expireLeases.run(before, limit);
      return Number(expire.run(before, limit).changes);
    },
  };
}

function counterFrom(columns: CounterColumns | undefined): Counter | undefined {
  return columns && { spent: columns.spent, leased: columns.leased, at: columns.at, contendedUntil: columns.contended_until };
}

export function counterReads(database: DatabaseSync): Pick<ReadTable, "counters"> {
  const list = database.prepare(
    "SELECT key, begins, ends, spent, leased FROM counters WHERE ends > ? AND refill_ms = 0 ORDER BY key, begins LIMIT ?",
  );
  return { counters: ([since, limit]) => list.all(since, limit) as unknown as ReturnType<ReadTable["counters"]> };
}

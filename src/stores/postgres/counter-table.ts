import type { CounterHold, CounterState, LeaseAnswer, LeaseAsk } from "../../canon/index.ts";
import type { Command, Spends, Writes } from "../backend.ts";
import { answerAsk, type Counter, type Lease, newCounter, NO_LEASE } from "../counters.ts";
import { type Session, statement } from "./connections.ts";
import type { PostgresReads, PostgresWrites } from "./tables.ts";
import { arrayOf } from "./values.ts";

interface CounterColumns {
  readonly spent: number;
  readonly leased: number;
  readonly at: number;
  readonly contended_until: number;
}

const MAKE = statement(
  "counters.make",
  `INSERT INTO counters SELECT key, begins, ends, refill_ms, 0, 0, $5::float8, 0
   FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS asked (key, begins, ends, refill_ms)
   ON CONFLICT (key, begins) DO NOTHING`,
);
const LOCK = statement(
  "counters.lock",
  `SELECT 1 FROM counters JOIN (SELECT DISTINCT * FROM unnest($1::text[], $2::bigint[]) AS one (key, begins)) AS used USING (key, begins)
   ORDER BY key COLLATE "C", begins FOR UPDATE OF counters`,
);

function isLease(command: Command): command is Command<"lease"> {
  return command.name === "lease";
}
function isSettle(command: Command): command is Command<"settle"> {
  return command.name === "settle";
}

/**
 * Takes every counter a batch will touch, in one order for all gateways, so that two batches never wait crosswise: PostgreSQL would notice
 * only after a second. Held until the commit, as sums must be.
 */
export async function lockCounters(session: Session, commands: readonly Command[]): Promise<void> {
  const leases = commands.filter(isLease);
  const asks = new Map<string, LeaseAsk>();
  for (const { args } of leases) for (const ask of args[2]) asks.set(placeOf(ask.key, ask.begins), ask);
  const places = new Map<string, readonly [string, number]>([...asks].map(([place, { key, begins }]) => [place, [key, begins]]));
  for (const { args } of commands.filter(isSettle))
    for (const [key, begins] of args[2]?.entries ?? []) places.set(placeOf(key, begins), [key, begins]);
  if (places.size === 0) return;
  if (asks.size > 0) {
    const sorted = [...asks].toSorted(byPlace).map(([, ask]) => ask);
    await session.changes(MAKE, [
      arrayOf(sorted.map(({ key }) => key)),
      arrayOf(sorted.map(({ begins }) => begins)),
      arrayOf(sorted.map(({ ends }) => ends)),
      arrayOf(sorted.map(({ refillMs }) => refillMs)),
      Math.min(...leases.map(({ args }) => args[1])),
    ]);
  }
  const all = [...places.values()];
  await session.rows(LOCK, [arrayOf(all.map(([key]) => key)), arrayOf(all.map(([, begins]) => begins))]);
}

function placeOf(...names: readonly (string | number)[]): string {
  return JSON.stringify(names);
}
function byPlace([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

const SPEND = statement(
  "counters.spend",
  `WITH asked AS (SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[]) AS one (key, begins, node, spent, released)),
     held AS (SELECT leases.key, leases.begins, leases.node, least(leases.leased, asked.released) AS back
              FROM leases JOIN asked USING (key, begins, node)),
     released AS (UPDATE leases SET leased = leases.leased - held.back FROM held
                  WHERE (leases.key, leases.begins, leases.node) = (held.key, held.begins, held.node) AND held.back > 0),
     sums AS (SELECT asked.key, asked.begins, sum(asked.spent)::bigint AS spent, coalesce(sum(held.back), 0)::bigint AS back
              FROM asked LEFT JOIN held USING (key, begins, node) GROUP BY asked.key, asked.begins)
   UPDATE counters SET spent = counters.spent + sums.spent, leased = counters.leased - sums.back FROM sums
   WHERE (counters.key, counters.begins) = (sums.key, sums.begins)`,
);

/** Books what new rows used. The counters must be locked. */
export async function bookSpends(session: Session, all: readonly Spends[]): Promise<void> {
  const sums = new Map<string, [key: string, begins: number, node: string, spent: number, released: number]>();
  for (const { node, entries } of all) {
    for (const [key, begins, spent, released] of entries) {
      const place = placeOf(key, begins, node);
      const sum = sums.get(place) ?? [key, begins, node, 0, 0];
      sum[3] += spent;
      sum[4] += released;
      sums.set(place, sum);
    }
  }
  if (sums.size === 0) return;
  const rows = [...sums.values()];
  await session.changes(
    SPEND,
    ([0, 1, 2, 3, 4] as const).map((column) => arrayOf(rows.map((row) => row[column]))),
  );
}

/** Books what interrupted calls might have used; nobody had leased it to them any more than to their node, which is taken back apart. */
export async function bookHolds(session: Session, holds: readonly CounterHold[]): Promise<void> {
  await bookSpends(session, [{ node: "", entries: holds.map(([key, begins, amount]) => [key, begins, amount, 0]) }]);
}

/** Of what refills nobody knows how much was used: it is little, and soon forgotten. */
const TAKE_BACK = statement(
  "counters.take-back",
  `WITH gone AS (DELETE FROM leases WHERE $1::text IS NULL OR node = $1 RETURNING key, begins, leased),
     sums AS (SELECT key, begins, sum(leased)::bigint AS leased FROM gone GROUP BY key, begins)
   UPDATE counters SET leased = counters.leased - sums.leased,
     spent = counters.spent + CASE WHEN refill_ms > 0 THEN sums.leased ELSE 0 END
   FROM sums WHERE (counters.key, counters.begins) = (sums.key, sums.begins)`,
);

/** Null: from every node. */
export async function takeBack(session: Session, node: string | null): Promise<void> {
  await session.changes(TAKE_BACK, [node]);
}

const COUNTER = statement("counters.read", "SELECT spent, leased, at, contended_until FROM counters WHERE key = $1 AND begins = $2");
const KEEP = statement(
  "counters.keep",
  `UPDATE counters SET ends = $3, refill_ms = $4, spent = $5, leased = $6, at = $7, contended_until = $8 WHERE key = $1 AND begins = $2`,
);
const LEASE = statement(
  "leases-of-counters.read",
  "SELECT leased, turn, granted, asked FROM leases WHERE key = $1 AND begins = $2 AND node = $3",
);
const KEEP_LEASE = statement(
  "leases-of-counters.keep",
  `INSERT INTO leases VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (key, begins, node) DO UPDATE
   SET leased = excluded.leased, turn = excluded.turn, granted = excluded.granted, asked = excluded.asked`,
);
const RECALL = statement(
  "leases-of-counters.recall",
  "UPDATE leases SET asked = 1 WHERE key = $1 AND begins = $2 AND node <> $3 AND leased > 0",
);
const PENDING = statement(
  "leases-of-counters.pending",
  "SELECT count(*) AS pending FROM leases WHERE key = $1 AND begins = $2 AND node <> $3 AND asked = 1",
);
const ENDED = "(key, begins) IN (SELECT key, begins FROM counters WHERE ends < $1 ORDER BY ends LIMIT $2)";
const EXPIRE_LEASES = statement("leases-of-counters.expire", `DELETE FROM leases WHERE ${ENDED}`);
const EXPIRE = statement("counters.expire", `DELETE FROM counters WHERE ${ENDED}`);

async function answer(session: Session, node: string, ask: LeaseAsk, now: number): Promise<LeaseAnswer> {
  const { key, begins } = ask;
  const [columns] = await session.rows<CounterColumns>(COUNTER, [key, begins]);
  const counter: Counter = columns
    ? { spent: columns.spent, leased: columns.leased, at: columns.at, contendedUntil: columns.contended_until }
    : newCounter(now);
  const lease: Lease = { ...((await session.rows<Lease>(LEASE, [key, begins, node]))[0] ?? NO_LEASE) };
  const granted = answerAsk(counter, lease, ask, now);
  const { spent, leased, at, contendedUntil } = counter;
  await session.changes(KEEP, [key, begins, ask.ends, ask.refillMs, spent, leased, at, contendedUntil]);
  await session.changes(KEEP_LEASE, [key, begins, node, lease.leased, lease.turn, lease.granted, lease.asked]);
  if (ask.recall) await session.changes(RECALL, [key, begins, node]);
  const pending = (await session.rows<{ readonly pending: number }>(PENDING, [key, begins, node]))[0]?.pending ?? 0;
  return { granted, spent, leased, pending, recalled: lease.asked === 1 };
}

export const counterWrites = {
  lease: async ({ session }, [node, now, asks]: Writes["lease"]["args"]) => {
    const answers: LeaseAnswer[] = [];
    for (const ask of asks) answers.push(await answer(session, node, ask, now));
    return answers;
  },
  expireCounters: async ({ session }, args) => {
    await session.changes(EXPIRE_LEASES, args);
    return session.changes(EXPIRE, args);
  },
} satisfies Partial<PostgresWrites>;

const LIST = statement(
  "counters.list",
  `SELECT key, begins, ends, spent, leased FROM counters WHERE ends > $1 AND refill_ms = 0 ORDER BY key COLLATE "C", begins LIMIT $2`,
);

export const counterReads = {
  counters: (session, args) => session.rows<CounterState>(LIST, args),
} satisfies Partial<PostgresReads>;

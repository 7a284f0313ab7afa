import type { Writes } from "../backend.ts";
import type { Sealer } from "../sealing/sealer.ts";
import type { TurnHead } from "../turn-text.ts";
import { type Session, statement } from "./connections.ts";
import type { PostgresReads, PostgresWrites } from "./tables.ts";
import { arrayOf, arrayOfBytes } from "./values.ts";

interface TurnColumns {
  readonly id: string;
  readonly previous_id: string | null;
  readonly created_at: number;
  readonly expires_at: number;
  readonly key_id: string;
  readonly sealed: Uint8Array;
}
interface NativeColumns {
  readonly anchor: string;
  readonly key_id: string;
  readonly sealed: Uint8Array;
}

/** What a sealed row is bound to. */
function turnIdentity(scope: string, id: string): readonly string[] {
  return ["turn", scope, id];
}
function nativeIdentity(scope: string, anchor: string): readonly string[] {
  return ["native", scope, anchor];
}

const KEEP_TURNS = statement(
  "turns.keep",
  `INSERT INTO turns SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bytea[])
   ON CONFLICT (scope, id) DO UPDATE SET previous_id = excluded.previous_id, created_at = excluded.created_at,
     expires_at = excluded.expires_at, key_id = excluded.key_id, sealed = excluded.sealed`,
);
const KEEP_NATIVES = statement(
  "natives.keep",
  `INSERT INTO natives SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bytea[])
   ON CONFLICT (scope, anchor) DO UPDATE SET expires_at = excluded.expires_at, key_id = excluded.key_id, sealed = excluded.sealed`,
);

/** One statement cannot write a row twice: of the same turn only the last counts. Sorted, so that two gateways never wait crosswise. */
function lastOfEach<T extends readonly [string, string, ...unknown[]]>(all: readonly T[]): readonly T[] {
  const last = new Map(all.map((args) => [JSON.stringify([args[0], args[1]]), args]));
  return [...last].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, args]) => args);
}

export async function keepTurns(session: Session, sealer: Sealer, kept: readonly Writes["keepTurn"]["args"][]): Promise<void> {
  const turns = lastOfEach(kept);
  const sealed = turns.map(([scope, id, , , , content]) => sealer.seal(content, turnIdentity(scope, id)));
  await session.changes(KEEP_TURNS, [
    arrayOf(turns.map((args) => args[0])),
    arrayOf(turns.map((args) => args[1])),
    arrayOf(turns.map((args) => args[2])),
    arrayOf(turns.map((args) => args[3])),
    arrayOf(turns.map((args) => args[4])),
    arrayOf(sealed.map(({ keyId }) => keyId)),
    arrayOfBytes(sealed.map(({ bytes }) => bytes)),
  ]);
}

export async function keepNatives(session: Session, sealer: Sealer, kept: readonly Writes["keepNative"]["args"][]): Promise<void> {
  const natives = lastOfEach(kept);
  const sealed = natives.map(([scope, anchor, , content]) => sealer.seal(content, nativeIdentity(scope, anchor)));
  await session.changes(KEEP_NATIVES, [
    arrayOf(natives.map((args) => args[0])),
    arrayOf(natives.map((args) => args[1])),
    arrayOf(natives.map((args) => args[2])),
    arrayOf(sealed.map(({ keyId }) => keyId)),
    arrayOfBytes(sealed.map(({ bytes }) => bytes)),
  ]);
}

const DELETE_TURN = statement("turns.delete", "DELETE FROM turns WHERE scope = $1 AND id = $2");
const EXPIRE = ["turns", "natives", "idempotency"].map((table) =>
  statement(
    `${table}.expire`,
    `DELETE FROM ${table} WHERE ctid = ANY (ARRAY (SELECT ctid FROM ${table} WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))`,
  ),
);

export const turnWrites = {
  deleteTurn: async ({ session }, [scope, id]) => (await session.changes(DELETE_TURN, [scope, id])) > 0,
  expire: async ({ session }, [now, limit]) => {
    let forgotten = 0;
    for (const one of EXPIRE) if (forgotten < limit) forgotten += await session.changes(one, [Math.round(now), limit - forgotten]);
    return forgotten;
  },
} satisfies Partial<PostgresWrites>;

const COLUMNS = "id, previous_id, created_at, expires_at, key_id, sealed";
const TURN = statement("turns.read", `SELECT ${COLUMNS} FROM turns WHERE scope = $1 AND id = $2 AND expires_at > $3`);
/** The scope stays the same over the whole walk: a chain cannot lead to another caller's turns. */
const CHAIN = statement(
  "turns.chain",
  `WITH RECURSIVE chain AS (
     SELECT ${COLUMNS}, 1 AS depth FROM turns WHERE scope = $1 AND id = $2 AND expires_at > $4
     UNION ALL
     SELECT before.id, before.previous_id, before.created_at, before.expires_at, before.key_id, before.sealed, chain.depth + 1
     FROM turns AS before JOIN chain ON before.scope = $1 AND before.id = chain.previous_id
     WHERE before.expires_at > $4 AND chain.depth < $3
   ) SELECT * FROM chain ORDER BY depth`,
);
const NATIVES = statement(
  "natives.read",
  "SELECT anchor, key_id, sealed FROM natives WHERE scope = $1 AND anchor = ANY ($2::text[]) AND expires_at > $3",
);

function turnOf(scope: string, columns: TurnColumns, sealer: Sealer): readonly [TurnHead, string] | undefined {
  const content = sealer.open({ keyId: columns.key_id, bytes: columns.sealed }, turnIdentity(scope, columns.id));
  if (content === undefined) return undefined;
  const { id, previous_id: previousId, created_at: createdAt, expires_at: expiresAt } = columns;
  return [{ scope, id, previousId: previousId ?? undefined, createdAt, expiresAt }, content];
}

export const turnReads = {
  turn: async (session, [scope, id, now], sealer) => {
    const [columns] = await session.rows<TurnColumns>(TURN, [scope, id, Math.round(now)]);
    return columns && turnOf(scope, columns, sealer);
  },
  chain: async (session, [scope, id, limit, now], sealer) => {
    const found: (readonly [TurnHead, string])[] = [];
    for (const columns of await session.rows<TurnColumns>(CHAIN, [scope, id, limit, Math.round(now)])) {
      const turn = turnOf(scope, columns, sealer);
      if (!turn) return undefined;
      found.push(turn);
    }
    // The walk ended where a predecessor is missing or beyond the limit.
    return found.length === 0 || found.at(-1)?.[0].previousId !== undefined ? undefined : found;
  },
  native: async (session, [scope, anchors, now], sealer) => {
    const found = await session.rows<NativeColumns>(NATIVES, [scope, arrayOf(anchors), Math.round(now)]);
    return found.flatMap(({ anchor, key_id: keyId, sealed: bytes }) => {
      const content = sealer.open({ keyId, bytes }, nativeIdentity(scope, anchor));
      return content === undefined ? [] : [[anchor, content] as const];
    });
  },
} satisfies Partial<PostgresReads>;

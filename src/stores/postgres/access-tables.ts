import {
  assertRoom,
  type BoundColumns,
  boundFrom,
  changedKey,
  changedScopes,
  type DenialColumns,
  denialFrom,
  denialToValues,
} from "../access-columns.ts";
import { type KeyColumns, keyFrom, keyToValues } from "../admin-columns.ts";
import { HOLD, raise } from "./admin-tables.ts";
import { statement } from "./connections.ts";
import type { PostgresReads, PostgresWrites } from "./tables.ts";

const OF_ACCOUNT = statement("keys.of-account", "SELECT * FROM keys WHERE coalesce(account, id) = $1");
const CHANGE = statement(
  "keys.change",
  "UPDATE keys SET name = $2, team = $3, project = $4, tags = $5, scopes = $6, limits = $7, budgets = $8 WHERE id = $1",
);
const BOUND = statement("bounds.read", "SELECT * FROM group_bounds WHERE kind = $1 AND name = $2");
const PUT_BOUND = statement(
  "bounds.put",
  "INSERT INTO group_bounds VALUES ($1, $2, $3) ON CONFLICT (kind, name) DO UPDATE SET scopes = excluded.scopes",
);
const DROP_BOUND = statement("bounds.drop", "DELETE FROM group_bounds WHERE kind = $1 AND name = $2");
const FORGET = statement("denials.forget", "DELETE FROM denials WHERE expires_at <= $1");
const OTHERS = statement("denials.others", "SELECT count(*)::int AS count FROM denials WHERE id <> $1");
const DENY = statement(
  "denials.put",
  `INSERT INTO denials VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET kind = excluded.kind,
     issuer = excluded.issuer, value = excluded.value, author = excluded.author, reason = excluded.reason,
     created_at = excluded.created_at, expires_at = excluded.expires_at`,
);
const ALLOW = statement("denials.remove", "DELETE FROM denials WHERE id = $1");

/** What stands beside the keys: edits of accounts, bounds of teams and projects, denials. */
export const accessWrites = {
  editAccount: async (batch, [account, change]) => {
    const { session } = batch;
    await session.rows(HOLD);
    const own = await session.rows<KeyColumns>(OF_ACCOUNT, [account]);
    for (const columns of own) {
      const [id = "", , , name = "", team = null, project = null, tags = null, scopes = "", limits = "", , , , budgets = null] =
        keyToValues(changedKey(keyFrom(columns), change));
      await session.changes(CHANGE, [id, name, team, project, tags, scopes, limits, budgets]);
    }
    if (own.length > 0) await raise(batch);
    return own.length > 0;
  },
  boundGroup: async (batch, [group, name, change]) => {
    const { session } = batch;
    await session.rows(HOLD);
    const [before] = await session.rows<BoundColumns>(BOUND, [group, name]);
    const scopes = changedScopes(before ? boundFrom(before).scopes : {}, change);
    if (Object.keys(scopes).length === 0) await session.changes(DROP_BOUND, [group, name]);
    else await session.changes(PUT_BOUND, [group, name, JSON.stringify(scopes)]);
    await raise(batch);
    return scopes;
  },
  deny: async (batch, [entry]) => {
    const { session } = batch;
    await session.rows(HOLD);
    await session.changes(FORGET, [entry.createdAt]);
    const [others] = await session.rows<{ readonly count: number }>(OTHERS, [entry.id]);
    assertRoom(others?.count ?? 0);
    await session.changes(DENY, denialToValues(entry));
    await raise(batch);
  },
  allow: async (batch, [id]) => {
    const removed = (await batch.session.changes(ALLOW, [id])) > 0;
    if (removed) await raise(batch);
    return removed;
  },
} satisfies Partial<PostgresWrites>;

const BOUNDS = statement("bounds.list", 'SELECT * FROM group_bounds ORDER BY kind COLLATE "C", name COLLATE "C"');
const DENIALS = statement(
  "denials.list",
  'SELECT * FROM denials WHERE expires_at IS NULL OR expires_at > $1 ORDER BY created_at, id COLLATE "C"',
);

export const accessReads = {
  bounds: async (session) => (await session.rows<BoundColumns>(BOUNDS)).map(boundFrom),
  denials: async (session, [now]) => (await session.rows<DenialColumns>(DENIALS, [now])).map(denialFrom),
} satisfies Partial<PostgresReads>;

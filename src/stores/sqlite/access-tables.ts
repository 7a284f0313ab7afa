import type { DatabaseSync } from "node:sqlite";
import {
  type AccessWrites,
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
import type { ReadTable, WriteTable } from "../backend.ts";

/** What stands beside the keys: edits of accounts, bounds of teams and projects, denials. */
export function accessWrites(database: DatabaseSync): Pick<WriteTable, AccessWrites> {
  const ofAccount = database.prepare("SELECT * FROM keys WHERE coalesce(account, id) = ?");
  const replace = database.prepare(`INSERT OR REPLACE INTO keys (${KEY_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`);
  const bound = database.prepare("SELECT * FROM group_bounds WHERE kind = ? AND name = ?");
  const putBound = database.prepare("INSERT OR REPLACE INTO group_bounds VALUES (?, ?, ?)");
  const dropBound = database.prepare("DELETE FROM group_bounds WHERE kind = ? AND name = ?");
  const forget = database.prepare("DELETE FROM denials WHERE expires_at <= ?");
  const others = database.prepare("SELECT count(*) AS count FROM denials WHERE id != ?");
  const deny = database.prepare("INSERT OR REPLACE INTO denials VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  const allow = database.prepare("DELETE FROM denials WHERE id = ?");
  const bump = database.prepare("UPDATE key_generation SET generation = generation + 1");
  return {
    editAccount: ([account, change]) => {
      const own = ofAccount.all(account) as unknown as KeyColumns[];
      for (const columns of own) replace.run(...keyToValues(changedKey(keyFrom(columns), change)));
      if (own.length > 0) bump.run();
      return own.length > 0;
    },
    boundGroup: ([group, name, change]) => {
      const before = bound.get(group, name) as BoundColumns | undefined;
      const scopes = changedScopes(before ? boundFrom(before).scopes : {}, change);
      if (Object.keys(scopes).length === 0) dropBound.run(group, name);
      else putBound.run(group, name, JSON.stringify(scopes));
      bump.run();
      return scopes;
    },
    deny: ([entry]) => {
      forget.run(entry.createdAt);
      assertRoom(Number(others.get(entry.id)?.["count"]));
      deny.run(...denialToValues(entry));
      bump.run();
    },
    allow: ([id]) => {
      const removed = allow.run(id).changes > 0;
      if (removed) bump.run();
      return removed;
    },
  };
}

/** In the order of `keyToValues`. */
const KEY_COLUMNS = "id, hash, prefix, name, team, project, tags, scopes, limits, created_at, expires_at, revoked_at, budgets, account";

export function accessReads(database: DatabaseSync): Pick<ReadTable, "bounds" | "denials"> {
  const bounds = database.prepare("SELECT * FROM group_bounds ORDER BY kind, name");
  const denials = database.prepare("SELECT * FROM denials WHERE expires_at IS NULL OR expires_at > ? ORDER BY created_at, id");
  return {
    bounds: () => (bounds.all() as unknown as BoundColumns[]).map(boundFrom),
    denials: ([now]) => (denials.all(now) as unknown as DenialColumns[]).map(denialFrom),
  };
}

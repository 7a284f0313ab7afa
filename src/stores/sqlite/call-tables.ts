import type { DatabaseSync } from "node:sqlite";
import type { ReadTable, WriteTable } from "../backend.ts";
import type { TurnHead } from "../turn-text.ts";
import type { Sealer } from "../sealing/sealer.ts";

interface TurnColumns {
  readonly previous_id: string | null;
  readonly created_at: number;
  readonly expires_at: number;
  readonly key_id: string;
  readonly sealed: Uint8Array;
}
interface NativeColumns {
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

export function callWrites(database: DatabaseSync, sealer: Sealer): Pick<WriteTable, "keepTurn" | "deleteTurn" | "keepNative" | "expire"> {
  const keepTurn = database.prepare("INSERT OR REPLACE INTO serving.turns VALUES (?, ?, ?, ?, ?, ?, ?)");
  const deleteTurn = database.prepare("DELETE FROM serving.turns WHERE scope = ? AND id = ?");
  const keepNative = database.prepare("INSERT OR REPLACE INTO serving.natives VALUES (?, ?, ?, ?, ?)");
  const expireTurns = database.prepare(
    "DELETE FROM serving.turns WHERE rowid IN (SELECT rowid FROM serving.turns WHERE expires_at <= ? LIMIT ?)",
  );
  const expireNatives = database.prepare(
    "DELETE FROM serving.natives WHERE rowid IN (SELECT rowid FROM serving.natives WHERE expires_at <= ? LIMIT ?)",
  );
  const expireKeys = database.prepare(
    "DELETE FROM serving.idempotency WHERE rowid IN (SELECT rowid FROM serving.idempotency WHERE expires_at <= ? LIMIT ?)",
  );
  return {
    keepTurn: ([scope, id, previousId, createdAt, expiresAt, content]) => {
      const sealed = sealer.seal(content, turnIdentity(scope, id));
      keepTurn.run(scope, id, previousId, createdAt, expiresAt, sealed.keyId, sealed.bytes);
    },
    deleteTurn: ([scope, id]) => deleteTurn.run(scope, id).changes > 0,
    keepNative: ([scope, anchor, expiresAt, content]) => {
      const sealed = sealer.seal(content, nativeIdentity(scope, anchor));
      keepNative.run(scope, anchor, expiresAt, sealed.keyId, sealed.bytes);
    },
    expire: ([now, limit]) => {
      const turns = Number(expireTurns.run(now, limit).changes);
      const natives = Number(expireNatives.run(now, limit - turns).changes);
      return turns + natives + Number(expireKeys.run(now, limit - turns - natives).changes);
    },
  };
}

export function callReads(database: DatabaseSync, sealer: Sealer): Pick<ReadTable, "turn" | "chain" | "native"> {
  const readTurn = database.prepare(
    "SELECT previous_id, created_at, expires_at, key_id, sealed FROM serving.turns WHERE scope = ? AND id = ? AND expires_at > ?",
  );
  const readNative = database.prepare("SELECT key_id, sealed FROM serving.natives WHERE scope = ? AND anchor = ? AND expires_at > ?");

  const turn = (scope: string, id: string, now: number): readonly [TurnHead, string] | undefined => {
    const columns = readTurn.get(scope, id, now) as TurnColumns | undefined;
    const content = columns && sealer.open({ keyId: columns.key_id, bytes: columns.sealed }, turnIdentity(scope, id));
    if (columns === undefined || content === undefined) return undefined;
    const head: TurnHead = {
      scope,
      id,
      previousId: columns.previous_id ?? undefined,
      createdAt: columns.created_at,
      expiresAt: columns.expires_at,
    };
    return [head, content];
  };
  return {
    turn: ([scope, id, now]) => turn(scope, id, now),
    chain: ([scope, id, limit, now]) => {
      const found: (readonly [TurnHead, string])[] = [];
      // The scope stays the same over the whole walk: a chain cannot lead to another caller's turns.
      for (let next: string | undefined = id; next !== undefined;) {
        const one: readonly [TurnHead, string] | undefined = found.length < limit ? turn(scope, next, now) : undefined;
        if (!one) return undefined;
        found.push(one);
        next = one[0].previousId;
      }
      return found;
    },
    native: ([scope, anchors, now]) => {
      const found: (readonly [string, string])[] = [];
      for (const anchor of anchors) {
        const columns = readNative.get(scope, anchor, now) as NativeColumns | undefined;
        const content = columns && sealer.open({ keyId: columns.key_id, bytes: columns.sealed }, nativeIdentity(scope, anchor));
        if (content !== undefined) found.push([anchor, content]);
      }
      return found;
    },
  };
}

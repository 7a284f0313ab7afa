import { createHash } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import type { HeldColumns, ReadTable, WriteTable } from "../backend.ts";
import type { Sealer } from "../sealing/sealer.ts";

interface Columns {
  readonly fingerprint: string;
  readonly call_id: string;
  readonly node: string;
  readonly key_id: string | null;
  readonly sealed: Uint8Array | null;
}

/** A caller's own text may say something about it, and is never asked for again: its hash is enough to know it by. */
function hashOf(key: string): string {
  return createHash("sha256").update(key).digest("base64url");
}

/** What a sealed answer is bound to. */
function identity(scope: string, hash: string): readonly string[] {
  return ["idempotency", scope, hash];
}

const READ =
  "SELECT fingerprint, call_id, node, key_id, sealed FROM serving.idempotency WHERE scope = ? AND key_hash = ? AND expires_at > ?";

function held(columns: Columns, sealer: Sealer, scope: string, hash: string): HeldColumns {
  const { fingerprint, call_id: callId, node, key_id: keyId, sealed } = columns;
  const answer = keyId === null || sealed === null ? undefined : sealer.openBytes({ keyId, bytes: sealed }, identity(scope, hash));
  return { callId, node, fingerprint, answer: answer ?? null };
}

export function idempotencyWrites(database: DatabaseSync, sealer: Sealer): Pick<WriteTable, "claimKey" | "keepAnswer" | "releaseKey"> {
  const read = database.prepare(READ);
  const claim = database.prepare("INSERT OR REPLACE INTO serving.idempotency VALUES (?, ?, ?, ?, ?, ?, NULL, NULL)");
  const keep = database.prepare("UPDATE serving.idempotency SET key_id = ?, sealed = ? WHERE scope = ? AND key_hash = ? AND call_id = ?");
  const release = database.prepare("DELETE FROM serving.idempotency WHERE scope = ? AND key_hash = ? AND call_id = ?");
  return {
    claimKey: ([scope, key, fingerprint, callId, node, expiresAt, now, instead]) => {
      const hash = hashOf(key);
      const columns = read.get(scope, hash, now) as Columns | undefined;
      // The same claim once more, after a commit whose acknowledgement was lost, is granted again.
      if (columns && columns.call_id !== callId && columns.call_id !== instead) return held(columns, sealer, scope, hash);
      claim.run(scope, hash, fingerprint, callId, node, expiresAt);
      return undefined;
    },
    keepAnswer: ([scope, key, callId, answer]) => {
      const hash = hashOf(key);
      const sealed = sealer.seal(answer, identity(scope, hash));
      keep.run(sealed.keyId, sealed.bytes, scope, hash, callId);
    },
    releaseKey: ([scope, key, callId]) => void release.run(scope, hashOf(key), callId),
  };
}

export function idempotencyReads(database: DatabaseSync, sealer: Sealer): Pick<ReadTable, "heldKey"> {
  const read = database.prepare(READ);
  return {
    heldKey: ([scope, key, now]) => {
      const hash = hashOf(key);
      const columns = read.get(scope, hash, now) as Columns | undefined;
      return columns && held(columns, sealer, scope, hash);
    },
  };
}

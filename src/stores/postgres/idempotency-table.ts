import { createHash } from "node:crypto";
import type { HeldColumns } from "../backend.ts";
import type { Sealer } from "../sealing/sealer.ts";
import { type Session, statement } from "./connections.ts";
import type { PostgresReads, PostgresWrites } from "./tables.ts";

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

const READ = statement(
  "idempotency.read",
  "SELECT fingerprint, call_id, node, key_id, sealed FROM idempotency WHERE scope = $1 AND key_hash = $2 AND expires_at > $3",
);
/** One gateway's claim waits at the row for the other's commit, and then sees it. The same claim once more is granted again. */
const CLAIM = statement(
  "idempotency.claim",
  `INSERT INTO idempotency AS held VALUES ($1, $2, $3, $4, $5, $6, NULL, NULL)
   ON CONFLICT (scope, key_hash) DO UPDATE SET fingerprint = excluded.fingerprint, call_id = excluded.call_id, node = excluded.node,
     expires_at = excluded.expires_at, key_id = NULL, sealed = NULL
   WHERE held.expires_at <= $7 OR held.call_id = $4 OR held.call_id = $8::text`,
);
const KEEP = statement(
  "idempotency.keep",
  "UPDATE idempotency SET key_id = $1, sealed = $2 WHERE scope = $3 AND key_hash = $4 AND call_id = $5",
);
const RELEASE = statement("idempotency.release", "DELETE FROM idempotency WHERE scope = $1 AND key_hash = $2 AND call_id = $3");

/** Between a claim that was refused and the look at who holds the key, the holder may have let it go. */
const CLAIM_TRIES = 5;

async function readHeld(session: Session, sealer: Sealer, scope: string, hash: string, now: number): Promise<HeldColumns | undefined> {
  const [columns] = await session.rows<Columns>(READ, [scope, hash, Math.round(now)]);
  if (!columns) return undefined;
  const { fingerprint, call_id: callId, node, key_id: keyId, sealed } = columns;
  const answer = keyId === null || sealed === null ? undefined : sealer.openBytes({ keyId, bytes: sealed }, identity(scope, hash));
  return { callId, node, fingerprint, answer: answer ?? null };
}

export const idempotencyWrites = {
  claimKey: async ({ session, sealer }, [scope, key, fingerprint, callId, node, expiresAt, now, instead]) => {
    const hash = hashOf(key);
    const values = [scope, hash, fingerprint, callId, node, Math.round(expiresAt), Math.round(now), instead];
    for (let tries = 0; tries < CLAIM_TRIES; tries++) {
      if ((await session.changes(CLAIM, values)) > 0) return undefined;
      const held = await readHeld(session, sealer, scope, hash, now);
      if (held) return held;
    }
    throw new Error("an idempotency key changed hands too often");
  },
  keepAnswer: async ({ session, sealer }, [scope, key, callId, answer]) => {
    const hash = hashOf(key);
    const sealed = sealer.seal(answer, identity(scope, hash));
    await session.changes(KEEP, [sealed.keyId, sealed.bytes, scope, hash, callId]);
  },
  releaseKey: async ({ session }, [scope, key, callId]) => {
    await session.changes(RELEASE, [scope, hashOf(key), callId]);
  },
} satisfies Partial<PostgresWrites>;

export const idempotencyReads = {
  heldKey: (session, [scope, key, now], sealer) => readHeld(session, sealer, scope, hashOf(key), now),
} satisfies Partial<PostgresReads>;

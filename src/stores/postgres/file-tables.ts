import { behind, fileRow, type FileColumns, type FileRow } from "../file-columns.ts";
import type { Sealer } from "../sealing/sealer.ts";
import { type Session, statement, type Statement } from "./connections.ts";
import type { PostgresReads, PostgresWrites } from "./tables.ts";

/** Two uploads of one caller at once must see each other's bytes. Held until the transaction ends. */
export const OF_SCOPE = statement("files.scope", "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.files.' || $1, 0))");
const KEEP_PIECE = statement(
  "files.keep-piece",
  `INSERT INTO file_pieces VALUES ($1, $2, $3, $4, $5) ON CONFLICT (scope, id)
   DO UPDATE SET expires_at = excluded.expires_at, key_id = excluded.key_id, sealed = excluded.sealed`,
);
const HELD = statement("files.held", "SELECT coalesce(sum(bytes), 0)::bigint AS bytes FROM kept_files WHERE scope = $1 AND id <> $2");
const KEEP = statement(
  "files.keep",
  `INSERT INTO kept_files VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (scope, id) DO UPDATE SET purpose = excluded.purpose,
     bytes = excluded.bytes, created_at = excluded.created_at, expires_at = excluded.expires_at, key_id = excluded.key_id, sealed = excluded.sealed`,
);
const REMOVE = statement("files.remove", "DELETE FROM kept_files WHERE scope = $1 AND id = $2");
const REMOVE_PIECES = statement("files.remove-pieces", "DELETE FROM file_pieces WHERE scope = $1 AND id > $2 AND id < $3");
const EXPIRE = ["kept_files", "file_pieces", "batches", "batch_lines"].map((table) =>
  statement(
    `files.expire-${table}`,
    `DELETE FROM ${table} WHERE ctid = ANY (ARRAY (SELECT ctid FROM ${table} WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))`,
  ),
);
const ONE = statement("files.one", "SELECT * FROM kept_files WHERE scope = $1 AND id = $2 AND expires_at > $3");
const PIECE = statement("files.piece", "SELECT key_id, sealed FROM file_pieces WHERE scope = $1 AND id = $2");
const LISTED = [false, true].map((oldestFirst) => pageStatement("kept_files", "($4::text IS NULL OR purpose = $4::text)", oldestFirst));

/** A page of a caller's rows: `$1` scope, `$2` how many, `$3` behind which or null, `$5` now. */
export function pageStatement(table: string, condition: string, oldestFirst: boolean): Statement {
  const [order, side] = oldestFirst ? ["ASC", ">"] : ["DESC", "<"];
  return statement(
    `${table}.list-${order}`,
    `SELECT * FROM ${table} WHERE scope = $1 AND ${condition} AND expires_at > $5
     AND ($3::text IS NULL OR (created_at, id) ${side} (SELECT created_at, id FROM ${table} WHERE scope = $1 AND id = $3::text))
     ORDER BY created_at ${order}, id ${order} LIMIT $2`,
  );
}

export const fileWrites = {
  keepPiece: async ({ session, sealer }, [scope, id, expiresAt, content]) => {
    const sealed = sealer.seal(content, ["piece", scope, id]);
    await session.changes(KEEP_PIECE, [scope, id, expiresAt, sealed.keyId, sealed.bytes]);
  },
  keepFile: async ({ session, sealer }, [scope, id, purpose, bytes, createdAt, expiresAt, maxBytes, content]) => {
    await session.rows(OF_SCOPE, [scope]);
    const [held] = await session.rows<{ readonly bytes: number }>(HELD, [scope, id]);
    if ((held?.bytes ?? 0) + bytes > maxBytes) return false;
    const sealed = sealer.seal(content, ["file", scope, id]);
    await session.changes(KEEP, [scope, id, purpose, bytes, createdAt, expiresAt, sealed.keyId, sealed.bytes]);
    return true;
  },
  deleteFile: async ({ session }, [scope, id]) => {
    await session.changes(REMOVE_PIECES, [scope, ...behind(id)]);
    return (await session.changes(REMOVE, [scope, id])) > 0;
  },
  expireFiles: async ({ session }, args) => {
    let forgotten = 0;
    for (const expire of EXPIRE) forgotten += await session.changes(expire, args);
    return forgotten;
  },
} satisfies Partial<PostgresWrites>;

function opened(sealer: Sealer, scope: string, columns: FileColumns | undefined): FileRow | undefined {
  if (!columns) return undefined;
  const name = sealer.open({ keyId: columns.key_id, bytes: columns.sealed }, ["file", scope, columns.id]);
  return name === undefined ? undefined : fileRow(columns, name);
}

export const fileReads = {
  file: async (session, [scope, id, now], sealer) => opened(sealer, scope, (await session.rows<FileColumns>(ONE, [scope, id, now]))[0]),
  files: async (session, [scope, limit, after, oldestFirst, purpose, now], sealer) => {
    const rows = await page<FileColumns>(session, LISTED, oldestFirst, [scope, limit, after, purpose, now]);
    return rows.flatMap((columns) => opened(sealer, scope, columns) ?? []);
  },
  filePiece: async (session, [scope, id], sealer) => {
    const [columns] = await session.rows<{ readonly key_id: string; readonly sealed: Uint8Array }>(PIECE, [scope, id]);
    return columns && sealer.openBytes({ keyId: columns.key_id, bytes: columns.sealed }, ["piece", scope, id]);
  },
} satisfies Partial<PostgresReads>;

export async function page<T>(
  session: Session,
  statements: readonly Statement[],
  oldestFirst: boolean,
  values: readonly (string | number | null)[],
): Promise<readonly T[]> {
  const what = statements[oldestFirst ? 1 : 0];
  return what ? session.rows<T>(what, values) : [];
}

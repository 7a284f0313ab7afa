import type { DatabaseSync } from "node:sqlite";
import type { ReadTable, WriteTable } from "../backend.ts";
import { behind, fileRow, type FileColumns, type FileRow } from "../file-columns.ts";
import type { Sealer } from "../sealing/sealer.ts";

type FileWrites = "keepPiece" | "keepFile" | "deleteFile" | "expireFiles";
type FileReads = "file" | "files" | "filePiece";

export function fileWrites(database: DatabaseSync, sealer: Sealer): Pick<WriteTable, FileWrites> {
  const keepPiece = database.prepare("INSERT OR REPLACE INTO serving.file_pieces VALUES (?, ?, ?, ?, ?)");
  const held = database.prepare("SELECT coalesce(sum(bytes), 0) AS bytes FROM serving.kept_files WHERE scope = ? AND id <> ?");
  const keep = database.prepare("INSERT OR REPLACE INTO serving.kept_files VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  const remove = database.prepare("DELETE FROM serving.kept_files WHERE scope = ? AND id = ?");
  const removePieces = database.prepare("DELETE FROM serving.file_pieces WHERE scope = ? AND id > ? AND id < ?");
  const expire = ["kept_files", "file_pieces", "batches", "batch_lines"].map((table) =>
    database.prepare(
      `DELETE FROM serving.${table} WHERE rowid IN (SELECT rowid FROM serving.${table} WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)`,
    ),
  );
  return {
    keepPiece: ([scope, id, expiresAt, content]) => {
      const sealed = sealer.seal(content, ["piece", scope, id]);
      keepPiece.run(scope, id, expiresAt, sealed.keyId, sealed.bytes);
    },
    keepFile: ([scope, id, purpose, bytes, createdAt, expiresAt, maxBytes, content]) => {
      if (Number(held.get(scope, id)?.["bytes"]) + bytes > maxBytes) return false;
      const sealed = sealer.seal(content, ["file", scope, id]);
      keep.run(scope, id, purpose, bytes, createdAt, expiresAt, sealed.keyId, sealed.bytes);
      return true;
    },
    deleteFile: ([scope, id]) => {
      removePieces.run(scope, ...behind(id));
      return remove.run(scope, id).changes > 0;
    },
    expireFiles: ([now, limit]) => expire.reduce((sum, statement) => sum + Number(statement.run(now, limit).changes), 0),
  };
}

export function fileReads(database: DatabaseSync, sealer: Sealer): Pick<ReadTable, FileReads> {
  const one = database.prepare("SELECT * FROM serving.kept_files WHERE scope = ? AND id = ? AND expires_at > ?");
  const piece = database.prepare("SELECT key_id, sealed FROM serving.file_pieces WHERE scope = ? AND id = ?");
  const listed = [false, true].map((oldestFirst) => database.prepare(pageSql("kept_files", "coalesce(purpose = ?4, 1)", oldestFirst)));
  const opened = (scope: string, columns: FileColumns | undefined): FileRow | undefined => {
    if (!columns) return undefined;
    const name = sealer.open({ keyId: columns.key_id, bytes: columns.sealed }, ["file", scope, columns.id]);
    return name === undefined ? undefined : fileRow(columns, name);
  };
  return {
    file: ([scope, id, now]) => opened(scope, one.get(scope, id, now) as unknown as FileColumns | undefined),
    files: ([scope, limit, after, oldestFirst, purpose, now]) => {
      const rows = listed[oldestFirst ? 1 : 0]?.all(scope, limit, after, purpose, now) as unknown as FileColumns[];
      return rows.flatMap((columns) => opened(scope, columns) ?? []);
    },
    filePiece: ([scope, id]) => {
      const columns = piece.get(scope, id) as { key_id: string; sealed: Uint8Array } | undefined;
      return columns && sealer.openBytes({ keyId: columns.key_id, bytes: columns.sealed }, ["piece", scope, id]);
    },
  };
}

/** A page of a caller's rows: `?1` scope, `?2` how many, `?3` behind which or null, `?5` now. */
export function pageSql(table: string, condition: string, oldestFirst: boolean): string {
  const [order, side] = oldestFirst ? ["ASC", ">"] : ["DESC", "<"];
  return `SELECT * FROM serving.${table} WHERE scope = ?1 AND ${condition} AND expires_at > ?5
    AND (?3 IS NULL OR (created_at, id) ${side} (SELECT created_at, id FROM serving.${table} WHERE scope = ?1 AND id = ?3))
    ORDER BY created_at ${order}, id ${order} LIMIT ?2`;
}

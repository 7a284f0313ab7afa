import type { DatabaseSync } from "node:sqlite";
import type { LineOutcome } from "../../canon/index.ts";
import type { ReadTable, WriteTable } from "../backend.ts";
import {
  type BatchColumns,
  type BatchRow,
  behind,
  type FileRead,
  type FileWrite,
  lineFrom,
  lineId,
  lineOf,
  type LineColumns,
} from "../file-columns.ts";
import type { Sealer } from "../sealing/sealer.ts";
import { pageSql } from "./file-tables.ts";

type BatchWrites = Exclude<FileWrite, "keepPiece" | "keepFile" | "deleteFile" | "expireFiles">;
type BatchReads = Exclude<FileRead, "file" | "files" | "filePiece">;

export function batchWrites(database: DatabaseSync, sealer: Sealer): Pick<WriteTable, BatchWrites> {
  const open = database.prepare("SELECT count(*) AS open FROM serving.batches WHERE over = 0 AND scope = ?");
  const create = database.prepare("INSERT INTO serving.batches VALUES (?, ?, ?, ?, ?, 0, NULL, NULL, 0, ?, ?)");
  // What it holds already comes first, so that no more than it can do is taken.
  const lease = database.prepare(
    `UPDATE serving.batches SET node = ?1, leased_until = ?3 WHERE rowid IN (SELECT rowid FROM serving.batches
     WHERE over = 0 AND (node = ?1 OR leased_until <= ?2) ORDER BY node IS NOT ?1, created_at LIMIT ?4) RETURNING *`,
  );
  const release = database.prepare("UPDATE serving.batches SET node = NULL, leased_until = 0 WHERE over = 0 AND (?1 IS NULL OR node = ?1)");
  const update = database.prepare(
    "UPDATE serving.batches SET over = ?, key_id = ?, sealed = ? WHERE scope = ? AND id = ? AND node = ? AND over = 0",
  );
  const cancel = database.prepare(
    "UPDATE serving.batches SET cancelled_at = coalesce(cancelled_at, ?) WHERE scope = ? AND id = ? AND over = 0",
  );
  const keepLine = database.prepare("INSERT OR IGNORE INTO serving.batch_lines VALUES (?, ?, ?, ?, ?, ?)");
  const holds = database.prepare("SELECT 1 FROM serving.batches WHERE scope = ? AND id = ? AND node = ? AND over = 0");
  const remove = database.prepare("DELETE FROM serving.batches WHERE scope = ? AND id = ? AND over = 1");
  const removeLines = database.prepare("DELETE FROM serving.batch_lines WHERE scope = ? AND id > ? AND id < ?");
  return {
    createBatch: ([scope, id, dialect, createdAt, expiresAt, mostOpen, content]) => {
      if (Number(open.get(scope)?.["open"]) >= mostOpen) return false;
      const sealed = sealer.seal(content, ["batch", scope, id]);
      create.run(scope, id, dialect, createdAt, expiresAt, sealed.keyId, sealed.bytes);
      return true;
    },
    leaseBatches: ([node, now, until, most]) =>
      (lease.all(node, now, until, most) as unknown as BatchColumns[]).flatMap((columns) => openBatch(sealer, columns) ?? []),
    releaseBatches: ([node]) => void release.run(node),
    updateBatch: ([scope, id, node, over, dropLines, content]) => {
      const sealed = sealer.seal(content, ["batch", scope, id]);
      const done = update.run(over, sealed.keyId, sealed.bytes, scope, id, node).changes > 0;
      if (done && dropLines) removeLines.run(scope, ...behind(id));
      return done;
    },
    cancelBatch: ([scope, id, at]) => cancel.run(at, scope, id).changes > 0,
    keepLine: ([scope, batch, id, node, expiresAt, outcome, content]) => {
      if (!holds.get(scope, batch, node)) return false;
      const sealed = sealer.seal(content, ["line", scope, id]);
      keepLine.run(scope, id, outcome, expiresAt, sealed.keyId, sealed.bytes);
      return true;
    },
    deleteBatch: ([scope, id]) => {
      const removed = remove.run(scope, id).changes > 0;
      if (removed) removeLines.run(scope, ...behind(id));
      return removed;
    },
  };
}

export function batchReads(database: DatabaseSync, sealer: Sealer): Pick<ReadTable, BatchReads> {
  const one = database.prepare("SELECT * FROM serving.batches WHERE scope = ? AND id = ? AND expires_at > ?");
  const listed = [false, true].map((oldestFirst) => database.prepare(pageSql("batches", "dialect = ?4", oldestFirst)));
  const counts = database.prepare(
    "SELECT outcome, count(*) AS lines FROM serving.batch_lines WHERE scope = ? AND id > ? AND id < ? GROUP BY outcome",
  );
  const lines = database.prepare("SELECT * FROM serving.batch_lines WHERE scope = ? AND id > ? AND id < ? ORDER BY id LIMIT ?");
  const done = database.prepare("SELECT id FROM serving.batch_lines WHERE scope = ? AND id > ? AND id < ? ORDER BY id");
  return {
    batch: ([scope, id, now]) => openBatch(sealer, one.get(scope, id, now) as unknown as BatchColumns | undefined),
    batches: ([scope, limit, after, oldestFirst, dialect, now]) => {
      const rows = listed[oldestFirst ? 1 : 0]?.all(scope, limit, after, dialect, now) as unknown as BatchColumns[];
      return rows.flatMap((columns) => openBatch(sealer, columns) ?? []);
    },
    batchCounts: ([scope, id]) =>
      counts.all(scope, ...behind(id)).map((row) => [row["outcome"] as LineOutcome, Number(row["lines"])] as const),
    batchLines: ([scope, id, after, limit]) =>
      (lines.all(scope, lineId(id, after), behind(id)[1], limit) as unknown as LineColumns[]).flatMap((columns) => {
        const text = sealer.open({ keyId: columns.key_id, bytes: columns.sealed }, ["line", scope, columns.id]);
        return text === undefined ? [] : [lineFrom(columns, text)];
      }),
    batchLinesDone: ([scope, id]) => done.all(scope, ...behind(id)).map((row) => lineOf(String(row["id"]))),
  };
}

function openBatch(sealer: Sealer, columns: BatchColumns | undefined): BatchRow | undefined {
  if (!columns) return undefined;
  const content = sealer.open({ keyId: columns.key_id, bytes: columns.sealed }, ["batch", columns.scope, columns.id]);
  return content === undefined ? undefined : { cancelledAt: columns.cancelled_at, content };
}

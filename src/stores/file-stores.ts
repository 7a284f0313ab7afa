import { LINE_OUTCOMES, type BatchStore, type FileStore, type LineCounts, type LineOutcome, type Page } from "../canon/index.ts";
import type { Backend } from "./backend.ts";
import { lineId, packBatch, pieceId, unpackBatch } from "./file-columns.ts";

/** Expired rows of one kind forgotten in one transaction; a piece has a quarter of a megabyte. */
const EXPIRE_ROWS = 100;

export function fileStore(backend: Backend): FileStore {
  return {
    keepPiece: (scope, file, place, expiresAt, content) => backend.write("keepPiece", [scope, pieceId(file, place), expiresAt, content]),
    keep: ({ scope, id, name, purpose, bytes, createdAt, expiresAt }, maxBytes) =>
      backend.write("keepFile", [scope, id, purpose, bytes, createdAt, expiresAt, maxBytes, name]),
    async read(scope, id, now) {
      const row = await backend.read("file", [scope, id, now]);
      return row && { scope, ...row };
    },
    readPiece: (scope, file, place) => backend.read("filePiece", [scope, pieceId(file, place)]),
    async list(scope, { limit, after = null, oldestFirst = false, purpose = null }, now) {
      const rows = await backend.read("files", [scope, limit + 1, after, oldestFirst, purpose, now]);
      return pageOf(
        rows.map((row) => ({ scope, ...row })),
        limit,
      );
    },
    delete: (scope, id) => backend.write("deleteFile", [scope, id]),
    async expire(now) {
      for (let forgotten = 0; ;) {
        const some = await backend.write("expireFiles", [now, EXPIRE_ROWS]);
        forgotten += some;
        if (some < EXPIRE_ROWS) return forgotten;
      }
    },
  };
}

export function batchStore(backend: Backend): BatchStore {
  return {
    create: (batch, mostOpen) => {
      const { scope, id, dialect, createdAt, expiresAt } = batch;
      return backend.write("createBatch", [scope, id, dialect, createdAt, expiresAt, mostOpen, packBatch(batch)]);
    },
    async read(scope, id, now) {
      const row = await backend.read("batch", [scope, id, now]);
      return row && unpackBatch(row);
    },
    async list(scope, dialect, { limit, after = null, oldestFirst = false }, now) {
      const rows = await backend.read("batches", [scope, limit + 1, after, oldestFirst, dialect, now]);
      return pageOf(rows.map(unpackBatch), limit);
    },
    counts: async (scope, id) => countsOf(await backend.read("batchCounts", [scope, id])),
    lease: async (node, now, until, most) => (await backend.write("leaseBatches", [node, now, until, most])).map(unpackBatch),
    release: (node) => backend.write("releaseBatches", [node ?? null]),
    update: (batch, node, dropLines) =>
      backend.write("updateBatch", [batch.scope, batch.id, node, batch.ended ? 1 : 0, dropLines, packBatch(batch)]),
    cancel: (scope, id, at) => backend.write("cancelBatch", [scope, id, at]),
    keepLine: (scope, batch, node, expiresAt, { line, outcome, text }) =>
      backend.write("keepLine", [scope, batch, lineId(batch, line), node, expiresAt, outcome, text]),
    lines: (scope, batch, after, limit) => backend.read("batchLines", [scope, batch, after, limit]),
    linesDone: (scope, batch) => backend.read("batchLinesDone", [scope, batch]),
    delete: (scope, id) => backend.write("deleteBatch", [scope, id]),
  };
}

/** One row more than asked for says that there are more. */
export function pageOf<T>(rows: readonly T[], limit: number): Page<T> {
  return { entries: rows.slice(0, limit), more: rows.length > limit };
}

export function countsOf(found: Iterable<readonly [LineOutcome, number]>): LineCounts {
  const counts = new Map(found);
  const [ok, failed, cancelled, expired] = LINE_OUTCOMES.map((outcome) => counts.get(outcome) ?? 0);
  return { ok: ok ?? 0, failed: failed ?? 0, cancelled: cancelled ?? 0, expired: expired ?? 0 };
}

import type { LineOutcome } from "../../canon/index.ts";
import { type BatchColumns, type BatchRow, behind, lineFrom, lineId, lineOf, type LineColumns } from "../file-columns.ts";
import type { Sealer } from "../sealing/sealer.ts";
import { statement } from "./connections.ts";
import { OF_SCOPE, page, pageStatement } from "./file-tables.ts";
import type { PostgresReads, PostgresWrites } from "./tables.ts";

const OPEN = statement("batches.open", "SELECT count(*)::int AS open FROM batches WHERE over = 0 AND scope = $1");
const CREATE = statement("batches.create", "INSERT INTO batches VALUES ($1, $2, $3, $4, $5, 0, NULL, NULL, 0, $6, $7)");
/** What it holds already comes first, so that no more than it can do is taken. Whoever asks at the same time gets others. */
const LEASE = statement(
  "batches.lease",
  `UPDATE batches SET node = $1, leased_until = $3 WHERE (scope, id) IN (SELECT scope, id FROM batches
   WHERE over = 0 AND (node = $1 OR leased_until <= $2) ORDER BY node IS DISTINCT FROM $1, created_at LIMIT $4 FOR UPDATE SKIP LOCKED) RETURNING *`,
);
const RELEASE = statement(
  "batches.release",
  "UPDATE batches SET node = NULL, leased_until = 0 WHERE over = 0 AND ($1::text IS NULL OR node = $1::text)",
);
const UPDATE = statement(
  "batches.update",
  "UPDATE batches SET over = $1, key_id = $2, sealed = $3 WHERE scope = $4 AND id = $5 AND node = $6 AND over = 0",
);
const CANCEL = statement(
  "batches.cancel",
  "UPDATE batches SET cancelled_at = coalesce(cancelled_at, $1) WHERE scope = $2 AND id = $3 AND over = 0",
);
/** The batch's row is held until the line is written: nobody else takes the batch meanwhile. */
const HOLDS = statement("batches.holds", "SELECT 1 FROM batches WHERE scope = $1 AND id = $2 AND node = $3 AND over = 0 FOR SHARE");
const KEEP_LINE = statement(
  "batches.keep-line",
  "INSERT INTO batch_lines VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (scope, id) DO NOTHING",
);
const REMOVE = statement("batches.remove", "DELETE FROM batches WHERE scope = $1 AND id = $2 AND over = 1");
const REMOVE_LINES = statement("batches.remove-lines", "DELETE FROM batch_lines WHERE scope = $1 AND id > $2 AND id < $3");
const ONE = statement("batches.one", "SELECT * FROM batches WHERE scope = $1 AND id = $2 AND expires_at > $3");
const LISTED = [false, true].map((oldestFirst) => pageStatement("batches", "dialect = $4", oldestFirst));
const COUNTS = statement(
  "batches.counts",
  "SELECT outcome, count(*)::int AS lines FROM batch_lines WHERE scope = $1 AND id > $2 AND id < $3 GROUP BY outcome",
);
const LINES = statement("batches.lines", "SELECT * FROM batch_lines WHERE scope = $1 AND id > $2 AND id < $3 ORDER BY id LIMIT $4");
const DONE = statement("batches.done", "SELECT id FROM batch_lines WHERE scope = $1 AND id > $2 AND id < $3 ORDER BY id");

function openBatch(sealer: Sealer, columns: BatchColumns | undefined): BatchRow | undefined {
  if (!columns) return undefined;
  const content = sealer.open({ keyId: columns.key_id, bytes: columns.sealed }, ["batch", columns.scope, columns.id]);
  return content === undefined ? undefined : { cancelledAt: columns.cancelled_at, content };
}

export const batchWrites = {
  createBatch: async ({ session, sealer }, [scope, id, dialect, createdAt, expiresAt, mostOpen, content]) => {
    await session.rows(OF_SCOPE, [scope]);
    const [open] = await session.rows<{ readonly open: number }>(OPEN, [scope]);
    if ((open?.open ?? 0) >= mostOpen) return false;
    const sealed = sealer.seal(content, ["batch", scope, id]);
    await session.changes(CREATE, [scope, id, dialect, createdAt, expiresAt, sealed.keyId, sealed.bytes]);
    return true;
  },
  leaseBatches: async ({ session, sealer }, args) =>
    (await session.rows<BatchColumns>(LEASE, args)).flatMap((columns) => openBatch(sealer, columns) ?? []),
  releaseBatches: async ({ session }, args) => {
    await session.changes(RELEASE, args);
  },
  updateBatch: async ({ session, sealer }, [scope, id, node, over, dropLines, content]) => {
    const sealed = sealer.seal(content, ["batch", scope, id]);
    const done = (await session.changes(UPDATE, [over, sealed.keyId, sealed.bytes, scope, id, node])) > 0;
    if (done && dropLines) await session.changes(REMOVE_LINES, [scope, ...behind(id)]);
    return done;
  },
  cancelBatch: async ({ session }, [scope, id, at]) => (await session.changes(CANCEL, [at, scope, id])) > 0,
  keepLine: async ({ session, sealer }, [scope, batch, id, node, expiresAt, outcome, content]) => {
    if ((await session.rows(HOLDS, [scope, batch, node])).length === 0) return false;
    const sealed = sealer.seal(content, ["line", scope, id]);
    await session.changes(KEEP_LINE, [scope, id, outcome, expiresAt, sealed.keyId, sealed.bytes]);
    return true;
  },
  deleteBatch: async ({ session }, [scope, id]) => {
    const removed = (await session.changes(REMOVE, [scope, id])) > 0;
    if (removed) await session.changes(REMOVE_LINES, [scope, ...behind(id)]);
    return removed;
  },
} satisfies Partial<PostgresWrites>;

export const batchReads = {
  batch: async (session, [scope, id, now], sealer) => openBatch(sealer, (await session.rows<BatchColumns>(ONE, [scope, id, now]))[0]),
  batches: async (session, [scope, limit, after, oldestFirst, dialect, now], sealer) => {
    const rows = await page<BatchColumns>(session, LISTED, oldestFirst, [scope, limit, after, dialect, now]);
    return rows.flatMap((columns) => openBatch(sealer, columns) ?? []);
  },
  batchCounts: async (session, [scope, id]) =>
    (await session.rows<{ readonly outcome: LineOutcome; readonly lines: number }>(COUNTS, [scope, ...behind(id)])).map(
      ({ outcome, lines }) => [outcome, lines] as const,
    ),
  batchLines: async (session, [scope, id, after, limit], sealer) =>
    (await session.rows<LineColumns>(LINES, [scope, lineId(id, after), behind(id)[1], limit])).flatMap((columns) => {
      const text = sealer.open({ keyId: columns.key_id, bytes: columns.sealed }, ["line", scope, columns.id]);
      return text === undefined ? [] : [lineFrom(columns, text)];
    }),
  batchLinesDone: async (session, [scope, id]) =>
    (await session.rows<{ readonly id: string }>(DONE, [scope, ...behind(id)])).map((row) => lineOf(row.id)),
} satisfies Partial<PostgresReads>;

import type { Batch, BatchStore, FileStore, KeptFile, KeptLine, PageQuery, Page } from "../canon/index.ts";
import { countsOf, pageOf } from "./file-stores.ts";
import { lineId, pieceId } from "./file-columns.ts";

interface Held {
  batch: Batch;
  node: string | undefined;
  leasedUntil: number;
}

const keyOf = (scope: string, id: string): string => JSON.stringify([scope, id]);

/** Files and batches in memory. */
export function memoryFiles(): { readonly files: FileStore; readonly batches: BatchStore } {
  const files = new Map<string, KeptFile>();
  const pieces = new Map<string, { readonly expiresAt: number; readonly content: Uint8Array }>();
  const batches = new Map<string, Held>();
  const lines = new Map<string, KeptLine & { readonly expiresAt: number }>();
  const under = <T>(map: Map<string, T>, scope: string, id: string): [string, T][] => {
    const begin = keyOf(scope, `${id}/`).slice(0, -2);
    return [...map].filter(([key]) => key.startsWith(begin)).toSorted(([a], [b]) => (a < b ? -1 : 1));
  };
  const forget = <T>(map: Map<string, T>, expired: (entry: T) => boolean): number => {
    const keys = [...map].flatMap(([key, entry]) => (expired(entry) ? [key] : []));
    for (const key of keys) map.delete(key);
    return keys.length;
  };
  return {
    files: {
      async keepPiece(scope, file, place, expiresAt, content) {
        pieces.set(keyOf(scope, pieceId(file, place)), { expiresAt, content: content.slice() });
      },
      async keep(file, maxBytes) {
        const held = [...files.values()].filter(({ scope, id }) => scope === file.scope && id !== file.id);
        if (held.reduce((sum, { bytes }) => sum + bytes, file.bytes) > maxBytes) return false;
        files.set(keyOf(file.scope, file.id), { ...file });
        return true;
      },
      async read(scope, id, now) {
        const file = files.get(keyOf(scope, id));
        return file && file.expiresAt > now ? { ...file } : undefined;
      },
      readPiece: async (scope, file, place) => pieces.get(keyOf(scope, pieceId(file, place)))?.content.slice(),
      list: async (scope, query, now) =>
        paged(
          [...files.values()].filter((file) => file.scope === scope && (query.purpose ?? file.purpose) === file.purpose),
          query,
          now,
        ),
      async delete(scope, id) {
        for (const [key] of under(pieces, scope, id)) pieces.delete(key);
        return files.delete(keyOf(scope, id));
      },
      expire: async (now) =>
        forget(files, ({ expiresAt }) => expiresAt <= now) +
        forget(pieces, ({ expiresAt }) => expiresAt <= now) +
        forget(batches, ({ batch }) => batch.expiresAt <= now) +
        forget(lines, ({ expiresAt }) => expiresAt <= now),
    },
    batches: {
      async create(batch, mostOpen) {
        if ([...batches.values()].filter(({ batch: { scope, ended } }) => scope === batch.scope && !ended).length >= mostOpen) return false;
        batches.set(keyOf(batch.scope, batch.id), { batch: structuredClone(batch), node: undefined, leasedUntil: 0 });
        return true;
      },
      async read(scope, id, now) {
        const batch = batches.get(keyOf(scope, id))?.batch;
        return batch && batch.expiresAt > now ? structuredClone(batch) : undefined;
      },
      list: async (scope, dialect, query, now) =>
        paged(
          [...batches.values()].flatMap(({ batch }) =>
            batch.scope === scope && batch.dialect === dialect ? [structuredClone(batch)] : [],
          ),
          query,
          now,
        ),
      counts: async (scope, id) => {
        const counts = new Map<KeptLine["outcome"], number>();
        for (const [, { outcome }] of under(lines, scope, id)) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
        return countsOf(counts);
      },
      async lease(node, now, until, most) {
        const free = [...batches.values()].filter((held) => !held.batch.ended && (held.node === node || held.leasedUntil <= now));
        const own = (held: Held): number => (held.node === node ? 0 : 1);
        const taken = free.toSorted((a, b) => own(a) - own(b) || a.batch.createdAt - b.batch.createdAt).slice(0, most);
        for (const held of taken) Object.assign(held, { node, leasedUntil: until });
        return taken.map(({ batch }) => structuredClone(batch));
      },
      async release(node) {
        for (const held of batches.values())
          if (!held.batch.ended && (node === undefined || held.node === node)) Object.assign(held, { node: undefined, leasedUntil: 0 });
      },
      async update({ cancelledAt: _cancelledAt, ...batch }, node, dropLines) {
        const held = batches.get(keyOf(batch.scope, batch.id));
        if (!held || held.node !== node || held.batch.ended) return false;
        const { cancelledAt } = held.batch;
        held.batch = structuredClone({ ...batch, ...(cancelledAt !== undefined && { cancelledAt }) });
        if (dropLines) for (const [key] of under(lines, batch.scope, batch.id)) lines.delete(key);
        return true;
      },
      async cancel(scope, id, at) {
        const held = batches.get(keyOf(scope, id));
        if (!held || held.batch.ended) return false;
        held.batch = { cancelledAt: at, ...held.batch };
        return true;
      },
      async keepLine(scope, batch, node, expiresAt, line) {
        const held = batches.get(keyOf(scope, batch));
        if (!held || held.node !== node || held.batch.ended) return false;
        const key = keyOf(scope, lineId(batch, line.line));
        if (!lines.has(key)) lines.set(key, { ...line, expiresAt });
        return true;
      },
      lines: async (scope, batch, after, limit) =>
        under(lines, scope, batch)
          .map(([, { line, outcome, text }]) => ({ line, outcome, text }))
          .filter(({ line }) => line > after)
          .slice(0, limit),
      linesDone: async (scope, batch) => under(lines, scope, batch).map(([, { line }]) => line),
      async delete(scope, id) {
        if (!batches.get(keyOf(scope, id))?.batch.ended) return false;
        for (const [key] of under(lines, scope, id)) lines.delete(key);
        return batches.delete(keyOf(scope, id));
      },
    },
  };
}

function paged<T extends { readonly id: string; readonly createdAt: number; readonly expiresAt: number }>(
  all: readonly T[],
  { limit, after, oldestFirst = false }: PageQuery,
  now: number,
): Page<T> {
  const order = (a: T, b: T): number => (a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1)) * (oldestFirst ? 1 : -1);
  const sorted = all.filter(({ expiresAt }) => expiresAt > now).toSorted(order);
  const from = after === undefined ? 0 : sorted.findIndex(({ id }) => id === after) + 1;
  return pageOf(after !== undefined && from === 0 ? [] : sorted.slice(from), limit);
}

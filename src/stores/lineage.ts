import type { LineageRecord, LineageStore, PackedLineage } from "../canon/index.ts";
import type { Backend } from "./backend.ts";

/** Records forgotten in one transaction, so that other writes are not kept waiting. */
const EXPIRED_ROWS = 500;
/** Records of one answer. */
const MOST_FOUND = 1000;

export function lineageStore(backend: Backend): LineageStore {
  return {
    keep: (record, links) =>
      backend.write("keepLineage", [
        record.callId,
        Math.round(record.at),
        links.map(([role, name]) => `${role} ${name}`),
        JSON.stringify(record),
      ]),
    keepPacked: (packed) => backend.write("keepLineages", [packed]),
    async read(callId) {
      const text = await backend.read("lineage", [callId]);
      return text === undefined ? undefined : (JSON.parse(text) as LineageRecord);
    },
    async find(role, name, limit) {
      const texts = await backend.read("lineageBy", [`${role} ${name}`, Math.min(limit, MOST_FOUND)]);
      return texts.map((text) => JSON.parse(text) as LineageRecord);
    },
    async expire(before) {
      let forgotten = 0;
      for (;;) {
        const some = await backend.write("expireLineage", [Math.round(before), EXPIRED_ROWS]);
        forgotten += some;
        if (some < EXPIRED_ROWS) return forgotten;
      }
    },
  };
}

/** For tests. */
export function memoryLineage(): LineageStore {
  const records = new Map<string, { readonly record: LineageRecord; readonly links: ReadonlySet<string> }>();
  const keep: LineageStore["keep"] = async (record, links) => {
    if (!records.has(record.callId))
      records.set(record.callId, { record: structuredClone(record), links: new Set(links.map(([role, name]) => `${role} ${name}`)) });
  };
  return {
    keep,
    async keepPacked(packed) {
      for (const [callId, , links, record] of JSON.parse(packed) as readonly PackedLineage[])
        if (!records.has(callId)) records.set(callId, { record: JSON.parse(record) as LineageRecord, links: new Set(links) });
    },
    read: async (callId) => structuredClone(records.get(callId)?.record),
    find: async (role, name, limit) =>
      structuredClone(
        [...records.values()]
          .filter(({ links }) => links.has(`${role} ${name}`))
          .map(({ record }) => record)
          .toSorted((a, b) => b.at - a.at || (a.callId < b.callId ? 1 : -1))
          .slice(0, limit),
      ),
    async expire(before) {
      const old = [...records.values()].filter(({ record }) => record.at < before);
      for (const { record } of old) records.delete(record.callId);
      return old.length;
    },
  };
}

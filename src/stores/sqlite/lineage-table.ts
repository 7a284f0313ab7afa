import type { DatabaseSync } from "node:sqlite";
import type { PackedLineage } from "../../canon/index.ts";
import type { ReadTable, WriteTable } from "../backend.ts";

/** `lineage_links` goes with its records by a trigger. */
export function lineageWrites(database: DatabaseSync): Pick<WriteTable, "keepLineage" | "keepLineages" | "expireLineage"> {
  const keep = database.prepare("INSERT OR IGNORE INTO lineage VALUES (?, ?, ?)");
  const link = database.prepare("INSERT OR IGNORE INTO lineage_links VALUES (?, ?, ?)");
  const expire = database.prepare("DELETE FROM lineage WHERE call_id IN (SELECT call_id FROM lineage WHERE at < ? ORDER BY at LIMIT ?)");
  const add = ([callId, at, links, content]: PackedLineage): void => {
    keep.run(callId, at, content);
    for (const name of links) link.run(name, at, callId);
  };
  return {
    keepLineage: add,
    keepLineages: ([packed]) => (JSON.parse(packed) as readonly PackedLineage[]).forEach(add),
    expireLineage: ([before, limit]) => Number(expire.run(before, limit).changes),
  };
}

export function lineageReads(database: DatabaseSync): Pick<ReadTable, "lineage" | "lineageBy"> {
  const byCall = database.prepare("SELECT content FROM lineage WHERE call_id = ?");
  const byLink = database.prepare(
    "SELECT content FROM lineage_links JOIN lineage USING (call_id) WHERE name = ? ORDER BY lineage_links.at DESC, call_id DESC LIMIT ?",
  );
  return {
    lineage: ([callId]) => byCall.get(callId)?.["content"] as string | undefined,
    lineageBy: (args) => byLink.all(...args).map((columns) => columns["content"] as string),
  };
}

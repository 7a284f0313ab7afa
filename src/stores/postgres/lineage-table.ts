import type { PackedLineage } from "../../canon/index.ts";
import { statement } from "./connections.ts";
import type { PostgresReads, PostgresWrites } from "./tables.ts";
import { arrayOf } from "./values.ts";

interface ContentColumns {
  readonly content: string;
}

const KEEP = statement("lineage.keep", "INSERT INTO lineage VALUES ($1, $2, $3) ON CONFLICT (call_id) DO NOTHING");
const LINK = statement(
  "lineage.link",
  "INSERT INTO lineage_links SELECT name, $2, $1 FROM unnest($3::text[]) AS name ON CONFLICT (name, at, call_id) DO NOTHING",
);
const KEEP_MANY = statement(
  "lineage.keep-many",
  "INSERT INTO lineage SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[]) ON CONFLICT (call_id) DO NOTHING",
);
const LINK_MANY = statement(
  "lineage.link-many",
  "INSERT INTO lineage_links SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[]) ON CONFLICT (name, at, call_id) DO NOTHING",
);
/** Links go with their records: the foreign key cascades. */
const EXPIRE = statement(
  "lineage.expire",
  "DELETE FROM lineage WHERE call_id IN (SELECT call_id FROM lineage WHERE at < $1 ORDER BY at LIMIT $2)",
);
const BY_CALL = statement("lineage.by-call", "SELECT content FROM lineage WHERE call_id = $1");
const BY_LINK = statement(
  "lineage.by-link",
  "SELECT content FROM lineage_links JOIN lineage USING (call_id) WHERE name = $1 ORDER BY lineage_links.at DESC, call_id DESC LIMIT $2",
);

export const lineageWrites = {
  keepLineage: async ({ session }, [callId, at, links, content]) => {
    await session.changes(KEEP, [callId, at, content]);
    await session.changes(LINK, [callId, at, arrayOf(links)]);
  },
  keepLineages: async ({ session }, [packed]) => {
    const records = JSON.parse(packed) as readonly PackedLineage[];
    const list = (of: (record: PackedLineage) => string | number): string => arrayOf(records.map(of));
    await session.changes(KEEP_MANY, [list(([callId]) => callId), list(([, at]) => at), list(([, , , content]) => content)]);
    const links = records.flatMap(([callId, at, names]) => names.map((name) => [name, at, callId] as const));
    await session.changes(LINK_MANY, [
      arrayOf(links.map(([name]) => name)),
      arrayOf(links.map(([, at]) => at)),
      arrayOf(links.map(([, , id]) => id)),
    ]);
  },
  expireLineage: ({ session }, args) => session.changes(EXPIRE, args),
} satisfies Partial<PostgresWrites>;

export const lineageReads = {
  lineage: async (session, args) => (await session.rows<ContentColumns>(BY_CALL, args))[0]?.content,
  lineageBy: async (session, args) => (await session.rows<ContentColumns>(BY_LINK, args)).map(({ content }) => content),
} satisfies Partial<PostgresReads>;

import type { ContentPartition, ContentSelection, PackedContent } from "../../canon/index.ts";
import { contentIdentity, dayName, dayOf, storedContent } from "../content.ts";
import { type Session, statement, type Statement } from "./connections.ts";
import type { PostgresReads, PostgresWrites } from "./tables.ts";
import { arrayOf, arrayOfBytes } from "./values.ts";

/** Partitions are named by the day on which what is in them expires, counted from 1970. */
const PARTITION = "content_";

/** Two gateways that make the same day at once would trip over each other's name. */
const LOCK = statement("content.lock", "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '.content', 0))");
const EXISTS = statement("content.exists", "SELECT to_regclass(format('%I', $1::text)) IS NOT NULL AS found");
const DAYS = statement(
  "content.days",
  `SELECT substr(child.relname, ${PARTITION.length + 1})::int AS day FROM pg_inherits
   JOIN pg_class child ON child.oid = inhrelid WHERE inhparent = to_regclass('content') ORDER BY 1`,
);
const KEEP = statement(
  "content.keep",
  `INSERT INTO content SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::bytea[])
   ON CONFLICT (day, call_id) DO NOTHING`,
);
const READ = statement("content.read", "SELECT * FROM content WHERE call_id = $1 AND at = $2 AND expires_at > $3 LIMIT 1");
const COUNTS = statement("content.counts", "SELECT day, count(*)::int AS calls FROM content GROUP BY day ORDER BY day");
const ERASE: Readonly<Record<ContentSelection["kind"], Statement>> = {
  call: statement("content.erase-call", "DELETE FROM content WHERE call_id = $1"),
  caller: statement("content.erase-caller", "DELETE FROM content WHERE caller_id = $1"),
  endUser: statement("content.erase-end-user", "DELETE FROM content WHERE end_user = $1"),
};

interface Columns {
  readonly caller_id: string;
  readonly at: number;
  readonly expires_at: number;
  readonly key_id: string;
  readonly sealed: Uint8Array;
}

async function makeDays(session: Session, days: readonly number[]): Promise<void> {
  for (const day of days) {
    const exists = async (): Promise<boolean> =>
      (await session.rows<{ readonly found: boolean }>(EXISTS, [PARTITION + String(day)]))[0]?.found === true;
    if (await exists()) continue;
    await session.rows(LOCK);
    if (!(await exists())) await session.run(`CREATE TABLE ${PARTITION}${day} PARTITION OF content FOR VALUES IN (${day})`);
  }
}

export const contentWrites = {
  keepContents: async ({ session, sealer }, [packed]) => {
    const entries = JSON.parse(packed) as readonly PackedContent[];
    const list = (of: (entry: PackedContent) => string | number | null): string => arrayOf(entries.map(of));
    await makeDays(session, [...new Set(entries.map(([, , , , expiresAt]) => dayOf(expiresAt)))]);
    const sealed = entries.map(([callId, , , , , content]) => sealer.seal(content, contentIdentity(callId)));
    await session.changes(KEEP, [
      list(([, , , , expiresAt]) => dayOf(expiresAt)),
      list(([callId]) => callId),
      list(([, callerId]) => callerId),
      list(([, , endUser]) => endUser),
      list(([, , , at]) => at),
      list(([, , , , expiresAt]) => expiresAt),
      arrayOf(sealed.map(({ keyId }) => keyId)),
      arrayOfBytes(sealed.map(({ bytes }) => bytes)),
    ]);
  },
  eraseContent: async ({ session }, [kind, value]) => ({ erased: await session.changes(ERASE[kind], [value]), next: undefined }),
  dropContent: async ({ session }, [now]) => {
    const over = (await session.rows<{ readonly day: number }>(DAYS)).filter(({ day }) => day < dayOf(now));
    if (over.length === 0) return 0;
    await session.rows(LOCK);
    for (const { day } of over) await session.run(`DROP TABLE IF EXISTS ${PARTITION}${day}`);
    return over.length;
  },
} satisfies Partial<PostgresWrites>;

export const contentReads = {
  content: async (session, [callId, at, now], sealer) => {
    const [columns] = await session.rows<Columns>(READ, [callId, at, now]);
    const content = columns && sealer.open({ keyId: columns.key_id, bytes: columns.sealed }, contentIdentity(callId));
    // A key that is gone, or a row that was tampered with: as good as erased.
    return columns && content !== undefined
      ? storedContent([callId, columns.caller_id, null, columns.at, columns.expires_at, content])
      : undefined;
  },
  contentPartitions: async (session) => {
    const counts = new Map(
      (await session.rows<{ readonly day: number; readonly calls: number }>(COUNTS)).map(({ day, calls }) => [day, calls]),
    );
    const days = await session.rows<{ readonly day: number }>(DAYS);
    return days.map(({ day }): ContentPartition => ({ expires: dayName(day), calls: counts.get(day) ?? 0 }));
  },
} satisfies Partial<PostgresReads>;

import type { JournalEntry, JournalPage } from "../../canon/index.ts";
import type { JournalWrite } from "../backend.ts";
import { type BlockEntry, type Spill, unpackPart } from "../journal-block.ts";
import type { Sealer } from "../sealing/sealer.ts";
import { type Connections, type Session, statement } from "./connections.ts";
import type { PostgresReads } from "./tables.ts";
import { arrayOf, arrayOfBytes } from "./values.ts";

/** Blocks opened for one page of a reader, so that no answer grows without bound. */
const BLOCKS_READ = 64;
/** Rows forgotten in one transaction. */
const EXPIRE_ROWS = 200;
const EXPIRE_BLOCKS = 64;
/** How often a writer that has something to write forgets what has expired, in milliseconds. */
const FORGET_EVERY_MS = 1000;
/** What a row takes besides its content, about. */
const ROW_BYTES = 200;
/** What is written must survive this process, and need not survive the database's machine. */
const BEGIN = "BEGIN; SET LOCAL synchronous_commit = off";

const NEW_WRITER = statement("journal.new-writer", "SELECT nextval('journal_writers') AS writer");
const BLOCKS_IN = statement(
  "journal.blocks-in",
  "INSERT INTO journal_blocks SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bytea[])",
);
const CALLS_IN = statement(
  "journal.calls-in",
  `INSERT INTO journal_calls (call_id, scope, dialect, node, answer_id, first_block, began_at, writer, state)
   SELECT *, $7::bigint, $8::bigint, 'open' FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[])
   ON CONFLICT (call_id) DO NOTHING`,
);
const CALLS_END = statement(
  "journal.calls-end",
  `UPDATE journal_calls SET state = 'ended', last_frame = ended.last_frame, expires_at = ended.until, last_block = $4
   FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS ended (call_id, last_frame, until) WHERE journal_calls.call_id = ended.call_id`,
);
const ABANDON = statement(
  "journal.abandon",
  "UPDATE journal_calls SET state = 'broken', expires_at = $1 WHERE state = 'open' AND ($2::text IS NULL OR node = $2)",
);
const EXPIRE_CALLS = statement(
  "journal.expire-calls",
  `DELETE FROM journal_calls WHERE ctid = ANY (ARRAY (
     SELECT ctid FROM journal_calls WHERE expires_at <= $1 LIMIT ${EXPIRE_ROWS} FOR UPDATE SKIP LOCKED))`,
);
/** A block is of no use once the oldest call of its writer that is still known began behind it. */
const USELESS = `id < coalesce((SELECT min(first_block) FROM journal_calls AS known WHERE known.writer = journal_blocks.writer), id + 1)`;
const FORGET_OWN = statement(
  "journal.forget-own",
  `WITH gone AS (DELETE FROM journal_blocks WHERE writer = $1 AND id = ANY (ARRAY (
     SELECT id FROM journal_blocks WHERE writer = $1 AND ${USELESS} ORDER BY id LIMIT ${EXPIRE_BLOCKS}))
   RETURNING octet_length(calls) + octet_length(sealed) + ${ROW_BYTES} AS bytes) SELECT coalesce(sum(bytes), 0)::bigint AS bytes FROM gone`,
);
const FORGET_ANY = statement(
  "journal.forget-any",
  `DELETE FROM journal_blocks WHERE ctid = ANY (ARRAY (SELECT ctid FROM journal_blocks WHERE ${USELESS} LIMIT ${EXPIRE_BLOCKS}))`,
);
const FORGET_OLDEST = statement(
  "journal.forget-oldest",
  `WITH gone AS (DELETE FROM journal_blocks WHERE writer = $1 AND id = ANY (ARRAY (
     SELECT id FROM journal_blocks WHERE writer = $1 ORDER BY id LIMIT 8))
   RETURNING octet_length(calls) + octet_length(sealed) + ${ROW_BYTES} AS bytes) SELECT coalesce(sum(bytes), 0)::bigint AS bytes FROM gone`,
);

/** What a sealed block is bound to. */
function identity(writer: number, id: number): readonly string[] {
  return ["journal", String(writer), String(id)];
}

/**
 * This gateway's part of the journal: blocks under a number of its own, counted here, so that writing needs no answer from the database.
 * Bounded in bytes by itself; what a gateway left behind goes when its calls have expired, by whoever looks.
 */
export class JournalWriter {
  readonly #connections: Connections;
  readonly #sealer: Sealer;
  readonly #maxBytes: number;
  #writer: number | undefined;
  #nextBlock = 1;
  #bytes = 0;
  #forgotAt = 0;
  /** One at a time: blocks are numbered in the order in which they are visible. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(connections: Connections, sealer: Sealer, maxBytes: number) {
    this.#connections = connections;
    this.#sealer = sealer;
    this.#maxBytes = maxBytes;
  }

  /** Writes all of it or rejects. */
  write(write: JournalWrite): Promise<number> {
    const done = this.#last.then(() => (write.kind === "append" ? this.#append(write.spill) : this.#abandon(write.node, write.until)));
    this.#last = done.catch(() => {});
    return done;
  }

  #abandon(node: string | null, until: number): Promise<number> {
    return this.#connections.use((session) => session.changes(ABANDON, [until, node]));
  }

  async #append(spill: Spill): Promise<number> {
    const first = this.#nextBlock;
    // Numbers are never used twice, whatever became of the blocks.
    this.#nextBlock += spill.blocks.length;
    const grown = await this.#connections.transaction(async (session) => {
      const writer = (this.#writer ??= await newWriter(session));
      let bytes = spill.blocks.length > 0 ? await this.#insertBlocks(session, writer, first, spill) : 0;
      await insertCalls(session, writer, first, spill);
      const wantsForgetting = spill.blocks.length === 0 || spill.at >= this.#forgotAt + FORGET_EVERY_MS;
      if (wantsForgetting) bytes -= await forgetExpired(session, writer, spill);
      while (this.#bytes + bytes > this.#maxBytes) {
        const freed = await bytesOf(session, FORGET_OLDEST, writer);
        if (freed === 0) break;
        bytes -= freed;
      }
      return bytes;
    }, BEGIN);
    this.#bytes += grown;
    if (spill.at >= this.#forgotAt + FORGET_EVERY_MS) this.#forgotAt = spill.at;
    return spill.blocks.length;
  }

  async #insertBlocks(session: Session, writer: number, first: number, { blocks }: Spill): Promise<number> {
    const sealed = blocks.map((block, place) => this.#sealer.seal(block.bytes, identity(writer, first + place)));
    await session.changes(BLOCKS_IN, [
      writer,
      arrayOf(blocks.map((_, place) => first + place)),
      arrayOf(blocks.map(({ index }) => index)),
      arrayOf(sealed.map(({ keyId }) => keyId)),
      arrayOfBytes(sealed.map(({ bytes }) => bytes)),
    ]);
    return blocks.reduce((sum, { index }, place) => sum + index.length + (sealed[place]?.bytes.length ?? 0) + ROW_BYTES, 0);
  }
}

async function newWriter(session: Session): Promise<number> {
  const [row] = await session.rows<{ readonly writer: number }>(NEW_WRITER);
  if (!row) throw new Error("the sequence of journal writers gave nothing");
  return row.writer;
}

async function insertCalls(session: Session, writer: number, first: number, { born, ended, blocks, at }: Spill): Promise<void> {
  if (born.length > 0) {
    await session.changes(CALLS_IN, [
      ...([0, 1, 2, 3, 4] as const).map((column) => arrayOf(born.map((call) => call[column]))),
      arrayOf(born.map(([, , , , , place]) => first + place)),
      at,
      writer,
    ]);
  }
  if (ended.length === 0) return;
  const columns = ([0, 1, 2] as const).map((column) => arrayOf(ended.map((call) => call[column])));
  await session.changes(CALLS_END, [...columns, first + blocks.length - 1]);
}

/** Returns the bytes of this writer's blocks that are gone. A spill without blocks is somebody cleaning up, for gateways that are gone too. */
async function forgetExpired(session: Session, writer: number, spill: Spill): Promise<number> {
  await session.changes(EXPIRE_CALLS, [spill.at]);
  const own = await bytesOf(session, FORGET_OWN, writer);
  if (spill.blocks.length === 0) while ((await session.changes(FORGET_ANY)) === EXPIRE_BLOCKS);
  return own;
}

async function bytesOf(session: Session, what: typeof FORGET_OWN, writer: number): Promise<number> {
  return (await session.rows<{ readonly bytes: number }>(what, [writer]))[0]?.bytes ?? 0;
}

interface CallColumns {
  readonly call_id: string;
  readonly scope: string;
  readonly dialect: string;
  readonly node: string;
  readonly began_at: number;
  readonly writer: number;
  readonly first_block: number;
  readonly last_block: number | null;
  readonly last_frame: number | null;
  readonly state: JournalEntry["state"];
}
interface BlockColumns {
  readonly id: number;
  readonly calls: string;
  readonly key_id: string;
  readonly sealed: Uint8Array;
}

const KNOWN = "(expires_at IS NULL OR expires_at > $2)";
const CALL = statement("journal.call", `SELECT * FROM journal_calls WHERE call_id = $1 AND ${KNOWN}`);
const CALL_OF_ANSWER = statement(
  "journal.call-of-answer",
  `SELECT * FROM journal_calls WHERE scope = $1 AND ${KNOWN} AND answer_id = $3 ORDER BY seq DESC LIMIT 1`,
);
const BLOCK = statement("journal.block", "SELECT id, calls, key_id, sealed FROM journal_blocks WHERE writer = $1 AND id = $2");
const BLOCKS_OF = statement(
  "journal.blocks-of",
  `SELECT id, calls, key_id, sealed FROM journal_blocks
   WHERE writer = $1 AND id >= $2 AND ($3::bigint IS NULL OR id <= $3) AND position($4::text IN calls) > 0 ORDER BY id LIMIT $5`,
);

function entryOf(columns: CallColumns): JournalEntry {
  const { call_id: callId, scope, dialect, node, state, began_at: beganAt, last_frame: last } = columns;
  return { callId, scope, dialect, node, state, beganAt, ...(last !== null && { last }) };
}

function placeIn(block: BlockColumns, callId: string): BlockEntry | undefined {
  return (JSON.parse(block.calls) as BlockEntry[]).find(([id]) => id === callId);
}

function partIn(sealer: Sealer, writer: number, block: BlockColumns, place: BlockEntry | undefined): ReturnType<typeof unpackPart> {
  if (!place) return undefined;
  const bytes = sealer.openBytes({ keyId: block.key_id, bytes: block.sealed }, identity(writer, block.id));
  return bytes && unpackPart(bytes.subarray(place[1], place[1] + place[2]));
}

/** Frames behind `after`, out of blocks in their order, as far as they go without a gap. */
function collect(sealer: Sealer, call: CallColumns, blocks: readonly BlockColumns[], after: number, maxBytes: number, from: number) {
  const frames: Uint8Array[] = [];
  let [first, bytes, next] = [after + 1, 0, from];
  for (const block of blocks) {
    const place = placeIn(block, call.call_id);
    if (place && place[3] + place[4] > after + 1) {
      const number = Math.max(place[3], first + frames.length);
      const isGap = frames.length > 0 && number > first + frames.length;
      if (isGap || bytes >= maxBytes) return { first, frames, next, more: true };
      // What cannot be opened is as good as gone: what follows begins later than it was asked for.
      const part = partIn(sealer, call.writer, block, place);
      if (part) {
        if (frames.length === 0) first = number;
        for (const frame of part.frames.slice(number - place[3])) {
          frames.push(frame);
          bytes += frame.length;
        }
      }
    }
    next = block.id + 1;
  }
  return { first, frames, next, more: blocks.length === BLOCKS_READ };
}

async function readPage(
  session: Session,
  sealer: Sealer,
  [callId, after, maxBytes, now, asked]: readonly [string, number, number, number, number],
): Promise<JournalPage | undefined> {
  const [call] = await session.rows<CallColumns>(CALL, [callId, Math.round(now)]);
  if (!call) return undefined;
  const from = Math.max(asked, call.first_block);
  // The head is in the first block, and wanted with the first page only.
  const [headBlock] = from > call.first_block ? [] : await session.rows<BlockColumns>(BLOCK, [call.writer, call.first_block]);
  const head = headBlock && partIn(sealer, call.writer, headBlock, placeIn(headBlock, callId))?.head;
  const mark = JSON.stringify(callId);
  const blocks = await session.rows<BlockColumns>(BLOCKS_OF, [call.writer, from, call.last_block, mark, BLOCKS_READ]);
  const page = collect(sealer, call, blocks, after, maxBytes, from);
  // Of a call that ended it is known how far it went: nothing to send although something is missing is a gap as well.
  const isPast = page.frames.length === 0 && !page.more && call.last_frame !== null && call.last_frame > after;
  return { entry: entryOf(call), head, ...page, ...(isPast && { first: (call.last_frame ?? after) + 1 }) };
}

export const journalReads = {
  journalEntry: async (session, [callId, now]) => {
    const [call] = await session.rows<CallColumns>(CALL, [callId, Math.round(now)]);
    return call && entryOf(call);
  },
  journalOfAnswer: async (session, [scope, answerId, now]) => {
    const [call] = await session.rows<CallColumns>(CALL_OF_ANSWER, [scope, Math.round(now), answerId]);
    return call && entryOf(call);
  },
  journalPage: (session, args, sealer) => readPage(session, sealer, args),
} satisfies Partial<PostgresReads>;

import { type PinColumns, pinFrom, pinToValues } from "../pin-columns.ts";
import { raise } from "./admin-tables.ts";
import { statement } from "./connections.ts";
import type { PostgresReads, PostgresWrites } from "./tables.ts";

const INSERT = "INSERT INTO tool_pins VALUES ($1, $2, $3, $4, $5) ON CONFLICT (server, tool)";
const KEEP = statement("pins.keep", `${INSERT} DO NOTHING`);
const REPLACE = statement(
  "pins.replace",
  `${INSERT} DO UPDATE SET hash = excluded.hash, author = excluded.author, created_at = excluded.created_at`,
);
const READ = statement("pins.read", "SELECT * FROM tool_pins WHERE server = $1 AND tool = $2");
const REMOVE = statement("pins.remove", "DELETE FROM tool_pins WHERE server = $1 AND tool = $2");
const LIST = statement("pins.list", 'SELECT * FROM tool_pins ORDER BY server COLLATE "C", tool COLLATE "C"');

export const pinWrites = {
  pinTool: async (batch, [pin, first]) => {
    const { session } = batch;
    if ((await session.changes(first ? KEEP : REPLACE, pinToValues(pin))) > 0) await raise(batch);
    const [kept] = await session.rows<PinColumns>(READ, [pin.server, pin.tool]);
    return kept ? pinFrom(kept) : pin;
  },
  unpinTool: async (batch, [server, tool]) => {
    const removed = (await batch.session.changes(REMOVE, [server, tool])) > 0;
    if (removed) await raise(batch);
    return removed;
  },
} satisfies Partial<PostgresWrites>;

export const pinReads = {
  toolPins: async (session) => (await session.rows<PinColumns>(LIST)).map(pinFrom),
} satisfies Partial<PostgresReads>;

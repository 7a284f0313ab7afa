import type { DatabaseSync } from "node:sqlite";
import type { ReadTable, WriteTable } from "../backend.ts";
import { type PinColumns, pinFrom, pinToValues, type PinWrites } from "../pin-columns.ts";

export function pinWrites(database: DatabaseSync): Pick<WriteTable, PinWrites> {
  const keep = database.prepare("INSERT OR IGNORE INTO tool_pins VALUES (?, ?, ?, ?, ?)");
  const replace = database.prepare("INSERT OR REPLACE INTO tool_pins VALUES (?, ?, ?, ?, ?)");
  const read = database.prepare("SELECT * FROM tool_pins WHERE server = ? AND tool = ?");
  const remove = database.prepare("DELETE FROM tool_pins WHERE server = ? AND tool = ?");
  const bump = database.prepare("UPDATE key_generation SET generation = generation + 1");
  return {
    pinTool: ([pin, first]) => {
      if ((first ? keep : replace).run(...pinToValues(pin)).changes > 0) bump.run();
      return pinFrom(read.get(pin.server, pin.tool) as unknown as PinColumns);
    },
    unpinTool: ([server, tool]) => {
      const removed = remove.run(server, tool).changes > 0;
      if (removed) bump.run();
      return removed;
    },
  };
}

export function pinReads(database: DatabaseSync): Pick<ReadTable, "toolPins"> {
  const list = database.prepare("SELECT * FROM tool_pins ORDER BY server, tool");
  return { toolPins: () => (list.all() as unknown as PinColumns[]).map(pinFrom) };
}

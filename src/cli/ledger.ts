import { existsSync } from "node:fs";
import { formatDollars, totalInput, type LedgerRow } from "../canon/index.ts";
import { CommandError, DONE, table, wholeNumber, type Command } from "./command.ts";
import { onRecord } from "./record.ts";
import { askServer } from "./running.ts";
import { DATA_FLAG, databaseUrlOf, settingsOf } from "./settings.ts";

const DEFAULT_ROWS = 20;
const MOST_ROWS = 10_000;

export const ledgerCommand: Command = {
  name: "ledger",
  summary: "List the newest rows of the ledger: one per call.",
  operands: [],
  flags: {
    limit: { value: "N", meaning: `How many rows, up to ${MOST_ROWS}. Default: ${DEFAULT_ROWS}.` },
    key: { value: "ID", meaning: "Only the calls of this key." },
    ...DATA_FLAG,
  },
  async run(input, deps) {
    const limit = wholeNumber(input, "limit", 1, MOST_ROWS) ?? DEFAULT_ROWS;
    const callerId = input.text("key");
    const folder = settingsOf(input, deps).dataFolder;
    if (databaseUrlOf(deps) === undefined && !existsSync(folder))
      throw new CommandError(`There is no data folder ${folder}: nothing has been recorded yet.`);
    const query = new URLSearchParams({ limit: String(limit), ...(callerId !== undefined && { key: callerId }) });
    const rows = await onRecord(input, deps, {
      server: async (server, held) =>
        ((await askServer(server, held, deps, "GET", `/ledger?${query.toString()}`)) as { rows: LedgerRow[] }).rows,
      stores: (stores) => stores.ledger.list({ limit, ...(callerId !== undefined && { callerId }) }),
    });
    if (input.json) deps.out(`${JSON.stringify({ rows })}\n`);
    else if (rows.length === 0) deps.out("The ledger is empty.\n");
    else deps.out(`${table(["TIME", "STATE", "KEY", "MODEL", "TARGET", "INPUT", "OUTPUT", "USD", "MS", "CALL"], rows.map(cellsOf))}\n`);
    return DONE;
  },
};

function cellsOf(row: LedgerRow): string[] {
  return [
    new Date(row.startedAt).toISOString().slice(0, 19),
    row.problem === undefined ? row.state : `${row.state} (${row.problem})`,
    row.callerName,
    row.model,
    row.target ?? "-",
    String(totalInput(row.usage)),
    String(row.usage.output),
    row.costNanodollars === undefined ? "unknown" : formatDollars(row.costNanodollars),
    String(Math.round(row.timings.totalMs)),
    row.callId,
  ];
}

import { existsSync } from "node:fs";
import { formatDollars, ProblemError, totalInput, type LedgerRow, type Stores } from "../canon/index.ts";
import { CommandError, DONE, table, wholeNumber, type Command } from "./command.ts";
import { runningServer } from "./running.ts";
import { DATA_FLAG, settingsOf } from "./settings.ts";

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
    const server = await runningServer(folder, deps);
    if (server)
      throw new CommandError(
        `A gateway (process ${server.pid}) is running on ${folder}; stop it to list its ledger, or read single calls at ${server.url}/v1/calls/ID.`,
      );
    if (!existsSync(folder)) throw new CommandError(`There is no data folder ${folder}: nothing has been recorded yet.`);
    let stores: Stores;
    try {
      stores = await deps.openStores(folder);
    } catch (error) {
      throw error instanceof ProblemError ? new CommandError(error.problem.message) : error;
    }
    try {
      const rows = await stores.ledger.list({ limit, ...(callerId !== undefined && { callerId }) });
      if (input.json) deps.out(`${JSON.stringify({ rows })}\n`);
      else if (rows.length === 0) deps.out("The ledger is empty.\n");
      else deps.out(`${table(["TIME", "STATE", "KEY", "MODEL", "TARGET", "INPUT", "OUTPUT", "USD", "MS", "CALL"], rows.map(cellsOf))}\n`);
    } finally {
      await stores.close();
    }
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

import { endUserHash } from "../ledger/content/entry.ts";
import type { ContentPartition, ContentSelection, Stores } from "../canon/index.ts";
import { CommandError, DONE, table, UsageError, type Command, type Input } from "./command.ts";
import { onRecord } from "./record.ts";
import { askServer } from "./running.ts";
import { DATA_FLAG } from "./settings.ts";

const contentCommand: Command = {
  name: "ledger content",
  summary: "Show what a policy stored of a call's prompt and answer; the audit notes that it was read.",
  operands: ["CALL"],
  flags: { ...DATA_FLAG },
  async run(input, deps) {
    const [id = ""] = input.operands;
    const stored = await onRecord(input, deps, {
      server: (server, folder) => askServer(server, folder, deps, "GET", `/content/${encodeURIComponent(id)}`),
      stores: (stores) => readFrom(stores, id, deps.clock.now()),
    });
    deps.out(`${input.json ? JSON.stringify(stored) : JSON.stringify(stored, null, 2)}\n`);
    return DONE;
  },
};

async function readFrom({ ledger, content }: Stores, id: string, now: number): Promise<unknown> {
  const row = await ledger.read(id);
  if (!row) throw new CommandError(`There is no call ${id}.`);
  const stored = await content.read(id, row.startedAt, now);
  if (!stored) throw new CommandError(`Nothing that the call ${id} said is stored: no policy wanted it, or it has expired or was erased.`);
  const { at, expiresAt, content: said } = stored;
  return { id, at: new Date(at).toISOString(), expiresAt: new Date(expiresAt).toISOString(), model: row.model, ...(said as object) };
}

const storedCommand: Command = {
  name: "ledger stored",
  summary: "Say of how many calls prompts and answers are stored, by the day on which they are deleted.",
  operands: [],
  flags: { ...DATA_FLAG },
  async run(input, deps) {
    const partitions = await onRecord(input, deps, {
      server: async (server, folder) =>
        ((await askServer(server, folder, deps, "GET", "/content")) as { partitions: readonly ContentPartition[] }).partitions,
      stores: (stores) => stores.content.partitions(),
    });
    if (input.json) deps.out(`${JSON.stringify({ partitions })}\n`);
    else if (partitions.length === 0) deps.out("No prompt and no answer is stored.\n");
    else
      deps.out(
        `${table(
          ["EXPIRES", "CALLS"],
          partitions.map(({ expires, calls }) => [expires, String(calls)]),
        )}\n`,
      );
    return DONE;
  },
};

const eraseCommand: Command = {
  name: "ledger erase",
  summary: "Erase stored prompts and answers of a call, a key or an end user. Rows of the ledger stay: they hold no words.",
  operands: [],
  flags: {
    call: { value: "ID", meaning: "Of this call." },
    key: { value: "ID", meaning: "Of all calls of this key." },
    "end-user": { value: "ID", meaning: "Of all calls that named this end user, as they named it." },
    ...DATA_FLAG,
  },
  async run(input, deps) {
    const { parameter, value, selection } = selectionOf(input);
    const query = new URLSearchParams({ [parameter]: value }).toString();
    const erased = await onRecord(input, deps, {
      server: async (server, folder) =>
        ((await askServer(server, folder, deps, "DELETE", `/content?${query}`)) as { erased: number }).erased,
      stores: (stores) => stores.content.erase(selection),
    });
    if (input.json) deps.out(`${JSON.stringify({ erased })}\n`);
    else deps.out(`Stored prompts and answers of ${erased} ${erased === 1 ? "call" : "calls"} were erased.\n`);
    return DONE;
  },
};

interface Selected {
  readonly parameter: "call" | "key" | "endUser";
  readonly value: string;
  readonly selection: ContentSelection;
}

/** @throws UsageError */
function selectionOf(input: Input): Selected {
  const [call, key, endUser] = [input.text("call"), input.text("key"), input.text("end-user")];
  const named = [call, key, endUser].filter((one) => one !== undefined && one !== "");
  if (named.length !== 1) throw new UsageError("gimbal ledger erase needs one of --call, --key and --end-user.");
  if (call) return { parameter: "call", value: call, selection: { kind: "call", value: call } };
  if (key) return { parameter: "key", value: key, selection: { kind: "caller", value: key } };
  const value = endUser ?? "";
  return { parameter: "endUser", value, selection: { kind: "endUser", value: endUserHash(value) } };
}

export const CONTENT_COMMANDS: readonly Command[] = [contentCommand, storedCommand, eraseCommand];

import { DONE, table, UsageError, type Command } from "./command.ts";
import { askRunning } from "./models-change.ts";
import { DATA_FLAG } from "./settings.ts";

const SCOPES = ["model", "provider", "key", "tag", "all"] as const;

interface Kill {
  readonly id: string;
  readonly scope: string;
  readonly value: string;
  readonly author: string;
  readonly reason?: string;
  readonly createdAt: number;
}

const kill: Command = {
  name: "models kill",
  summary: "Switch off a model, a provider, a key, a tag or everything (SCOPE all, VALUE *); running streams stop too.",
  operands: ["SCOPE", "VALUE"],
  flags: { reason: { value: "TEXT", meaning: "What callers are told." }, ...DATA_FLAG },
  async run(input, deps) {
    const [scope = "", value = ""] = input.operands;
    if (!SCOPES.some((known) => known === scope)) throw new UsageError(`SCOPE is ${SCOPES.join(", ")}, not "${scope}".`);
    const reason = input.text("reason");
    const made = await askRunning<Kill>(input, deps, "POST", "/kill", { scope, value, ...(reason !== undefined && { reason }) });
    if (input.json) deps.out(`${JSON.stringify(made)}\n`);
    else deps.err(`Switched off: ${made.scope} ${made.value}. \`gimbal models revive ${made.id}\` takes it back.\n`);
    return DONE;
  },
};

const revive: Command = {
  name: "models revive",
  summary: "Take a kill switch back.",
  operands: ["ID"],
  flags: DATA_FLAG,
  async run(input, deps) {
    const [id = ""] = input.operands;
    const lifted = await askRunning<unknown>(input, deps, "DELETE", `/kill/${encodeURIComponent(id)}`);
    if (input.json) deps.out(`${JSON.stringify(lifted)}\n`);
    else deps.err(`The kill switch ${id} is lifted.\n`);
    return DONE;
  },
};

const list: Command = {
  name: "models kills",
  summary: "List the kill switches in force.",
  operands: [],
  flags: DATA_FLAG,
  async run(input, deps) {
    const { kills } = await askRunning<{ kills: readonly Kill[] }>(input, deps, "GET", "/kill");
    if (input.json) deps.out(`${JSON.stringify({ kills })}\n`);
    else if (kills.length === 0) deps.out("No kill switch is in force.\n");
    else
      deps.out(
        `${table(
          ["ID", "SCOPE", "VALUE", "SINCE", "REASON"],
          kills.map((one) => [one.id, one.scope, one.value, new Date(one.createdAt).toISOString(), one.reason ?? ""]),
        )}\n`,
      );
    return DONE;
  },
};

export const KILL_COMMANDS: readonly Command[] = [kill, revive, list];

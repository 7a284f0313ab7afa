import type { z } from "zod";
import type { KeyStore } from "../canon/index.ts";
import { accountChangeOptions, editAccount, groupChangeOptions } from "../gateway/account-changes.ts";
import { scopesChangeOf } from "../gateway/scope-options.ts";
import { DONE, UsageError, wholeNumber, wordList, type Command, type Flag, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { budgetsOf, HIGHEST_PRIORITY, HIGHEST_TIER, metadataOf, orSay, requirementsOf, REQUESTS } from "./keys-flags.ts";
import { onRecord } from "./record.ts";
import { askServer } from "./running.ts";
import { DATA_FLAG } from "./settings.ts";

const SCOPE_FLAGS: Readonly<Record<string, Flag>> = {
  models: { value: "A,B", meaning: "Models it may use (aliases, provider/model, or a beginning with *)." },
  surfaces: { value: "A,B", meaning: "Wire languages it may speak." },
  tools: { value: "A,B", meaning: "Tools its calls may offer a model (names, or a beginning with *)." },
  tier: { value: "N", meaning: `Highest data tier it may send, 0 to ${HIGHEST_TIER}.` },
  region: { value: "A,B", meaning: "Regions one of which its calls must run in." },
  residency: { value: "A,B", meaning: "Places one of which its data must be kept in." },
  priority: { value: "N", meaning: `Who goes first where calls wait for a place at a provider: 0 to ${HIGHEST_PRIORITY}.` },
  metadata: { value: "JSON", meaning: 'What calls may say of themselves: {"allow": {...}, "require": [...], "force": {...}}.' },
};
const CLEAR: Flag = { value: "A,B", meaning: "Restrictions and names to take away, as models,tier,team." };

const account: Command = {
  name: "keys account",
  summary: "Change an account: all its keys at once, for the next call.",
  operands: ["ID"],
  flags: {
    name: { value: "NAME", meaning: "What it is called." },
    team: { value: "TEAM", meaning: "Team its calls are booked on." },
    project: { value: "PROJECT", meaning: "Project its calls are booked on." },
    tags: { value: "A,B", meaning: "Labels, separated by commas." },
    ...SCOPE_FLAGS,
    role: { value: "ROLE", meaning: "Of a key for the admin API: viewer, developer, approver or admin." },
    "requests-per-minute": { value: "N", meaning: "Most requests in a minute." },
    budget: { value: "USD/WINDOW", meaning: "Most dollars in a window: 100/month, 5/day, 20/lifetime." },
    clear: CLEAR,
    ...DATA_FLAG,
  },
  async run(input, deps) {
    const [id = ""] = input.operands;
    const requests = wholeNumber(input, "requests-per-minute", 1, REQUESTS);
    const budgets = budgetsOf(input);
    const body = {
      ...texts(input, "name", "team", "project", "role"),
      ...lists(input, "tags"),
      ...scopesIn(input),
      ...(requests !== undefined && { limits: [{ requests, per: "minute" }] }),
      ...(budgets.length > 0 && { budgets }),
      ...cleared(input),
    };
    const change = checked(accountChangeOptions, body, "keys account");
    const changed = await onRecord(input, deps, {
      server: (server, folder) => askServer(server, folder, deps, "PATCH", `/accounts/${encodeURIComponent(id)}`, body),
      stores: async ({ keys }) => {
        const { hash: _hash, ...shown } = await orSay(editAccount(keys, id, change));
        return { ...shown, id };
      },
    });
    deps.out(input.json ? `${JSON.stringify(changed)}\n` : `Account ${id} is changed, with all its keys.\n`);
    return DONE;
  },
};

function groupCommand(group: "team" | "project"): Command {
  return {
    name: `keys ${group}`,
    summary: `Say what all callers of a ${group} may do at most, whatever their keys say.`,
    operands: ["NAME"],
    flags: { ...SCOPE_FLAGS, clear: CLEAR, ...DATA_FLAG },
    async run(input, deps) {
      const [name = ""] = input.operands;
      const body = { ...scopesIn(input), ...cleared(input) };
      const change = scopesChangeOf(checked(groupChangeOptions, body, `keys ${group}`));
      const { scopes } = await bounded(input, deps, {
        server: `/${group}s/${encodeURIComponent(name)}`,
        body,
        stores: (keys) => keys.bound(group, name, change),
      });
      if (input.json) deps.out(`${JSON.stringify({ name, scopes })}\n`);
      else
        deps.out(
          `The ${group} ${name} ${Object.keys(scopes).length === 0 ? "is not restricted" : `may at most: ${JSON.stringify(scopes)}`}.\n`,
        );
      return DONE;
    },
  };
}

async function bounded(
  input: Input,
  deps: CliDeps,
  { server: path, body, stores }: { readonly server: string; readonly body: object; readonly stores: (keys: KeyStore) => Promise<object> },
): Promise<{ readonly scopes: object }> {
  return onRecord(input, deps, {
    server: async (server, folder) => (await askServer(server, folder, deps, "PATCH", path, body)) as { scopes: object },
    stores: async ({ keys }) => ({ scopes: await stores(keys) }),
  });
}

export const ACCOUNT_COMMANDS: readonly Command[] = [account, groupCommand("team"), groupCommand("project")];

function scopesIn(input: Input): object {
  const [tier, priority] = [wholeNumber(input, "tier", 0, HIGHEST_TIER), wholeNumber(input, "priority", 0, HIGHEST_PRIORITY)];
  const [requires, metadata] = [requirementsOf(input), metadataOf(input)];
  return {
    ...lists(input, "models", "surfaces", "tools"),
    ...(tier !== undefined && { tier }),
    ...(priority !== undefined && { priority }),
    ...(requires && { requires }),
    ...(metadata && { metadata }),
  };
}

function texts(input: Input, ...flags: readonly string[]): object {
  return Object.fromEntries(flags.flatMap((flag) => (input.text(flag) === undefined ? [] : [[flag, input.text(flag)]])));
}

function lists(input: Input, ...flags: readonly string[]): object {
  return Object.fromEntries(flags.flatMap((flag) => (input.text(flag) === undefined ? [] : [[flag, wordList(input, flag)]])));
}

function cleared(input: Input): object {
  return Object.fromEntries((wordList(input, "clear") ?? []).map((member) => [member, null]));
}

/** @throws UsageError, also where nothing is to be changed */
function checked<T>(schema: z.ZodType<T>, body: object, command: string): T {
  if (Object.keys(body).length === 0) throw new UsageError(`gimbal ${command} needs something to change; --help lists it.`);
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue?.code === "unrecognized_keys" ? issue.keys[0] : issue?.path.join(".");
  throw new UsageError(`gimbal ${command}: ${where ? `${where}: ` : ""}${issue?.message ?? "not valid"}.`);
}

import type { Denial, KeyRecord, Role } from "../canon/index.ts";
import { addKey, newKey, rotateKey, type KeySpec, type MadeKey } from "../gateway/keys.ts";
import { keyBudgetsFrom } from "../ledger/options.ts";
import { CommandError, DONE, table, UsageError, wholeNumber, wordList, type Command, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { ACCOUNT_COMMANDS } from "./keys-account.ts";
import { DENIAL_COMMANDS, denialTable } from "./keys-denials.ts";
import { budgetsOf, HIGHEST_PRIORITY, HIGHEST_TIER, metadataOf, momentOf, orSay, requirementsOf, REQUESTS } from "./keys-flags.ts";
import { onRecord } from "./record.ts";
import { askServer } from "./running.ts";
import { DATA_FLAG } from "./settings.ts";

const OVERLAP_HOURS = 24;
const MOST_OVERLAP_HOURS = 90 * 24;
const MS_PER_HOUR = 3_600_000;
const ROLES: readonly Role[] = ["viewer", "developer", "approver", "admin"];

/** A key as it is shown: without its hash. */
type ShownKey = Omit<KeyRecord, "hash">;

const create: Command = {
  name: "keys create",
  summary: "Make a key and print it once; only its hash is kept.",
  operands: [],
  flags: {
    name: { value: "NAME", meaning: "What the key is called; needed." },
    team: { value: "TEAM", meaning: "Team its calls are booked on." },
    project: { value: "PROJECT", meaning: "Project its calls are booked on." },
    tags: { value: "A,B", meaning: "Labels, separated by commas." },
    models: { value: "A,B", meaning: "Models it may use (aliases, provider/model, or a beginning with *). Default: all." },
    surfaces: { value: "A,B", meaning: "Wire languages it may speak. Default: all." },
    tools: { value: "A,B", meaning: "Tools its calls may offer a model (names, or a beginning with *). Default: all." },
    role: { value: "ROLE", meaning: "Makes it a key for the admin API instead of calls: viewer, developer, approver or admin." },
    tier: { value: "N", meaning: `Highest data tier it may send, 0 to ${HIGHEST_TIER}.` },
    priority: { value: "N", meaning: `Who goes first where calls wait for a place at a provider: 0 to ${HIGHEST_PRIORITY}, default 5.` },
    metadata: { value: "JSON", meaning: 'What its calls may say of themselves: {"allow": {...}, "require": [...], "force": {...}}.' },
    region: { value: "A,B", meaning: "Regions one of which its calls must run in." },
    residency: { value: "A,B", meaning: "Places one of which its data must be kept in." },
    "requests-per-minute": { value: "N", meaning: "Most requests in a minute." },
    budget: { value: "USD/WINDOW", meaning: "Most dollars in a window: 100/month, 5/day, 20/lifetime. Calls beyond it are refused." },
    expires: { value: "WHEN", meaning: "A date (2027-01-31), a time (ISO 8601), or a span: 12h, 30d, 8w." },
    ...DATA_FLAG,
  },
  async run(input, deps) {
    const spec = specOf(input, deps);
    const budgets = budgetsOf(input);
    const { id, key, prefix } = await onRecord(input, deps, {
      server: async (server, folder) =>
        (await askServer(server, folder, deps, "POST", "/keys", { ...bodyOf(spec), ...(budgets.length > 0 && { budgets }) })) as {
          id: string;
          key: string;
          prefix: string;
        },
      stores: async (stores) => {
        const made = newKey(spec, deps.clock, deps.randomness);
        const { record } = made;
        await stores.keys.create(budgets.length === 0 ? record : { ...record, budgets: keyBudgetsFrom(record.id, budgets) });
        return { id: made.record.id, key: made.key, prefix: made.record.prefix };
      },
    });
    if (input.json) deps.out(`${JSON.stringify({ id, key, prefix })}\n`);
    else {
      deps.out(`${key}\n`);
      deps.err(`Key ${id} (${spec.name}) is made. It is shown this once: keep it now.\n`);
    }
    return DONE;
  },
};

const list: Command = {
  name: "keys list",
  summary: "List the keys, without the secrets, and who is denied.",
  operands: [],
  flags: DATA_FLAG,
  async run(input, deps) {
    const { keys, denials } = await onRecord(input, deps, {
      server: async (server, folder) => {
        const ask = (path: string): Promise<unknown> => askServer(server, folder, deps, "GET", path);
        const listed = (await ask("/keys")) as { keys: ShownKey[] };
        return { ...listed, ...((await ask("/denials")) as { denials: Denial[] }) };
      },
      stores: async (stores) => ({
        keys: (await stores.keys.list()).map(({ hash: _hash, ...shown }): ShownKey => shown),
        denials: await stores.keys.denials(deps.clock.now()),
      }),
    });
    if (input.json) return shownAs(deps, `${JSON.stringify({ keys, denials })}\n`);
    if (keys.length === 0) deps.out("There are no keys. Make one with: gimbal keys create --name NAME\n");
    else
      deps.out(
        `${table(
          ["ID", "NAME", "PREFIX", "TEAM", "STATE", "MODELS"],
          keys.map((key) => rowOf(key, deps.clock.now())),
        )}\n`,
      );
    return shownAs(deps, denials.length === 0 ? "" : `\n${denialTable(denials)}\n`);
  },
};

function shownAs(deps: CliDeps, text: string): number {
  deps.out(text);
  return DONE;
}

const EXPIRES = { value: "WHEN", meaning: "As for a new key. Default: it lives as long as the one it is made after." } as const;

const rotate: Command = {
  name: "keys rotate",
  summary: "Make a key in place of another and print it once; the old one goes on for a while.",
  operands: ["ID"],
  flags: {
    "overlap-hours": { value: "N", meaning: `Hours that the old key goes on, 0 to ${MOST_OVERLAP_HOURS}; default ${OVERLAP_HOURS}.` },
    expires: EXPIRES,
    ...DATA_FLAG,
  },
  async run(input, deps) {
    const [id = ""] = input.operands;
    const overlapHours = wholeNumber(input, "overlap-hours", 0, MOST_OVERLAP_HOURS) ?? OVERLAP_HOURS;
    const expiry = expiryOf(input, deps);
    const made = await onRecord(input, deps, {
      server: async (server, folder) =>
        (await askServer(server, folder, deps, "POST", `/keys/${encodeURIComponent(id)}/rotate`, {
          overlapHours,
          ...expiry,
        })) as RotatedKey,
      stores: async ({ keys }) => {
        const rotated = await orSay(rotateKey({ ...deps, keys }, id, overlapHours * MS_PER_HOUR, expiry.expiresAt));
        return { ...describeMade(rotated), previous: rotated.previous };
      },
    });
    const { previous } = made;
    if (input.json) deps.out(`${JSON.stringify(made)}\n`);
    else {
      deps.out(`${made.key}\n`);
      deps.err(
        `Key ${made.id} takes the place of ${previous.id}, which goes on until ${new Date(previous.expiresAt).toISOString()}. It is shown this once.\n`,
      );
    }
    return DONE;
  },
};

const add: Command = {
  name: "keys add",
  summary: "Make one more key for an account and print it once: same budgets, limits and rights.",
  operands: ["ACCOUNT"],
  flags: { expires: EXPIRES, ...DATA_FLAG },
  async run(input, deps) {
    const [account = ""] = input.operands;
    const expiry = expiryOf(input, deps);
    const made = await onRecord(input, deps, {
      server: async (server, folder) =>
        (await askServer(server, folder, deps, "POST", `/accounts/${encodeURIComponent(account)}/keys`, expiry)) as ShownOnce,
      stores: async ({ keys }) => describeMade(await orSay(addKey({ ...deps, keys }, account, expiry.expiresAt))),
    });
    if (input.json) deps.out(`${JSON.stringify(made)}\n`);
    else {
      deps.out(`${made.key}\n`);
      deps.err(`Key ${made.id} of account ${account} is made. It is shown this once: keep it now.\n`);
    }
    return DONE;
  },
};

interface ShownOnce {
  readonly id: string;
  readonly key: string;
  readonly prefix: string;
  readonly account?: string;
  readonly expiresAt?: number;
}
interface RotatedKey extends ShownOnce {
  readonly previous: { readonly id: string; readonly expiresAt: number };
}

/** As the admin API answers. */
function describeMade({ key, record: { id, prefix, account, expiresAt } }: MadeKey): ShownOnce {
  return { id, key, prefix, ...(account !== undefined && { account }), ...(expiresAt !== undefined && { expiresAt }) };
}

function expiryOf(input: Input, deps: CliDeps): { readonly expiresAt?: number } {
  const text = input.text("expires");
  return text === undefined ? {} : { expiresAt: momentOf(text, deps.clock.now()) };
}

const revoke: Command = {
  name: "keys revoke",
  summary: "Revoke a key; calls with it are refused from then on.",
  operands: ["ID"],
  flags: DATA_FLAG,
  async run(input, deps) {
    const [id = ""] = input.operands;
    await onRecord(input, deps, {
      server: (server, folder) => askServer(server, folder, deps, "DELETE", `/keys/${encodeURIComponent(id)}`),
      stores: async (stores) => {
        if (!(await stores.keys.revoke(id, deps.clock.now()))) throw new CommandError(`There is no key "${id}" that could be revoked.`);
      },
    });
    deps.out(input.json ? `${JSON.stringify({ id, revoked: true })}\n` : `Key ${id} is revoked.\n`);
    return DONE;
  },
};

export const KEY_COMMANDS: readonly Command[] = [create, list, rotate, add, revoke, ...ACCOUNT_COMMANDS, ...DENIAL_COMMANDS];

function specOf(input: Input, deps: CliDeps): KeySpec {
  const name = input.text("name")?.trim();
  if (!name) throw new UsageError("gimbal keys create needs --name NAME.");
  const models = wordList(input, "models");
  const role = roleOf(input);
  const surfaces = role === undefined ? wordList(input, "surfaces") : ["admin"];
  const tools = wordList(input, "tools");
  const tier = wholeNumber(input, "tier", 0, HIGHEST_TIER);
  const requests = wholeNumber(input, "requests-per-minute", 1, REQUESTS);
  const priority = wholeNumber(input, "priority", 0, HIGHEST_PRIORITY);
  const [requires, metadata] = [requirementsOf(input), metadataOf(input)];
  const [team, project, tags, expires] = [input.text("team"), input.text("project"), wordList(input, "tags"), input.text("expires")];
  return {
    name,
    ...(team !== undefined && { team }),
    ...(project !== undefined && { project }),
    ...(tags !== undefined && { tags }),
    scopes: {
      ...(models && { models }),
      ...(surfaces && { surfaces }),
      ...(tools && { tools }),
      ...(role !== undefined && { role }),
      ...(tier !== undefined && { tier }),
      ...(requires && { requires }),
      ...(metadata && { metadata }),
      ...(priority !== undefined && { priority }),
    },
    limits: requests === undefined ? [] : [{ requests, per: "minute" }],
    ...(expires !== undefined && { expiresAt: momentOf(expires, deps.clock.now()) }),
  };
}

function roleOf(input: Input): Role | undefined {
  const text = input.text("role");
  if (text === undefined) return undefined;
  const role = ROLES.find((one) => one === text);
  if (role === undefined) throw new UsageError(`--role is one of ${ROLES.join(", ")}, not "${text}".`);
  if (input.text("surfaces") !== undefined)
    throw new UsageError("A key has --surfaces for calls, or a --role for the admin API, not both.");
  return role;
}

/** The admin API's own form of a new key. */
function bodyOf({ scopes, ...spec }: KeySpec): Record<string, unknown> {
  return { ...spec, ...scopes };
}

function rowOf(key: ShownKey, now: number): string[] {
  const state = key.revokedAt !== undefined ? "revoked" : key.expiresAt !== undefined && key.expiresAt <= now ? "expired" : "active";
  return [key.id, key.name, `${key.prefix}...`, key.team ?? "", state, key.scopes.models?.join(",") ?? "all"];
}

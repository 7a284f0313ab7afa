import type { KeyRecord, Requirements } from "../canon/index.ts";
import type { z } from "zod";
import { newKey, type KeySpec } from "../gateway/keys.ts";
import { keyBudgetsFrom, keyBudgetsOptions } from "../ledger/options.ts";
import { CommandError, DONE, table, UsageError, wholeNumber, wordList, type Command, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { onRecord } from "./record.ts";
import { askServer } from "./running.ts";
import { DATA_FLAG } from "./settings.ts";

const HIGHEST_TIER = 4;
const HIGHEST_PRIORITY = 9;
const REQUESTS = 1_000_000_000;
const UNITS_MS: Readonly<Record<string, number>> = { h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000 };

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
    tier: { value: "N", meaning: `Highest data tier it may send, 0 to ${HIGHEST_TIER}.` },
    priority: { value: "N", meaning: `Who goes first where calls wait for a place at a provider: 0 to ${HIGHEST_PRIORITY}, default 5.` },
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
  summary: "List the keys, without the secrets.",
  operands: [],
  flags: DATA_FLAG,
  async run(input, deps) {
    const keys = await onRecord(input, deps, {
      server: async (server, folder) => ((await askServer(server, folder, deps, "GET", "/keys")) as { keys: ShownKey[] }).keys,
      stores: async (stores) => (await stores.keys.list()).map(({ hash: _hash, ...shown }): ShownKey => shown),
    });
    if (input.json) deps.out(`${JSON.stringify({ keys })}\n`);
    else if (keys.length === 0) deps.out("There are no keys. Make one with: gimbal keys create --name NAME\n");
    else
      deps.out(
        `${table(
          ["ID", "NAME", "PREFIX", "TEAM", "STATE", "MODELS"],
          keys.map((key) => rowOf(key, deps.clock.now())),
        )}\n`,
      );
    return DONE;
  },
};

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

export const KEY_COMMANDS: readonly Command[] = [create, list, revoke];

function specOf(input: Input, deps: CliDeps): KeySpec {
  const name = input.text("name")?.trim();
  if (!name) throw new UsageError("gimbal keys create needs --name NAME.");
  const models = wordList(input, "models");
  const surfaces = wordList(input, "surfaces");
  const tier = wholeNumber(input, "tier", 0, HIGHEST_TIER);
  const requests = wholeNumber(input, "requests-per-minute", 1, REQUESTS);
  const priority = wholeNumber(input, "priority", 0, HIGHEST_PRIORITY);
  const requires = requirementsOf(input);
  const [team, project, tags, expires] = [input.text("team"), input.text("project"), wordList(input, "tags"), input.text("expires")];
  return {
    name,
    ...(team !== undefined && { team }),
    ...(project !== undefined && { project }),
    ...(tags !== undefined && { tags }),
    scopes: {
      ...(models && { models }),
      ...(surfaces && { surfaces }),
      ...(tier !== undefined && { tier }),
      ...(requires && { requires }),
      ...(priority !== undefined && { priority }),
    },
    limits: requests === undefined ? [] : [{ requests, per: "minute" }],
    ...(expires !== undefined && { expiresAt: momentOf(expires, deps.clock.now()) }),
  };
}

function requirementsOf(input: Input): Requirements | undefined {
  const [region, residency] = [wordList(input, "region"), wordList(input, "residency")];
  return region || residency ? { ...(region && { region }), ...(residency && { residency }) } : undefined;
}

function budgetsOf(input: Input): z.output<typeof keyBudgetsOptions> {
  const text = input.text("budget");
  if (text === undefined) return [];
  const [usd, per] = text.split("/");
  const parsed = keyBudgetsOptions.safeParse([{ usd: Number(usd), per }]);
  if (parsed.success) return parsed.data;
  throw new UsageError(`--budget is dollars and a window, as in 100/month or 20/lifetime, not "${text}".`);
}

/** The admin API's own form of a new key. */
function bodyOf({ scopes, ...spec }: KeySpec): Record<string, unknown> {
  return { ...spec, ...scopes };
}

/** Milliseconds since 1970. @throws UsageError */
export function momentOf(text: string, now: number): number {
  const span = /^(\d{1,6})([hdw])$/.exec(text);
  const moment = span
    ? now + Number(span[1]) * (UNITS_MS[span[2] ?? ""] ?? 0)
    : /^\d{4}-\d{2}-\d{2}/.test(text)
      ? Date.parse(text)
      : Number.NaN;
  if (!Number.isFinite(moment))
    throw new UsageError(`--expires is a date (2027-01-31), a time (ISO 8601) or a span (12h, 30d, 8w), not "${text}".`);
  if (moment <= now) throw new UsageError(`--expires ${text} is in the past.`);
  return moment;
}

function rowOf(key: ShownKey, now: number): string[] {
  const state = key.revokedAt !== undefined ? "revoked" : key.expiresAt !== undefined && key.expiresAt <= now ? "expired" : "active";
  return [key.id, key.name, `${key.prefix}...`, key.team ?? "", state, key.scopes.models?.join(",") ?? "all"];
}

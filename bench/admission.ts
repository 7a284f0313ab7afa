// node bench/admission.ts: what a key with its scopes, limits and the reservation of its budgets cost a call, in CPU microseconds.
import type { Budget, Caller, LedgerRow, Provider, RateLimit, Snapshot } from "../src/canon/index.ts";
import { NO_USAGE } from "../src/canon/index.ts";
import { dialects } from "../src/dialects/registry.generated.ts";
import { allow, enter } from "../src/gateway/allowance.ts";
import { createGateway } from "../src/gateway/index.ts";
import { newKey } from "../src/gateway/keys.ts";
import { LiveCall } from "../src/gateway/live.ts";
import type { CallRequest } from "../src/gateway/request.ts";
import { newRun } from "../src/gateway/run.ts";
import { systemClock, SystemRandomness } from "../src/kit/index.ts";
import { createModelBook } from "../src/models/index.ts";
import { memoryStores } from "../src/stores/index.ts";

const CALLS = 100_000;
const ROUNDS = 7;
const BODY_BYTES = 1000;
const MODEL = "openai/gpt-4.1-mini";

interface Case {
  readonly name: string;
  readonly budgets: readonly Budget[];
  readonly limits: readonly RateLimit[];
}

const budget = (id: string, spec: Partial<Budget> = {}): Budget => ({
  id,
  match: {},
  nanodollars: 9_000_000_000_000_000,
  per: "month",
  timeZone: "Europe/Berlin",
  hard: true,
  ...spec,
});
const limit: RateLimit = { id: "l", match: { key: "*" }, requests: 1_000_000_000, concurrency: 1_000_000, per: "minute" };
const tokens = budget("c", { nanodollars: undefined, tokens: 1_000_000_000_000 });

const CASES: readonly Case[] = [
  { name: "key and scopes", budgets: [], limits: [] },
  { name: "and a limit of requests and concurrency", budgets: [], limits: [limit] },
  { name: "and one budget in dollars", budgets: [budget("a")], limits: [] },
  { name: "limit and one budget", budgets: [budget("a")], limits: [limit] },
  {
    name: "limit and three budgets (team, key, tokens)",
    budgets: [budget("a", { match: { team: "t" } }), budget("b", { match: { key: "*" } }), tokens],
    limits: [limit],
  },
];

async function measure({ name, budgets, limits }: Case): Promise<void> {
  const stores = memoryStores(systemClock);
  const randomness = new SystemRandomness();
  const { key, record } = newKey({ name: "k", team: "t", scopes: {}, limits: [] }, systemClock, randomness);
  await stores.keys.create(record);
  const provider = { id: "openai", capabilities: () => ({}) } as unknown as Provider;
  const snapshot = {
    version: 1,
    aliases: new Map(),
    providers: new Map([["openai", provider]]),
    limits: { journalBytes: 1000 },
    access: { anonymous: "never" },
    callerLimits: limits,
    budgets,
  } as unknown as Snapshot;
  const deps = createGateway({
    clock: systemClock,
    randomness,
    snapshot: () => snapshot,
    dialects,
    stores,
    book: createModelBook(),
    guards: [],
    node: "n",
    report: () => {},
  });
  const dialect = dialects.get("openai-chat");
  const door = dialect?.doors[0];
  if (!dialect || door?.does.kind !== "call") throw new Error("the dialect is missing");
  const headers = { authorization: `Bearer ${key}` };
  const request = {
    dialect,
    door,
    headers,
    params: {},
    peer: "10.0.0.1",
    readBody: () => Promise.resolve(new Uint8Array()),
  } as CallRequest;
  const row = { usage: NO_USAGE, costNanodollars: 5 } as unknown as LedgerRow;
  const live = new LiveCall({ id: "c", clock: systemClock, journalBytes: 1000 });

  async function calls(count: number): Promise<number> {
    const before = process.cpuUsage();
    for (let call = 0; call < count; call++) {
      const run = newRun(live, request, snapshot);
      run.model = MODEL;
      run.maxOutputTokens = 100;
      const identified = deps.admission.identify(snapshot, dialect as NonNullable<typeof dialect>, headers, "10.0.0.1");
      const caller: Caller = identified instanceof Promise ? await identified : identified;
      const entered = enter(deps, run, caller);
      if (entered) await entered;
      const allowed = allow(deps, run, caller, BODY_BYTES);
      if (allowed) await allowed;
      run.allowance?.settle(row);
    }
    const spent = process.cpuUsage(before);
    return (spent.user + spent.system) / count;
  }

  await calls(CALLS);
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) times.push(await calls(CALLS));
  times.sort((a, b) => a - b);
  process.stdout.write(`${name.padEnd(50)} ${(times[Math.floor(ROUNDS / 2)] ?? 0).toFixed(2)} µs\n`);
  await deps.allowances.walls.close();
}

for (const one of CASES) await measure(one);
process.exit(0);

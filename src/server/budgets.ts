import type { Hono } from "hono";
import { z } from "zod";
import {
  formatDollars,
  type Budget,
  type BudgetStore,
  type ConfigStore,
  type CounterState,
  type Json,
  type KeyStore,
  type Snapshot,
} from "../canon/index.ts";
import { patchBudgets, type ConfigControl } from "../config/index.ts";
import { NEVER, partsOfKey } from "../ledger/budgets/index.ts";
import { budgetsOptions } from "../ledger/options.ts";
import { readBody } from "./admin-body.ts";
import { changed, present } from "./release.ts";
import { actorOf } from "./roles.ts";

/** Counters shown at once. */
const MOST_COUNTERS = 10_000;

export const budgetsBody = z.strictObject({
  /** As they are written under `budgets:`; the configuration's own schema checks them again. */
  budgets: budgetsOptions,
  base: z.number().int().positive().optional(),
});

export interface BudgetDeps {
  readonly store: BudgetStore;
  readonly keys: KeyStore;
  readonly config: ConfigStore;
  readonly control: ConfigControl | undefined;
  readonly snapshot: () => Snapshot;
  readonly now: () => number;
}

/** `/budgets`: those of the configuration and of keys, with what is spent of them; and the configuration's, all at once, as its new version. */
export function mountBudgets(app: Pick<Hono, "get" | "put">, deps: BudgetDeps): void {
  app.get("/budgets", async (context) => {
    const [counters, keys] = await Promise.all([deps.store.list(deps.now(), MOST_COUNTERS), deps.keys.list()]);
    const byBudget = Map.groupBy(counters, ({ key }) => partsOfKey(key)?.id ?? "");
    const ofKeys = keys.filter(({ revokedAt }) => revokedAt === undefined).flatMap(({ budgets = [] }) => budgets);
    const describe = (source: string, budget: Budget): object => ({
      ...describeBudget(budget, byBudget.get(budget.id) ?? [], deps.now()),
      source,
    });
    return context.json({
      budgets: [
        ...(deps.snapshot().budgets ?? []).map((budget) => describe("configuration", budget)),
        ...ofKeys.map((budget) => describe("key", budget)),
      ],
    });
  });
  app.put("/budgets", async (context) => {
    const { budgets, base } = await readBody(context, budgetsBody);
    const written = budgets.map((budget) => JSON.parse(JSON.stringify(budget)) as Json);
    const made = await present(deps.control).change(actorOf(context), (text) => patchBudgets(text, written), base);
    return context.json(await changed(deps.config, made));
  });
}

function describeBudget({ id, nanodollars, tokens, match, ...rest }: Budget, counters: readonly CounterState[], now: number): object {
  return {
    name: id,
    match,
    ...(nanodollars !== undefined && { usd: formatDollars(nanodollars) }),
    ...(tokens !== undefined && { tokens }),
    ...rest,
    counters: counters
      .filter(({ begins, ends }) => begins <= now && ends > now)
      .flatMap((counter) => describeCounter(counter, nanodollars, tokens)),
  };
}

/** `reserved`: by running calls, and leased to nodes for calls to come. */
function describeCounter(
  { key, begins, ends, spent, leased }: CounterState,
  nanodollars: number | undefined,
  tokens: number | undefined,
): object[] {
  const parts = partsOfKey(key);
  const limit = parts?.measure === "tokens" ? tokens : nanodollars;
  if (!parts || limit === undefined) return [];
  const amount = (value: number): string | number => (parts.measure === "tokens" ? value : formatDollars(value));
  return [
    {
      measure: parts.measure === "tokens" ? "tokens" : "usd",
      ...(parts.subject !== "" && { subject: parts.subject }),
      spent: amount(spent),
      reserved: amount(leased),
      left: amount(Math.max(0, limit - spent - leased)),
      begins: new Date(begins).toISOString(),
      ...(ends !== NEVER && { beginsAnew: new Date(ends).toISOString() }),
    },
  ];
}

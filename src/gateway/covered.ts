import { NANODOLLARS_PER_DOLLAR, type Caller } from "../canon/index.ts";
import type { Cover, Subject } from "../ledger/budgets/index.ts";
import type { GatewayDeps, Run } from "./run.ts";

const NONE = [] as const;

/** Budgets that cover the call, were it one to this model. */
export function coversOf(deps: GatewayDeps, run: Run, caller: Caller, model: string): readonly Cover[] {
  return deps.allowances.coverage.of(run.snapshot.budgets ?? NONE, subjectOf(run, caller, model));
}

/** What budgets and limits look at. */
export function subjectOf({ wishes }: Run, caller: Caller, model: string, provider?: string): Subject {
  const { metadata, session } = wishes;
  return { caller, model, session, agent: nameIn(metadata?.["agent"]), turn: nameIn(metadata?.["turn"]), provider };
}

function nameIn(value: unknown): string | undefined {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : undefined;
}

/** Dollars left in the tightest budget that covers the call; infinite while none does. */
export function remainingUsd(deps: GatewayDeps, run: Run): number {
  let least = Number.POSITIVE_INFINITY;
  const { caller } = run;
  if (!caller) return least;
  const now = deps.clock.now();
  for (const { measure, limit, series } of coversOf(deps, run, caller, run.model)) {
    if (measure !== "nanodollars") continue;
    const wall = series.at(now);
    least = Math.min(least, wall.answeredAt === undefined ? limit : wall.left);
  }
  return least / NANODOLLARS_PER_DOLLAR;
}

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { gimbal } from "./candidates.ts";
import { type Bodies, compare, type Plan, type Row } from "./cases.ts";
import type { Helpers } from "./load.ts";

/** So that both kinds of counters are at work, and neither is ever used up. */
const BUDGET = `budgets: [{ tokens: 1000000000000, per: month }, { match: { key: "*" }, tokens: 1000000000000, per: lifetime }]\n`;

/**
 * Calls that every process has had before anything is counted. Two processes compile the same code twice: with one warm-up shared between
 * them they were measured colder than the one beside them, by up to half of a call, and not for what it costs to be two.
 */
const WARM_CALLS = 40_000;
const WARM_SECS = 30;

/** One process and two workers side by side, with limits, budgets and breakers over both. CPU is that of the primary too. */
export async function workersCase(helpers: Helpers, bodies: Bodies, folder: string, upstream: number, plan: Plan): Promise<readonly Row[]> {
  const started = async (name: string, flags: readonly string[]): ReturnType<typeof gimbal> => {
    const home = join(folder, name);
    mkdirSync(home, { recursive: true });
    return gimbal(home, upstream, flags, BUDGET);
  };
  const one: Awaited<ReturnType<typeof gimbal>> = { ...(await started("one", [])), title: "Gimbal, one process" };
  const two: typeof one = { ...(await started("two", ["--workers", "2"])), id: "workers" as const, title: "Gimbal, two workers" };
  const warm = (candidate: typeof one, processes: number): void => {
    const count = WARM_CALLS * processes;
    compare(helpers, bodies, [candidate], "plain", { ...plan.saturated, mode: "closed", warm: 0, count, secs: WARM_SECS }, 1);
  };
  try {
    warm(one, 1);
    warm(two, 2);
    return compare(helpers, bodies, [one, two], "plain", { mode: "closed", ...plan.saturated }, plan.rounds);
  } finally {
    await Promise.all([one.stop(), two.stop()]);
  }
}

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Candidate, gimbal } from "./candidates.ts";
import { type Bodies, compare, type Plan, requestOf, type Row, rowOf } from "./cases.ts";
import type { Helpers, LoadMode, LoadResult } from "./load.ts";

/** So that both kinds of counters are at work, and neither is ever used up. */
const BUDGET = `budgets: [{ tokens: 1000000000000, per: month }, { match: { key: "*" }, tokens: 1000000000000, per: lifetime }]\n`;

/**
 * Calls that every process has had before anything is counted. Two processes compile the same code twice: with one warm-up shared between
 * them they were measured colder than the one beside them, by up to half of a call, and not for what it costs to be two.
 */
const WARM_CALLS = 40_000;
const WARM_SECS = 30;

type Subject = Awaited<ReturnType<typeof gimbal>>;

/**
 * One process and two workers side by side, with limits, budgets and breakers over both. CPU is that of the primary too. Beside them two
 * processes that share nothing but the core, each with half of the load: what they cost more than one is the core's doing (its caches, and
 * batches of half the size), and none of sharing a record.
 */
export async function workersCase(helpers: Helpers, bodies: Bodies, folder: string, upstream: number, plan: Plan): Promise<readonly Row[]> {
  const started = async (name: string, flags: readonly string[], as: Pick<Candidate, "id" | "title">): Promise<Subject> => {
    const home = join(folder, name);
    mkdirSync(home, { recursive: true });
    return { ...(await gimbal(home, upstream, flags, BUDGET)), ...as };
  };
  const one = await started("one", [], { id: "gimbal", title: "Gimbal, one process" });
  const other = await started("other", [], { id: "apart", title: "Gimbal, two processes that share nothing" });
  const two = await started("two", ["--workers", "2"], { id: "workers", title: "Gimbal, two workers" });
  const mode = { mode: "closed", ...plan.saturated } as const;
  const warm = (candidate: Subject, processes: number): void => {
    compare(helpers, bodies, [candidate], "plain", { ...mode, warm: 0, count: WARM_CALLS * processes, secs: WARM_SECS }, 1);
  };
  try {
    warm(one, 1);
    warm(other, 1);
    warm(two, 2);
    const alone: LoadResult[] = [];
    const shared: LoadResult[] = [];
    const apart: LoadResult[] = [];
    for (let round = 0; round < plan.rounds; round++) {
      alone.push(...loaded(helpers, bodies, one, mode));
      apart.push(await loadedTogether(helpers, bodies, [one, other], mode));
      shared.push(...loaded(helpers, bodies, two, mode));
    }
    return [rowOf([one, alone]), rowOf([other, apart]), rowOf([two, shared])];
  } finally {
    await Promise.all([one.stop(), other.stop(), two.stop()]);
  }
}

function loaded(helpers: Helpers, bodies: Bodies, subject: Subject, mode: LoadMode): readonly LoadResult[] {
  const ask = requestOf(subject, "plain", bodies);
  return ask ? [helpers.load(ask, mode)] : [];
}

/** One result of both: each has half of the connections and of the calls. */
async function loadedTogether(
  helpers: Helpers,
  bodies: Bodies,
  subjects: readonly Subject[],
  mode: LoadMode & { readonly mode: "closed" },
): Promise<LoadResult> {
  const share = 1 / subjects.length;
  const half = { ...mode, conns: mode.conns * share, warm: mode.warm * share, count: mode.count * share };
  const asks = subjects.flatMap((subject) => requestOf(subject, "plain", bodies) ?? []);
  const results = await helpers.loadTogether(asks, half);
  const sum = (key: keyof LoadResult): number => results.reduce((total, result) => total + result[key], 0);
  const mean = (key: keyof LoadResult): number =>
    results.reduce((total, result) => total + result[key] * result.requests, 0) / sum("requests");
  return {
    requests: sum("requests"),
    errors: sum("errors"),
    bad: sum("bad"),
    perSecond: sum("perSecond"),
    cpuUs: mean("cpuUs"),
    busy: sum("busy"),
    p50Us: mean("p50Us"),
    p90Us: mean("p90Us"),
    p99Us: mean("p99Us"),
    firstP50Us: mean("firstP50Us"),
    firstP99Us: mean("firstP99Us"),
    rssKb: sum("rssKb"),
  };
}

import { monitorEventLoopDelay } from "node:perf_hooks";
import { ProblemError, problemFrom, type Budget, type Secret } from "../canon/index.ts";
import { isLocal } from "../gateway/admission.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import { partsOfKey } from "../ledger/budgets/index.ts";
import { Exposition, EXPOSITION_TYPE, mergePages, textOf, type Telemetry } from "../ledger/telemetry/index.ts";
import type { Health } from "../routing/health/index.ts";
import type { FrontRequest } from "../wire/types.ts";
import { isAdmin } from "./admin-token.ts";
import { answerWith } from "./respond.ts";
import type { MetricsPeers } from "./metrics-exchange.ts";
import type { Router } from "./router.ts";

export interface MetricsDeps {
  readonly gateway: GatewayDeps;
  readonly health: Health;
  readonly telemetry: Telemetry;
  readonly adminToken: Secret;
  /** Which of several processes behind one address this is; undefined: the only one. */
  readonly process?: string | undefined;
  /** The other processes behind this address. */
  readonly peers?: MetricsPeers | undefined;
}

type LoopDelay = ReturnType<typeof monitorEventLoopDelay>;

/** Counters of budgets that are looked at. */
const MOST_COUNTERS = 10_000;
/** Budgets and targets on the page; the configuration may hold more. */
const MOST_BUDGETS = 200;
const MOST_TARGETS = 1000;
const NANODOLLARS = 1e9;
const NANOSECONDS = 1e9;
const QUANTILES = [50, 90, 99] as const;
const STATES = ["closed", "open", "half-open", "cooling down", "ejected", "shut", "forced open"] as const;

/**
 * `GET /metrics`: calls, attempts, tokens and dollars since the start, and how things stand. Models, budgets and dollars are nobody's business
 * but the operator's.
 */
export function mountMetrics(router: Router, deps: MetricsDeps): void {
  let delay: LoopDelay | undefined;
  const own = (scraped: boolean): Exposition => {
    // Measuring costs a timer: it begins with the first who asks.
    if (!delay && scraped) (delay = monitorEventLoopDelay()).enable();
    const page = new Exposition();
    deps.telemetry.write(page);
    writeState(page, deps);
    writeHealth(page, deps.health);
    if (delay && scraped) writeDelay(page, delay);
    return page;
  };
  const { peers, process: name } = deps;
  if (peers && name !== undefined) peers.share((scraped) => ({ process: name, families: own(scraped).families }));
  router.add("GET", "/metrics", (request, out) =>
    answerWith(
      out,
      async () => {
        assertReader(deps, request);
        const page = own(true);
        await writeBudgets(page, deps.gateway);
        out.whole(200, { "content-type": EXPOSITION_TYPE, "cache-control": "no-store" }, await ofAll(deps, page));
      },
      (error) => deps.gateway.report(error, "metrics"),
    ),
  );
}

/** The page over all processes behind the address. */
async function ofAll({ peers, process: name }: MetricsDeps, page: Exposition): Promise<string> {
  if (!peers || name === undefined) return page.text();
  const { others, gone } = await peers.others();
  return textOf(mergePages([{ process: name, families: page.families }, ...others], gone));
}

/** On this machine, where calls need no key there; from anywhere with the admin token. @throws ProblemError unauthenticated */
function assertReader({ gateway, adminToken }: MetricsDeps, { headers, peer }: FrontRequest): void {
  if (isAdmin(headers["authorization"], adminToken)) return;
  if (gateway.snapshot().access.anonymous !== "never" && isLocal(headers, peer)) return;
  throw new ProblemError({
    kind: "unauthenticated",
    message: "Metrics are read on the gateway's machine, or with the admin token as Bearer.",
  });
}

function writeState(page: Exposition, { gateway }: MetricsDeps): void {
  page.family("calls_running", "gauge", "Calls under way.").sample(gateway.live.running);
  page.family("record_failing", "gauge", "1 while rows cannot be written.").sample(gateway.ledger.failure() === undefined ? 0 : 1);
  page.family("config_version", "gauge", "Version of the configuration in force.").sample(gateway.snapshot().version);
  if (gateway.aside) writeAside(page, gateway.aside);
  page.family("process_info", "gauge", "Always 1; which process it is.").sample(1, { pid: String(process.pid) });
  const { rss, heapUsed } = process.memoryUsage();
  page.family("memory_bytes", "gauge", "Memory of the process.").sample(rss, { kind: "resident" }).sample(heapUsed, { kind: "heap" });
}

/** What is recorded of calls beside them: lineage, and words that a policy stores. */
function writeAside(page: Exposition, { counts, waiting }: NonNullable<GatewayDeps["aside"]>): void {
  const { records, stored, full, hung, refused, tooLong } = counts;
  page.family("recorded_total", "counter", "Calls of which something was recorded beside them.");
  page.sample(records, { what: "lineage" }).sample(stored, { what: "content" });
  page.family("unrecorded_total", "counter", "Calls of which nothing was recorded though it was wanted, by why.");
  page.sample(full, { reason: "queue_full" }).sample(hung, { reason: "hung" });
  page.sample(refused, { reason: "refused" }).sample(tooLong, { reason: "too_long" });
  page.family("recording_queue", "gauge", "Calls that wait for being recorded.").sample(waiting);
}

function writeHealth(page: Exposition, health: Health): void {
  const { targets, providers } = health.describe();
  const shown = targets.slice(0, MOST_TARGETS);
  page.family("target_state", "gauge", "1 for the state that a target is in.");
  for (const { target, state } of shown) for (const each of STATES) page.sample(each === state ? 1 : 0, { target, state: each });
  page.family("attempts_running", "gauge", "Attempts under way at a target.");
  for (const { target, inFlight } of shown) page.sample(inFlight, { target });
  page.family("attempts_queued", "gauge", "Attempts that wait for a place at a target.");
  for (const { target, queued } of shown) page.sample(queued, { target });
  page.family("keys_ready", "gauge", "Keys of a provider that take attempts.");
  for (const { provider, keys } of providers)
    if (keys.length > 0) page.sample(keys.filter(({ state }) => state === "ready").length, { provider });
}

/** Budgets of the configuration that have one counter. Those that count for each session, agent or key by itself would name them. */
async function writeBudgets(page: Exposition, { allowances, snapshot, clock, report }: GatewayDeps): Promise<void> {
  const budgets = (snapshot().budgets ?? []).slice(0, MOST_BUDGETS);
  if (budgets.length === 0) return;
  const now = clock.now();
  let spent: ReadonlyMap<string, number>;
  try {
    const counters = (await allowances.store.list(now, MOST_COUNTERS)).filter(({ begins, ends }) => begins <= now && ends > now);
    spent = new Map(
      counters.flatMap((counter) => {
        const parts = partsOfKey(counter.key);
        return parts?.subject === "" ? [[`${parts.id}\n${parts.measure}`, counter.spent] as const] : [];
      }),
    );
  } catch (error) {
    // The rest of the page is worth more than this part of it.
    if (problemFrom(error).kind === "internal") report(error, "metrics");
    return;
  }
  const each = (measure: "nanodollars" | "tokens", unit: number, tell: (budget: Budget, used: number, limit: number) => void): void => {
    for (const budget of budgets) {
      const limit = budget[measure];
      if (limit === undefined || isForEach(budget)) continue;
      tell(budget, (spent.get(`${budget.id}\n${measure}`) ?? 0) / unit, limit / unit);
    }
  };
  for (const [measure, name, unit] of [["nanodollars", "dollars", NANODOLLARS] as const, ["tokens", "tokens", 1] as const]) {
    page.family(
      `budget_remaining_${name}`,
      "gauge",
      `What is left of a budget in its window, in ${name}; running calls are not counted.`,
      "record",
    );
    each(measure, unit, (budget, used, limit) => page.sample(Math.max(0, limit - used), { budget: budget.id }));
  }
}

function isForEach({ match }: Budget): boolean {
  return Object.values(match).includes("*");
}

/** Since the last look, so that each look shows its own time. */
function writeDelay(page: Exposition, delay: LoopDelay): void {
  page.family("event_loop_delay_seconds", "gauge", "How late timers were since the last time this was read.");
  const seconds = (nanoseconds: number): number => (Number.isFinite(nanoseconds) ? nanoseconds / NANOSECONDS : 0);
  if (delay.count > 0) {
    for (const quantile of QUANTILES) page.sample(seconds(delay.percentile(quantile)), { quantile: String(quantile / 100) });
    page.sample(seconds(delay.max), { quantile: "1" });
  }
  delay.reset();
}

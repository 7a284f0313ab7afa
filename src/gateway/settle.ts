import type { CallState, LedgerRow, Problem, ShadowRecord } from "../canon/index.ts";
import { watchCost } from "../ledger/cost-alerts.ts";
import { priceAttempts } from "../ledger/cost.ts";
import { answerContext } from "./context.ts";
import { learnFrom, planTrace } from "./explain.ts";
import { settleKey } from "./idempotency.ts";
import { setAside } from "./lineage.ts";
import type { LiveCall } from "./live.ts";
import { operationOf, type GatewayDeps, type Run } from "./run.ts";
import { shadowRecord, type ShadowOf } from "./shadow.ts";
import { wireAnswer } from "./turns.ts";
import { usageOfCall } from "./usage.ts";

/**
 * Always, also when the client is gone: one row, the turn kept, the call's life over. The call counts as running until its row is
 * durable, so that a drain loses nothing; what the call held is let go before, because a busy gateway has hundreds waiting for the disk.
 */
export function settle(deps: GatewayDeps, run: Run): void {
  const { live } = run;
  live.state = stateOf(run.problem);
  learnFrom(deps, run);
  // The row is queued first, so that a failing turn store cannot cost it.
  const row = rowOf(deps, run);
  const spends = run.allowance?.settle(row);
  const work = [spends && spends.length > 0 ? deps.ledger.settle(row, spends, deps.node) : deps.ledger.settle(row)];
  deps.telemetry?.called(row, run.request.headers["traceparent"]);
  if (deps.alerts) watchCost(deps.alerts, deps.book, row);
  setAside(deps, run);
  if (hasTurn(run)) work.push(keepTurns(deps, run));
  if (run.claim) work.push(settleKey(deps, run, run.claim));
  if (run.shadow) deps.shadows.send(run, run.shadow, originalOf(row));
  live.letGo();
  finish(deps, live, work.length === 1 && work[0] ? work[0] : Promise.all(work));
}

/** Apart from `settle`, so that nothing but the live call is kept alive by the wait. */
function finish(deps: GatewayDeps, live: LiveCall, work: Promise<unknown>): void {
  const { telemetry, clock } = deps;
  const endedMs = telemetry ? clock.monotonic() : 0;
  const over = (): void => {
    telemetry?.recorded(clock.monotonic() - endedMs);
    live.markSettled();
    deps.live.finish(live);
  };
  work.then(over, (error: unknown) => {
    deps.report(error, live.id);
    over();
  });
}

/** Is there anything to keep for a later turn? */
function hasTurn(run: Run): boolean {
  if (run.request.shadow) return false;
  return run.keep || (run.problem === undefined && !run.forwarded && run.reply !== undefined);
}

async function keepTurns(deps: GatewayDeps, run: Run): Promise<void> {
  if (run.problem && run.previousId !== undefined) run.request.connection?.forget(run.previousId);
  if (run.problem && run.background && run.promisedId !== undefined) return keepFailure(deps, run, run.promisedId, run.problem);
  if (run.problem || operationOf(run) !== "generate" || !run.reply) return;
  const crosses = !run.forwarded;
  if (!run.keep && !crosses) return;
  const answer = run.reply.answer();
  if (!answer) return;
  // Both begin before anything is waited for: the client has its answer, and its next turn may come before this one is durable.
  await Promise.all([crosses && deps.turns.keepNative(run, answer), run.keep && deps.turns.keep(run, answer, wireAnswer(run, answer))]);
}

/** A client that was promised an answer must be able to read why it never came. */
async function keepFailure(deps: GatewayDeps, run: Run, id: string, problem: Problem): Promise<void> {
  const state = problem.kind === "cancelled" ? "cancelled" : "failed";
  const wire = run.request.dialect.encodePending?.(state, answerContext(run), problem);
  if (wire !== undefined) await deps.turns.keep(run, { id, items: [] }, wire);
}

function stateOf(problem: Problem | undefined): Exclude<CallState, "open"> {
  if (!problem) return "done";
  return problem.kind === "cancelled" ? "cancelled" : "failed";
}

/** Every row has the same fields in the same order, absent ones being undefined: one shape is cheaper to make and to read than many. */
function rowOf(deps: GatewayDeps, run: Run): LedgerRow {
  const { live, caller, wishes, target, problem, report, recalled } = run;
  const usage = usageOfCall(run.attempts);
  const { attempts, costNanodollars, reported } = priceAttempts(deps.book, run.attempts, live.startedAt);
  return {
    callId: live.id,
    state: stateOf(problem),
    startedAt: live.startedAt,
    callerId: caller?.id ?? "unknown",
    callerName: caller?.name ?? "unknown",
    team: caller?.team,
    project: caller?.project,
    dialect: run.request.dialect.id,
    operation: operationOf(run),
    model: run.model,
    target: target && `${target.provider}/${target.model}`,
    upstreamModel: report?.model,
    stream: run.stream,
    fastPath: run.forwarded,
    usage,
    costNanodollars,
    reported,
    priceVersion: deps.book.version,
    timings: { readyMs: run.readyMs, totalMs: live.elapsedMs(), firstOutputMs: live.firstOutputMs },
    attempts,
    problem: problem?.kind,
    problemMessage: problem?.message,
    stop: report?.stop,
    metadata: wishes.metadata,
    session: wishes.session,
    configVersion: run.snapshot.version,
    diagnostics: diagnosticsOf(run),
    traceId: wishes.traceId,
    cache: recalled?.status ?? (run.snapshot.aliases.get(run.model)?.cache && "bypass"),
    cacheOrigin: recalled?.status === "hit" ? recalled.origin : undefined,
    savedNanodollars: recalled?.status === "hit" ? recalled.saved : undefined,
    plan: planTrace(run),
    arm: run.plan?.arm?.name,
    shadow: run.request.shadow && compared(run, run.request.shadow),
  };
}

function compared(run: Run, shadow: ShadowOf): ShadowRecord {
  try {
    return shadowRecord(shadow, run.problem ? undefined : run.reply?.answer());
  } catch {
    // An answer that its own language cannot read is none to compare; nobody waits for it.
    return shadowRecord(shadow, undefined);
  }
}

/** What is remembered of a call beside its copy. */
function originalOf({ problem, stop, costNanodollars, timings, usage }: LedgerRow): Omit<ShadowRecord["original"], "target"> {
  const { firstOutputMs, totalMs } = timings;
  return { problem, stop, costNanodollars, firstOutputMs, totalMs, outputTokens: usage.output };
}

function diagnosticsOf({ diagnostics, allowance }: Run): LedgerRow["diagnostics"] {
  const downgraded = allowance?.diagnostic;
  if (downgraded) return [downgraded, ...diagnostics];
  return diagnostics.length > 0 ? diagnostics : undefined;
}

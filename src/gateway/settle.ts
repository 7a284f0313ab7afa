import {
  addUsage,
  NO_USAGE,
  type AttemptRecord,
  type CallState,
  type LedgerRow,
  type Problem,
  type ShadowRecord,
  type Usage,
} from "../canon/index.ts";
import { answerContext } from "./context.ts";
import { learnFrom, planTrace } from "./explain.ts";
import { settleKey } from "./idempotency.ts";
import type { LiveCall } from "./live.ts";
import { operationOf, type GatewayDeps, type Run } from "./run.ts";
import { shadowRecord, type ShadowOf } from "./shadow.ts";
import { wireAnswer } from "./turns.ts";

/** Characters of text in a token, for estimates where the upstream gave no usage. */
const CHARACTERS_PER_TOKEN = 4;

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
  const work = [deps.ledger.settle(row)];
  if (hasTurn(run)) work.push(keepTurns(deps, run));
  if (run.claim) work.push(settleKey(deps, run, run.claim));
  if (run.shadow) deps.shadows.send(run, run.shadow, originalOf(row));
  live.letGo();
  finish(deps, live, work.length === 1 && work[0] ? work[0] : Promise.all(work));
}

/** Apart from `settle`, so that nothing but the live call is kept alive by the wait. */
function finish(deps: GatewayDeps, live: LiveCall, work: Promise<unknown>): void {
  const over = (): void => {
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
  const usage = usageOf(run);
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
    costNanodollars: target && recalled?.status !== "hit" ? deps.book.cost(target.provider, target.model, usage, live.startedAt) : 0,
    priceVersion: deps.book.version,
    timings: { readyMs: run.readyMs, totalMs: live.elapsedMs(), firstOutputMs: live.firstOutputMs },
    attempts: run.attempts,
    problem: problem?.kind,
    problemMessage: problem?.message,
    stop: report?.stop,
    metadata: wishes.metadata,
    session: wishes.session,
    configVersion: run.snapshot.version,
    diagnostics: run.diagnostics.length > 0 ? run.diagnostics : undefined,
    traceId: wishes.traceId,
    cache: recalled?.status ?? (run.snapshot.aliases.get(run.model)?.cache && "bypass"),
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

/** The sum over all attempts. What an upstream produced without naming its usage is estimated and marked so. */
function usageOf(run: Run): Usage {
  const last = run.attempts.at(-1);
  if (!last) return NO_USAGE;
  const unnamed = wantsEstimate(run, last) ? estimate(run) : unreported(run, last);
  let usage = unnamed;
  for (const attempt of run.attempts) if (attempt.usage) usage = usage === NO_USAGE ? attempt.usage : addUsage(usage, attempt.usage);
  return usage;
}

/** A stream that was cut may have named its input and not yet its output: what was seen of it was spent all the same. */
function unreported(run: Run, last: AttemptRecord): Usage {
  if (!run.problem || !last.usage) return NO_USAGE;
  const missing = Math.ceil((run.report?.outputCharacters ?? 0) / CHARACTERS_PER_TOKEN) - last.usage.output;
  return missing > 0 ? { ...NO_USAGE, output: missing, estimated: true } : NO_USAGE;
}

/** Output flowed or the upstream was stopped while working: something was spent that nobody told us. */
function wantsEstimate(run: Run, last: AttemptRecord): boolean {
  if (operationOf(run) !== "generate" || last.usage) return false;
  if (last.status === undefined || last.status > 299) return run.stopped !== undefined || run.problem?.kind === "upstream_timeout";
  return true;
}

function estimate(run: Run): Usage {
  const input = Math.ceil((run.document?.text.length ?? 0) / CHARACTERS_PER_TOKEN);
  const output = Math.ceil((run.report?.outputCharacters ?? 0) / CHARACTERS_PER_TOKEN);
  return { ...NO_USAGE, inputUncached: input, output, estimated: true };
}

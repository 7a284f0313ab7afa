import { ProblemError, type Caller, type Json, type JsonObject, type LedgerRow } from "../canon/index.ts";
import { explainPlan, hadChoice } from "../routing/explain.ts";
import type { Plan } from "../routing/plan.ts";
import type { LiveCall } from "./live.ts";
import { operationOf, type GatewayDeps, type Run } from "./run.ts";

/** Plans of running calls that had a choice; the others explain themselves. They go with their calls. */
const running = new WeakMap<LiveCall, Plan>();

/** Keeps a plan for whoever asks while the call runs. */
export function rememberPlan(live: LiveCall, plan: Plan): void {
  if (hadChoice(plan)) running.set(live, plan);
}

/** What the ledger keeps of the plan: nothing where there was no choice. */
export function planTrace(run: Run): Json | undefined {
  return run.plan && hadChoice(run.plan) ? explainPlan(run.plan) : undefined;
}

/** A target answered: its session stays there. */
export function learnFrom(deps: GatewayDeps, run: Run): void {
  const { plan, caller, target, problem, live } = run;
  if (problem || !plan || !caller || !target || run.warmUp || operationOf(run) !== "generate") return;
  deps.planner.learn(plan, caller, target, deps.clock.now(), run.keep ? (live.answerId ?? run.report?.id) : undefined);
}

/**
 * Why a call went where it went: `{ id, state, model, plan, target?, attempts? }`. `plan` is what the planner decided; `attempts`, once
 * the call is over, what came of it.
 * @throws ProblemError not_found: there is no such call, or it is somebody else's
 */
export async function explainCall(deps: GatewayDeps, id: string, caller: Caller): Promise<JsonObject> {
  const live = deps.live.find(id);
  if (live && live.state === "open") {
    if (live.caller?.scope !== caller.scope) throw missing(id);
    const plan = running.get(live);
    return { id, state: "open", plan: plan ? explainPlan(plan) : null };
  }
  const row = await deps.ledger.read(id);
  if (!row || row.callerId !== caller.id) throw missing(id);
  return explainRow(row);
}

function explainRow(row: LedgerRow): JsonObject {
  return {
    id: row.callId,
    state: row.state,
    model: row.model,
    ...(row.target !== undefined && { target: row.target }),
    plan: row.plan ?? withoutChoice(row),
    attempts: row.attempts.map(({ target, status, problem }) => ({
      target,
      ...(status !== undefined && { status }),
      ...(problem !== undefined && { problem }),
    })),
    ...(row.problemMessage !== undefined && { problem: row.problemMessage }),
  };
}

/** The plan of a call that had one target; null for one that was refused before there was a plan. */
function withoutChoice({ model, target }: LedgerRow): Json {
  return target === undefined ? null : { alias: model, strategy: "fallback", steps: [{ target, reason: "only target" }], skipped: [] };
}

function missing(id: string): ProblemError {
  return new ProblemError({ kind: "not_found", message: `There is no call "${id.slice(0, 64)}".` });
}

import { ProblemError } from "../canon/index.ts";
import { rememberPlan } from "./explain.ts";
import { factsOf } from "./facts.ts";
import type { GatewayDeps, Run } from "./run.ts";

/** Which targets, in which order. @throws ProblemError unknown_model, forbidden, unsupported, upstream_unavailable */
export function plan(deps: GatewayDeps, run: Run): void {
  if (!run.caller) throw new ProblemError({ kind: "unauthenticated", message: "The call was not admitted." });
  const { snapshot, caller, model } = run;
  const facts = (run.facts ??= factsOf(deps, run, caller));
  const alias = run.request.shadow?.alias;
  run.plan = deps.planner.plan({ snapshot, caller, model, alias, facts, at: run.live.startedAt, book: deps.book });
  if (run.plan.alias.shadow) run.shadow = deps.shadows.wanted(run, run.plan.alias.shadow);
  rememberPlan(run.live, run.plan);
  run.readyMs = run.live.elapsedMs();
}

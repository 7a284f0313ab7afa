import { ProblemError } from "../canon/index.ts";
import { rememberPlan } from "./explain.ts";
import { factsOf } from "./facts.ts";
import type { GatewayDeps, Run } from "./run.ts";

/** Which targets, in which order. @throws ProblemError unknown_model, forbidden, unsupported, upstream_unavailable */
export function plan(deps: GatewayDeps, run: Run): void {
  if (!run.caller) throw new ProblemError({ kind: "unauthenticated", message: "The call was not admitted." });
  const { snapshot, caller, model } = run;
  const facts = (run.facts ??= factsOf(run, caller));
  run.plan = deps.planner.plan({ snapshot, caller, model, facts, at: run.live.startedAt, book: deps.book });
  rememberPlan(run.live, run.plan);
  run.readyMs = run.live.elapsedMs();
}

import { ProblemError } from "../canon/index.ts";
import { promise } from "./promise.ts";
import type { GatewayDeps, Run } from "./run.ts";

/** Which targets, in which order. @throws ProblemError unknown_model, forbidden */
export function plan(deps: GatewayDeps, run: Run): void {
  if (!run.caller) throw new ProblemError({ kind: "unauthenticated", message: "The call was not admitted." });
  run.plan = deps.planner.plan(run.snapshot, run.caller, run.model);
  run.readyMs = run.live.elapsedMs();
  if (run.background) promise(deps, run);
}

import { ProblemError, type Json, type PendingState } from "../canon/index.ts";
import { answerContext } from "./context.ts";
import { answerHeaders } from "./refuse.ts";
import { JSON_TYPE } from "./reply.ts";
import type { GatewayDeps, Run } from "./run.ts";

/** Which targets, in which order. @throws ProblemError unknown_model, forbidden */
export function plan(deps: GatewayDeps, run: Run): void {
  if (!run.caller) throw new ProblemError({ kind: "unauthenticated", message: "The call was not admitted." });
  run.plan = deps.planner.plan(run.snapshot, run.caller, run.model);
  run.readyMs = run.live.elapsedMs();
  if (run.background) promise(deps, run);
}

/** A background call is answered before it is made: with an id under which the client finds the answer later. */
function promise(deps: GatewayDeps, run: Run): void {
  const { dialect } = run.request;
  if (!dialect.newAnswerId || !dialect.encodePending) return;
  const pending = (state: PendingState): Json => dialect.encodePending?.(state, answerContext(run)) ?? null;
  run.promisedId = dialect.newAnswerId(deps.randomness.id(""));
  run.live.answerId = run.promisedId;
  run.live.pendingAnswer = () => pending("in_progress");
  if (run.stream) return;
  run.live.acknowledge(200, { "content-type": JSON_TYPE, ...answerHeaders(run) }, JSON.stringify(pending("queued")));
}

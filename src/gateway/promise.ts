import type { Json, PendingState } from "../canon/index.ts";
import { answerContext } from "./context.ts";
import { answerHeaders } from "./refuse.ts";
import { JSON_TYPE } from "./reply.ts";
import type { GatewayDeps, Run } from "./run.ts";

/** A background call is answered before it is made: with an id under which the client finds the answer later. */
export function promise(deps: GatewayDeps, run: Run): void {
  const { dialect } = run.request;
  if (!dialect.newAnswerId || !dialect.encodePending) return;
  const pending = (state: PendingState): Json => dialect.encodePending?.(state, answerContext(run)) ?? null;
  run.promisedId = dialect.newAnswerId(deps.randomness.id(""));
  run.live.answerId = run.promisedId;
  run.live.pendingAnswer = () => pending("in_progress");
  if (run.stream) return;
  run.live.acknowledge(200, { "content-type": JSON_TYPE, ...answerHeaders(run) }, JSON.stringify(pending("queued")));
}

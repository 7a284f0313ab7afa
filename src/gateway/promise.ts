import type { Json, PendingState, Problem } from "../canon/index.ts";
import { answerContext } from "./context.ts";
import { answerHeaders } from "./refuse.ts";
import { JSON_TYPE } from "./reply.ts";
import type { GatewayDeps, Run } from "./run.ts";

const DIED: Problem = { kind: "gateway_restarted", message: "The gateway stopped before this answer was complete." };

/**
 * A background call is answered before it is made: with an id under which the client finds the answer later. The promise is durable
 * before it is given, and so is the record of the call: whoever reads it when its gateway has died learns that.
 *
 * @throws ProblemError storage_unavailable
 */
export async function promise(deps: GatewayDeps, run: Run): Promise<void> {
  const { dialect } = run.request;
  if (!dialect.newAnswerId || !dialect.encodePending) return;
  const pending = (state: PendingState, problem?: Problem): Json => dialect.encodePending?.(state, answerContext(run), problem) ?? null;
  run.promisedId = dialect.newAnswerId(deps.randomness.id(""));
  run.live.answerId = run.promisedId;
  run.live.pendingAnswer = () => pending("in_progress");
  await Promise.all([deps.turns.promise(run, pending("in_progress"), pending("failed", DIED)), deps.ledger.flush()]);
  if (run.stream || run.stopped) return;
  run.live.acknowledge(200, { "content-type": JSON_TYPE, ...answerHeaders(run) }, JSON.stringify(pending("queued")));
}

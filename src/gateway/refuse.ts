import { PROBLEM_KINDS, problemStatus, type AnswerContext, type Problem } from "../canon/index.ts";
import type { Allowance } from "./allowance.ts";
import { answerContext } from "./context.ts";
import { frameWriter } from "./framing.ts";
import { JSON_TYPE } from "./reply.ts";
import type { Run } from "./run.ts";

/** Tells the client that its call failed, in its own language: as a whole answer, or as the last event of a stream already begun. */
export function refuse(run: Run, problem: Problem): void {
  const { live } = run;
  const { dialect } = run.request;
  if (live.ended) return;
  const written = frameWriter(dialect);
  if (live.committed && run.reply?.plain) return live.cut();
  if (live.committed) {
    const { answerId } = live;
    const context = begunContext(run);
    const begun = { frames: live.last, ...(answerId !== undefined && { answerId }), ...(context && { context }) };
    dialect.encodeProblemFrames(problem, live.id, (event, data) => live.frame(written(event, data)), begun);
    return;
  }
  if (run.request.connection && dialect.socket) {
    live.head(200, {});
    live.frame(written(undefined, dialect.socket.problem(problem, live.id)));
    return;
  }
  const { status, body } = dialect.encodeProblem(problem, live.id);
  live.whole(status, { "content-type": JSON_TYPE, ...answerHeaders(run), ...problemHeaders(problem) }, JSON.stringify(body));
}

/** A request whose bytes were passed on unread may be one that cannot be read here; its failure is told all the same. */
function begunContext(run: Run): AnswerContext | undefined {
  try {
    return answerContext(run);
  } catch {
    return undefined;
  }
}

/** Headers that name a problem, for every surface. */
export function problemHeaders(problem: Problem): Record<string, string> {
  const status = problemStatus(problem);
  const waits = problem.retryAfterMs !== undefined || ((status === 429 || status === 503) && PROBLEM_KINDS[problem.kind].retryable);
  return {
    "x-gimbal-problem": problem.kind,
    ...(waits && { "retry-after": String(Math.max(1, Math.ceil((problem.retryAfterMs ?? 1000) / 1000))) }),
  };
}

/** The gateway's own headers on every answer to a call. */
export function answerHeaders(run: Run): Record<string, string> {
  const { dialect } = run.request;
  const headers: Record<string, string> = {
    "x-gimbal-call-id": run.live.id,
    "x-gimbal-attempts": String(run.attempts.length + (run.race ? run.race.size : run.attempt ? 1 : 0)),
    "x-gimbal-cache": run.recalled?.status ?? "bypass",
  };
  if (dialect.requestIdHeader) headers[dialect.requestIdHeader] = run.live.id;
  if (run.allowance) allowanceHeaders(run, run.allowance, headers);
  if (run.target) headers["x-gimbal-target"] = `${run.target.provider}/${run.target.model}`;
  return headers;
}

/** How its limits stand, in the words of the client's language, and what its budgets have to say. */
function allowanceHeaders({ request: { dialect }, model }: Run, allowance: Allowance, headers: Record<string, string>): void {
  const standings = dialect.encodeLimits && allowance.standings();
  if (standings) Object.assign(headers, dialect.encodeLimits?.(standings, allowance.now()));
  const words = [...allowance.warnings];
  if (allowance.downgradedFrom !== undefined) words.push(`downgraded to ${model}`);
  if (words.length > 0) headers["x-gimbal-budget"] = words.join("; ").replace(/[^\x20-\x7e]/g, "?");
}

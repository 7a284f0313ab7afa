import { PROBLEM_KINDS, ProblemError, type Batch, type Caller, type Problem, type ProblemKind } from "../canon/index.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import type { Called } from "./call.ts";

/** What a line that found no room waits for, as long as the batch may take. */
export const WAITED_OUT: ReadonlySet<ProblemKind> = new Set<ProblemKind>([
  "rate_limited",
  "overloaded",
  "budget_exhausted",
  "killed",
  "storage_unavailable",
]);
/** Something went wrong that need not go wrong again. `conflict`: an answer to this line was too large to be told twice. */
export const TRIED_AGAIN: ReadonlySet<ProblemKind> = new Set<ProblemKind>([
  "upstream_unavailable",
  "upstream_timeout",
  "upstream_broken",
  "gateway_restarted",
  "conflict",
]);
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;
/** Pauses are no longer than this before it is looked whether the batch goes on. */
export const ROOM_PAUSE_MS = 30_000;

/** How long a line waits that was not answered, before it is asked again. `tries`: how often it was asked for nothing; 0: it found no room. */
export function pauseAfter({ retryAfterMs }: Pick<Called, "retryAfterMs">, tries: number): number {
  const pause = tries > 0 ? FIRST_PAUSE_MS * 2 ** (tries - 1) : ROOM_PAUSE_MS;
  return Math.min(retryAfterMs ?? pause, LONGEST_PAUSE_MS);
}

/** On whose behalf a line is asked, as that is now; a problem: nobody may any more. Rejects when it cannot be said. */
export async function callerNow({ admission, snapshot }: GatewayDeps, batch: Batch): Promise<Caller | Problem> {
  try {
    return await admission.again(snapshot(), batch.caller);
  } catch (error) {
    if (error instanceof ProblemError && PROBLEM_KINDS[error.problem.kind].status < 500) return error.problem;
    throw error;
  }
}

export function isProblem(value: object): value is Problem {
  return "kind" in value;
}

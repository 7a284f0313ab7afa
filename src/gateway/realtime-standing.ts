import { problemFrom, type Problem } from "../canon/index.ts";
import { KEY_PREFIX } from "./admission.ts";
import type { GatewayDeps, Run } from "./run.ts";

/** Changes to keys are noticed within half a second; with this, a session has ended within one. */
const LOOK_MS = 250;

/**
 * Looks all the time whether whoever holds a session still may: a key that was revoked or has expired, a token's subject that was denied,
 * anonymous callers who are let in no more. Returns what stops it.
 */
export function watchStanding(deps: GatewayDeps, run: Run, end: (problem: Problem) => void): () => void {
  let over = false;
  let stopTimer = (): void => {};
  const look = async (): Promise<void> => {
    const problem = await refusal(deps, run);
    if (over) return;
    if (problem) return end(problem);
    stopTimer = deps.clock.after(LOOK_MS, () => void look());
  };
  stopTimer = deps.clock.after(LOOK_MS, () => void look());
  return () => {
    over = true;
    stopTimer();
  };
}

async function refusal(deps: GatewayDeps, { caller, request }: Run): Promise<Problem | undefined> {
  if (!caller) return undefined;
  const { admission, clock, snapshot } = deps;
  try {
    // A token was good when it was shown; that its time is over since ends nothing, that it was taken back does.
    const isPast = caller.expiresAt !== undefined && caller.expiresAt <= clock.now();
    const isOurs = request.dialect.credentials(request.headers)?.startsWith(KEY_PREFIX) === true;
    await (isOurs || (!isPast && !caller.anonymous)
      ? admission.identify(snapshot(), request.dialect, request.headers, request.peer)
      : admission.again(snapshot(), caller));
    return undefined;
  } catch (error) {
    const problem = problemFrom(error);
    // A record that cannot be read takes nobody's leave away.
    return problem.kind === "unauthenticated" ? problem : undefined;
  }
}

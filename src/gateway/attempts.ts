import { ProblemError, type Problem } from "../canon/index.ts";
import { attemptOnce } from "./attempt-once.ts";
import { goOn } from "./continue.ts";
import { hedged } from "./race.ts";
import { pause, stop, type GatewayDeps, type Run } from "./run.ts";

/** Tries the plan's targets until one answers. @throws ProblemError the last problem, when none did */
export function attempts(deps: GatewayDeps, run: Run): Promise<void> {
  deps.retries.begin();
  const totalMs = run.plan?.alias.timeouts?.totalMs;
  return totalMs === undefined ? tryTargets(deps, run) : withinTime(deps, run, totalMs);
}

async function withinTime(deps: GatewayDeps, run: Run, totalMs: number): Promise<void> {
  const problem: Problem = { kind: "upstream_timeout", code: "total_timeout", message: `The call took longer than ${totalMs} ms.` };
  const cancel = deps.clock.after(Math.max(0, totalMs - run.live.elapsedMs()), () => stop(run, problem));
  try {
    await tryTargets(deps, run);
  } finally {
    cancel();
  }
}

async function tryTargets(deps: GatewayDeps, run: Run): Promise<void> {
  const steps = run.plan?.steps ?? [];
  const retries = run.plan?.alias.retries ?? 0;
  const second = run.plan?.alias.hedge && steps[1]?.target;
  let problem: Problem = { kind: "upstream_unavailable", message: `No target of "${run.model}" could be tried.` };
  for (let place = 0; place < steps.length; place++) {
    const target = steps[place]?.target;
    if (!target) break;
    const another = place < steps.length - 1;
    let repeats = 0;
    let keyChanges = 0;
    for (;;) {
      const isFirst = place + repeats + keyChanges === 0;
      const failed = second && isFirst ? await hedged(deps, run, target, second) : await attemptOnce(deps, run, target, another);
      if (!failed) return;
      // That a later target has no words for the call says less than why an earlier one failed.
      if (place === 0 || failed.kind !== "unsupported") problem = failed;
      if (run.stopped) throw new ProblemError(run.stopped);
      if (run.live.committed) return goOn(deps, run, problem);
      const anotherKey = deps.health.anotherKey(target.provider);
      const step = deps.retries.next(failed, { repeats, retries, another, anotherKey, keyChanges });
      if (step.do === "give up") throw new ProblemError(problem);
      if (step.do === "move on") break;
      if (step.countsAs === "repeat") repeats++;
      else keyChanges++;
      if (step.waitMs > 0) await pause(deps, run, step.waitMs);
      if (run.stopped) throw new ProblemError(run.stopped);
    }
  }
  throw new ProblemError(problem);
}

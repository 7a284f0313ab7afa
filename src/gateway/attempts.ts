import { PROBLEM_KINDS, ProblemError, type Problem, type Provider, type Target } from "../canon/index.ts";
import { backoffMs, type Attempt, type AttemptEnd } from "../routing/attempt.ts";
import { addressed, type Addressed } from "./address.ts";
import { Exchange } from "./exchange.ts";
import { answerHere } from "./local.ts";
import type { GatewayDeps, Run } from "./run.ts";

/** Tries the plan's targets until one answers. @throws ProblemError the last problem, when none did */
export async function attempts(deps: GatewayDeps, run: Run): Promise<void> {
  const steps = run.plan?.steps ?? [];
  const retries = run.plan?.alias.retries ?? 0;
  let problem: Problem = { kind: "upstream_unavailable", message: `No target of "${run.model}" could be tried.` };
  for (let place = 0; place < steps.length; place++) {
    const target = steps[place]?.target;
    if (!target) break;
    for (let repeat = 0; repeat <= retries; repeat++) {
      const end = await attemptOnce(deps, run, target);
      if (!end.problem) return;
      problem = end.problem;
      if (run.stopped || run.live.committed || !PROBLEM_KINDS[problem.kind].retryable) throw new ProblemError(problem);
      const another = place < steps.length - 1;
      if (repeat === retries || (another && problem.kind === "rate_limited")) break;
      const wait = backoffMs(repeat, problem, deps.randomness.number());
      if (wait === undefined) break;
      await pause(deps, run, wait);
    }
  }
  throw new ProblemError(problem);
}

async function attemptOnce(deps: GatewayDeps, run: Run, target: Target): Promise<AttemptEnd> {
  const provider = run.snapshot.providers.get(target.provider);
  if (run.stopped) return { problem: run.stopped };
  if (!provider) return { problem: { kind: "upstream_unavailable", message: `The provider "${target.provider}" is not configured.` } };
  run.target = { provider: target.provider, model: target.model };
  const startedMs = run.live.elapsedMs();
  let end = answerHere(deps, run, provider, target);
  if (!end) {
    const address = addressed(deps, run, provider, target);
    end = await exchange(deps, run, provider, address instanceof Promise ? await address : address).done;
  }
  if (end.problem && run.reply?.state === "done" && run.live.committed) end = { status: end.status };
  run.report = run.reply?.report();
  run.attempts.push({
    target: `${target.provider}/${target.model}`,
    startedMs,
    endedMs: run.live.elapsedMs(),
    status: end.status,
    problem: end.problem?.kind,
    usage: run.report?.usage,
  });
  run.attempt = undefined;
  return end;
}

/** One request to the provider and its answer. */
function exchange(deps: GatewayDeps, run: Run, provider: Provider, address: Addressed): Attempt {
  // Whoever stopped it meanwhile found no attempt to cancel. Nothing was asked, so there is no attempt to book either.
  if (run.stopped) throw new ProblemError(run.stopped);
  run.forwarded = address.forward;
  run.reply = undefined;
  run.attempt = new Exchange(deps, run, provider, address).attempt;
  return run.attempt;
}

function pause(deps: GatewayDeps, run: Run, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const cancel = deps.clock.after(ms, resolve);
    run.wake = () => {
      cancel();
      resolve();
    };
  });
}

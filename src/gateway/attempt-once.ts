import { ProblemError, type Problem, type Provider, type Target } from "../canon/index.ts";
import type { AttemptEnd } from "../routing/attempt.ts";
import { priorityOf, type Permit, type Refusal } from "../routing/health/index.ts";
import { addressed, type Addressed } from "./address.ts";
import { allowAttempt } from "./allowance.ts";
import { Exchange } from "./exchange.ts";
import { explained } from "./explained.ts";
import { answerHere } from "./local.ts";
import { adopt, SLOWER, type Race } from "./race.ts";
import type { AnswerReport } from "./reply.ts";
import type { GatewayDeps, Run } from "./run.ts";
import type { Break } from "./stitch.ts";
import { traced } from "./trace.ts";
import { usageOfAttempt, type AttemptOutcome } from "./usage.ts";

/** Longest wait for a place at a target when another one could be asked instead. */
const PATIENCE_MS = 1000;
/** Says nothing of the target: the call was stopped from here. */
const LEFT: Problem = { kind: "cancelled", message: "The call was stopped." };

/**
 * One try at one target, from the way in to the line in the row. Returns what it failed with; undefined: it answered.
 *
 * @param another could another target be asked instead of waiting for this one?
 * @param gap the stream that it is to go on with
 * @param hedge it runs beside another attempt
 * @throws ProblemError when the call was stopped before it was made, or is no call that could be made
 */
export async function attemptOnce(
  deps: GatewayDeps,
  run: Run,
  target: Target,
  another: boolean,
  gap?: Break,
  hedge?: true,
): Promise<Problem | undefined> {
  const provider = run.snapshot.providers.get(target.provider);
  const shut = run.stopped ?? whyNot(deps, provider, target);
  if (shut || !provider) return shut;
  const startedMs = run.live.elapsedMs();
  const here = answerHere(deps, run, provider, target);
  if (here) return answeredHere(deps, run, target, startedMs, here);
  const { race } = run;
  const room = allowAttempt(deps, run, target, race?.size ?? 0);
  const short = room instanceof Promise ? await room : room;
  if (short) return short;
  const entered = enter(deps, run, race, target, another);
  const permit = entered instanceof Promise ? await entered : entered;
  if (permit.state === "refused") return permit.problem;
  let problem: Problem | undefined = LEFT;
  let report: AnswerReport | undefined;
  try {
    if (run.stopped) throw new ProblemError(run.stopped);
    let ready: Addressed;
    try {
      const address = addressed(deps, run, provider, target, permit.credential, gap);
      ready = address instanceof Promise ? await address : address;
      if (deps.telemetry) ready = traced(deps, run, ready, target, startedMs, hedge);
    } catch (error) {
      return unsayable(error);
    }
    // Whoever stopped it meanwhile found no attempt to cancel. Nothing was asked, so there is no attempt to book either.
    if (run.stopped) throw new ProblemError(run.stopped);
    if (race?.winner) return SLOWER;
    if (!race) run.reply = undefined;
    const exchange = new Exchange(deps, run, target, provider, ready, permit, gap);
    if (race) race.enters(exchange);
    else adopt(run, exchange);
    const end = await exchange.attempt.done;
    const { reply } = exchange;
    report = exchange.report();
    const lost = race?.winner !== undefined && race.winner !== exchange;
    const whole = end.problem !== undefined && !lost && reply?.state === "done" && run.live.committed;
    const failed = whole || !end.problem ? undefined : explained(deps, run, provider, target, end.problem);
    problem = run.stopped ? LEFT : failed;
    const stopped = lost || run.stopped !== undefined;
    const outcome = { status: end.status, problem: failed, report, reply, stopped };
    book(deps, run, target, startedMs, outcome, gap !== undefined, hedge);
    if (!race) {
      run.report = report;
      run.attempt = undefined;
    }
    return failed;
  } finally {
    permit.leave(problem, report?.usage?.output);
  }
}

/** What cannot be said in this provider's language may well be said in another's. @throws whatever else went wrong */
function unsayable(error: unknown): Problem {
  if (error instanceof ProblemError && error.problem.kind === "unsupported") return error.problem;
  throw error;
}

/** A target may have been switched off since the plan was made. */
function whyNot(deps: GatewayDeps, provider: Provider | undefined, target: Target): Problem | undefined {
  if (!provider) return { kind: "upstream_unavailable", message: `The provider "${target.provider}" is not configured.` };
  const off = deps.switches.blocked(target.provider, target.model);
  return off === undefined ? undefined : { kind: "upstream_unavailable", message: `${target.provider}/${target.model} is ${off}.` };
}

function enter(
  deps: GatewayDeps,
  run: Run,
  race: Race | undefined,
  target: Target,
  another: boolean,
): Permit | Refusal | Promise<Permit | Refusal> {
  const priority = priorityOf(run.request.headers["x-gimbal-priority"], run.caller?.scopes.priority);
  const entered = deps.health.enter(target, priority, another ? PATIENCE_MS : undefined);
  if (entered.state !== "waiting") return entered;
  const cancel = (): void => entered.cancel();
  if (race) race.waits(cancel);
  else run.wake = cancel;
  return entered.entered.then((outcome) => {
    if (!race) run.wake = undefined;
    return outcome;
  });
}

function answeredHere(deps: GatewayDeps, run: Run, target: Target, startedMs: number, end: AttemptEnd): Problem | undefined {
  run.target = { provider: target.provider, model: target.model };
  run.report = run.reply?.report();
  book(
    deps,
    run,
    target,
    startedMs,
    { status: end.status, problem: end.problem, report: run.report, reply: run.reply, stopped: false },
    false,
    undefined,
  );
  return end.problem;
}

/** The attempt's line in the row; one shape for all. */
function book(
  deps: GatewayDeps,
  run: Run,
  target: Target,
  startedMs: number,
  outcome: AttemptOutcome,
  continues: boolean,
  hedge: true | undefined,
): void {
  run.attempts.push({
    target: `${target.provider}/${target.model}`,
    startedMs,
    endedMs: run.live.elapsedMs(),
    status: outcome.status,
    problem: outcome.problem?.kind,
    usage: usageOfAttempt(deps, run, target.model, outcome),
    costNanodollars: undefined,
    hedge,
    continues: continues ? true : undefined,
  });
}

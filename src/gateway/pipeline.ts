import { problemFrom, ProblemError, type Problem } from "../canon/index.ts";
import { admit } from "./admit.ts";
import { attempts } from "./attempts.ts";
import { goOn, turnToGoOn } from "./continue.ts";
import { tellHanded } from "./handed.ts";
import { repeats } from "./idempotency.ts";
import { LiveCall } from "./live.ts";
import type { Maker, Reader } from "./reader.ts";
import { plan } from "./plan.ts";
import { mustPrepare, prepare } from "./prepare.ts";
import { mustRate, rate } from "./rate.ts";
import { leaveFlight, mayRecall, recall, worksForOthers } from "./recall.ts";
import { promise } from "./promise.ts";
import { refuse } from "./refuse.ts";
import type { CallRequest } from "./request.ts";
import { continues, newRun, stop, type GatewayDeps, type Run } from "./run.ts";
import { settle } from "./settle.ts";

/**
 * The one way to call a model: every surface hands its calls in here. Returns at once; the answer reaches `reader` through the live
 * call, which goes on living when the reader leaves.
 */
export function openCall(deps: GatewayDeps, request: CallRequest, reader: Reader): LiveCall {
  const snapshot = deps.snapshot();
  const live = new LiveCall({ id: idOf(deps, request), clock: deps.clock, journalBytes: snapshot.limits.journalBytes });
  const run = newRun(live, request, snapshot);
  live.configVersion = snapshot.version;
  if (request.shadow || request.handed) live.unread = true;
  live.attach(reader);
  live.wire(new RunMaker(deps, run));
  deps.live.add(live);
  void pipeline(deps, run);
  return live;
}

function idOf({ randomness }: GatewayDeps, { handed }: CallRequest): string {
  return handed?.stage === "answer" ? handed.callId : randomness.id("call_");
}

/** The verbs in their order. Whatever happens, the client gets one end and the ledger one row. */
async function pipeline(deps: GatewayDeps, run: Run): Promise<void> {
  try {
    const { handed } = run.request;
    if (handed?.stage === "answer") await tellHanded(deps, run, handed);
    else {
      await admit(deps, run);
      if (run.wishes.idempotencyKey === undefined || !(await repeats(deps, run))) await answer(deps, run);
    }
  } catch (error) {
    if (!(error instanceof ProblemError)) deps.report(error, run.live.id);
    run.problem = run.stopped ?? problemFrom(error);
    refuse(run, run.problem);
  }
  leaveFlight(run);
  run.live.end();
  settle(deps, run);
}

/** What is not told already: from memory, or by a model. */
async function answer(deps: GatewayDeps, run: Run): Promise<void> {
  if (mustPrepare(deps, run)) await prepare(deps, run);
  if (mayRecall(run) && (await recalled(deps, run))) return;
  const rating = mustRate(deps, run);
  if (rating) await rate(deps, run, rating);
  plan(deps, run);
  if (run.background) await promise(deps, run);
  await attempts(deps, run);
}

/** Told by memory, or by an identical call. One that breaks in the middle of its answer leaves this call to go on by itself. */
async function recalled(deps: GatewayDeps, run: Run): Promise<boolean> {
  try {
    return await recall(deps, run);
  } catch (error) {
    if (!(error instanceof ProblemError) || !run.live.committed || run.stopped || !continues(run) || !(await turnToGoOn(deps, run)))
      throw error;
    plan(deps, run);
    await goOn(deps, run, error.problem);
    return true;
  }
}

/** The pipeline as its live call sees it. */
class RunMaker implements Maker {
  readonly #deps: GatewayDeps;
  readonly #run: Run;

  constructor(deps: GatewayDeps, run: Run) {
    this.#deps = deps;
    this.#run = run;
  }
  wantMore(): void {
    (this.#run.attempt ?? this.#run.recalled?.playback)?.resume();
  }
  /** The last reader left: the upstream is stopped, unless the caller wanted the work done all the same. */
  abandoned(): void {
    const run = this.#run;
    if (run.wishes.onDisconnect === "detach" || run.background || worksForOthers(run)) return;
    stop(run, { kind: "cancelled", message: "The client left before the answer was complete." });
  }
  stop(problem: Problem): void {
    stop(this.#run, problem);
  }
  review(): void {
    const { caller, model, target } = this.#run;
    const problem = this.#deps.switches.stops(caller, model, target);
    if (problem) stop(this.#run, problem);
  }
}

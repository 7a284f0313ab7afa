import {
  BATCH_TIER,
  ProblemError,
  type JsonObject,
  type Problem,
  type Provider,
  type Target,
  type UpstreamCall,
  type UpstreamSink,
  type Usage,
} from "../canon/index.ts";
import { parseJson } from "../kit/index.ts";
import type { Permit } from "../routing/health/index.ts";
import { addressed, type Addressed } from "./address.ts";
import { admit } from "./admit.ts";
import type { Allowance } from "./allowance.ts";
import { Exchange } from "./exchange.ts";
import { LiveCall } from "./live.ts";
import { plan } from "./plan.ts";
import { mustPrepare, prepare } from "./prepare.ts";
import { adopt } from "./race.ts";
import { mustRate } from "./rate.ts";
import type { CallRequest } from "./request.ts";
import { newRun, type GatewayDeps, type Run } from "./run.ts";
import { usageOfAttempt } from "./usage.ts";

/**
 * A call that its provider's own batch service answers. It comes by twice: to be made ready, and with its answer. In between nothing of it
 * runs here.
 */
export type Handed =
  | { readonly stage: "draft" }
  /** Ready and gone already: only its room in the budgets is taken anew. */
  | { readonly stage: "cover" }
  | HandedAnswer;

export interface HandedAnswer {
  readonly stage: "answer";
  /** The same however often it comes, so that it is booked once. */
  readonly callId: string;
  readonly target: Target;
  /** The language in which it was asked. */
  readonly dialect: string;
  readonly status: number;
  readonly body: string;
  /** What was taken for it from the budgets. */
  readonly allowance: Allowance | undefined;
}

/** A call made ready to be handed over. */
export interface Draft {
  readonly target: Target;
  readonly provider: Provider;
  readonly call: UpstreamCall;
  /** What it holds of budgets, until its answer is booked or it is let go. */
  readonly allowance: Allowance | undefined;
}

/**
 * Admits a call, plans it and says it in its provider's language, as the pipeline does, and leaves it at that: there is no row of it yet.
 * Undefined: it is none that could be handed over, and holds nothing.
 * @throws ProblemError whatever the call would be refused for
 */
export async function draftCall(deps: GatewayDeps, request: CallRequest): Promise<Draft | undefined> {
  const run = runOf(deps, request);
  try {
    await admit(deps, run);
    if (mustPrepare(deps, run)) await prepare(deps, run);
    if (run.background || run.warmUp || mustRate(deps, run)) return letGo(run);
    plan(deps, run);
    const target = run.plan?.steps[0]?.target;
    const provider = target && run.snapshot.providers.get(target.provider);
    if (!target || !provider?.batches || deps.switches.blocked(target.provider, target.model) !== undefined) return letGo(run);
    const said = await saidFor(deps, run, provider, target);
    return !said || said.sliced ? letGo(run) : { target, provider, call: said.call, allowance: heldOf(run) };
  } catch (error) {
    letGo(run);
    throw error;
  }
}

/** Takes room in the budgets again for a call that was handed over before this process began. Undefined: no budget covers it. */
export async function coverCall(deps: GatewayDeps, request: CallRequest): Promise<Allowance | undefined> {
  const run = runOf(deps, request);
  await admit(deps, run);
  return heldOf(run);
}

function runOf(deps: GatewayDeps, request: CallRequest): Run {
  const live = new LiveCall({ id: deps.randomness.id("call_"), clock: deps.clock, journalBytes: 0 });
  return newRun(live, request, deps.snapshot());
}

/** What was taken from limits of time counts from now on; what was taken from budgets stays taken. */
function heldOf(run: Run): Allowance | undefined {
  const { allowance } = run;
  settleLimits(run);
  return allowance?.budgets && allowance;
}

function letGo(run: Run): undefined {
  settleLimits(run);
  run.allowance?.budgets?.release();
}

function settleLimits({ allowance, document }: Run): void {
  const used = { inputTokens: Math.ceil((document?.text.length ?? 0) / 4), outputTokens: 0 };
  for (const hold of allowance?.limits.splice(0) ?? []) hold.settle(used);
}

/** Nobody waits at the provider for what has come already. */
const ENTERED: Pick<Permit, "started"> = { started() {} };

/**
 * The call's answer has come by the batch service: it is read and told as any other, and booked at the price of batches, whatever became
 * of keys, models and guards since it was asked.
 * @throws ProblemError what the provider answered instead, or why its answer cannot be told
 */
export async function tellHanded(deps: GatewayDeps, run: Run, handed: HandedAnswer): Promise<void> {
  const { target } = handed;
  const provider = run.snapshot.providers.get(target.provider);
  run.target = { provider: target.provider, model: target.model };
  let failed: Problem | undefined;
  try {
    await admit(deps, run);
    if (!provider) throw new ProblemError({ kind: "upstream_unavailable", message: `The provider "${target.provider}" is gone.` });
    if (mustPrepare(deps, run)) await prepare(deps, run);
    failed = await played(deps, run, provider, handed);
  } catch (error) {
    run.allowance ??= handed.allowance;
    run.model ||= `${target.provider}/${target.model}`;
    bookUnread(deps, run, handed);
    throw error;
  }
  if (failed) throw new ProblemError(failed);
}

async function played(
  deps: GatewayDeps,
  run: Run,
  provider: Provider,
  { target, dialect, status, body }: HandedAnswer,
): Promise<Problem | undefined> {
  const startedMs = run.live.elapsedMs();
  const told = standIn(provider, only(provider, [dialect]), playing(status, body));
  const exchange = new Exchange(deps, run, target, told, await addressed(deps, run, told, target), ENTERED, undefined);
  adopt(run, exchange);
  const end = await exchange.attempt.done;
  const { reply } = exchange;
  run.reply = reply;
  run.report = exchange.report();
  run.attempt = undefined;
  const outcome = { status: end.status, problem: end.problem, report: run.report, reply, stopped: false };
  // What cannot be told was paid for all the same.
  const usage = usageOfAttempt(deps, run, target.model, outcome) ?? usageIn(deps, [exchange.dialect.id], status, body);
  run.attempts.push({
    target: `${target.provider}/${target.model}`,
    startedMs,
    endedMs: run.live.elapsedMs(),
    status: end.status,
    problem: end.problem?.kind,
    usage: usage && { ...usage, serviceTier: BATCH_TIER },
  });
  return end.problem;
}

/** Those of a provider's languages that are among these; all, where none is. */
function only({ dialects }: Provider, these: readonly string[]): readonly string[] {
  const both = dialects.filter((dialect) => these.includes(dialect));
  return both.length > 0 ? both : dialects;
}

/** The call as its provider's batch service takes it. Undefined: only another of the provider's languages can say all of it. */
async function saidFor(deps: GatewayDeps, run: Run, provider: Provider, target: Target): Promise<Addressed | undefined> {
  const languages = only(provider, provider.batches?.dialects ?? provider.dialects);
  const heard = standIn(provider, languages, (call, sink) => provider.open(call, sink));
  const client = run.request.dialect.id;
  const isBent = provider.dialects.includes(client) && !languages.includes(client);
  try {
    const said = await addressed(deps, run, heard, target);
    return isBent && said.diagnostics.length > 0 ? undefined : said;
  } catch (error) {
    if (error instanceof ProblemError && languages.length < provider.dialects.length) return undefined;
    throw error;
  }
}

/** What stands for a provider where its batch service is meant: it may speak fewer languages, and answers otherwise. */
function standIn(provider: Provider, dialects: readonly string[], open: Provider["open"]): Provider {
  return {
    id: provider.id,
    dialects,
    ...(provider.tasks && { tasks: provider.tasks }),
    capabilities: (model) => provider.capabilities(model),
    open,
    models: () => Promise.resolve([]),
    check: () => Promise.resolve({ ok: true, detail: "It answers in batches." }),
    close: () => Promise.resolve(),
  };
}

/** Says at once what was said elsewhere. */
function playing(status: number, body: string): Provider["open"] {
  return (_call, sink: UpstreamSink) => {
    let isOver = false;
    // Whoever opens does not expect an answer before it returns.
    queueMicrotask(() => {
      if (!isOver) sink.onHead(status, { "content-type": "application/json" });
      if (!isOver) sink.onData(Buffer.from(body));
      if (!isOver) sink.onEnd();
    });
    return {
      cancel: () => {
        isOver = true;
      },
      resume: () => {},
    };
  };
}

/** It was not even read, and was paid for all the same. */
function bookUnread(deps: GatewayDeps, run: Run, { target, dialect, status, body }: HandedAnswer): void {
  if (run.attempts.length > 0) return;
  const provider = run.snapshot.providers.get(target.provider);
  const usage = usageIn(deps, provider ? only(provider, [dialect]) : [dialect], status, body);
  if (!usage) return;
  const at = run.live.elapsedMs();
  const tried = { target: `${target.provider}/${target.model}`, startedMs: at, endedMs: at, status };
  run.attempts.push({ ...tried, usage: { ...usage, serviceTier: BATCH_TIER } });
}

/** What a good answer says that it used, in the first of these languages that can tell. */
function usageIn(deps: GatewayDeps, dialects: readonly string[], status: number, body: string): Usage | undefined {
  const json = status < 300 ? parseJson(body) : undefined;
  if (typeof json !== "object" || json === null || Array.isArray(json)) return undefined;
  for (const id of dialects) {
    try {
      const usage = deps.dialects.get(id)?.readAnswer(json as JsonObject).usage;
      if (usage) return usage;
    } catch {
      // An answer of another shape: nothing is known of it.
    }
  }
  return undefined;
}

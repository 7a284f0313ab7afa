import {
  mayUseModel,
  ProblemError,
  totalInput,
  type BudgetStore,
  type Caller,
  type CounterHold,
  type CounterSpend,
  type Diagnostic,
  type LedgerRow,
  type LimitStandings,
  type Problem,
  type Target,
} from "../canon/index.ts";
import {
  Hold,
  isSoft,
  refusalProblem,
  reserve,
  softWords,
  type Cover,
  type Coverage,
  type Refusal,
  type Subject,
  type Walls,
} from "../ledger/budgets/index.ts";
import { LimitHold, limitWords, type Limits, type LimitCover, type LimitStandingsDraft } from "../ledger/limits/index.ts";
import { coversOf, subjectOf } from "./covered.ts";
import { amountsOf, boundOf, unpricedProblem, type Bound } from "./bound.ts";
import type { GatewayDeps, Run } from "./run.ts";

/** Budgets and limits of this gateway, over all processes that share its record. */
export interface Allowances {
  readonly store: BudgetStore;
  readonly walls: Walls;
  readonly coverage: Coverage;
  readonly limits: Limits;
}

/** What one call holds of budgets and limits until it is settled. Made only for calls that any of them covers. */
export class Allowance {
  budgets: Hold | undefined;
  /** The most that one attempt may use. */
  bound: Bound | undefined;
  readonly limits: LimitHold[] = [];
  /** The model that the caller named, where a budget sent the call to another. */
  downgradedFrom: string | undefined;
  warnings: readonly string[] = [];
  /** Milliseconds since 1970. */
  readonly now: () => number;

  constructor(now: () => number) {
    this.now = now;
  }

  held(): readonly CounterHold[] {
    return this.budgets?.held() ?? [];
  }

  standings(): LimitStandings | undefined {
    if (this.limits.length === 0) return undefined;
    const standings: LimitStandingsDraft = {};
    for (const hold of this.limits) hold.standings(standings);
    return standings;
  }

  /** For the row. */
  get diagnostic(): Diagnostic | undefined {
    const from = this.downgradedFrom;
    return from === undefined
      ? undefined
      : { field: "model", action: "degraded", reason: `"${from}" was asked for: a budget had no room for it` };
  }

  /** What the row is to book. Once. */
  settle(row: LedgerRow): readonly CounterSpend[] {
    const { usage } = row;
    for (const hold of this.limits) hold.settle({ inputTokens: totalInput(usage), outputTokens: usage.output });
    return this.budgets?.settle(amountsOf(row)) ?? [];
  }
}

const NOTHING: Bound = { nanodollars: 0, tokens: 0, unpriced: undefined };
/** Steps from one cheaper model to the next; a circle ends sooner. */
const DOWNGRADES = 4;

/** Takes from the limits that need nothing but the caller. @throws ProblemError rate_limited */
export function enter(deps: GatewayDeps, run: Run, caller: Caller): void | Promise<void> {
  const { callerLimits } = run.snapshot;
  if (callerLimits.length === 0 && caller.limits.length === 0) return;
  const subject: Subject = { caller, model: "", session: undefined, agent: undefined, turn: undefined };
  return take(deps, run, caller, deps.allowances.limits.covering(callerLimits, subject, "early"), 0);
}

/**
 * Takes from the limits that need to know the call, and reserves from its budgets what it may use at most. Where a budget says so, the call
 * goes on as one to a cheaper model.
 * @param bytes of the request's body
 * @throws ProblemError rate_limited, budget_exhausted, storage_unavailable
 */
export function allow(deps: GatewayDeps, run: Run, caller: Caller, bytes: number): void | Promise<void> {
  const { callerLimits, budgets = [] } = run.snapshot;
  const limited = callerLimits.length > 0 || caller.limits.length > 0;
  const budgeted = budgets.length > 0 || caller.budgets !== undefined;
  if (!limited && !budgeted) return;
  const covers = limited ? deps.allowances.limits.covering(callerLimits, subjectOf(run, caller, run.model), "late") : [];
  const taken = covers.length === 0 ? undefined : take(deps, run, caller, covers, Math.ceil(bytes / 4));
  if (!budgeted) return taken;
  return taken ? taken.then(() => reserveFor(deps, run, caller, bytes)) : reserveFor(deps, run, caller, bytes);
}

function take(deps: GatewayDeps, run: Run, caller: Caller, covers: readonly LimitCover[], inputTokens: number): void | Promise<void> {
  if (covers.length === 0) return;
  const outcome = deps.allowances.limits.take(covers, inputTokens);
  if (outcome instanceof Promise) return outcome.then((taken) => keep(deps, run, caller, taken));
  keep(deps, run, caller, outcome);
}

function keep(deps: GatewayDeps, run: Run, caller: Caller, taken: Awaited<ReturnType<Limits["take"]>>): void {
  if (taken instanceof LimitHold) (run.allowance ??= new Allowance(() => deps.clock.now())).limits.push(taken);
  else throw new ProblemError(limitProblem(taken, caller));
}

function limitProblem(refusal: Exclude<Awaited<ReturnType<Limits["take"]>>, LimitHold>, { name }: Caller): Problem {
  return { kind: "rate_limited", message: limitWords(refusal, name), code: "rate_limit_exceeded", retryAfterMs: refusal.retryAfterMs };
}

function reserveFor(deps: GatewayDeps, run: Run, caller: Caller, bytes: number): void | Promise<void> {
  const covers = coversOf(deps, run, caller, run.model);
  if (covers.length === 0) return;
  const bound = boundOf(deps, run, run.model, bytes);
  // Whoever plans says that there is no such model.
  if (!bound) return;
  const now = deps.clock.now();
  const soft = covers.find((cover) => leads(run, caller, cover) && isSoft(cover, cover.series.at(now)));
  if (soft) return downgrade(deps, run, caller, bytes, soft, [run.model]);
  const refused = unpriced(run, covers, bound);
  if (refused) throw refused;
  const outcome = reserve(covers, bound, now, deps.clock.monotonic());
  if (outcome instanceof Hold) return admitted(deps, run, outcome, bound);
  return settleOutcome(deps, run, caller, bytes, outcome, bound);
}

async function settleOutcome(
  deps: GatewayDeps,
  run: Run,
  caller: Caller,
  bytes: number,
  outcome: Refusal | Promise<Hold | Refusal>,
  bound: Bound,
): Promise<void> {
  const reserved = await outcome;
  if (reserved instanceof Hold) return admitted(deps, run, reserved, bound);
  if (!leads(run, caller, reserved.cover)) throw new ProblemError(refusalProblem(reserved, deps.clock.now()));
  await downgrade(deps, run, caller, bytes, reserved.cover, [run.model]);
}

/** Goes down from model to model until every budget has room. @throws ProblemError what the last of them was refused for */
async function downgrade(deps: GatewayDeps, run: Run, caller: Caller, bytes: number, first: Cover, tried: string[]): Promise<void> {
  const from = run.model;
  let cause: Cover | undefined = first;
  let refusal: ProblemError | undefined;
  while (cause && tried.length <= DOWNGRADES) {
    const model: string = cause.budget.downgradeTo ?? "";
    if (tried.includes(model)) break;
    tried.push(model);
    const covers = coversOf(deps, run, caller, model);
    const bound = boundOf(deps, run, model, bytes);
    const missing = bound && unpriced(run, covers, bound);
    if (!bound || missing) {
      refusal =
        missing ?? new ProblemError({ kind: "unknown_model", message: `A budget sends this call to "${model}", which is no model.` });
      break;
    }
    const now = deps.clock.now();
    const softer = covers.find(
      (cover) => cover.budget.downgradeTo !== model && leads(run, caller, cover) && isSoft(cover, cover.series.at(now)),
    );
    const next: string | undefined = softer?.budget.downgradeTo;
    if (softer && next !== undefined && !tried.includes(next)) {
      cause = softer;
      continue;
    }
    const reserved: Hold | Refusal = await reserve(covers, bound, now, deps.clock.monotonic());
    if (reserved instanceof Hold) {
      run.model = model;
      admitted(deps, run, reserved, bound);
      if (run.allowance) run.allowance.downgradedFrom = from;
      return;
    }
    refusal = new ProblemError(refusalProblem(reserved, now));
    cause = leads(run, caller, reserved.cover) ? reserved.cover : undefined;
  }
  throw (
    refusal ?? new ProblemError({ kind: "budget_exhausted", message: "The budget has no room for this call.", code: "budget_exhausted" })
  );
}

/** Does the budget lead to another model that this caller may use? A caller that may not even use what it named is told so by the plan. */
function leads({ model }: Run, { scopes }: Caller, { budget }: Cover): boolean {
  const { downgradeTo } = budget;
  return downgradeTo !== undefined && downgradeTo !== model && mayUseModel(scopes, downgradeTo) && mayUseModel(scopes, model);
}

/**
 * Budgets of a call that was handed over. Its answer brings along what was taken for it; where nothing was, or a process that took it is gone,
 * it is taken anew as far as there is room, and booked in any case.
 * @throws ProblemError storage_unavailable
 */
export async function coverHanded(deps: GatewayDeps, run: Run, caller: Caller, bytes: number): Promise<void> {
  const { handed } = run.request;
  if (handed?.stage === "answer" && handed.allowance) {
    run.allowance = handed.allowance;
    return;
  }
  const covers = coversOf(deps, run, caller, run.model);
  if (covers.length === 0) return;
  const bound = (handed?.stage === "cover" && boundOf(deps, run, run.model, bytes)) || NOTHING;
  for (const amounts of [bound, NOTHING]) {
    const reserved = await reserve(covers, amounts, deps.clock.now(), deps.clock.monotonic());
    if (reserved instanceof Hold) return admitted(deps, run, reserved, bound);
    if (reserved.why === "unavailable") throw new ProblemError(refusalProblem(reserved, deps.clock.now()));
  }
}

function unpriced(run: Run, covers: readonly Cover[], bound: Bound): ProblemError | undefined {
  if (bound.unpriced === undefined || run.snapshot.unknownPrices === "allow") return undefined;
  return covers.some(({ measure }) => measure === "nanodollars") ? unpricedProblem(bound.unpriced) : undefined;
}

function admitted(deps: GatewayDeps, run: Run, hold: Hold, bound: Bound): void {
  const allowance = (run.allowance ??= new Allowance(() => deps.clock.now()));
  allowance.budgets = hold;
  allowance.bound = bound;
  for (const { cover, wall } of hold.soft()) {
    const words = softWords(cover, wall);
    allowance.warnings = [...allowance.warnings, words];
    if (wall.told) continue;
    wall.told = true;
    deps.alerts?.raise({ kind: "budget_soft", subject: wall.key.split("\n").slice(1).join(" ").trim(), message: `${words}.` });
  }
}

/**
 * Before each attempt: limits of its provider, and room in the budgets for it beside what the call's earlier and running attempts used. The
 * first attempt has its room since admission. Undefined: it may be made.
 * @param running attempts of the call that run at this moment
 */
export function allowAttempt(
  deps: GatewayDeps,
  run: Run,
  target: Target,
  running: number,
): Problem | undefined | Promise<Problem | undefined> {
  const { caller, snapshot, allowance } = run;
  if (!caller || (snapshot.callerLimits.length === 0 && !allowance?.budgets)) return undefined;
  const limited = limitAttempt(deps, run, caller, target);
  if (!allowance?.budgets || (running === 0 && run.attempts.length === 0)) return limited;
  const cover = (): Problem | undefined | Promise<Problem | undefined> => coverAttempt(deps, run, allowance, running);
  return limited instanceof Promise ? limited.then((problem) => problem ?? cover()) : (limited ?? cover());
}

function limitAttempt(deps: GatewayDeps, run: Run, caller: Caller, target: Target): Problem | undefined | Promise<Problem | undefined> {
  const { limits } = deps.allowances;
  const covers = limits.covering(run.snapshot.callerLimits, subjectOf(run, caller, run.model, target.provider), "attempt");
  if (covers.length === 0) return undefined;
  const heard = (taken: Awaited<ReturnType<Limits["take"]>>): Problem | undefined => {
    if (!(taken instanceof LimitHold)) return limitProblem(taken, caller);
    (run.allowance ??= new Allowance(() => deps.clock.now())).limits.push(taken);
    return undefined;
  };
  const taken = limits.take(covers, Math.ceil((run.document?.text.length ?? 0) / 4));
  return taken instanceof Promise ? taken.then(heard) : heard(taken);
}

/** Earlier turns were put in front of what the client sent: room for them too. @throws ProblemError budget_exhausted, storage_unavailable */
export async function coverTurns(deps: GatewayDeps, run: Run, allowance: Allowance): Promise<void> {
  const { budgets } = allowance;
  if (!budgets || !run.call) return;
  const bound = boundOf(deps, run, run.model, JSON.stringify(run.call.items).length, true);
  if (!bound) return;
  allowance.bound = bound;
  const refusal = await budgets.raise(bound);
  if (refusal) throw new ProblemError(refusalProblem(refusal, deps.clock.now()));
}

/** Room in the budgets for one more, beside what the call's attempts used and what `running` others may use. */
export function coverAttempt(
  deps: GatewayDeps,
  run: Run,
  { budgets, bound }: Pick<Allowance, "budgets" | "bound">,
  running: number,
): Problem | undefined | Promise<Problem | undefined> {
  if (!budgets || !bound) return undefined;
  let nanodollars = 0;
  let tokens = 0;
  for (const { target, usage, costNanodollars } of run.attempts) {
    if (!usage) continue;
    const slash = target.indexOf("/");
    nanodollars +=
      costNanodollars ?? deps.book.cost(target.slice(0, slash), target.slice(slash + 1), usage, run.live.startedAt) ?? bound.nanodollars;
    tokens += totalInput(usage) + usage.output;
  }
  const attempts = running + 1;
  const to = { nanodollars: nanodollars + bound.nanodollars * attempts, tokens: tokens + bound.tokens * attempts };
  const refused = budgets.raise(to);
  const heard = (refusal: Refusal | undefined): Problem | undefined => refusal && refusalProblem(refusal, deps.clock.now());
  return refused instanceof Promise ? refused.then(heard) : heard(refused);
}

/** Counts a request that is no call: reading and deleting, lists. @throws ProblemError rate_limited */
export async function countRequest(deps: GatewayDeps, caller: Caller): Promise<void> {
  const { callerLimits } = deps.snapshot();
  if (callerLimits.length === 0 && caller.limits.length === 0) return;
  const subject: Subject = { caller, model: "", session: undefined, agent: undefined, turn: undefined };
  const covers = deps.allowances.limits.covering(callerLimits, subject, "early").filter(({ measure }) => measure === "requests");
  const taken = await deps.allowances.limits.take(covers, 0);
  if (!(taken instanceof LimitHold)) throw new ProblemError(limitProblem(taken, caller));
}

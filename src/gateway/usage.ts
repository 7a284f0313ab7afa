import { addUsage, NO_USAGE, type AttemptRecord, type Problem, type Usage } from "../canon/index.ts";
import type { AnswerReport } from "./reply.ts";
import { operationOf, type GatewayDeps, type Run } from "./run.ts";

/** Characters of text in a token, for estimates where the upstream gave no usage. */
export const CHARACTERS_PER_TOKEN = 4;

/** How an attempt ended, as far as its usage goes. */
export interface AttemptOutcome {
  readonly status: number | undefined;
  readonly problem: Problem | undefined;
  readonly report: AnswerReport | undefined;
  /** It was stopped from here while its upstream worked. */
  readonly stopped: boolean;
}

/**
 * What an attempt used. What an upstream produced without naming its usage is estimated and marked so; undefined: it answered nothing that
 * would cost.
 */
export function usageOfAttempt(run: Run, outcome: AttemptOutcome): Usage | undefined {
  const { status, problem, report, stopped } = outcome;
  if (operationOf(run) !== "generate") return report?.usage;
  const characters = report?.outputCharacters ?? 0;
  if (report?.usage) return problem ? withUnreported(report.usage, characters) : report.usage;
  const answered = status !== undefined && status < 300;
  if (answered ? problem !== undefined && characters === 0 && !stopped && problem.kind !== "upstream_timeout" : !mayHaveWorked(outcome))
    return undefined;
  const input = Math.ceil((run.document?.text.length ?? 0) / CHARACTERS_PER_TOKEN);
  return { ...NO_USAGE, inputUncached: input, output: Math.ceil(characters / CHARACTERS_PER_TOKEN), estimated: true };
}

/** A stream that was cut may have named its input and not yet its output: what was seen of it was spent all the same. */
function withUnreported(usage: Usage, characters: number): Usage {
  const missing = Math.ceil(characters / CHARACTERS_PER_TOKEN) - usage.output;
  return missing > 0 ? addUsage(usage, { ...NO_USAGE, output: missing, estimated: true }) : usage;
}

/** No answer came, but the upstream was at work until we left. */
function mayHaveWorked({ status, problem, stopped }: AttemptOutcome): boolean {
  return status === undefined && (stopped || problem?.kind === "upstream_timeout");
}

/** The sum over all attempts. */
export function usageOfCall(attempts: readonly AttemptRecord[]): Usage {
  let usage = NO_USAGE;
  for (const attempt of attempts) if (attempt.usage) usage = usage === NO_USAGE ? attempt.usage : addUsage(usage, attempt.usage);
  return usage;
}

/**
 * What a call of several attempts cost: each at its own target's prices, which are written into its attempts. Undefined when any of them
 * is unknown.
 */
export function itemise(deps: GatewayDeps, run: Run): { readonly attempts: readonly AttemptRecord[]; readonly cost: number | undefined } {
  let cost: number | undefined = 0;
  const attempts = run.attempts.map((attempt) => {
    if (!attempt.usage) return attempt;
    const slash = attempt.target.indexOf("/");
    const own = deps.book.cost(attempt.target.slice(0, slash), attempt.target.slice(slash + 1), attempt.usage, run.live.startedAt);
    cost = own === undefined || cost === undefined ? undefined : cost + own;
    return { ...attempt, costNanodollars: own };
  });
  return { attempts, cost };
}

import { addUsage, NO_USAGE, type AttemptRecord, type Problem, type Usage } from "../canon/index.ts";
import { CHARACTERS_PER_TOKEN, inputTokens, outputTokens } from "./estimate.ts";
import type { AnswerReport, Reply } from "./reply.ts";
import { operationOf, type GatewayDeps, type Run } from "./run.ts";

/** How an attempt ended, as far as its usage goes. */
export interface AttemptOutcome {
  readonly status: number | undefined;
  readonly problem: Problem | undefined;
  readonly report: AnswerReport | undefined;
  readonly reply?: Reply | undefined;
  /** It was stopped from here while its upstream worked. */
  readonly stopped: boolean;
}

/**
 * What an attempt used. What an upstream produced without naming its usage is estimated and marked so; undefined: it answered nothing that
 * would cost.
 */
export function usageOfAttempt(deps: GatewayDeps, run: Run, model: string, outcome: AttemptOutcome): Usage | undefined {
  const { status, problem, report, stopped } = outcome;
  // Counting is free everywhere, and its answer is no usage.
  if (operationOf(run) === "count_tokens") return undefined;
  const characters = report?.outputCharacters ?? 0;
  if (report?.usage) return problem ? withUnreported(deps, run, model, report.usage, outcome) : report.usage;
  const answered = status !== undefined && status < 300;
  if (answered ? problem !== undefined && characters === 0 && !stopped && problem.kind !== "upstream_timeout" : !mayHaveWorked(outcome))
    return undefined;
  const input = inputTokens(deps, run, model);
  return { ...NO_USAGE, inputUncached: input, output: outputTokens(deps, run, model, characters, outcome.reply), estimated: true };
}

/** A stream that was cut may have named its input and not yet its output: what was seen of it was spent all the same. */
function withUnreported(deps: GatewayDeps, run: Run, model: string, usage: Usage, { report, reply }: AttemptOutcome): Usage {
  const characters = report?.outputCharacters ?? 0;
  // No token is worth counting while the provider's own count may well be all of it.
  if (characters <= usage.output * CHARACTERS_PER_TOKEN) return usage;
  const missing = outputTokens(deps, run, model, characters, reply) - usage.output;
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

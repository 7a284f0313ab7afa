import type { Problem, Provider, Target } from "../canon/index.ts";
import { withMeasures } from "../routing/too-long.ts";
import type { GatewayDeps, Run } from "./run.ts";

/** What a provider refused, in words that help: its own where they do, else with what is known here of the model and the call. */
export function explained(deps: GatewayDeps, run: Run, provider: Provider, target: Target, problem: Problem): Problem {
  if (problem.upstream === undefined) return problem;
  const own = provider.server?.explain?.(problem, target.model) ?? problem;
  const { facts } = run;
  return withMeasures(own, target.model, {
    limit: deps.book.facts(target.provider, target.model)?.contextTokens,
    count: () => facts?.countTokens((text) => deps.book.countTokens(text, target.model)) ?? 0,
  });
}

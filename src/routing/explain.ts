import type { Json, JsonObject } from "../canon/index.ts";
import type { CallFacts } from "./facts.ts";
import { Fit } from "./fit.ts";
import { nameOf } from "./order/index.ts";
import type { Plan, PlannedStep, PlanRequest } from "./plan.ts";

/** Skipped targets and rules told of one plan; a trace is kept with every such call. */
const TOLD = 50;

/** Was there anything to choose or to leave out? Only then is a plan worth keeping. */
export function hadChoice(plan: Plan): boolean {
  return plan.steps.length > 1 || plan.skipped.length > 0 || plan.rules !== undefined || plan.arm !== undefined;
}

/** A plan as JSON, for the record and for people: `{ alias, strategy, rule?, rules?, arm?, sticky?, steps, skipped }`. */
export function explainPlan(plan: Plan): JsonObject {
  const { alias, strategy, rules, arm, tie, tiedTo } = plan;
  const matched = rules?.find((outcome) => outcome.matched);
  const ruledOut = tiedTo !== undefined && !plan.steps.some(({ target }) => nameOf(target) === tiedTo);
  return {
    alias: alias.name,
    strategy,
    ...(matched && { rule: matched.rule.name }),
    ...(rules && {
      rules: rules.slice(0, TOLD).map(({ rule, matched: match, reason }) => ({ name: rule.name, matched: match, reason })),
    }),
    ...(arm && { arm: { name: arm.name, reason: arm.reason } }),
    ...(tie && tiedTo !== undefined && { sticky: `${tiedTo} ${tie.what}${ruledOut ? ", and is not asked now" : ""}` }),
    steps: plan.steps.map(told),
    skipped: plan.skipped.slice(0, TOLD).map(told),
  };
}

function told({ target, reason }: PlannedStep): JsonObject {
  return { target: nameOf(target), reason };
}

/** A plan with what was known of the call, and what was not known of its targets: for a dry run. */
export function explainFully(plan: Plan, { snapshot, facts, book }: PlanRequest): JsonObject {
  const fit = new Fit(snapshot, plan.alias, facts, book);
  const doubts = plan.steps.flatMap(({ target }): Json[] => {
    const unknown = fit.doubts(target);
    return unknown.length > 0 ? [{ target: nameOf(target), unknown }] : [];
  });
  return { ...explainPlan(plan), facts: explainFacts(facts), ...(doubts.length > 0 && { doubts }) };
}

function explainFacts(facts: CallFacts): JsonObject {
  const { source, complexity } = facts;
  return {
    model: source.model,
    stream: source.stream,
    inputTokens: facts.inputTokens,
    maxOutputTokens: source.maxOutputTokens ?? null,
    needs: facts.needWords,
    tools: facts.tools,
    turns: facts.turns,
    complexity: { score: complexity.score, parts: complexity.parts.map(({ what, points }) => ({ what, points })) },
    caller: facts.caller.name,
    ...(source.session !== undefined && { session: source.session }),
    ...(source.metadata && { metadata: source.metadata }),
  };
}

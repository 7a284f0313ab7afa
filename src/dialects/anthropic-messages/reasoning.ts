import type { Call, Diagnostic, EncodeTarget, JsonObject, Reasoning } from "../../canon/index.ts";

/**
 * Effort and thinking budget, in both directions of the table:
 *
 * | effort asked | `output_config.effort` (models that take an effort) | `thinking.budget_tokens` (models that take a budget) |
 * |--------------|-----------------------------------------------------|------------------------------------------------------|
 * | none         | thinking disabled                                   | thinking disabled                                    |
 * | minimal      | low                                                 | 1,024                                                |
 * | low          | low                                                 | 2,048                                                |
 * | medium       | medium                                              | 8,192                                                |
 * | high         | high                                                | 16,384                                               |
 * | xhigh        | xhigh                                               | 32,768                                               |
 * | max          | max                                                 | 64,000                                               |
 *
 * A budget asked of a model that takes an effort becomes the highest effort whose budget does not exceed it. A name that is not in the
 * table counts as `medium`. Thinking is then `adaptive` beside an effort, `enabled` beside a budget.
 */
const BUDGETS: Readonly<Record<string, number>> = { minimal: 1024, low: 2048, medium: 8192, high: 16_384, xhigh: 32_768, max: 64_000 };
const EFFORTS: Readonly<Record<string, string>> = {
  minimal: "low",
  low: "low",
  medium: "medium",
  high: "high",
  xhigh: "xhigh",
  max: "max",
};

/** The API's smallest budget. */
const MIN_BUDGET_TOKENS = 1024;
/** Room for the answer beside a budget when the caller set no cap, and the cap where nothing else is known. */
export const DEFAULT_MAX_TOKENS = 4096;

export interface EncodedReasoning {
  readonly thinking?: JsonObject;
  readonly effort?: string;
  readonly maxTokens: number;
}

/** Thinking, effort and the output cap together: the cap must exceed the budget. `forced`: the choice of tools leaves the model no choice. */
export function encodeReasoning(
  call: Call,
  forced: boolean,
  target: EncodeTarget,
  note: (diagnostic: Diagnostic) => void,
): EncodedReasoning {
  const limit = target.capabilities.maxOutputTokens;
  const asked = call.maxOutputTokens;
  const maxTokens = Math.max(1, Math.min(asked ?? limit ?? DEFAULT_MAX_TOKENS, limit ?? Number.MAX_SAFE_INTEGER));
  if (asked !== undefined && maxTokens < asked) {
    note({ field: "maxOutputTokens", action: "degraded", reason: `The model writes at most ${maxTokens} tokens.` });
  }
  const { reasoning } = call;
  if (!reasoning) return { maxTokens };
  const off = reasoning.mode === "disabled" || reasoning.effort === "none";
  if (target.capabilities.reasoning === false) {
    if (!off) note({ field: "reasoning", action: "dropped", reason: "The model takes neither effort nor thinking budget." });
    return { maxTokens };
  }
  if (off) return { maxTokens, thinking: { type: "disabled" } };
  if (forced) {
    note({ field: "reasoning", action: "dropped", reason: "The API does not let a model think when a tool is forced on it." });
    return { maxTokens };
  }
  if (target.capabilities.reasoningControl === "budget") return withBudget(reasoning, { asked, limit, maxTokens }, note);
  const effort = effortOf(reasoning);
  if (reasoning.effort !== undefined && effort !== reasoning.effort) {
    note({
      field: "reasoning.effort",
      action: "degraded",
      reason: `The language has no effort "${reasoning.effort}"; ${effort} is asked for.`,
    });
  }
  if (reasoning.effort === undefined && reasoning.budgetTokens !== undefined)
    note({
      field: "reasoning.budgetTokens",
      action: "degraded",
      reason: "The model takes an effort; the nearest to the budget is asked for.",
    });
  return { maxTokens, thinking: { type: "adaptive", ...displayOf(reasoning) }, ...(effort !== undefined && { effort }) };
}

function withBudget(
  reasoning: Reasoning,
  caps: { readonly asked: number | undefined; readonly limit: number | undefined; readonly maxTokens: number },
  note: (diagnostic: Diagnostic) => void,
): EncodedReasoning {
  const wished = Math.max(
    MIN_BUDGET_TOKENS,
    reasoning.budgetTokens ?? BUDGETS[reasoning.effort ?? "medium"] ?? BUDGETS["medium"] ?? MIN_BUDGET_TOKENS,
  );
  const maxTokens =
    caps.asked === undefined ? Math.min(wished + DEFAULT_MAX_TOKENS, caps.limit ?? Number.MAX_SAFE_INTEGER) : caps.maxTokens;
  const budget = Math.min(wished, maxTokens - 1);
  if (budget < MIN_BUDGET_TOKENS) {
    note({
      field: "reasoning",
      action: "dropped",
      reason: `A cap of ${maxTokens} output tokens leaves no room for the smallest thinking budget, ${MIN_BUDGET_TOKENS}.`,
    });
    return { maxTokens };
  }
  if (reasoning.budgetTokens === undefined) {
    note({
      field: "reasoning.effort",
      action: "degraded",
      reason: `The model takes a thinking budget; ${budget} tokens stand for the effort.`,
    });
  } else if (budget < reasoning.budgetTokens) {
    note({
      field: "reasoning.budgetTokens",
      action: "degraded",
      reason: `The budget must stay below the cap of ${maxTokens} output tokens.`,
    });
  }
  return { maxTokens, thinking: { type: "enabled", budget_tokens: budget, ...displayOf(reasoning) } };
}

function effortOf(reasoning: Reasoning): string | undefined {
  if (reasoning.effort !== undefined) return EFFORTS[reasoning.effort] ?? "medium";
  const budget = reasoning.budgetTokens;
  if (budget === undefined) return undefined;
  let effort = "low";
  for (const [name, tokens] of Object.entries(BUDGETS)) if (tokens <= budget) effort = EFFORTS[name] ?? effort;
  return effort;
}

function displayOf(reasoning: Reasoning): JsonObject {
  if (reasoning.summary === undefined) return {};
  return { display: reasoning.summary === "omitted" ? "omitted" : "summarized" };
}

import type { Reasoning } from "../../canon/index.ts";
import type { EncodeContext } from "./encode-context.ts";

/**
 * Effort for a budget of reasoning tokens, for callers that name only a budget. The bounds follow what vendors document for their
 * own effort levels: about a thousand tokens for the least, four thousand for low, sixteen thousand for medium.
 */
const EFFORT_BY_BUDGET: readonly { readonly below: number; readonly effort: string }[] = [
  { below: 1024, effort: "minimal" },
  { below: 4096, effort: "low" },
  { below: 16_384, effort: "medium" },
  { below: Number.POSITIVE_INFINITY, effort: "high" },
];

/**
 * `reasoning_effort` for what the caller asked:
 *
 * | caller | effort |
 * |---|---|
 * | an effort | the same word |
 * | switched off | `none` where the model is known to reason, otherwise nothing |
 * | a budget | by the table above, noted |
 * | switched on, no more | `medium` |
 * | adaptive | nothing: the model's own default, noted |
 */
export function effortFor(reasoning: Reasoning | undefined, context: EncodeContext): string | undefined {
  if (!reasoning) return undefined;
  const { effort, budgetTokens, mode, summary } = reasoning;
  if (context.target.capabilities.reasoning === false) {
    return mode === "disabled" ? undefined : context.drop("reasoning", "The model does not reason.");
  }
  if (summary !== undefined && summary !== "omitted")
    context.drop("reasoning.summary", "Chat completions cannot be asked for summaries of reasoning.");
  if (mode === "disabled") return context.target.capabilities.reasoning === true ? "none" : undefined;
  if (effort !== undefined) return effort;
  if (budgetTokens !== undefined) {
    context.note("reasoning.budgetTokens", "degraded", "A budget of tokens becomes a level of effort.");
    return EFFORT_BY_BUDGET.find(({ below }) => budgetTokens < below)?.effort;
  }
  if (mode === "enabled") return "medium";
  if (mode === "adaptive") context.note("reasoning.mode", "degraded", "How much to think is left to the model's own default.");
  return undefined;
}

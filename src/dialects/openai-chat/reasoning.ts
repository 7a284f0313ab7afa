import type { Capabilities, Diagnostic, Json, JsonObject, Reasoning } from "../../canon/index.ts";
import { object, read, text, type Draft } from "./shape.ts";

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

/** Every field in which some vendor of this language takes how to think. */
export const REASONING_FIELDS = ["reasoning_effort", "reasoning", "thinking", "enable_thinking", "thinking_budget"] as const;

type Note = (diagnostic: Diagnostic) => void;

/** How a request asks for reasoning, in any vendor's spelling. @throws ProblemError where the language's own field is no string */
export function decodeReasoning(body: JsonObject): Reasoning | undefined {
  const nested = object(body["reasoning"]);
  const thinking = object(body["thinking"]);
  const effort = read(body, "reasoning_effort", "string") ?? text(nested?.["effort"]);
  const budget = nested?.["max_tokens"] ?? thinking?.["budget_tokens"] ?? body["thinking_budget"];
  const mode = decodeMode(thinking?.["type"] ?? nested?.["enabled"] ?? body["enable_thinking"] ?? promptMode(body["prompt_mode"]));
  const summary = text(nested?.["summary"]) ?? (isHidden(body, nested) ? "omitted" : undefined);
  const reasoning: Reasoning = {
    ...(effort !== undefined && { effort }),
    ...(typeof budget === "number" && { budgetTokens: budget }),
    ...(mode !== undefined && { mode }),
    ...(summary !== undefined && { summary }),
  };
  return Object.keys(reasoning).length > 0 ? reasoning : undefined;
}

/** Vendors' ways to say that reasoning is not to be shown. */
function isHidden(body: JsonObject, nested: JsonObject | undefined): boolean {
  return nested?.["exclude"] === true || body["include_reasoning"] === false || body["reasoning_format"] === "hidden";
}

function promptMode(value: Json | undefined): Json | undefined {
  return value === "reasoning" ? true : undefined;
}

function decodeMode(value: Json | undefined): Reasoning["mode"] {
  if (value === true || value === "enabled") return "enabled";
  if (value === false || value === "disabled") return "disabled";
  return value === "adaptive" || value === "auto" ? "adaptive" : undefined;
}

/**
 * The fields that ask a particular upstream for this reasoning:
 *
 * | caller | `reasoning_effort` | `reasoning` | `thinking` |
 * |---|---|---|---|
 * | an effort | the same word | `{ effort }` | the same word beside it |
 * | switched off | `none` where the model is known to reason, otherwise nothing | `{ enabled: false }` | `{ type: "disabled" }` |
 * | a budget | by the table above, noted | `{ max_tokens }` | by the table above, noted |
 * | switched on, no more | `medium` | `{ enabled: true }` | `{ type: "enabled" }` |
 * | adaptive | nothing: the model's own default, noted | the same | the same |
 */
export function reasoningFields(reasoning: Reasoning | undefined, capabilities: Capabilities, note: Note): Draft {
  if (!reasoning) return {};
  const { effort, budgetTokens, mode, summary } = reasoning;
  const off = mode === "disabled" || effort === "none";
  if (capabilities.reasoning === false) {
    if (!off) note({ field: "reasoning", action: "dropped", reason: "The model does not reason." });
    return {};
  }
  if (summary !== undefined && summary !== "omitted")
    note({ field: "reasoning.summary", action: "dropped", reason: "Chat completions cannot be asked for summaries of reasoning." });
  if (capabilities.reasoningRequest === "reasoning") return { reasoning: asObject(reasoning, off, note) };
  const named = effort ?? (off || budgetTokens === undefined ? undefined : effortFor(budgetTokens, note));
  const left = named === undefined && !off && mode === "adaptive";
  if (left) note({ field: "reasoning.mode", action: "degraded", reason: "How much to think is left to the model's own default." });
  if (capabilities.reasoningRequest === "thinking") {
    if (off) return { thinking: { type: "disabled" } };
    if (named !== undefined) return { reasoning_effort: named, ...(mode === "enabled" && { thinking: { type: "enabled" } }) };
    return mode === "enabled" ? { thinking: { type: "enabled" } } : {};
  }
  if (mode === "disabled") return capabilities.reasoning === true ? { reasoning_effort: "none" } : {};
  if (named !== undefined) return { reasoning_effort: named };
  return mode === "enabled" ? { reasoning_effort: "medium" } : {};
}

function effortFor(budgetTokens: number, note: Note): string | undefined {
  note({ field: "reasoning.budgetTokens", action: "degraded", reason: "A budget of tokens becomes a level of effort." });
  return EFFORT_BY_BUDGET.find(({ below }) => budgetTokens < below)?.effort;
}

/** An effort and a budget exclude each other there; the budget says more. */
function asObject({ effort, budgetTokens, mode, summary }: Reasoning, off: boolean, note: Note): JsonObject | undefined {
  if (off) return { enabled: false };
  const hidden = summary === "omitted" && { exclude: true };
  if (budgetTokens !== undefined) return { max_tokens: budgetTokens, ...hidden };
  if (effort !== undefined) return { effort, ...hidden };
  if (mode === "enabled") return { enabled: true, ...hidden };
  if (mode === "adaptive")
    note({ field: "reasoning.mode", action: "degraded", reason: "How much to think is left to the model's own default." });
  return summary === "omitted" ? { exclude: true } : undefined;
}

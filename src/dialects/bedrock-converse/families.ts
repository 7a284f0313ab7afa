import type { Call, Diagnostic, JsonObject, Reasoning } from "../../canon/index.ts";
import { count, object, text } from "../shared-shape.ts";

/**
 * The service's models come from several makers, and each maker's own parameters travel in `additionalModelRequestFields`. Its name stands
 * in that of the model, behind a region perhaps: `us.anthropic.claude-...`. Source: "Inference request parameters" of the service's guide.
 */
type Family = "anthropic" | "nova" | "qwen" | "gpt-oss" | "deepseek" | undefined;

function familyOf(model: string): Family {
  if (/\banthropic\./.test(model)) return "anthropic";
  if (/\bamazon\.nova/.test(model)) return "nova";
  if (/\bqwen\./.test(model)) return "qwen";
  if (/\bopenai\.gpt-oss/.test(model)) return "gpt-oss";
  return /\bdeepseek\./.test(model) ? "deepseek" : undefined;
}

type Note = (diagnostic: Diagnostic) => void;

const BUDGETS: Readonly<Record<string, number>> = { minimal: 1024, low: 2048, medium: 8192, high: 16_384, xhigh: 32_768, max: 64_000 };
const LEAST_BUDGET = 1024;
/** Room for the answer beside a budget when the caller set no cap. */
const ANSWER_TOKENS = 4096;

/** The nearest of three efforts. */
function effortOf({ effort, budgetTokens }: Reasoning): string {
  if (effort === "minimal" || effort === "low") return "low";
  if (effort === "high" || effort === "xhigh" || effort === "max") return "high";
  if (effort !== undefined || budgetTokens === undefined) return "medium";
  return budgetTokens < 8192 ? "low" : budgetTokens < 16_384 ? "medium" : "high";
}

/** What is added for a call of another language, and the cap on output where thinking needs room. */
export interface MakersFields {
  readonly fields: JsonObject;
  readonly maxTokens?: number;
}

/** @param budget the model takes a budget of thoughts, and no effort */
export function makersFields(
  call: Call,
  model: string,
  able: { readonly reasons: boolean; readonly budget: boolean },
  note: Note,
): MakersFields {
  const family = familyOf(model);
  const { topK } = call.sampling;
  const fields: Record<string, JsonObject[string]> = {};
  if (topK !== undefined) {
    if (family === "anthropic") fields["top_k"] = topK;
    else if (family === "nova") fields["inferenceConfig"] = { topK };
    else note({ field: "sampling.topK", action: "dropped", reason: "The language has no `top_k` for models of this maker." });
  }
  const { reasoning } = call;
  if (!reasoning) return { fields };
  const off = reasoning.mode === "disabled" || reasoning.effort === "none";
  if (!able.reasons || family === undefined || family === "deepseek") {
    if (!off) note({ field: "reasoning", action: "dropped", reason: "The language cannot say how long a model of this maker thinks." });
    return { fields };
  }
  if (family === "anthropic") {
    if (off) return { fields };
    const { maxTokens, ...thinking } = claudeThinking(call, reasoning, able.budget, note);
    return { fields: { ...fields, ...thinking }, ...(maxTokens !== undefined && { maxTokens }) };
  }
  if (family === "nova")
    return {
      fields: { ...fields, reasoningConfig: off ? { type: "disabled" } : { type: "enabled", maxReasoningEffort: bent(reasoning, note) } },
    };
  if (off) return { fields };
  return { fields: { ...fields, [family === "qwen" ? "reasoning_config" : "reasoning_effort"]: bent(reasoning, note) } };
}

function bent(reasoning: Reasoning, note: Note): string {
  const effort = effortOf(reasoning);
  if (effort !== reasoning.effort)
    note({
      field: reasoning.effort === undefined ? "reasoning.budgetTokens" : "reasoning.effort",
      action: "degraded",
      reason: `The model takes an effort: ${effort} stands for what was asked.`,
    });
  return effort;
}

function claudeThinking(call: Call, reasoning: Reasoning, takesBudget: boolean, note: Note): JsonObject & { readonly maxTokens?: number } {
  const { effort, budgetTokens } = reasoning;
  if (call.toolChoice?.type === "required" || call.toolChoice?.type === "tool") {
    note({ field: "reasoning", action: "dropped", reason: "The model does not think when a tool is forced on it." });
    return {};
  }
  if (!takesBudget && budgetTokens === undefined)
    return {
      thinking: { type: "adaptive" },
      ...(effort !== undefined && { output_config: { effort: effort === "minimal" ? "low" : effort } }),
    };
  const wished = Math.max(LEAST_BUDGET, budgetTokens ?? BUDGETS[effort ?? "medium"] ?? LEAST_BUDGET);
  const cap = call.maxOutputTokens ?? wished + ANSWER_TOKENS;
  const budget = Math.min(wished, cap - 1);
  if (budget < LEAST_BUDGET) {
    note({
      field: "reasoning",
      action: "dropped",
      reason: `A cap of ${cap} output tokens leaves no room for the smallest budget, ${LEAST_BUDGET}.`,
    });
    return {};
  }
  if (budgetTokens === undefined)
    note({
      field: "reasoning.effort",
      action: "degraded",
      reason: `The model takes a thinking budget; ${budget} tokens stand for the effort.`,
    });
  else if (budget < budgetTokens)
    note({ field: "reasoning.budgetTokens", action: "degraded", reason: `The budget must stay below the cap of ${cap} output tokens.` });
  return { thinking: { type: "enabled", budget_tokens: budget }, maxTokens: cap };
}

/** What the makers' fields of a call say that other languages know. */
export function decodeMakersFields(fields: JsonObject): { readonly topK?: number; readonly reasoning?: Reasoning } {
  const topK = fields["top_k"] ?? object(fields["inferenceConfig"])?.["topK"];
  const reasoning = decodeReasoning(fields);
  return { ...(typeof topK === "number" && { topK }), ...(reasoning && { reasoning }) };
}

function decodeReasoning(fields: JsonObject): Reasoning | undefined {
  const thinking = object(fields["thinking"]);
  const effort = text(object(fields["output_config"])?.["effort"]);
  if (thinking) {
    const { type } = thinking;
    const mode = type === "enabled" || type === "adaptive" || type === "disabled" ? ({ mode: type } as const) : {};
    const budget = count(thinking["budget_tokens"]);
    return { ...mode, ...(budget > 0 && { budgetTokens: budget }), ...(effort !== undefined && { effort }) };
  }
  const config = object(fields["reasoningConfig"]);
  if (config) {
    const level = text(config["maxReasoningEffort"]);
    if (config["type"] === "disabled") return { mode: "disabled" };
    return { mode: "enabled", ...(level !== undefined && { effort: level }) };
  }
  const said = text(fields["reasoning_effort"]) ?? text(fields["reasoning_config"]) ?? effort;
  return said === undefined ? undefined : { effort: said };
}

/** Members of `additionalModelRequestFields` that are said in canonical form. */
export const KNOWN_FIELDS: readonly string[] = [
  "top_k",
  "thinking",
  "output_config",
  "reasoningConfig",
  "reasoning_effort",
  "reasoning_config",
  "inferenceConfig",
];

/** Do models of this maker know cache checkpoints? Others refuse a request that has one. */
export function takesCheckpoints(model: string): boolean {
  const family = familyOf(model);
  return family === "anthropic" || family === "nova";
}

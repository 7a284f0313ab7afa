import type { Diagnostic, EncodeTarget, JsonObject, Reasoning } from "../../canon/index.ts";
import { at, readBoolean, readNumber, readObject, readString } from "./wire.ts";

/**
 * Effort and thinking, in both directions of the table:
 *
 * | effort asked | `thinkingLevel` (models that take a level) | `thinkingBudget` (models that take a budget) |
 * |--------------|--------------------------------------------|----------------------------------------------|
 * | none         | MINIMAL                                    | 0                                            |
 * | minimal      | MINIMAL                                    | 512                                          |
 * | low          | LOW                                        | 1,024                                        |
 * | medium       | MEDIUM                                     | 8,192                                        |
 * | high         | HIGH                                       | 24,576                                       |
 * | xhigh, max   | HIGH                                       | 24,576                                       |
 *
 * A budget asked of a model that takes a level becomes the highest level whose budget does not exceed it. A name that is not in the table
 * counts as `medium`. The budgets are those that the vendor's own OpenAI-compatible endpoint uses.
 */
const BUDGETS: Readonly<Record<string, number>> = {
  none: 0,
  minimal: 512,
  low: 1024,
  medium: 8192,
  high: 24_576,
  xhigh: 24_576,
  max: 24_576,
};
const LEVELS: Readonly<Record<string, string>> = {
  none: "MINIMAL",
  minimal: "MINIMAL",
  low: "LOW",
  medium: "MEDIUM",
  high: "HIGH",
  xhigh: "HIGH",
  max: "HIGH",
};
/** What the API takes for "as much as you see fit". */
const DYNAMIC = -1;

/** @throws ProblemError invalid_request */
export function decodeReasoning(generation: JsonObject): Reasoning | undefined {
  const path = "generationConfig.thinkingConfig";
  const config = readObject(at(generation, "thinkingConfig"), path);
  if (!config) return undefined;
  const budget = readNumber(at(config, "thinkingBudget"), `${path}.thinkingBudget`);
  const level = readString(at(config, "thinkingLevel"), `${path}.thinkingLevel`);
  const shown = readBoolean(at(config, "includeThoughts"), `${path}.includeThoughts`);
  const effort = level === undefined || level === "THINKING_LEVEL_UNSPECIFIED" ? undefined : level.toLowerCase();
  if (budget === undefined && effort === undefined && shown === undefined) return undefined;
  return {
    ...(effort !== undefined && { effort }),
    ...(budget !== undefined && budget > 0 && { budgetTokens: budget }),
    ...(budget !== undefined && { mode: budget === 0 ? "disabled" : budget === DYNAMIC ? "adaptive" : "enabled" }),
    ...(shown !== undefined && { summary: shown ? "auto" : "omitted" }),
  };
}

/** `thinkingConfig`, or undefined when nothing needs to be said. */
export function encodeReasoning(
  reasoning: Reasoning | undefined,
  target: EncodeTarget,
  note: (diagnostic: Diagnostic) => void,
): JsonObject | undefined {
  if (!reasoning) return undefined;
  const off = reasoning.mode === "disabled" || reasoning.effort === "none";
  if (target.capabilities.reasoning === false) {
    if (!off) note({ field: "reasoning", action: "dropped", reason: "The model does not think before it answers." });
    return undefined;
  }
  const shown = off ? {} : shownOf(reasoning);
  const how = target.capabilities.reasoningControl === "budget" ? withBudget(reasoning, off, note) : withLevel(reasoning, off, note);
  const config = { ...how, ...shown };
  return Object.keys(config).length > 0 ? config : undefined;
}

/** A summary is shown to whom asked for one, and to clients of languages that show thinking whenever there is any. */
function shownOf({ summary, mode }: Reasoning): JsonObject {
  if (summary !== undefined) return { includeThoughts: summary !== "omitted" };
  return mode === undefined ? {} : { includeThoughts: true };
}

function withBudget(reasoning: Reasoning, off: boolean, note: (diagnostic: Diagnostic) => void): JsonObject {
  if (off) return { thinkingBudget: 0 };
  if (reasoning.budgetTokens !== undefined) return { thinkingBudget: reasoning.budgetTokens };
  if (reasoning.effort !== undefined) {
    const thinkingBudget = BUDGETS[reasoning.effort] ?? BUDGETS["medium"] ?? DYNAMIC;
    note({
      field: "reasoning.effort",
      action: "degraded",
      reason: `The model takes a thinking budget; ${thinkingBudget} tokens stand for the effort.`,
    });
    return { thinkingBudget };
  }
  return reasoning.mode === undefined ? {} : { thinkingBudget: DYNAMIC };
}

function withLevel(reasoning: Reasoning, off: boolean, note: (diagnostic: Diagnostic) => void): JsonObject {
  if (off) {
    note({ field: "reasoning", action: "degraded", reason: "The model cannot be kept from thinking; it is asked for the least." });
    return { thinkingLevel: "MINIMAL" };
  }
  const { effort, budgetTokens } = reasoning;
  if (effort !== undefined) {
    const thinkingLevel = LEVELS[effort] ?? "MEDIUM";
    if (thinkingLevel.toLowerCase() !== effort)
      note({
        field: "reasoning.effort",
        action: "degraded",
        reason: `The language has no effort "${effort}"; ${thinkingLevel} is asked for.`,
      });
    return { thinkingLevel };
  }
  if (budgetTokens === undefined) return {};
  let thinkingLevel = "MINIMAL";
  for (const [name, tokens] of Object.entries(BUDGETS)) if (tokens <= budgetTokens) thinkingLevel = LEVELS[name] ?? thinkingLevel;
  note({ field: "reasoning.budgetTokens", action: "degraded", reason: "The model takes a level of thinking; the nearest is asked for." });
  return { thinkingLevel };
}

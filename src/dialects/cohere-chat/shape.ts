import {
  NO_USAGE,
  totalInput,
  type EncodeTarget,
  type Envelope,
  type Item,
  type JsonObject,
  type Origin,
  type StopReason,
  type Usage,
} from "../../canon/index.ts";
import { count, object, text } from "../shared-shape.ts";

/** The dialect's id. */
export const ID = "cohere-chat";
export const ORIGIN: Origin = { dialect: ID };

/** Of an item: it tells of the plan that stands beside tool calls, and not of the answer. */
export const PLAN = "commentary";

/** Holds the message that items were cut from, whole: untouched, it goes out as it came. */
export function envelopeOf(message: JsonObject, place: number): Envelope {
  return { dialect: ID, role: "assistant", raw: message, place };
}

/** May the verbatim form go out? It may when a client sent it in this language or this very provider wrote it. */
export function isNative({ origin }: Pick<Item, "origin">, target: Pick<EncodeTarget, "provider">): boolean {
  return origin?.dialect === ID && (origin.provider === undefined || origin.provider === target.provider);
}

const STOPS: Readonly<Record<string, StopReason>> = {
  COMPLETE: "end",
  STOP_SEQUENCE: "stop_sequence",
  MAX_TOKENS: "max_tokens",
  TOOL_CALL: "tool_calls",
  ERROR_TOXIC: "content_filter",
};
const REASONS: Readonly<Record<StopReason, string>> = {
  end: "COMPLETE",
  stop_sequence: "STOP_SEQUENCE",
  max_tokens: "MAX_TOKENS",
  context_window: "MAX_TOKENS",
  tool_calls: "TOOL_CALL",
  refusal: "ERROR_TOXIC",
  content_filter: "ERROR_TOXIC",
  pause: "COMPLETE",
  unknown: "COMPLETE",
};

/** Reasons that tell of a failure and not of an end. */
const FAILURES: ReadonlySet<string> = new Set(["ERROR", "TIMEOUT"]);

export function failed(holder: JsonObject): boolean {
  return FAILURES.has(text(holder["finish_reason"]) ?? "");
}

export function stopOf(holder: JsonObject): StopReason {
  return STOPS[text(holder["finish_reason"]) ?? ""] ?? "unknown";
}

/** `before`: the reason in this language's own words, which stays where it still says the same. */
export function reasonFor(stop: StopReason, before: JsonObject | undefined): string {
  const said = before && text(before["finish_reason"]);
  return said !== undefined && before && stopOf(before) === stop ? said : REASONS[stop];
}

/**
 * Usage counts what is charged for, `billed_units`: the `tokens` beside them include a preamble of the provider's own, which nobody pays,
 * and of which most comes from its cache. Where both say the same, or nothing is billed by name, there is no such preamble: what was
 * cached is then part of what was read.
 * Source: "How does Cohere's pricing work?" and the types of `cohere-ai` 8. Undefined when an answer names none.
 */
export function usageOf(holder: JsonObject): Usage | undefined {
  const usage = object(holder["usage"]);
  if (!usage) return undefined;
  const billed = object(usage["billed_units"]);
  const media: Record<string, number> = {};
  for (const unit of ["search_units", "classifications", "images"])
    if (billed && count(billed[unit]) > 0) media[unit] = count(billed[unit]);
  const extra = Object.keys(media).length > 0 ? { media } : {};
  const tokens = object(usage["tokens"]) ?? {};
  const isBilled = billed !== undefined && (typeof billed["input_tokens"] === "number" || typeof billed["output_tokens"] === "number");
  const counted = isBilled ? billed : tokens;
  const input = count(counted["input_tokens"]);
  const cacheRead = input === count(tokens["input_tokens"]) ? Math.min(input, count(usage["cached_tokens"])) : 0;
  return { ...NO_USAGE, inputUncached: input - cacheRead, cacheRead, output: count(counted["output_tokens"]), ...extra };
}

export function usageFields(usage: Usage): JsonObject {
  const counted = { input_tokens: totalInput(usage), output_tokens: usage.output };
  return { billed_units: counted, tokens: counted, ...(usage.cacheRead > 0 && { cached_tokens: usage.cacheRead }) };
}

/** Does a verbatim `usage` still say what was counted? */
export function saysUsage(holder: JsonObject, usage: Usage): boolean {
  const said = usageOf(holder);
  return said !== undefined && totalInput(said) === totalInput(usage) && said.output === usage.output && said.cacheRead === usage.cacheRead;
}

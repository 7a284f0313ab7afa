import type { Json, JsonObject, Usage } from "../../canon/index.ts";
import { isObject } from "./wire.ts";

function count(object: JsonObject, key: string): number {
  const value = object[key];
  return typeof value === "number" && value > 0 ? value : 0;
}

/** Tokens of one usage object. Input excludes both kinds of cache tokens here, so the counts are disjoint as they stand. */
function tokensOf(
  usage: JsonObject,
): Pick<Usage, "inputUncached" | "cacheRead" | "cacheWrite5m" | "cacheWrite1h" | "output" | "reasoning"> {
  const detail = isObject(usage["cache_creation"]) ? usage["cache_creation"] : {};
  const hour = count(detail, "ephemeral_1h_input_tokens");
  // The total comes again with each frame, the split only with the first: where they disagree the total is newer.
  const total =
    typeof usage["cache_creation_input_tokens"] === "number"
      ? count(usage, "cache_creation_input_tokens")
      : hour + count(detail, "ephemeral_5m_input_tokens");
  const cacheWrite1h = Math.min(hour, total);
  const details = isObject(usage["output_tokens_details"]) ? usage["output_tokens_details"] : {};
  const output = count(usage, "output_tokens");
  return {
    inputUncached: count(usage, "input_tokens"),
    cacheRead: count(usage, "cache_read_input_tokens"),
    cacheWrite5m: total - cacheWrite1h,
    cacheWrite1h,
    output,
    reasoning: Math.min(output, count(details, "thinking_tokens")),
  };
}

/**
 * A wire usage object in canonical terms. The tokens of a compaction within the call are not in the top-level figures (SDK 1.12.0,
 * `BetaUsage.iterations`) but are billed at the same model's prices, so they are added; an advisor's tokens belong to another model
 * and become media units.
 */
export function decodeUsage(usage: JsonObject): Usage {
  const media: Record<string, number> = {};
  let total = tokensOf(usage);
  for (const iteration of Array.isArray(usage["iterations"]) ? (usage["iterations"] as readonly Json[]) : []) {
    if (!isObject(iteration)) continue;
    if (iteration["type"] === "compaction") total = sum(total, tokensOf(iteration));
    if (iteration["type"] === "advisor_message") addAdvisor(media, tokensOf(iteration));
  }
  if (isObject(usage["server_tool_use"])) {
    for (const [unit, value] of Object.entries(usage["server_tool_use"])) if (typeof value === "number" && value > 0) media[unit] = value;
  }
  const tier = usage["service_tier"];
  return {
    ...total,
    ...(Object.keys(media).length > 0 && { media }),
    ...(typeof tier === "string" && { serviceTier: tier }),
  };
}

type Tokens = ReturnType<typeof tokensOf>;

function sum(a: Tokens, b: Tokens): Tokens {
  return {
    inputUncached: a.inputUncached + b.inputUncached,
    cacheRead: a.cacheRead + b.cacheRead,
    cacheWrite5m: a.cacheWrite5m + b.cacheWrite5m,
    cacheWrite1h: a.cacheWrite1h + b.cacheWrite1h,
    output: a.output + b.output,
    reasoning: a.reasoning + b.reasoning,
  };
}

function addAdvisor(media: Record<string, number>, tokens: Tokens): void {
  const add = (unit: string, units: number): void => {
    if (units > 0) media[unit] = (media[unit] ?? 0) + units;
  };
  add("advisor_input_tokens", tokens.inputUncached);
  add("advisor_cache_read_tokens", tokens.cacheRead);
  add("advisor_cache_write_tokens", tokens.cacheWrite5m + tokens.cacheWrite1h);
  add("advisor_output_tokens", tokens.output);
}

/** The usage so far with a later frame's on top: counters are cumulative, and one that does not apply is left out or null. */
export function mergeUsage(before: JsonObject, later: JsonObject): JsonObject {
  const merged: Record<string, Json | undefined> = { ...before };
  for (const [key, value] of Object.entries(later)) if (value !== null && value !== undefined) merged[key] = value;
  return merged;
}

/** Canonical usage on this wire. Media units other than this language's own two are not expressible and stay in the ledger. */
export function encodeUsage(usage: Usage): JsonObject {
  const search = usage.media?.["web_search_requests"] ?? 0;
  const fetch = usage.media?.["web_fetch_requests"] ?? 0;
  return {
    input_tokens: usage.inputUncached,
    cache_creation_input_tokens: usage.cacheWrite5m + usage.cacheWrite1h,
    cache_read_input_tokens: usage.cacheRead,
    cache_creation: { ephemeral_5m_input_tokens: usage.cacheWrite5m, ephemeral_1h_input_tokens: usage.cacheWrite1h },
    output_tokens: usage.output,
    output_tokens_details: usage.reasoning > 0 ? { thinking_tokens: usage.reasoning } : null,
    server_tool_use: search + fetch > 0 ? { web_search_requests: search, web_fetch_requests: fetch } : null,
    service_tier: TIERS.has(usage.serviceTier ?? "") ? usage.serviceTier : null,
    inference_geo: null,
  };
}

const TIERS = new Set(["standard", "priority", "batch"]);

/** This language's own figures, verbatim while they still say the same as the canonical ones. */
export function encodeOwnUsage(native: Json | undefined, usage: Usage): JsonObject {
  if (!isObject(native)) return encodeUsage(usage);
  return sameTokens(decodeUsage(native), usage) ? native : mergeUsage(native, encodeUsage(usage));
}

function sameTokens(a: Usage, b: Usage): boolean {
  return (
    a.inputUncached === b.inputUncached &&
    a.cacheRead === b.cacheRead &&
    a.cacheWrite5m === b.cacheWrite5m &&
    a.cacheWrite1h === b.cacheWrite1h &&
    a.output === b.output &&
    a.reasoning === b.reasoning
  );
}

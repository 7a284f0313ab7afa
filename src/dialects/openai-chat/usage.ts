import { totalInput, type Json, type JsonObject, type Usage } from "../../canon/index.ts";
import { count, isList, isObject, object, text, type Draft } from "./shape.ts";

/** The usage object of an answer or a chunk, wherever its vendor puts it: at the top, in the first choice, or below `x_groq`. */
export function usageObject(body: JsonObject): JsonObject | undefined {
  const top = object(body["usage"]) ?? object(object(body["x_groq"])?.["usage"]);
  if (top) return top;
  const choices = body["choices"];
  const first = isList(choices) ? choices[0] : undefined;
  return isObject(first) ? object(first["usage"]) : undefined;
}

export function usageOf(body: JsonObject): Usage | undefined {
  const usage = usageObject(body);
  return usage && decodeUsage(usage, text(body["service_tier"]));
}

/**
 * Disjoint counts. `prompt_tokens` includes what was read from and written to the cache, `completion_tokens` includes reasoning. Some
 * vendors leave reasoning out of `completion_tokens` but not out of `total_tokens`: the difference is then output too.
 */
export function decodeUsage(usage: JsonObject, serviceTier: string | undefined): Usage {
  const input = object(usage["prompt_tokens_details"]) ?? {};
  const completion = object(usage["completion_tokens_details"]) ?? {};
  const prompt = count(usage["prompt_tokens"]);
  const cacheRead = Math.min(
    prompt,
    count(input["cached_tokens"]) ||
      count(usage["prompt_cache_hit_tokens"]) ||
      count(usage["cached_tokens"]) ||
      count(usage["num_cached_tokens"]),
  );
  const cacheWrite = Math.min(prompt - cacheRead, count(input["cache_write_tokens"]) || count(input["cache_creation_tokens"]));
  const named = count(usage["completion_tokens"]);
  const beyond = Math.max(0, count(usage["total_tokens"]) - prompt - named);
  const output = named + beyond;
  const reasoning = Math.min(output, count(completion["reasoning_tokens"]) || count(usage["reasoning_tokens"]) || beyond);
  const media = mediaOf(usage, input, completion);
  const providerCost = costOfAnswer(usage);
  const tier = serviceTier ?? text(usage["service_tier"]);
  return {
    inputUncached: prompt - cacheRead - cacheWrite,
    cacheRead,
    cacheWrite5m: cacheWrite,
    cacheWrite1h: 0,
    output,
    reasoning,
    ...(media && { media }),
    ...(tier !== undefined && { serviceTier: tier }),
    ...(providerCost !== undefined && { providerCost }),
  };
}

function mediaOf(usage: JsonObject, input: JsonObject, completion: JsonObject): Usage["media"] {
  const media: Record<string, number> = {};
  const add = (unit: string, value: Json | undefined): void => {
    if (count(value) > 0) media[unit] = count(value);
  };
  add("audio_input_tokens", input["audio_tokens"] ?? usage["audio_prompt_tokens"]);
  add("image_input_tokens", input["image_tokens"]);
  add("video_input_tokens", input["video_tokens"]);
  add("audio_output_tokens", completion["audio_tokens"]);
  add("image_output_tokens", completion["image_tokens"]);
  add("web_search_requests", object(usage["server_tool_use_details"])?.["web_search_requests"]);
  add("num_search_queries", usage["num_search_queries"]);
  add("citation_tokens", usage["citation_tokens"]);
  add("input_audio_seconds", usage["prompt_audio_seconds"]);
  add("sources", usage["num_sources_used"]);
  return Object.keys(media).length > 0 ? media : undefined;
}

const TICKS_DECIMALS = 10;

/**
 * What the vendor says the call cost: dollars as a number, text or `{ total_cost }`, or ticks of 10^-10 dollars. Where a router used a
 * key of the account's own (`is_byok`), its figure is only its fee, and what the model's provider took stands beside it.
 */
function costOfAnswer(usage: JsonObject): number | undefined {
  const cost = object(usage["cost"])?.["total_cost"] ?? usage["cost"];
  if (typeof cost === "number" || typeof cost === "string") {
    const fee = nanodollars(String(cost), 0);
    const own = usage["is_byok"] === true ? object(usage["cost_details"])?.["upstream_inference_cost"] : undefined;
    const paid = typeof own === "number" ? nanodollars(String(own), 0) : undefined;
    return fee === undefined || paid === undefined ? fee : fee + paid;
  }
  const ticks = usage["cost_in_usd_ticks"];
  return typeof ticks === "number" ? nanodollars(String(ticks), TICKS_DECIMALS) : undefined;
}

const NANO_DECIMALS = 9;

/**
 * A decimal number of dollars as whole nanodollars, rounded half up, in integers only: `0.0076509169000000005` has no exact double, and
 * its shortest text is what the vendor wrote. `decimals`: how many places the number's own unit stands below a dollar. Undefined for
 * what is no non-negative number.
 */
export function nanodollars(decimal: string, decimals: number): number | undefined {
  const match = /^(\d+)(?:\.(\d*))?(?:e([+-]?\d{1,3}))?$/i.exec(decimal.trim());
  if (!match) return undefined;
  const [, whole = "", fraction = "", exponent = "0"] = match;
  const shift = NANO_DECIMALS - decimals + Number(exponent) - fraction.length;
  const digits = BigInt(whole + fraction);
  const scaled = shift >= 0 ? digits * 10n ** BigInt(shift) : (digits * 2n + 10n ** BigInt(-shift)) / (2n * 10n ** BigInt(-shift));
  const value = Number(scaled);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Service tiers of this language; `standard_only` and the like are other languages' words. */
const SERVICE_TIERS = new Set(["auto", "default", "flex", "priority", "scale", "fast"]);

export function isServiceTier(tier: string | undefined): boolean {
  return tier !== undefined && SERVICE_TIERS.has(tier);
}

/** Usage as this language writes it; totals include what canonical counts keep apart. */
function encodeUsage(usage: Usage): JsonObject {
  const prompt = totalInput(usage);
  const cacheWrite = usage.cacheWrite5m + usage.cacheWrite1h;
  const media = usage.media ?? {};
  const inputDetails: Draft = { cached_tokens: usage.cacheRead, audio_tokens: media["audio_input_tokens"] ?? 0 };
  if (cacheWrite > 0) inputDetails["cache_write_tokens"] = cacheWrite;
  return {
    prompt_tokens: prompt,
    completion_tokens: usage.output,
    total_tokens: prompt + usage.output,
    prompt_tokens_details: inputDetails,
    completion_tokens_details: { reasoning_tokens: usage.reasoning, audio_tokens: media["audio_output_tokens"] ?? 0 },
  };
}

/** The vendor's own usage object where it still tells the same counts, else one written from them. */
export function replayUsage(native: Json | undefined, usage: Usage): Json {
  if (!isObject(native)) return encodeUsage(usage);
  const before = decodeUsage(native, usage.serviceTier);
  const same =
    before.output === usage.output &&
    before.cacheRead === usage.cacheRead &&
    totalInput(before) === totalInput(usage) &&
    before.reasoning === usage.reasoning;
  return same ? native : encodeUsage(usage);
}

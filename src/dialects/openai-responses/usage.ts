import { NANODOLLARS_PER_DOLLAR, type Json, type JsonObject, type Usage } from "../../canon/index.ts";
import { countIn, isObject, textIn } from "./shape.ts";

/**
 * This language's input figure includes cached and cache-written tokens, its output figure includes reasoning.
 * Source: `ResponseUsage` of the official SDK. Writes that live half an hour are the default lifetime; twelve hours count as long.
 */
export function usageOf(response: JsonObject): Usage | undefined {
  const wire = response["usage"];
  if (!isObject(wire)) return undefined;
  const input = countIn(wire["input_tokens"]);
  const details = isObject(wire["input_tokens_details"]) ? wire["input_tokens_details"] : {};
  const outputDetails = isObject(wire["output_tokens_details"]) ? wire["output_tokens_details"] : {};
  const cacheRead = Math.min(countIn(details["cached_tokens"]), input);
  const written = Math.min(countIn(details["cache_write_tokens"]), input - cacheRead);
  const byLifetime = isObject(details["cache_write_tokens_details"]) ? details["cache_write_tokens_details"] : {};
  const long = Math.min(countIn(byLifetime["ttl_12h_tokens"]), written);
  const output = countIn(wire["output_tokens"]);
  const media = mediaOf(response, wire, details, outputDetails);
  const serviceTier = textIn(response["service_tier"]);
  const providerCost = costOf(wire);
  return {
    inputUncached: input - cacheRead - written,
    cacheRead,
    cacheWrite5m: written - long,
    cacheWrite1h: long,
    output,
    reasoning: Math.min(countIn(outputDetails["reasoning_tokens"]), output),
    ...(media && { media }),
    ...(serviceTier !== undefined && { serviceTier }),
    ...(providerCost !== undefined && { providerCost }),
  };
}

/** Ten thousand millionths of a cent: the unit in which some count. */
const TICKS_PER_NANODOLLAR = 10;

/** Some providers say what the call cost, in dollars or in ticks; it becomes an integer here and stays one. */
function costOf(wire: JsonObject): number | undefined {
  const { cost, cost_in_usd_ticks: ticks } = wire;
  const nanodollars =
    typeof cost === "number" ? cost * NANODOLLARS_PER_DOLLAR : typeof ticks === "number" ? ticks / TICKS_PER_NANODOLLAR : -1;
  const whole = Math.round(nanodollars);
  return Number.isSafeInteger(whole) && whole >= 0 ? whole : undefined;
}

/** Where an answer tells of units that are not tokens of text, and under which name they are counted. */
function mediaOf(response: JsonObject, wire: JsonObject, input: JsonObject, output: JsonObject): Record<string, number> | undefined {
  const tools = isObject(response["tool_usage"]) ? response["tool_usage"] : {};
  const search = isObject(tools["web_search"]) ? tools["web_search"] : {};
  const units: Readonly<Record<string, Json | undefined>> = {
    audio_input_tokens: input["audio_tokens"],
    audio_output_tokens: output["audio_tokens"],
    image_input_tokens: input["image_tokens"],
    image_output_tokens: output["image_tokens"],
    web_search_requests: search["num_requests"],
    search_sources: wire["num_sources_used"],
    server_tool_calls: wire["num_server_side_tools_used"],
  };
  const media: Record<string, number> = {};
  for (const [unit, value] of Object.entries(units)) if (countIn(value) > 0) media[unit] = countIn(value);
  return Object.keys(media).length > 0 ? media : undefined;
}

/** The `usage` object of an answer that came from another language. */
export function encodeUsage(usage: Usage): JsonObject {
  const input = usage.inputUncached + usage.cacheRead + usage.cacheWrite5m + usage.cacheWrite1h;
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: usage.cacheRead, cache_write_tokens: usage.cacheWrite5m + usage.cacheWrite1h },
    output_tokens: usage.output,
    output_tokens_details: { reasoning_tokens: usage.reasoning },
    total_tokens: input + usage.output,
  };
}

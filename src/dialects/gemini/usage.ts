import type { Json, JsonObject, Usage } from "../../canon/index.ts";
import { at, isList, isObject } from "./wire.ts";

/** Letters of output that make a token, where a stream broke before its last figures came. */
const LETTERS_PER_TOKEN = 4;

function count(object: JsonObject, name: string): number {
  const value = at(object, name);
  return typeof value === "number" && value > 0 ? value : 0;
}

/** Tokens by modality: `[{ modality: "AUDIO", tokenCount }]`. */
function byModality(usage: JsonObject, name: string): ReadonlyMap<string, number> {
  const list = at(usage, name);
  const counts = new Map<string, number>();
  if (!isList(list)) return counts;
  for (const entry of list) {
    if (!isObject(entry) || typeof entry["modality"] !== "string") continue;
    counts.set(entry["modality"], (counts.get(entry["modality"]) ?? 0) + count(entry, "tokenCount"));
  }
  return counts;
}

/** Modalities that have prices of their own, by the middle of the media units' names. Text and documents are priced as text. */
const MODALITIES: readonly (readonly [modality: string, name: string])[] = [
  ["AUDIO", "audio"],
  ["IMAGE", "image"],
  ["VIDEO", "video"],
];

function mediaOf(usage: JsonObject): Record<string, number> {
  const prompt = byModality(usage, "promptTokensDetails");
  const cached = byModality(usage, "cacheTokensDetails");
  const output = byModality(usage, "candidatesTokensDetails");
  const media: Record<string, number> = {};
  const add = (unit: string, units: number): void => {
    if (units > 0) media[unit] = units;
  };
  for (const [modality, name] of MODALITIES) {
    const fromCache = cached.get(modality) ?? 0;
    // The prompt's details count cached tokens, too.
    add(`input_${name}_tokens`, (prompt.get(modality) ?? 0) - fromCache);
    add(`cached_${name}_tokens`, fromCache);
    add(`output_${name}_tokens`, output.get(modality) ?? 0);
  }
  return media;
}

/** `ON_DEMAND_FLEX` as `flex`; committed capacity keeps its name. */
const TRAFFIC: Readonly<Record<string, string>> = {
  ON_DEMAND: "on_demand",
  ON_DEMAND_PRIORITY: "priority",
  ON_DEMAND_FLEX: "flex",
  ON_DEMAND_OFFPEAK: "offpeak",
  PROVISIONED_THROUGHPUT: "provisioned_throughput",
};

function tierOf(usage: JsonObject): string | undefined {
  const tier = at(usage, "serviceTier");
  if (typeof tier === "string" && tier !== "") return tier.toLowerCase();
  const traffic = at(usage, "trafficType");
  return typeof traffic === "string" && Object.hasOwn(TRAFFIC, traffic) ? TRAFFIC[traffic] : undefined;
}

/**
 * `usageMetadata` in canonical terms. The prompt's count includes cached tokens. What server-side tools gave the model to read
 * (`toolUsePromptTokenCount`) and its thoughts (`thoughtsTokenCount`) stand beside the prompt and the answer, and are paid as input and
 * output. Source: `GenerateContentResponseUsageMetadata` of `@google/genai` 3, whose total is the sum of the four.
 */
export function decodeUsage(usage: JsonObject): Usage {
  const prompt = count(usage, "promptTokenCount");
  const cacheRead = Math.min(prompt, count(usage, "cachedContentTokenCount"));
  const reasoning = count(usage, "thoughtsTokenCount");
  const media = mediaOf(usage);
  const serviceTier = tierOf(usage);
  return {
    inputUncached: prompt - cacheRead + count(usage, "toolUsePromptTokenCount"),
    cacheRead,
    cacheWrite5m: 0,
    cacheWrite1h: 0,
    output: count(usage, "candidatesTokenCount") + reasoning,
    reasoning,
    ...(Object.keys(media).length > 0 && { media }),
    ...(serviceTier !== undefined && { serviceTier }),
  };
}

/** The usage so far with a later frame's on top: counters are cumulative, and some frames tell only some. */
export function mergeUsage(before: JsonObject, later: JsonObject): JsonObject {
  const merged: Record<string, Json | undefined> = { ...before };
  for (const [key, value] of Object.entries(later)) if (value !== null && value !== undefined) merged[key] = value;
  return merged;
}

/** What a broken stream used: its last figures and, estimated, what was written behind them. */
export function brokenUsage(usage: Usage, lettersSince: number): Usage {
  if (lettersSince === 0) return usage;
  return { ...usage, output: usage.output + Math.ceil(lettersSince / LETTERS_PER_TOKEN), estimated: true };
}

/** Canonical usage on this wire. */
export function encodeUsage(usage: Usage): JsonObject {
  const prompt = usage.inputUncached + usage.cacheRead + usage.cacheWrite5m + usage.cacheWrite1h;
  return {
    promptTokenCount: prompt,
    candidatesTokenCount: usage.output - usage.reasoning,
    totalTokenCount: prompt + usage.output,
    ...(usage.cacheRead > 0 && { cachedContentTokenCount: usage.cacheRead }),
    ...(usage.reasoning > 0 && { thoughtsTokenCount: usage.reasoning }),
    promptTokensDetails: [{ modality: "TEXT", tokenCount: prompt }],
  };
}

/** This language's own figures, verbatim while they still say the same as the canonical ones. */
export function encodeOwnUsage(native: Json | undefined, usage: Usage): JsonObject {
  if (!isObject(native)) return encodeUsage(usage);
  const { inputUncached, cacheRead, output, reasoning } = decodeUsage(native);
  const same =
    inputUncached === usage.inputUncached && cacheRead === usage.cacheRead && output === usage.output && reasoning === usage.reasoning;
  return same ? native : encodeUsage(usage);
}

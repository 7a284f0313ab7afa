import { totalInput, type Json, type JsonObject, type Usage } from "../../canon/index.ts";
import { count, isList, object, text, type Draft } from "../shared-shape.ts";

/**
 * Tokens of an answer or of a stream's `metadata`. The input excludes both what was read from a cache and what was written to one (their
 * sum with the output is `totalTokens`), so the counts are disjoint as they stand. `cacheDetails` splits what was written by lifetime.
 * Source: `TokenUsage` of the service's model. Undefined when there is none.
 */
export function usageOf(body: JsonObject): Usage | undefined {
  const usage = object(body["usage"]);
  if (!usage) return undefined;
  const written = count(usage["cacheWriteInputTokens"]);
  const cacheWrite1h = Math.min(written, longLived(usage["cacheDetails"]));
  const tier = text(object(body["serviceTier"])?.["type"]);
  const media: Record<string, number> = {};
  for (const [unit, value] of Object.entries(object(usage["serverToolUsage"]) ?? {})) if (count(value) > 0) media[unit] = count(value);
  return {
    inputUncached: count(usage["inputTokens"]),
    cacheRead: count(usage["cacheReadInputTokens"]),
    cacheWrite5m: written - cacheWrite1h,
    cacheWrite1h,
    output: count(usage["outputTokens"]),
    reasoning: 0,
    ...(Object.keys(media).length > 0 && { media }),
    ...(tier !== undefined && { serviceTier: tier }),
  };
}

function longLived(details: Json | undefined): number {
  if (!isList(details)) return 0;
  let tokens = 0;
  for (const detail of details) if (object(detail)?.["ttl"] === "1h") tokens += count(object(detail)?.["inputTokens"]);
  return tokens;
}

/** Figures as this language has them; cache figures only where there are any. */
export function usageFields(usage: Usage): JsonObject {
  const { inputUncached, cacheRead, cacheWrite5m, cacheWrite1h, output } = usage;
  const written = cacheWrite5m + cacheWrite1h;
  const fields: Draft = { inputTokens: inputUncached, outputTokens: output, totalTokens: totalInput(usage) + output };
  if (cacheRead > 0 || written > 0) Object.assign(fields, { cacheReadInputTokens: cacheRead, cacheWriteInputTokens: written });
  if (cacheWrite1h > 0)
    fields["cacheDetails"] = [
      ...(cacheWrite5m > 0 ? [{ ttl: "5m", inputTokens: cacheWrite5m }] : []),
      { ttl: "1h", inputTokens: cacheWrite1h },
    ];
  return fields;
}

/** Does a verbatim `usage` still say what was counted? */
export function saysUsage(body: JsonObject, usage: Usage): boolean {
  const said = usageOf(body);
  return said !== undefined && totalInput(said) === totalInput(usage) && said.output === usage.output && said.cacheRead === usage.cacheRead;
}

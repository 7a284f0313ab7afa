import type { LimitStanding, LimitStandings } from "../../canon/index.ts";

/** Source: Anthropic's API documentation, "Rate limits", response headers: times as RFC 3339. */
export function encodeLimits({ requests, inputTokens, outputTokens }: LimitStandings, now: number): Record<string, string> {
  const headers: Record<string, string> = {};
  const add = (of: string, standing: LimitStanding | undefined): void => {
    if (!standing) return;
    headers[`anthropic-ratelimit-${of}-limit`] = String(standing.limit);
    headers[`anthropic-ratelimit-${of}-remaining`] = String(standing.remaining);
    headers[`anthropic-ratelimit-${of}-reset`] = new Date(now + standing.resetMs).toISOString();
  };
  add("requests", requests);
  add("input-tokens", inputTokens);
  add("output-tokens", outputTokens);
  return headers;
}

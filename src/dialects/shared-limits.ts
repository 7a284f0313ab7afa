import type { LimitStanding, LimitStandings } from "../canon/index.ts";

/**
 * The headers in which many servers tell how limits stand. Source: OpenAI's API reference, "Rate limits in headers"; tokens there are input
 * and output together, so of two limits the one that has less left is told.
 */
export function commonLimits({ requests, inputTokens, outputTokens }: LimitStandings): Record<string, string> {
  const headers: Record<string, string> = {};
  add(headers, "requests", requests);
  add(headers, "tokens", tighter(inputTokens, outputTokens));
  return headers;
}

function add(headers: Record<string, string>, of: string, standing: LimitStanding | undefined): void {
  if (!standing) return;
  headers[`x-ratelimit-limit-${of}`] = String(standing.limit);
  headers[`x-ratelimit-remaining-${of}`] = String(standing.remaining);
  headers[`x-ratelimit-reset-${of}`] = duration(standing.resetMs);
}

function tighter(a: LimitStanding | undefined, b: LimitStanding | undefined): LimitStanding | undefined {
  if (!a || !b) return a ?? b;
  return a.remaining <= b.remaining ? a : b;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

/** `6m0s`, `1h2m3s`, `20ms`: as Go writes durations, which is what clients of these headers read. */
function duration(ms: number): string {
  if (ms < 1000) return `${Math.ceil(ms)}ms`;
  const hours = Math.floor(ms / HOUR_MS);
  const minutes = Math.floor((ms % HOUR_MS) / MINUTE_MS);
  const seconds = `${Math.ceil(ms % MINUTE_MS) / 1000}s`;
  return `${hours > 0 ? `${hours}h` : ""}${hours > 0 || minutes > 0 ? `${minutes}m` : ""}${seconds}`;
}

import type { Headers, Json } from "../canon/index.ts";
import { readLimitReset, readRetryAfter, readRetryInfo, type LimitHeaders } from "../kit/index.ts";

/** What many servers call the headers of their limits, whichever language they speak. */
export const COMMON_LIMITS: readonly LimitHeaders[] = ["-requests", "-tokens", ""].map((of) => ({
  remaining: `x-ratelimit-remaining${of}`,
  reset: `x-ratelimit-reset${of}`,
}));

/**
 * How long a refusal asks to be left alone, in milliseconds: what it says outright (`retry-after`), else what its body says, else, of a
 * rate limit, when what is used up is full again. The reset headers stand on every answer, so of other failures they say nothing.
 */
export function waitAsked(
  refusal: { readonly status: number; readonly headers: Headers; readonly body: Json | undefined; readonly now?: number },
  limits: readonly LimitHeaders[],
): number | undefined {
  const { status, headers, body, now } = refusal;
  const said = readRetryAfter(headers, now) ?? readRetryInfo(body);
  return said ?? (status === 429 ? readLimitReset(headers, limits, now) : undefined);
}

import type { Call, Headers } from "../../canon/index.ts";

/**
 * In `call.origin.version`: Mistral's own clients, which read a streamed tool call only whole and look for usage in the last chunk without
 * asking for it, because their vendor sends it so.
 */
const WHOLE_CALLS = "mistral-client";

/** How its client wants to be told, by what it says of itself. */
export function clientOf(headers: Headers): string | undefined {
  const agent = headers["x-mistral-user-agent"] ?? headers["user-agent"];
  return agent?.startsWith(WHOLE_CALLS) ? WHOLE_CALLS : undefined;
}

export function readsWholeCalls({ origin }: Pick<Call, "origin">): boolean {
  return origin.version === WHOLE_CALLS;
}

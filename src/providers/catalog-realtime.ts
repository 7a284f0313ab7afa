import type { RealtimeProvider } from "../canon/index.ts";

/** Languages in which kinds of providers hold sessions over a socket. */
const SESSIONS: Readonly<Record<string, readonly string[]>> = {
  openai: ["openai-responses"],
  "openai-compatible": ["openai-responses"],
};

/** What a kind of provider offers; undefined: no sessions. */
export function realtimeOf(kind: string): Pick<RealtimeProvider, "dialects"> | undefined {
  const dialects = Object.hasOwn(SESSIONS, kind) ? SESSIONS[kind] : undefined;
  return dialects && { dialects };
}

/** How a kind of provider holds sessions over a socket. */
export interface RealtimeRow {
  /** Languages in which it does. */
  readonly dialects: readonly string[];
  /** Their paths stand beside the version that other paths begin with. */
  readonly besideVersion?: true;
}

const SESSIONS: Readonly<Record<string, RealtimeRow>> = {
  gemini: { dialects: ["gemini"], besideVersion: true },
  openai: { dialects: ["openai-responses"] },
  "openai-compatible": { dialects: ["openai-responses"] },
};

/** What a kind of provider offers; undefined: no sessions. */
export function realtimeOf(kind: string): RealtimeRow | undefined {
  return Object.hasOwn(SESSIONS, kind) ? SESSIONS[kind] : undefined;
}

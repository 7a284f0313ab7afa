/** What is wanted of a remnant; added up. */
export const WANTS = { lineage: 1, prompt: 2, answer: 4 } as const;

/** How the answer's bytes stand in a remnant. */
export const ANSWER = { none: 0, frames: 1, whole: 2 } as const;

/**
 * What is left of a call that is over, as it came over the wire, for another thread to read: flat, because a list of texts is handed over
 * for a fraction of what objects cost.
 */
export type Remnant = readonly [
  wants: number,
  callId: string,
  callerId: string,
  /** When the call began, milliseconds since 1970. */
  at: number,
  /** The client's language, by its id, and what was asked. */
  dialect: string,
  operation: string,
  /** Headers and named segments of the path that the language may need to read the body; JSON, null: none. */
  door: string | null,
  /** The request's own JSON text; or, where earlier turns were put in front of it, the canonical call as JSON. */
  form: "body" | "call",
  text: string,
  answerForm: number,
  /** Bytes as Latin-1: one letter each. */
  answer: string,
  /** By which the answer's own items are known. */
  provider: string | null,
  /** Of lineage: this answer's id and that of the one it continued, the call that paid for it, and what only others know (JSON). */
  turn: string | null,
  previous: string | null,
  cacheOrigin: string | null,
  parts: string | null,
  /** Number of the policy by which its words are stored; 0: none. */
  policy: number,
];

/** Characters it holds on to. */
export function sizeOf(remnant: Remnant): number {
  return remnant[8].length + remnant[10].length;
}

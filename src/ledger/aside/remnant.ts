/** What is wanted of a remnant; added up. */
export const WANTS = { lineage: 1, prompt: 2, answer: 4 } as const;

/**
 * How the answer's bytes stand in a remnant: frames of a conversation's stream; one JSON text; what is neither, as sound; not at all, because
 * they are too many or some of them are gone.
 */
export const ANSWER = { none: 0, frames: 1, whole: 2, plain: 3, partial: 4 } as const;

/** What is known of a call besides its bytes: a flat list, because that is handed to another thread for a fraction of what objects cost. */
export type RemnantHead = readonly [
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
  /**
   * `text` is the request's own JSON, or its own form; or the canonical call or task as JSON, where its body alone does not say what the model
   * was given.
   */
  form: "body" | "form" | "call" | "task",
  answerForm: number,
  /** By which the answer's own items are known. */
  provider: string | null,
  /** Of lineage: this answer's id and that of the one it continued, the call that paid for it, and what only others know (JSON). */
  turn: string | null,
  previous: string | null,
  cacheOrigin: string | null,
  parts: string | null,
  /** Number of the policy by which its words are stored; 0: none. */
  policy: number,
  /** Content type of the answer; null: there is none. */
  answerType: string | null,
];

/** What is left of a call that is over, as it came over the wire, for another thread to read. */
export interface Remnant {
  readonly text: string | Uint8Array;
  /** Frames, or the whole answer. */
  readonly answer: readonly (Uint8Array | string)[];
  readonly policy: number;
  readonly head: RemnantHead;
}

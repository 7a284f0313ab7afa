/** A kept answer as every engine has it in its table. */
export interface AnswerColumns {
  readonly model: string;
  readonly target: string;
  readonly created_at: number;
  readonly fresh_until: number;
  readonly expires_at: number;
  readonly tags: string;
  readonly key_id: string;
  readonly sealed: Uint8Array;
}

/** Answers dropped at one go when the store is full. */
export const EVICTED = 32;

/** What a sealed row is bound to. */
export function identity(scope: string, key: string): readonly string[] {
  return ["answer", scope, key];
}

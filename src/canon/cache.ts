import type { AuditNote } from "./audit.ts";

/** One answer kept for identical calls. What the store must look at has fields of its own; `content` is sealed. */
export interface CachedAnswer {
  /** Who may get it: one caller, a team, a project or everybody. */
  readonly scope: string;
  /** SHA-256 of everything that makes calls identical, base64url. */
  readonly key: string;
  /** The alias it was asked of. */
  readonly model: string;
  /** `provider/model` that gave it. */
  readonly target: string;
  readonly tags: readonly string[];
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly freshUntil: number;
  /** After it the answer is forgotten; between `freshUntil` and this it is stale. */
  readonly expiresAt: number;
  readonly content: string;
}

/** Which answers to forget. */
export type CacheSelection =
  | { readonly kind: "all" }
  /** One tag, one alias, one `provider/model` or one scope. */
  | { readonly kind: "tag" | "model" | "target" | "scope"; readonly value: string };

/** Answers that identical calls may share: sealed, with a time to live, bounded in bytes, erasable. */
export interface CacheStore {
  /**
   * Keeps an answer in place of an earlier one under the same scope and key; those that expire soonest give way when the store holds more
   * than `maxBytes`. False: the generation is no longer `generation`, so the answer may be one that was to be forgotten.
   */
  keep(answer: CachedAnswer, generation: number, maxBytes: number): Promise<boolean>;
  read(scope: string, key: string, now: number): Promise<CachedAnswer | undefined>;
  /** How many answers were forgotten. `note` is kept with the change. */
  forget(selection: CacheSelection, note?: AuditNote): Promise<number>;
  /** Rises with every `forget` by any process, so that copies in memory are dropped. */
  generation(): Promise<number>;
  /** Forgets what has expired; returns how many. */
  expire(now: number): Promise<number>;
}

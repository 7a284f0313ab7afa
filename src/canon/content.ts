import type { Match } from "./budget.ts";
import type { Json } from "./json.ts";

/** What is taken out of prompts and answers before they are stored. */
export type RedactRule = {
  /** Named in what is stored, with how often it struck. */
  readonly name: string;
  /** Stands in place of what was taken out. */
  readonly with: string;
} & (
  | { readonly pattern: string; readonly flags: string }
  /** A place in what is stored: `$.prompt.items[*].parts[*].text`, `$..arguments`. */
  | { readonly path: string }
);

/** Which calls' prompts and answers are stored, for how long, and what is taken out of them first. */
export interface ContentPolicy {
  readonly match: Match;
  /** Members of the call's metadata, as text; a trailing `*` matches any rest. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** 0 to 1, of the calls that match. */
  readonly share: number;
  readonly what: readonly ("prompt" | "answer")[];
  readonly days: number;
  /** `none`: said out loud that all of it is stored as it is. */
  readonly redact: "none" | readonly RedactRule[];
  /** Characters of one call; what is longer is not stored, and counted. */
  readonly maxCharacters: number;
}

/** Takes out of a value what must not be stored. Pure; a value that nothing struck may be returned itself. */
export interface Redactor {
  redact(value: Json): {
    readonly value: Json;
    /** How often each rule struck, by its name. */ readonly struck: Readonly<Record<string, number>>;
  };
}

/** What was stored of one call, after redaction. Media stand as the hash of their bytes. */
export interface StoredContent {
  readonly callId: string;
  readonly callerId: string;
  /** When the call began, and from when on nobody can read this; milliseconds since 1970. */
  readonly at: number;
  readonly expiresAt: number;
  readonly content: Json;
}

export type ContentSelection =
  | { readonly kind: "call" | "caller"; readonly value: string }
  /** `value`: SHA-256 of the end user's id as the call named it, lower-case hex: the id itself is not kept. */
  | { readonly kind: "endUser"; readonly value: string };

/** A part that is dropped as a whole. */
export interface ContentPartition {
  /** `2026-01-31`, in UTC: what is in it expires on this day. It is dropped when the day is over. */
  readonly expires: string;
  readonly calls: number;
}

/** One entry for `ContentStore.keep`. */
export type PackedContent = readonly [
  callId: string,
  callerId: string,
  endUser: string | null,
  at: number,
  expiresAt: number,
  /** JSON text. */
  content: string,
];

/** Prompts and answers that a policy says to store: sealed at rest, apart from everything that serves calls, and dropped by days as a whole. */
export interface ContentStore {
  /**
   * The first of a call stays. `packed`: JSON text of a list of `PackedContent`, made elsewhere, so that nobody has to take it apart on the
   * way. A refusal loses it: nobody's answer depends on it.
   */
  keep(packed: string): Promise<void>;
  /** `at`: when the call began. Undefined when nothing was stored, or it has expired at `now`. */
  read(callId: string, at: number, now: number): Promise<StoredContent | undefined>;
  /** Gone from the disk, not only out of sight; returns how many calls. */
  erase(selection: ContentSelection): Promise<number>;
  /** Drops the partitions whose day is over; returns how many. */
  drop(now: number): Promise<number>;
  partitions(): Promise<readonly ContentPartition[]>;
}

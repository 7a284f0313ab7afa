import type { Switch } from "./stores.ts";

/** How the answer of a journaled call begins. */
export interface JournalHead {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The answer is one piece, not a stream: its body is the only frame. */
  readonly whole?: true;
  /** The id by which the client knows the answer. */
  readonly answerId?: string;
  /** The client may ask for the stream by that id. */
  readonly findable?: true;
}

/** What is new of one call since it was spilled last. */
export interface JournalPart {
  readonly callId: string;
  readonly scope: string;
  readonly dialect: string;
  /** The running gateway that makes the answer. */
  readonly node: string;
  /** Number of the first of `frames`; frames count from 1. */
  readonly first: number;
  readonly frames: readonly Uint8Array[];
  /** With a call's first part. */
  readonly head?: JournalHead;
  /** With its last: until when it may be read, milliseconds since 1970. */
  readonly until?: number;
}

/** What the journal knows of a call. `broken`: its gateway died before the end. */
export interface JournalEntry {
  readonly callId: string;
  readonly scope: string;
  readonly dialect: string;
  readonly node: string;
  readonly state: "open" | "ended" | "broken";
  /** Milliseconds since 1970. */
  readonly beganAt: number;
  /** Number of the last frame, once it has ended. */
  readonly last?: number;
}

/** Some of a call's frames, in order and without gaps. */
export interface JournalPage {
  readonly entry: JournalEntry;
  /** Only with the first page; undefined there when the block that held it is gone. */
  readonly head: JournalHead | undefined;
  /** Number of the first of `frames`; larger than asked for when those before are gone. */
  readonly first: number;
  readonly frames: readonly Uint8Array[];
  /** More can be read at once. */
  readonly more: boolean;
  /** Where the store goes on: given back as `from`, it spares looking at the same blocks again. */
  readonly next: number;
}

/**
 * Frames of streamed calls, spilled in blocks of many calls, so that they outlive memory and process. Sealed, bounded in bytes (the oldest
 * go first) and in time. Losing it costs resumption and nothing else: it is written without waiting for the disk's own caches.
 */
export interface JournalStore {
  /** Resolves when the parts survive the death of this process. Rejects with `storage_unavailable`: then none of them is kept. */
  append(parts: readonly JournalPart[], now: number): Promise<void>;
  find(callId: string, now: number): Promise<JournalEntry | undefined>;
  /** The newest call of this scope whose head names the answer. */
  findAnswer(scope: string, answerId: string, now: number): Promise<JournalEntry | undefined>;
  /** Frames behind number `after`, about `maxBytes` of them; `from` is 0 at first. Undefined when the call is unknown or has expired. */
  read(callId: string, after: number, maxBytes: number, now: number, from: number): Promise<JournalPage | undefined>;
  /** Calls that `node` (every node, when undefined) left open are broken, and readable until `until`; returns how many. */
  abandon(node: string | undefined, until: number): Promise<number>;
}

/** Somebody holds an idempotency key. */
export interface HeldKey {
  readonly callId: string;
  readonly node: string;
  /** Of the request it came with. */
  readonly fingerprint: string;
  /** Undefined while the call runs, and for ever when its gateway died. */
  readonly answer?: RepeatableAnswer;
}

/** An answer as its client got it, byte for byte. */
export interface RepeatableAnswer {
  readonly head: JournalHead;
  readonly frames: readonly Uint8Array[];
}

export interface KeyClaim {
  readonly scope: string;
  /** The caller's own text. */
  readonly key: string;
  readonly fingerprint: string;
  readonly callId: string;
  readonly node: string;
  readonly expiresAt: number;
}

/** Keys by which a caller marks a request as a repetition, each kept under its caller's scope. Answers are sealed. */
export interface IdempotencyStore {
  /**
   * Takes the key, durably and for one only, over all processes. Undefined: it is ours. `instead`: takes it over from the call of this id,
   * if that still holds it.
   */
  claim(claim: KeyClaim, now: number, instead?: string): Promise<HeldKey | undefined>;
  /** Keeps the answer for whoever repeats the request; does nothing when `callId` does not hold the key. */
  keep(scope: string, key: string, callId: string, answer: RepeatableAnswer): Promise<void>;
  /** The key may be used anew; does nothing when `callId` does not hold it. */
  release(scope: string, key: string, callId: string): Promise<void>;
  read(scope: string, key: string, now: number): Promise<HeldKey | undefined>;
}

/** What the processes of one gateway tell each other. */
export interface Signals {
  /** Reaches every other process that is alive now; nobody answers. */
  tell(signal: Signal): void;
  /** The function returned ends it. */
  hear(listener: (signal: Signal) => void): () => void;
}

/**
 * `cancel`: whoever runs this call of this scope is to stop it. `recall`: what is leased of this counter and not used is to be given back.
 * `kill`: this kill switch is on its way to the store and in force already. `lift`: it is in force no longer. `health`: what was found out
 * about targets and keys. `newcomer`: a process has begun; whoever knows something of health tells it. `repeat`: an attempt was repeated
 * that is paid for by all processes together.
 */
export type Signal =
  | { readonly type: "cancel"; readonly callId: string; readonly scope: string }
  | { readonly type: "recall"; readonly counter: string }
  | { readonly type: "kill"; readonly entry: Switch }
  | { readonly type: "lift"; readonly id: string }
  | { readonly type: "health"; readonly news: readonly HealthNews[] }
  | { readonly type: "newcomer" }
  | { readonly type: "repeat" };

/** What one process found out about a target (`model`) or a key (`key`) of a provider, for the others to go by. */
export interface HealthNews {
  readonly provider: string;
  readonly model?: string;
  /** The key's id. */
  readonly key?: string;
  /**
   * Of a target's breaker: `opened` for `ms`, `probing` for `ms` at most, `closed`, `unproven` (the probe ended and told nothing). Of a
   * target or a key: `limited` for `ms`. Of a key: `refused` for `ms`, `probing`, `accepted`, `unproven`.
   */
  readonly what: "opened" | "probing" | "closed" | "unproven" | "limited" | "refused" | "accepted";
  /** Milliseconds since 1970, raised beyond every earlier news of the same subject: the newest holds. */
  readonly at: number;
  readonly ms?: number;
  /** Openings in a row. */
  readonly times?: number;
  readonly reason?: string;
}

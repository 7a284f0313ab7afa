import type { JsonObject } from "./json.ts";

/** `allowed` is a decision that let something pass; `refused` one that did not; `failed`: it was tried and went wrong. */
export type AuditOutcome = "done" | "allowed" | "refused" | "failed";

/** What happened. Facts and hashes only: what was said is named by its hash, so that erasing it leaves the chain whole. */
export interface AuditNote {
  /** Unique; a note handed over twice is kept once. */
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** `admin`, `key:ID`, `file`, `cli`, `gateway`, or a person's name at their issuer. */
  readonly actor: string;
  /** What was done, from the general to the particular: `key.create`. */
  readonly action: string;
  /** To what: `key:ID`, `model:NAME`. */
  readonly subject: string;
  readonly outcome: AuditOutcome;
  /** Ties together what one request did. */
  readonly requestId?: string;
  readonly details?: JsonObject;
}

/** What happened, as its teller knows it: who acts, in which request and when are known already. */
export interface AuditEvent {
  readonly action: string;
  readonly subject: string;
  /** Default: `done`. */
  readonly outcome?: AuditOutcome;
  /** Facts and hashes; never what somebody said. */
  readonly details?: JsonObject;
  /** Default: whoever acts, else the gateway itself. */
  readonly actor?: string;
}

/** Keeps a note; resolves when it is durable. Rejects with `storage_unavailable`: what it tells of must be refused then. */
export type NoteAudit = (event: AuditEvent) => Promise<AuditLink>;

/** A place in the chain. Sequences begin with 1 and have no gaps. `hash` is SHA-256 of the entry's text, lower-case hex. */
export interface AuditLink {
  readonly sequence: number;
  readonly hash: string;
}

/** An entry as it is kept. `text` is the canonical JSON (RFC 8785) of the note with `sequence` and `previous`, the hash of the entry before. */
export interface AuditRecord extends AuditLink {
  readonly text: string;
}

/** A signed word on the first `size` entries. */
export interface AuditCheckpoint {
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** A tlog-checkpoint as a C2SP signed note. */
  readonly note: string;
  /** Roots of the complete subtrees of these entries, largest first, lower-case hex: the next checkpoint goes on from them. */
  readonly frontier: readonly string[];
}

/** The chain: appended to, never changed. One writer gives the sequence numbers, whatever process a note comes from. */
export interface AuditStore {
  /** Resolves when the entry is durable. */
  append(note: AuditNote): Promise<AuditLink>;
  /** Of the last entry; undefined while there is none. */
  head(): Promise<AuditLink | undefined>;
  /** Entries behind number `after` in order, at most 1000. */
  read(after: number, limit: number): Promise<readonly AuditRecord[]>;
  /** The first of its size stays. */
  keepCheckpoint(checkpoint: AuditCheckpoint): Promise<void>;
  /** Of more than `after` entries, smallest first, at most 1000. */
  checkpoints(after: number, limit: number): Promise<readonly AuditCheckpoint[]>;
  lastCheckpoint(): Promise<AuditCheckpoint | undefined>;
}

/**
 * What a call was made of and what came of it, by hash only: `sha256:` and 64 hex digits. A text's hash is that of its UTF-8 bytes, so
 * that whoever holds the text can ask; other things are hashed as canonical JSON (RFC 8785).
 */
export interface LineageRecord {
  readonly callId: string;
  readonly callerId: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Of the canonical call: everything that the model was given. */
  readonly prompt: string;
  /** Of the answer's text, where it has any: what was said, or heard. */
  readonly output?: string;
  /** Of all items of the answer; of a task, of its result. */
  readonly answer?: string;
  /** Images and sounds that the answer holds, by their bytes. */
  readonly made?: readonly string[];
  /** True: there was an answer, too long to be read back; it has no hash. */
  readonly partial?: true;
  /** The answer's id as its client knows it. */
  readonly turn?: string;
  /** The same of the earlier answer that this call continued. */
  readonly previous?: string;
  /** The call that paid for the answer, where it came from the cache or from an identical call under way. */
  readonly cacheOrigin?: string;
  /** Results of tools that the model was given. */
  readonly tools: readonly LineageTool[];
  /** Tools that the answer calls. */
  readonly calls: readonly LineageTool[];
  /** Texts, images, files and sounds that the model was given, where they are not tools' results. */
  readonly documents: readonly LineageDocument[];
  /** True: it was given more than is listed. */
  readonly cut?: true;
  /** Of whoever made the prompt from a template. */
  readonly template?: string;
  /** Which redactions were in force. */
  readonly redactions?: string;
  /** Chunks that were retrieved for it. */
  readonly chunks?: readonly string[];
  readonly approvals?: readonly string[];
}

export interface LineageTool {
  /** The id that ties a tool's call to its result. */
  readonly id: string;
  readonly name?: string;
  readonly arguments?: string;
  readonly result?: string;
}

export interface LineageDocument {
  readonly kind: "user" | "assistant" | "instructions" | "image" | "file" | "audio";
  readonly hash: string;
}

/** `in`: the call was given it. `out`: the call made it. */
export type LineageRole = "in" | "out";

/** A record for `LineageStore.keepPacked`; `links` as role, space and name, `record` as JSON text. */
export type PackedLineage = readonly [callId: string, at: number, links: readonly string[], record: string];

export interface LineageStore {
  /** Queued for the next group commit. `links`: by what the record is found: hashes, and `call:ID`. */
  keep(record: LineageRecord, links: readonly (readonly [role: LineageRole, name: string])[]): Promise<void>;
  /**
   * The same of many. `packed`: JSON text of a list of `PackedLineage`, made elsewhere, so that nobody has to take it apart on the way.
   */
  keepPacked(packed: string): Promise<void>;
  read(callId: string): Promise<LineageRecord | undefined>;
  /** Records with this link, newest first. */
  find(role: LineageRole, name: string, limit: number): Promise<readonly LineageRecord[]>;
  /** Forgets what is older; returns how many records. */
  expire(before: number): Promise<number>;
}

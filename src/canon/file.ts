import type { Json } from "./json.ts";

/** A file that a caller gave to be used later, or that was made for it. Its content is kept in pieces beside it. */
export interface KeptFile {
  readonly scope: string;
  readonly id: string;
  /** As its owner calls it. It never becomes a path. */
  readonly name: string;
  /** What it is for, in the words of the language it came in. */
  readonly purpose: string;
  readonly bytes: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly expiresAt: number;
}

/** A part of a list, newest first. */
export interface Page<T> {
  readonly entries: readonly T[];
  readonly more: boolean;
}
export interface PageQuery {
  readonly limit: number;
  /** Only what comes behind this one in the list. */
  readonly after?: string;
  readonly oldestFirst?: boolean;
}

/** Bytes of every piece of a file but its last. */
export const PIECE_BYTES = 256 * 1024;

/** Serving data: scoped to its caller, encrypted, with a time to live, erasable. */
export interface FileStore {
  /** In place of an earlier one at that place. Nobody sees pieces of a file that is not kept; they are forgotten when they expire. */
  keepPiece(scope: string, file: string, place: number, expiresAt: number, content: Uint8Array): Promise<void>;
  /** Once all its pieces are. False, and nothing is kept, where the caller's files together would be larger than `maxBytes`. */
  keep(file: KeptFile, maxBytes: number): Promise<boolean>;
  read(scope: string, id: string, now: number): Promise<KeptFile | undefined>;
  readPiece(scope: string, file: string, place: number): Promise<Uint8Array | undefined>;
  list(scope: string, query: PageQuery & { readonly purpose?: string }, now: number): Promise<Page<KeptFile>>;
  /** With its pieces; also of one that was never whole. False when there is none of this id. */
  delete(scope: string, id: string): Promise<boolean>;
  /** Forgets what has expired, batches too; returns how many rows. */
  expire(now: number): Promise<number>;
}

/** Files in one wire language: its endpoints and shapes. */
export interface FileLanguage {
  readonly doors: readonly FileDoor[];
  /** Begins every id. */
  readonly prefix: string;
  /** What the fields of a form beside the file say. @throws ProblemError invalid_request */
  decode(fields: Readonly<Record<string, string>>): { readonly purpose: string; readonly lifeMs?: number };
  encode(file: KeptFile): Json;
  encodePage(page: Page<KeptFile>): Json;
  encodeDeleted(id: string): Json;
}
export interface FileDoor {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly does: "upload" | "list" | "read" | "content" | "delete";
}

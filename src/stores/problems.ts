import { ProblemError } from "../canon/index.ts";

/** `code` of the problem by which `openSqlite` refuses a folder that another process holds; the command line then asks that process. */
export const FOLDER_IN_USE = "data_folder_in_use";

/** The record cannot be written or read now. `message` says why and, where a person can help, how. */
export function unavailable(message: string, options?: ErrorOptions): ProblemError {
  return new ProblemError({ kind: "storage_unavailable", message }, options);
}

/** Two things claim the same identity. */
export function conflict(message: string, code?: string): ProblemError {
  return new ProblemError({ kind: "conflict", message, ...(code !== undefined && { code }) });
}

/** A configuration made from a version that is no longer the newest would undo what was changed since. */
export function staleBase(base: number, newest: number): ProblemError {
  return conflict(
    `The configuration has changed meanwhile: version ${newest} is the newest, and the change was made from version ${base}. Read it again and repeat the change.`,
    "config_changed",
  );
}

/** What the operating system and SQLite say in their own way, for people. */
const PLAIN_WORDS: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EROFS: "the disk can only be read",
  EACCES: "this user has no right to it",
  EPERM: "this user has no right to it",
};

export function reasonOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const code = "code" in thrown && typeof thrown.code === "string" ? thrown.code : "";
  return PLAIN_WORDS[code] ?? (/database or disk is full/.test(thrown.message) ? "the disk is full" : thrown.message);
}

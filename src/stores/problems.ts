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

export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

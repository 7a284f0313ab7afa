/**
 * Primary result codes of SQLite (sqlite.org/rescode.html) that are about one statement: its batch goes on without it. Everything else
 * (full, read-only, I/O, locked, corrupt, out of memory) is about the disk or the machine: then the whole batch is for later.
 */
const STATEMENT_CODES: ReadonlySet<number> = new Set([1, 18, 19, 20, 21, 25]);

export function isAboutStatement(error: unknown): boolean {
  return !(error instanceof Error && "errcode" in error) || STATEMENT_CODES.has(Number(error.errcode) & 0xff);
}

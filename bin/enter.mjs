// How a program of the checkout begins, in the launcher's own process or in a child of it.
import module from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { noteRunning } from "./running.mjs";
import { countSignalsOnce } from "./signals.mjs";

/** Runs a TypeScript program as if it had been started directly. */
export async function enter(program, args) {
  // Stripping types and compiling are most of a start; their results are kept in the checkout. A folder that cannot be written is no trouble.
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  module.enableCompileCache?.(join(root, ".runtime/compiled"));
  noteRunning(root);
  countSignalsOnce();
  process.argv = [process.execPath, program, ...args];
  await import(pathToFileURL(program).href);
}

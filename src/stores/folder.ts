import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { reasonOf, unavailable } from "./problems.ts";

const OWNER_ONLY = 0o700;

/**
 * Makes a data folder and what is missing above it, for its owner alone. One level at a time: of a folder that cannot be made some file
 * systems (`/proc`) say that its parent is missing, and Node's own recursive way then tries for ever.
 * Throws `storage_unavailable`, saying why and what to do.
 */
export function makeFolder(folder: string): void {
  try {
    const missing: string[] = [];
    for (let at = folder; !existsSync(at) && dirname(at) !== at; at = dirname(at)) missing.push(at);
    for (const path of missing.toReversed()) makeOne(path);
    if (!statSync(folder).isDirectory()) throw new Error("something else has that name");
  } catch (error) {
    throw unavailable(`The data folder ${folder} cannot be made: ${reasonOf(error)}. Choose another with --data.`, { cause: error });
  }
}

/** Another process may make it at the same moment. */
function makeOne(path: string): void {
  try {
    mkdirSync(path, { mode: OWNER_ONLY });
  } catch (error) {
    if (!existsSync(path)) throw error;
  }
}

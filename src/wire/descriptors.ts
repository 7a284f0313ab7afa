import { readdirSync, readFileSync } from "node:fs";

/** Descriptors left for files, databases and name look-ups. */
const SPARE = 32;
/** A client's connection usually needs one towards an upstream. */
const PER_CONNECTION = 2;

/** How many clients this process has file descriptors for; undefined where the system does not say (no /proc). */
export function connectionsAffordable(): number | undefined {
  try {
    const limit = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    if (limit === undefined || limit === "unlimited") return undefined;
    const open = readdirSync("/proc/self/fd").length;
    return Math.max(1, Math.floor((Number(limit) - open - SPARE) / PER_CONNECTION));
  } catch {
    return undefined;
  }
}

import { availableParallelism, loadavg } from "node:os";

/**
 * How long may be waited for what is promised within `ms`. Exactly so long on a machine that has the time; where more wants to run than there
 * are cores, everybody's turn comes later, and a test can only ask for the promise in turns.
 */
export function promisedMs(ms: number): number {
  return ms * Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());
}

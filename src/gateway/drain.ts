import type { Clock } from "../canon/index.ts";
import type { GatewayDeps } from "./run.ts";

/** How long calls that outlast the drain have to tell their clients and to settle. */
const FAREWELL_MS = 2000;

/** No new calls; running ones finish. Those that outlast the patience are stopped, which their clients are told, and settled all the same. `close`: stops accepting, and closes what is still open after so many milliseconds. */
export async function drain(
  { clock, live, ledger }: Pick<GatewayDeps, "clock" | "live" | "ledger">,
  close: (ms: number) => Promise<void>,
  patienceMs: number,
): Promise<void> {
  const closed = close(patienceMs + FAREWELL_MS);
  const rows = onlyRowsLeft(clock, live, ledger);
  await Promise.race([live.whenIdle(), rows.reached, after(clock, patienceMs)]);
  live.stopAll({ kind: "gateway_restarted", message: "The gateway was stopped before this call was complete." });
  await Promise.race([live.whenIdle(), rows.reached, after(clock, FAREWELL_MS)]);
  rows.stop();
  await closed;
}

/** How often a drain looks whether anything but rows is left. */
const LOOK_MS = 100;

/**
 * Reached when no call is running any more and the record cannot be written: what is left are rows that wait for the disk, and no
 * patience helps them. They get their last chance when the stores close.
 */
function onlyRowsLeft(
  clock: Clock,
  live: GatewayDeps["live"],
  ledger: GatewayDeps["ledger"],
): { readonly reached: Promise<void>; readonly stop: () => void } {
  let stop = (): void => {};
  const reached = new Promise<void>((resolve) => {
    const look = (): void => {
      if (ledger.failure() !== undefined && !live.findRunning((call) => call.state === "open")) resolve();
      else stop = clock.after(LOOK_MS, look);
    };
    look();
  });
  return { reached, stop: () => stop() };
}

function after(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => clock.after(ms, resolve));
}

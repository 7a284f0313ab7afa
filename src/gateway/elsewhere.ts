import type { Caller } from "../canon/index.ts";
import type { GatewayDeps } from "./run.ts";

/** How long a call that another process runs is waited for after it was told to stop, in milliseconds, and how often it is looked at. */
const STOP_WAIT_MS = 10_000;
const LOOK_MS = 25;

type Deps = Pick<GatewayDeps, "clock" | "ledger" | "signals">;

/** Stops a call that another process of this gateway runs, and waits until it is settled. Does nothing where there is no such call. */
export async function cancelElsewhere(deps: Deps, callId: string, caller: Caller): Promise<void> {
  const open = await deps.ledger.readOpen(callId);
  if (open?.callerId !== caller.id) return;
  deps.signals.tell({ type: "cancel", callId, scope: caller.scope });
  await whenOver(deps, callId, STOP_WAIT_MS);
}

/** Resolves with true when the call has its row, with false when it has none in time. */
export async function whenOver({ clock, ledger }: Pick<Deps, "clock" | "ledger">, callId: string, waitMs: number): Promise<boolean> {
  const until = clock.monotonic() + waitMs;
  for (;;) {
    if (await ledger.read(callId)) return true;
    if (clock.monotonic() >= until) return false;
    await new Promise<void>((resolve) => clock.after(LOOK_MS, resolve));
  }
}

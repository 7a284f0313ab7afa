import { FORCED_SHUT } from "../retry.ts";
import { Refusal } from "./permit.ts";
import type { ProviderState, TargetState } from "./target.ts";

/** Said where nobody can know when a place will be free, in milliseconds. */
const SOON_MS = 1000;

export function forcedShut(target: TargetState): Refusal {
  return new Refusal({
    kind: "upstream_unavailable",
    code: FORCED_SHUT,
    message: `The target ${target.name} was shut by an administrator.`,
  });
}

/** Its breaker is open, or its probe is under way. */
export function breakerOpen(target: TargetState, now: number): Refusal {
  return new Refusal({
    kind: "upstream_unavailable",
    code: "breaker_open",
    message: `The target ${target.name} failed too often and rests.`,
    retryAfterMs: target.breaker.restMs(now) || SOON_MS,
  });
}

export function coolingDown(target: TargetState, now: number): Refusal {
  return new Refusal({
    kind: "rate_limited",
    code: "cooling_down",
    message: `The target ${target.name} limits the rate of calls and is left alone until it takes more.`,
    retryAfterMs: target.cooldown.restMs(now),
  });
}

/** Every key rests: for its limits, or because the provider refuses it. */
export function keysResting(provider: ProviderState, now: number): Refusal {
  const keys = provider.keys?.keys ?? [];
  const refused = keys.every((key) => !key.refused.isOver(now) || key.isProbing(now));
  return new Refusal({
    kind: refused ? "upstream_unavailable" : "rate_limited",
    code: refused ? "keys_refused" : "keys_limited",
    message: refused
      ? `The provider "${provider.name}" refuses the gateway's own credentials; an administrator must check its keys.`
      : `Every key of the provider "${provider.name}" has reached its limit.`,
    retryAfterMs: provider.keys?.restMs(now) || SOON_MS,
  });
}

export function queueFull(target: TargetState): Refusal {
  return new Refusal({
    kind: "overloaded",
    code: "queue_full",
    message: `Too many calls wait for the target ${target.name}.`,
    retryAfterMs: SOON_MS,
  });
}

export function waitedTooLong(target: TargetState): Refusal {
  return new Refusal({
    kind: "overloaded",
    code: "queue_timeout",
    message: `The target ${target.name} had no place in time.`,
    retryAfterMs: SOON_MS,
  });
}

export function cancelledWait(): Refusal {
  return new Refusal({ kind: "cancelled", message: "The call was stopped while it waited for a place." });
}

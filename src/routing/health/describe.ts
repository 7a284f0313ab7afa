import { isUp, type TargetState, type ProviderState } from "./target.ts";

/** A target's health for people and programs. Times are milliseconds from now. */
export interface TargetHealth {
  /** `provider/model`. */
  readonly target: string;
  readonly state: "closed" | "open" | "half-open" | "cooling down" | "ejected" | "shut" | "forced open";
  /** Why it is not asked, in a few words. */
  readonly reason?: string;
  /** When it is tried again, where that is known. */
  readonly restMs?: number;
  readonly force: "open" | "shut" | "auto";
  readonly inFlight: number;
  readonly queued: number;
  /** Attempts at once, as configured. */
  readonly concurrency?: number;
  /** Attempts at once, lowered because it was overloaded. */
  readonly adaptiveConcurrency?: number;
  /** Within the breaker's window. */
  readonly attempts: number;
  readonly failures: number;
  readonly lastProblem?: string;
  readonly latency?: { readonly ttftMs: number; readonly tokensPerSecond?: number; readonly samples: number };
}

/** A key's health; the key itself is known to its provider alone. */
export interface KeyHealth {
  /** `provider#number`, counted from 1 in the order of the configuration. */
  readonly key: string;
  readonly state: "ready" | "limited" | "refused" | "probing";
  readonly restMs?: number;
  readonly inFlight: number;
  readonly weight: number;
}

export interface ProviderHealth {
  readonly provider: string;
  readonly force: "open" | "shut" | "auto";
  readonly inFlight: number;
  readonly concurrency?: number;
  readonly keys: readonly KeyHealth[];
}

/** Everything remembered, sorted by name. */
export function describeAll(
  all: Iterable<ProviderState>,
  now: number,
): { readonly targets: readonly TargetHealth[]; readonly providers: readonly ProviderHealth[] } {
  const providers = [...all].toSorted(byName);
  return {
    providers: providers.map((provider) => describeProvider(provider, now)),
    targets: providers.flatMap((provider) => [...provider.targets.values()].toSorted(byName).map((target) => describeTarget(target, now))),
  };
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}

function describeTarget(target: TargetState, now: number): TargetHealth {
  const { force, inFlight, concurrency, adaptive, speed, breaker, lastProblem } = target;
  const state = stateOf(target, now);
  const restMs = restOf(target, state, now);
  const reason = whyBlocked(target, now);
  const { samples, tokensPerSecond } = speed;
  return {
    target: target.name,
    state,
    ...(reason !== undefined && { reason }),
    ...(restMs > 0 && { restMs }),
    force,
    inFlight,
    queued: target.queue.size,
    ...(Number.isFinite(concurrency) && { concurrency }),
    ...(Number.isFinite(adaptive.limit) && { adaptiveConcurrency: adaptive.limit }),
    attempts: breaker.window.calls(now),
    failures: breaker.window.failures(now),
    ...(lastProblem !== undefined && { lastProblem }),
    ...(samples > 0 && { latency: { ttftMs: speed.ttftMs, samples, ...(tokensPerSecond !== undefined && { tokensPerSecond }) } }),
  };
}

function describeProvider(provider: ProviderState, now: number): ProviderHealth {
  const { force, inFlight, concurrency } = provider;
  return {
    provider: provider.name,
    force,
    inFlight,
    ...(Number.isFinite(concurrency) && { concurrency }),
    keys: (provider.keys?.keys ?? []).map((key) => {
      const restMs = key.restMs(now);
      const state = !key.refused.isOver(now) ? "refused" : !key.limited.isOver(now) ? "limited" : key.isProbing(now) ? "probing" : "ready";
      return { key: key.credential.id, state, ...(restMs > 0 && { restMs }), inFlight: key.inFlight, weight: key.credential.weight };
    }),
  };
}

function stateOf(target: TargetState, now: number): TargetHealth["state"] {
  if (target.forced === "shut") return "shut";
  if (target.forced === "open") return "forced open";
  if (target.breaker.state !== "closed") return target.breaker.state;
  if (!target.cooldown.isOver(now)) return "cooling down";
  return now < target.ejectedUntil ? "ejected" : "closed";
}

function restOf(target: TargetState, state: TargetHealth["state"], now: number): number {
  switch (state) {
    case "open":
      return target.breaker.restMs(now);
    case "cooling down":
      return target.cooldown.restMs(now);
    case "ejected":
      return Math.ceil(target.ejectedUntil - now);
    default:
      return 0;
  }
}

/** Is it kept out by nothing but doing worse than its peers? */
export function isSetAside(target: TargetState, now: number): boolean {
  const { forced, breaker, cooldown, provider } = target;
  if (forced !== "auto" || isUp(target, now)) return false;
  return breaker.admits(now) && cooldown.isOver(now) && (provider.keys?.isAlive(now) ?? true);
}

/** Why a target should not be asked now, in a few words; undefined when it may be. Allocates only where it is blocked. */
export function whyBlocked(target: TargetState, now: number): string | undefined {
  const { forced, breaker, provider } = target;
  if (forced !== "auto") return forced === "shut" ? "shut by an administrator" : undefined;
  if (isUp(target, now)) return undefined;
  if (!breaker.admits(now))
    return breaker.state === "half-open" ? "its probe is under way" : `its breaker is open for ${breaker.restMs(now)} ms`;
  if (!target.cooldown.isOver(now)) return `it limits the rate of calls for ${target.cooldown.restMs(now)} ms`;
  if (provider.keys && !provider.keys.isAlive(now)) return "every key of its provider rests";
  return `set aside: ${target.ejectedFor}`;
}

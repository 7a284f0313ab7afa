import type { Alias } from "../../canon/index.ts";
import type { HealthOptions } from "./options.ts";
import type { TargetState } from "./target.ts";

/** Targets of one alias, compared with each other. */
export interface PeerGroup {
  /** Targets the alias has, asked or not. */
  readonly size: number;
  /** Those that were asked at least once. */
  readonly members: Set<TargetState>;
  /** When they are compared next. */
  nextAt: number;
}

/** The peers of every target that shares an alias with others, by `provider/model`. */
export function groupsOf(aliases: ReadonlyMap<string, Pick<Alias, "targets">>, nextAt: number): Map<string, PeerGroup[]> {
  const groups = new Map<string, PeerGroup[]>();
  for (const { targets } of aliases.values()) {
    const names = new Set(targets.map(({ provider, model }) => `${provider}/${model}`));
    if (names.size < 2) continue;
    const group: PeerGroup = { size: names.size, members: new Set(), nextAt };
    for (const name of names) groups.set(name, [...(groups.get(name) ?? []), group]);
  }
  return groups;
}

/** Memory of ejections fades after this many times the rest without a new one. */
const FORGIVEN_AFTER = 5;

/**
 * Sets aside a target that does far worse than its peers (after Envoy's outlier detection), but never more than a share of them: who is
 * worst of a bad lot is still needed. Returns those newly set aside, each with `ejectedFor` filled in.
 */
export function judgePeers(group: PeerGroup, now: number, options: HealthOptions["ejection"]): readonly TargetState[] {
  group.nextAt = now + options.everyMs;
  const members = [...group.members];
  const measured = members.filter((one) => now >= one.ejectedUntil && (isCounted(one, now, options) || isTimed(one, options)));
  let room = Math.floor(group.size * options.maxShare) - members.filter((one) => now < one.ejectedUntil).length;
  const ejected: TargetState[] = [];
  if (measured.length >= 2) {
    // The worst first: the room may not suffice for all.
    for (const one of measured.toSorted((a, b) => errorShare(b, now) - errorShare(a, now))) {
      const peers = measured.filter((other) => other !== one && !ejected.includes(other));
      const reason = room > 0 && peers.length > 0 ? whyOutlier(one, peers, now, options) : undefined;
      if (reason === undefined) continue;
      one.ejectedFor = reason;
      one.ejectedUntil = now + Math.min(options.maxEjectMs, options.ejectMs * ++one.ejections);
      // On its return it is judged by what it does then.
      one.breaker.window.clear();
      one.speed.forget();
      ejected.push(one);
      room--;
    }
  }
  for (const one of members) {
    if (one.ejections > 0 && now > one.ejectedUntil + FORGIVEN_AFTER * options.ejectMs) one.ejections = 0;
  }
  return ejected;
}

function whyOutlier(one: TargetState, peers: readonly TargetState[], now: number, options: HealthOptions["ejection"]): string | undefined {
  return whyFailing(one, peers, now, options) ?? whySlow(one, peers, options);
}

function whyFailing(one: TargetState, all: readonly TargetState[], now: number, options: HealthOptions["ejection"]): string | undefined {
  const peers = all.filter((peer) => isCounted(peer, now, options));
  if (options.errorShare === 0 || peers.length === 0 || !isCounted(one, now, options)) return undefined;
  const share = errorShare(one, now);
  const ofPeers = peers.reduce((sum, peer) => sum + errorShare(peer, now), 0) / peers.length;
  return share - ofPeers >= options.errorShare ? `${percent(share)} of its attempts fail, ${percent(ofPeers)} elsewhere` : undefined;
}

function whySlow(one: TargetState, all: readonly TargetState[], options: HealthOptions["ejection"]): string | undefined {
  const usual = median(all.filter((peer) => isTimed(peer, options)).map((peer) => peer.speed.ttftMs));
  const { ttftMs } = one.speed;
  if (options.latencyFactor === 0 || usual === undefined || !isTimed(one, options)) return undefined;
  const slow = ttftMs >= usual * options.latencyFactor && ttftMs - usual >= options.latencyMs;
  return slow ? `it takes ${Math.round(ttftMs)} ms to begin, ${Math.round(usual)} ms elsewhere` : undefined;
}

function isCounted(one: TargetState, now: number, options: HealthOptions["ejection"]): boolean {
  return one.breaker.window.calls(now) >= options.calls;
}

/** Slow targets may have too few attempts in any window to be counted. */
function isTimed(one: TargetState, options: HealthOptions["ejection"]): boolean {
  return one.speed.samples >= options.calls;
}

function errorShare(one: TargetState, now: number): number {
  const calls = one.breaker.window.calls(now);
  return calls === 0 ? 0 : one.breaker.window.failures(now) / calls;
}

function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)];
}

function percent(share: number): string {
  return `${Math.round(share * 100)}%`;
}

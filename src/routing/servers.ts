import type { ServerLoad } from "../canon/index.ts";
import type { Health } from "./health/index.ts";
import type { TargetQueue, TargetView } from "./view.ts";

/** What is known of the servers behind targets; see the watch of servers. Answers from memory, never throws. */
export interface ServersView {
  /** Why a model cannot be had from its server just now, in words that follow the target's name. */
  blocked(provider: string, model: string): string | undefined;
  /** `at`: when it was told, in monotonic milliseconds. */
  load(provider: string): { readonly load: ServerLoad; readonly at: number } | undefined;
}

/** From this share on a server's memory for running requests has no room for one more. */
const FULL_CACHE = 0.95;
/** Weight of the newest attempt in the moving average of the queue that measured attempts met: that of their times. */
const NEWEST = 0.2;
/** Targets remembered; beyond it the memory begins anew. */
const REMEMBERED = 5000;

/** What measured attempts at a target met. */
interface Met {
  /** Of the newest load: when it was told, and how many of our own attempts ran then. */
  at: number;
  runningThen: number;
  /** Attempts measured so far, and the queue that was seen by the newest look at them. */
  samples: number;
  lastTurns: number;
  /** Moving average of the queue over the attempts whose times were measured. */
  turns: number;
}

/**
 * Health, and what servers tell of themselves beside it: a target on a server that is down is not asked, and one with a queue is known to be
 * slower before our own calls have waited in it.
 */
export function withServers(health: TargetView & Pick<Health, "runningAt">, servers: ServersView): TargetView {
  let remembered = new Map<string, Met>();
  const metAt = (name: string, at: number, running: number): Met => {
    let met = remembered.get(name);
    if (!met) {
      if (remembered.size >= REMEMBERED) remembered = new Map();
      met = { at, runningThen: running, samples: 0, lastTurns: 0, turns: 0 };
      remembered.set(name, met);
    }
    if (met.at === at) return met;
    met.at = at;
    met.runningThen = running;
    return met;
  };
  return {
    blocked: (provider, model) => health.blocked(provider, model) ?? servers.blocked(provider, model),
    latency: (provider, model) => health.latency(provider, model),
    setAside: (provider, model) => health.setAside?.(provider, model) === true,
    forcedShut: (provider, model) => health.forcedShut?.(provider, model) === true,
    queue(provider, model): TargetQueue | undefined {
      const told = servers.load(provider);
      if (!told) return undefined;
      const running = health.runningAt(provider, model);
      const met = metAt(`${provider}/${model}`, told.at, running);
      const turns = turnsOf(told.load, Math.max(0, running - met.runningThen));
      const samples = health.latency(provider, model)?.samples ?? 0;
      // Attempts that were measured since the last look began when the queue was as that look saw it.
      const measured = samples - met.samples;
      if (met.samples === 0 || measured < 0) met.turns = met.lastTurns;
      else if (measured > 0) met.turns += (1 - (1 - NEWEST) ** measured) * (met.lastTurns - met.turns);
      met.samples = samples;
      met.lastTurns = turns;
      return { turns, measuredTurns: samples === 0 ? 0 : met.turns, load: told.load };
    },
  };
}

/**
 * How many durations of a request pass before a new one has its turn. With `r` requests running side by side one of them ends every `1/r` of
 * a duration, and everybody who waits goes first: `(w + 1) / r`. Nought where a place is free.
 * @param since attempts of our own that began since the server was asked
 */
export function turnsOf({ running, waiting, slots, cacheShare = 0 }: ServerLoad, since: number): number {
  const free = slots === undefined ? 0 : Math.max(0, slots - running);
  const isFull = waiting > 0 || (slots !== undefined && running + since >= slots) || cacheShare >= FULL_CACHE;
  if (!isFull) return 0;
  const ahead = waiting + Math.max(0, since - free);
  return (ahead + 1) / Math.max(1, slots === undefined ? running : Math.min(slots, running + since));
}

import type { ServerLoad } from "../canon/index.ts";

/** How fast a target answered lately, as moving averages that favour the newest calls. */
export interface TargetLatency {
  /** Milliseconds from sending a request to the first meaningful event. */
  readonly ttftMs: number;
  /** Output tokens a second after that; undefined while nothing long enough was measured. */
  readonly tokensPerSecond: number | undefined;
  /** Attempts behind the averages. */
  readonly samples: number;
}

/** How long a request waits for its turn at a target's server, in durations of a request. */
export interface TargetQueue {
  /** Now. */
  readonly turns: number;
  /** What the attempts met whose times were measured: those times hold it already. */
  readonly measuredTurns: number;
  readonly load: ServerLoad;
}

/** What the planner may know of the targets' health. Read for every call: answers from memory, never throws. */
export interface TargetView {
  /** Why a target should not be asked now, in a few words for people; undefined when it may be. */
  blocked(provider: string, model: string): string | undefined;
  /** Undefined while the target was never measured. */
  latency(provider: string, model: string): TargetLatency | undefined;
  /** Undefined or missing: the target's server tells nothing of its queue. */
  queue?(provider: string, model: string): TargetQueue | undefined;
  /** True when a person shut the target: then it is not asked even if every other target is blocked too. Missing: nobody did. */
  forcedShut?(provider: string, model: string): boolean;
  /** True when nothing keeps it from being asked but that it does worse than its peers: then it is asked after all others. */
  setAside?(provider: string, model: string): boolean;
  /** True when a kill switch covers the target: then a call that could go nowhere else is told so. Missing: none does. */
  killed?(provider: string, model: string): boolean;
}

/** Knows nothing: every target may be asked. */
export const OPEN_VIEW: TargetView = { blocked: () => undefined, latency: () => undefined };

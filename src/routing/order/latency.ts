import type { Randomness, Target } from "../../canon/index.ts";
import type { TargetLatency, TargetQueue } from "../view.ts";
import { expectedOutputTokens, nameOf, type Order, type OrderContext, type PlannedStep } from "./types.ts";

/** A target must be expected to be this much faster to take the lead, so that two of equal speed do not take turns at every call. */
const CLEARLY_FASTER = 0.85;
/** Share of the calls that a target which was never measured leads, until it is. */
const FIRST_TRIES = 0.1;
/** Share of the calls that measure another target than the leader anew: what nobody asks could have become the fastest long ago. */
const NEW_TRIES = 0.02;
/** Taken where output was never long enough to measure. */
const USUAL_TOKENS_PER_SECOND = 50;
/** What was measured is never taken for less than this share of itself, however short the queue has become since. */
const LEAST_SHARE = 0.2;

interface Measured {
  readonly target: Target;
  readonly latency: TargetLatency;
  readonly queue: TargetQueue | undefined;
  /** Until the whole of an answer of usual length is there. */
  readonly expectedMs: number;
}

/**
 * Soonest expected end of the answer first: time to the first token, and the rest at the measured pace. Where a server tells of its queue,
 * what a call waits in it now counts, less what the measured ones waited.
 */
export const latency: Order = (targets, context) => {
  const tokens = expectedOutputTokens(context.facts);
  const measured: Measured[] = [];
  const unmeasured: Pick<Measured, "target" | "queue">[] = [];
  for (const target of targets) {
    const seen = context.view.latency(target.provider, target.model);
    const queue = context.view.queue?.(target.provider, target.model);
    if (!seen || seen.samples === 0) unmeasured.push({ target, queue });
    else measured.push({ target, latency: seen, queue, expectedMs: expected(seen, tokens, queue) });
  }
  const unknown = shortest(unmeasured);
  measured.sort((a, b) => a.expectedMs - b.expectedMs);
  const ordered = withLeader(measured, context).map(({ target, latency: seen, queue }) => ({ target, reason: inWords(seen, queue) }));
  const first = explored(ordered, unknown, context.randomness);
  const rest = unmeasured
    .filter(({ target }) => target !== first?.target)
    .map(({ target, queue }) => ({ target, reason: `not measured yet${queueInWords(queue)}` }));
  if (!first) return [...ordered, ...rest];
  return [first, ...ordered.filter(({ target }) => target !== first.target), ...rest];
};

function expected({ ttftMs, tokensPerSecond }: TargetLatency, tokens: number, queue: TargetQueue | undefined): number {
  const pace = tokensPerSecond ?? queue?.load.tokensPerSecond ?? USUAL_TOKENS_PER_SECOND;
  const writingMs = (tokens / pace) * 1000;
  if (!queue) return ttftMs + writingMs;
  const requestMs = queue.load.requestMs ?? writingMs;
  const firstMs = ttftMs + (queue.turns - queue.measuredTurns) * requestMs;
  return Math.max(firstMs, ttftMs * LEAST_SHARE) + writingMs;
}

/** Of targets that were never measured, those with the shortest queue: one that tells of none may have none. */
function shortest(unmeasured: readonly Pick<Measured, "target" | "queue">[]): readonly Target[] {
  const least = Math.min(...unmeasured.map(({ queue }) => queue?.turns ?? 0));
  return unmeasured.filter(({ queue }) => (queue?.turns ?? 0) <= least).map(({ target }) => target);
}

/** The leader of the last call stays in front until another is clearly faster. */
function withLeader(measured: readonly Measured[], { name, memory }: OrderContext): readonly Measured[] {
  const [fastest] = measured;
  if (!fastest) return measured;
  const before = memory.leaders.get(name);
  const leader = measured.find(({ target }) => nameOf(target) === before);
  if (leader && fastest.expectedMs >= leader.expectedMs * CLEARLY_FASTER)
    return leader === fastest ? measured : [leader, ...measured.filter((other) => other !== leader)];
  memory.leaders.set(name, nameOf(fastest.target));
  return measured;
}

/** Now and then another target goes first, to be measured. While none is measured, one of them at random. */
function explored(ordered: readonly PlannedStep[], unknown: readonly Target[], randomness: Randomness): PlannedStep | undefined {
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(randomness.number() * list.length)];
  if (unknown.length > 0 && (ordered.length === 0 || randomness.number() < FIRST_TRIES)) {
    const target = pick(unknown);
    return target && { target, reason: "tried, because it was not measured yet" };
  }
  if (ordered.length < 2 || randomness.number() >= NEW_TRIES) return undefined;
  const other = pick(ordered.slice(1));
  return other && { target: other.target, reason: `measured anew; ${other.reason}` };
}

function inWords({ ttftMs, tokensPerSecond, samples }: TargetLatency, queue: TargetQueue | undefined): string {
  const pace = tokensPerSecond === undefined ? "" : `, ${Math.round(tokensPerSecond)} tokens a second`;
  return `${Math.round(ttftMs)} ms to the first token${pace} (${samples} measured)${queueInWords(queue)}`;
}

function queueInWords(queue: TargetQueue | undefined): string {
  if (!queue || queue.turns === 0) return "";
  const { running, waiting } = queue.load;
  return `, behind ${Math.round(running)} running and ${Math.round(waiting)} waiting`;
}

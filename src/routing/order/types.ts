import type { ModelBook, Randomness, Target } from "../../canon/index.ts";
import type { CallFacts } from "../facts.ts";
import type { TargetView } from "../view.ts";

/** A target and why it stands where it stands, in a few words. */
export interface PlannedStep {
  readonly target: Target;
  readonly reason: string;
}

/** What a strategy remembers from call to call: by the name of the alias and of its rule, so there are few. */
export interface OrderMemory {
  /** Whose turn it is. */
  readonly turns: Map<string, number>;
  /** Which target leads. */
  readonly leaders: Map<string, string>;
}

export interface OrderContext {
  /** Under which name to remember. */
  readonly name: string;
  readonly facts: CallFacts;
  readonly view: TargetView;
  readonly book: Pick<ModelBook, "cost"> | undefined;
  readonly randomness: Randomness;
  readonly memory: OrderMemory;
}

/** Puts targets in the order in which they are to be tried. Gets at least two, and loses none. */
export type Order = (targets: readonly Target[], context: OrderContext) => readonly PlannedStep[];

export const FALLBACK = "fallback";

export function nameOf(target: Pick<Target, "provider" | "model">): string {
  return `${target.provider}/${target.model}`;
}

/** What an answer is expected to be long, in tokens, where its caller sets no lower bound. */
const EXPECTED_OUTPUT_TOKENS = 400;

export function expectedOutputTokens(facts: CallFacts): number {
  return Math.min(EXPECTED_OUTPUT_TOKENS, facts.source.maxOutputTokens ?? EXPECTED_OUTPUT_TOKENS);
}

import type { Target } from "../../canon/index.ts";
import { FALLBACK, type Order, type PlannedStep } from "./types.ts";

/** Aliases are immutable, so the same list gives the same steps. */
const made = new WeakMap<readonly Target[], readonly PlannedStep[]>();

/** In the order written. */
export const fallback: Order = (targets) => {
  const before = made.get(targets);
  if (before) return before;
  const steps = targets.map((target, place) => ({ target, reason: place === 0 ? "first target" : FALLBACK }));
  made.set(targets, steps);
  return steps;
};

import type { Target } from "../../canon/index.ts";
import { FALLBACK, type Order, type PlannedStep } from "./types.ts";

/** A random order in which the chance to come next is in proportion to the weight. Targets without weight come last, as written. */
export const weighted: Order = (targets, { randomness }) => {
  const left = targets.filter(({ weight }) => weight > 0);
  const steps: PlannedStep[] = [];
  const total = left.reduce((sum, { weight }) => sum + weight, 0);
  let sum = total;
  while (left.length > 0) {
    let draw = randomness.number() * sum;
    let place = 0;
    while (place < left.length - 1 && (draw -= left[place]?.weight ?? 0) >= 0) place++;
    for (const target of left.splice(place, 1)) {
      sum -= target.weight;
      steps.push({ target, reason: steps.length === 0 ? `drawn by weight ${share(target, total)}` : FALLBACK });
    }
  }
  for (const target of targets) if (target.weight <= 0) steps.push({ target, reason: steps.length === 0 ? "first target" : FALLBACK });
  return steps;
};

function share(target: Target, total: number): string {
  return `${target.weight} of ${Number(total.toPrecision(6))}`;
}

import { FALLBACK, type Order } from "./types.ts";

/** Each in turn. */
export const roundRobin: Order = (targets, { name, memory }) => {
  const turn = memory.turns.get(name) ?? 0;
  const start = turn % targets.length;
  memory.turns.set(name, start + 1);
  return [...targets.slice(start), ...targets.slice(0, start)].map((target, place) => ({
    target,
    reason: place === 0 ? "its turn" : FALLBACK,
  }));
};

import type { Strategy } from "../../canon/index.ts";
import { cost } from "./cost.ts";
import { fallback } from "./fallback.ts";
import { latency } from "./latency.ts";
import { roundRobin } from "./round-robin.ts";
import type { Order } from "./types.ts";
import { weighted } from "./weighted.ts";

export * from "./types.ts";

/** How each strategy puts targets in order. Where no rule matches, `rules` leaves them as written. */
export const ORDERS: Readonly<Record<Strategy, Order>> = { fallback, weighted, latency, cost, "round-robin": roundRobin, rules: fallback };

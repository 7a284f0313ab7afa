import type { LeaseAsk } from "../canon/index.ts";

/** While plenty is left a node gets this part of the rest for calls to come. It shrinks with the rest, down to what calls wait for. */
const SPARE_PART = 16;
/** After nodes were asked to give back, nobody gets more than calls wait for, for so long. */
const CONTENDED_MS = 5000;

/** A counter in one window. Whole numbers, but for `at`. */
export interface Counter {
  spent: number;
  leased: number;
  /** Milliseconds since 1970, fractions allowed: until when `spent` has been forgotten of counters that refill. */
  at: number;
  contendedUntil: number;
}

/** What one node has of it. */
export interface Lease {
  leased: number;
  turn: number;
  granted: number;
  asked: 0 | 1;
}

export const NO_LEASE: Lease = { leased: 0, turn: -1, granted: 0, asked: 0 };

export function newCounter(now: number): Counter {
  return { spent: 0, leased: 0, at: now, contendedUntil: 0 };
}

/** Does what is asked to both; returns how much was granted. The same ask again changes nothing. */
export function answerAsk(counter: Counter, lease: Lease, ask: LeaseAsk, now: number): number {
  if (lease.turn >= ask.turn) return lease.granted;
  forget(counter, ask, now);
  const back = Math.min(lease.leased, ask.used + ask.returned);
  counter.leased -= back;
  counter.spent += ask.used;
  lease.leased -= back;
  const granted = grantOf(counter, ask, now);
  counter.leased += granted;
  lease.leased += granted;
  lease.turn = ask.turn;
  lease.granted = granted;
  if (ask.yields) lease.asked = 0;
  if (ask.recall) counter.contendedUntil = now + CONTENDED_MS;
  return granted;
}

/** A clock that stepped back forgets nothing until it is where it was. */
function forget(counter: Counter, { refillMs, limit }: LeaseAsk, now: number): void {
  if (refillMs === 0 || now <= counter.at) return;
  const forgotten = Math.floor(((now - counter.at) * limit) / refillMs);
  if (forgotten >= counter.spent) {
    counter.spent = 0;
    counter.at = now;
  } else {
    counter.spent -= forgotten;
    counter.at += (forgotten * refillMs) / limit;
  }
}

function grantOf(counter: Counter, { limit, least, waiting }: LeaseAsk, now: number): number {
  const left = limit - counter.spent - counter.leased;
  if (least === 0 || left < least) return 0;
  const spare = counter.contendedUntil > now ? 0 : Math.floor(left / SPARE_PART / least) * least;
  return Math.max(Math.min(waiting, left), spare);
}

import { problemFrom, type Problem, type Target } from "../canon/index.ts";
import { attemptOnce } from "./attempt-once.ts";
import type { Exchange } from "./exchange.ts";
import type { GatewayDeps, Run } from "./run.ts";

/** Why an attempt ends that another one beside it has beaten. */
export const SLOWER: Problem = { kind: "cancelled", message: "Another target answered sooner." };

/** Two attempts at one call, of which the first to say something answers it. */
export class Race {
  readonly #run: Run;
  readonly #running = new Set<Exchange>();
  /** Ends waits for a place. */
  readonly #waits = new Set<() => void>();
  winner: Exchange | undefined;

  constructor(run: Run) {
    this.#run = run;
  }

  get size(): number {
    return this.#running.size;
  }

  enters(exchange: Exchange): void {
    this.#running.add(exchange);
  }
  waits(cancel: () => void): void {
    this.#waits.add(cancel);
  }

  /** An attempt has something to say. True: it answers the call, and the other one is stopped. */
  claim(exchange: Exchange): boolean {
    if (!this.winner) {
      this.winner = exchange;
      adopt(this.#run, exchange);
      for (const other of this.#running) if (other !== exchange) other.attempt.cancel(SLOWER);
      this.#stopWaiting();
    }
    return this.winner === exchange;
  }

  /** The whole call is stopped. */
  stop(problem: Problem): void {
    for (const exchange of this.#running) exchange.attempt.cancel(problem);
    this.#stopWaiting();
  }

  #stopWaiting(): void {
    for (const cancel of this.#waits) cancel();
  }
}

/** From here on this is the call's attempt. */
export function adopt(run: Run, exchange: Exchange): void {
  const { provider, model } = exchange.target;
  run.target = { provider, model };
  run.attempt = exchange.attempt;
  run.exchange = exchange;
  run.forwarded = exchange.forward;
  run.diagnostics = exchange.diagnostics;
  run.reply = exchange.reply;
}

/**
 * Tries the first target, and the second beside it when the first is slow to begin. Returns what the call failed with; where both failed,
 * what the first did.
 */
export async function hedged(deps: GatewayDeps, run: Run, first: Target, second: Target): Promise<Problem | undefined> {
  const alias = run.plan?.alias;
  const hedge = alias?.hedge;
  if (!alias || !hedge) return attemptOnce(deps, run, first, true);
  deps.hedges.earn(alias.name, hedge);
  const waitMs = deps.hedges.waitMs(first, hedge);
  if (waitMs === undefined) return attemptOnce(deps, run, first, true);
  const race = new Race(run);
  run.race = race;
  let beside: Promise<Problem | undefined> | undefined;
  const cancel = deps.clock.after(waitMs, () => {
    if (race.winner || run.stopped || !deps.hedges.spend(alias.name) || !deps.retries.mayHedge()) return;
    beside = attemptOnce(deps, run, second, false, undefined, true).catch((error: unknown) => problemFrom(error));
  });
  try {
    const problem = await attemptOnce(deps, run, first, true);
    cancel();
    const other = await beside;
    const { winner } = race;
    if (!winner) return problem;
    // Its reply was complete only when its attempt was over.
    adopt(run, winner);
    run.report = winner.reply?.report();
    run.attempt = undefined;
    return winner.target === first ? problem : other;
  } finally {
    cancel();
    await beside;
    run.race = undefined;
  }
}

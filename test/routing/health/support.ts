import type { Problem } from "../../../src/canon/index.ts";
import { ManualClock, SeededRandomness } from "../../../src/kit/index.ts";
import {
  Health,
  type HealthChange,
  type HealthSubjects,
  type Permit,
  type Refusal,
  type Waiting,
} from "../../../src/routing/health/index.ts";
import { healthOptions } from "../../../src/routing/health/options.ts";

/** A health of its own, with a clock that stands still, and everything it told. */
export interface Setting {
  readonly health: Health;
  readonly clock: ManualClock;
  readonly changes: HealthChange[];
}

export function setting(options: object = {}, subjects: Partial<HealthSubjects> = {}, seed = 1): Setting {
  const clock = new ManualClock();
  const changes: HealthChange[] = [];
  const health = new Health({
    clock,
    randomness: new SeededRandomness(seed),
    options: healthOptions.parse(options),
    onChange: (change) => changes.push(change),
  });
  health.configure({ providers: subjects.providers ?? new Map([["lab", {}]]), aliases: subjects.aliases ?? new Map() });
  return { health, clock, changes };
}

export const TARGET = { provider: "lab", model: "small" };

export function permit(entered: Permit | Refusal | Waiting): Permit {
  if (entered.state !== "in") throw new Error(`not let in: ${entered.state}`);
  return entered;
}

export function refusal(entered: Permit | Refusal | Waiting): Problem {
  if (entered.state !== "refused") throw new Error(`not refused: ${entered.state}`);
  return entered.problem;
}

export function waiting(entered: Permit | Refusal | Waiting): Waiting {
  if (entered.state !== "waiting") throw new Error(`does not wait: ${entered.state}`);
  return entered;
}

export const DOWN: Problem = { kind: "upstream_unavailable", message: "refused" };
export const BROKEN: Problem = { kind: "upstream_broken", message: "cut" };

export function answered(status: number, more: Partial<Problem> = {}): Problem {
  const kind = status === 429 ? "rate_limited" : status >= 500 ? "upstream_unavailable" : "upstream_rejected";
  const fault = status === 401 || status === 402 || status === 403 ? { fault: "credentials" as const } : {};
  return { kind, message: String(status), upstream: { status, dialect: "d", provider: "lab" }, ...fault, ...more };
}

/** One attempt that ends at once. */
export function attempt(health: Health, problem?: Problem, target = TARGET): void {
  permit(health.enter(target)).leave(problem);
}

export function whenDecided(one: Waiting, use: (outcome: Permit | Refusal) => void): void {
  void (async () => use(await one.entered))();
}

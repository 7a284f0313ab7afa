import { mayUseModel, ProblemError, type Alias, type Caller, type Randomness, type Snapshot, type Target } from "../canon/index.ts";
import { nearest } from "../kit/index.ts";

/** Where a call will be tried, in order, and why. */
export interface Plan {
  readonly alias: Alias;
  readonly steps: readonly { readonly target: Target; readonly reason: string }[];
}

/** Settings of a target that callers name directly, without an alias. */
const DIRECT = { strategy: "fallback", retries: 2, continue: "never" } as const;

/** Chooses the targets of a call. Pure but for round-robin's counter; the same function answers a dry run. */
export class Planner {
  readonly #randomness: Randomness;
  readonly #turns = new Map<string, number>();

  constructor(randomness: Randomness) {
    this.#randomness = randomness;
  }

  /** @throws ProblemError unknown_model (names the nearest) or forbidden (the key's scopes) */
  plan(snapshot: Snapshot, caller: Caller, model: string): Plan {
    const alias = resolve(snapshot, model);
    if (!alias) throw unknownModel(snapshot, caller, model);
    if (!mayUseModel(caller.scopes, model)) {
      throw new ProblemError({ kind: "forbidden", message: `The key "${caller.name}" may not use the model "${model}".`, param: "model" });
    }
    return { alias, steps: this.#order(alias) };
  }

  #order(alias: Alias): Plan["steps"] {
    const { targets } = alias;
    if (targets.length === 1) return targets.map((target) => ({ target, reason: "only target" }));
    switch (alias.strategy) {
      case "weighted":
        return weighted(targets, this.#randomness).map((target, place) => ({
          target,
          reason: place === 0 ? `drawn by weight ${target.weight}` : "fallback",
        }));
      case "round-robin": {
        const turn = this.#turns.get(alias.name) ?? 0;
        this.#turns.set(alias.name, (turn + 1) % targets.length);
        const start = turn % targets.length;
        return [...targets.slice(start), ...targets.slice(0, start)].map((target, place) => ({
          target,
          reason: place === 0 ? "its turn" : "fallback",
        }));
      }
      default:
        return targets.map((target, place) => ({ target, reason: place === 0 ? "first target" : "fallback" }));
    }
  }
}

/** An alias wins; then the name is split at its first slash into provider and model. */
export function resolve(snapshot: Snapshot, model: string): Alias | undefined {
  const alias = snapshot.aliases.get(model);
  if (alias) return alias;
  const slash = model.indexOf("/");
  const provider = model.slice(0, Math.max(slash, 0));
  if (slash < 1 || slash === model.length - 1 || !snapshot.providers.has(provider)) return undefined;
  return {
    name: model,
    targets: [{ provider, model: model.slice(slash + 1), weight: 1 }],
    timeoutMs: snapshot.limits.defaultTimeoutMs,
    ...DIRECT,
  };
}

export function unknownModel(snapshot: Snapshot, caller: Caller, model: string): ProblemError {
  const names = [...snapshot.aliases.keys()].filter((name) => mayUseModel(caller.scopes, name));
  const offered = model.slice(model.indexOf("/") + 1);
  const providers = [...snapshot.providers.keys()]
    .map((provider) => `${provider}/${offered}`)
    .filter((name) => name !== model && mayUseModel(caller.scopes, name));
  const like = nearest(model, [...names, ...(model.includes("/") ? providers : [])]);
  const hint = like ? ` Did you mean "${like}"?` : "";
  return new ProblemError({
    kind: "unknown_model",
    message: `There is no model "${model.slice(0, 200)}".${hint}`,
    param: "model",
    code: "model_not_found",
  });
}

/** A random order in which the chance to come next is in proportion to the weight. */
function weighted(targets: readonly Target[], randomness: Randomness): Target[] {
  const left = [...targets];
  const order: Target[] = [];
  while (left.length > 0) {
    let draw = randomness.number() * left.reduce((sum, target) => sum + target.weight, 0);
    let place = 0;
    while (place < left.length - 1 && (draw -= left[place]?.weight ?? 0) >= 0) place++;
    order.push(...left.splice(place, 1));
  }
  return order;
}

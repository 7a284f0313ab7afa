import {
  mayUseModel,
  ProblemError,
  type Alias,
  type Caller,
  type ModelBook,
  type Randomness,
  type Snapshot,
  type Strategy,
  type Target,
} from "../canon/index.ts";
import { nearest } from "../kit/index.ts";
import { ableAliases } from "./able-aliases.ts";
import { ableWords } from "./able.ts";
import { Affinity, type Tie } from "./affinity.ts";
import type { CallFacts } from "./facts.ts";
import { Fit } from "./fit.ts";
import { FALLBACK, nameOf, ORDERS, type OrderMemory, type PlannedStep } from "./order/index.ts";
import { armOf, type Arm } from "./release.ts";
import { namesComplexity, tryRules, type RuleOutcome } from "./rules.ts";
import { OPEN_VIEW, type TargetView } from "./view.ts";

export type { PlannedStep } from "./order/index.ts";

/** Where a call will be tried, in order, what was left out, and why. */
export interface Plan {
  readonly alias: Alias;
  /** The one that put the targets in order: the rule's or the alias's. */
  readonly strategy: Strategy;
  /** At least one. */
  readonly steps: readonly PlannedStep[];
  readonly skipped: readonly PlannedStep[];
  /** The rules tried, up to the one that matched; undefined where the alias has none. */
  readonly rules: readonly RuleOutcome[] | undefined;
  /** Which part of the traffic the call belongs to; undefined where the alias has no parts, or a rule matched. */
  readonly arm: Arm | undefined;
  /** What ties the call to earlier ones, and where that would have it go. */
  readonly tie: Tie | undefined;
  readonly tiedTo: string | undefined;
}

export interface PlanRequest {
  readonly snapshot: Snapshot;
  readonly caller: Caller;
  /** As the caller named it. */
  readonly model: string;
  /** What stands behind the name, where whoever asks has decided that. */
  readonly alias?: Alias | undefined;
  readonly facts: CallFacts;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Prices and context lengths in force; without it nothing is known of them. */
  readonly book?: PlanBook;
}

export type PlanBook = Pick<ModelBook, "facts" | "cost" | "countTokens">;

/** Settings of a target that callers name directly, without an alias. */
const DIRECT = { strategy: "fallback", retries: 2, continue: "never" } as const;
const ONLY_TARGET = "only target";
const ONLY_ONE_LEFT = "the only target that can take the call";
const NONE: readonly PlannedStep[] = [];

/**
 * Chooses the targets of a call: by rule or strategy, of those that can take it, those that are healthy, the session's own first. The
 * same function answers a dry run. What it remembers (whose turn it is, who leads, where sessions are) it remembers by itself.
 */
export class Planner {
  readonly #randomness: Randomness;
  readonly #view: TargetView;
  readonly #memory: OrderMemory = { turns: new Map(), leaders: new Map() };
  readonly #affinity = new Affinity();
  /** The one step of an alias with one target. */
  readonly #only = new WeakMap<readonly Target[], readonly PlannedStep[]>();

  constructor(randomness: Randomness, view: TargetView = OPEN_VIEW) {
    this.#randomness = randomness;
    this.#view = view;
  }

  /**
   * @throws ProblemError unknown_model (names the nearest), forbidden (the key's scopes), unsupported (no target can take the call; says
   * what each lacks) or upstream_unavailable (a person shut every target)
   */
  plan({ snapshot, caller, model, alias: given, facts, at, book }: PlanRequest): Plan {
    const alias = given ?? resolve(snapshot, model);
    if (!alias) throw unknownModel(snapshot, caller, model);
    if (!mayUseModel(caller.scopes, model)) {
      throw new ProblemError({ kind: "forbidden", message: `The key "${caller.name}" may not use the model "${model}".`, param: "model" });
    }
    const rules = alias.rules && tryRules(alias, facts);
    const rule = rules?.find(({ matched }) => matched)?.rule;
    const tie = mayTie(alias) ? this.#affinity.tieOf(alias, facts) : undefined;
    const tiedTo = tie && this.#affinity.find(alias, tie, at);
    const arm = rule || !(alias.canary ?? alias.warm) ? undefined : armOf(alias, facts, tie, tiedTo);
    const own = rule?.targets ?? alias.targets;
    const targets = arm && arm.targets.length > 0 ? [...arm.targets, ...without(own, arm.targets)] : own;
    const fit = new Fit(snapshot, alias, facts, book);
    const able = (): string => ableWords(snapshot, caller, facts.source.operation, (target) => fit.fault(target));
    const { usable, skipped } = fitting(alias, targets, fit, () => {
      return able() + ableAliases({ snapshot, caller, facts, book, but: alias.name });
    });
    const strategy = rule?.strategy ?? alias.strategy;
    const order = (name: string, some: readonly Target[]): readonly PlannedStep[] => {
      const ordered = this.#order(name, strategy, some, facts, book, skipped.length > 0);
      return tiedTo === undefined || !tie ? ordered : stick(ordered, tiedTo, tie);
    };
    const name = rule ? `${alias.name}\0${rule.name}` : alias.name;
    const ordered = targets === own || !arm ? order(name, usable) : armFirst(alias, arm, usable, order);
    const steps = this.#healthy(ordered, skipped);
    return { alias, strategy, steps: steps.steps, skipped: steps.skipped, rules, arm, tie, tiedTo };
  }

  /**
   * The model that is to rate how demanding the call is, where a rule asks for that and the alias names one. Whoever gets an answer asks
   * it, puts the rating into `facts.complexity` and plans then.
   */
  wantsRating({ snapshot, model, facts }: Pick<PlanRequest, "snapshot" | "model" | "facts">): Alias["complexity"] {
    const alias = snapshot.aliases.get(model);
    if (!alias?.complexity || facts.hasComplexity || !namesComplexity(alias)) return undefined;
    // A rule before the one that asks may have matched: then nobody need be asked.
    tryRules(alias, facts);
    return facts.hasComplexity ? alias.complexity : undefined;
  }

  /**
   * A target answered: the session that the plan belongs to stays there.
   * @param answerId the id by which the client can continue from this answer, where it is kept
   */
  learn(plan: Plan, caller: Caller, target: Pick<Target, "provider" | "model">, at: number, answerId?: string): void {
    const { alias, tie } = plan;
    if (!mayTie(alias)) return;
    if (tie) this.#affinity.remember(alias, tie.key, target, at);
    const key = answerId === undefined ? undefined : this.#affinity.answerKey(alias, caller.scope, answerId);
    if (key !== undefined) this.#affinity.remember(alias, key, target, at);
  }

  #order(
    name: string,
    strategy: Strategy,
    targets: readonly Target[],
    facts: CallFacts,
    book: PlanBook | undefined,
    left: boolean,
  ): readonly PlannedStep[] {
    if (targets.length > 1)
      return ORDERS[strategy](targets, { name, facts, view: this.#view, book, randomness: this.#randomness, memory: this.#memory });
    const before = this.#only.get(targets);
    if (before) return before;
    const steps = targets.map((target) => ({ target, reason: left ? ONLY_ONE_LEFT : ONLY_TARGET }));
    this.#only.set(targets, steps);
    return steps;
  }

  /** Those that may be asked now. When none may, the first that no person shut is asked all the same: a guess beats a certain failure. */
  #healthy(ordered: readonly PlannedStep[], skipped: readonly PlannedStep[]): Pick<Plan, "steps" | "skipped"> {
    const view = this.#view;
    if (ordered.every(({ target }) => view.blocked(target.provider, target.model) === undefined)) return { steps: ordered, skipped };
    const blocked = ordered.map(({ target }) => view.blocked(target.provider, target.model));
    const out = ordered.flatMap(({ target }, place) => {
      const why = blocked[place];
      return why === undefined ? [] : [{ target, reason: why }];
    });
    const steps = ordered.filter((_step, place) => blocked[place] === undefined);
    if (steps.length > 0) {
      // Who does worse than the others is better than nobody.
      const isLast = ({ target }: PlannedStep): boolean => view.setAside?.(target.provider, target.model) === true;
      return { steps: [...steps, ...out.filter(isLast)], skipped: [...skipped, ...out.filter((step) => !isLast(step))] };
    }
    const last = out.find(({ target }) => view.forcedShut?.(target.provider, target.model) !== true);
    if (!last) throw shut(out, view);
    const step = { target: last.target, reason: `tried all the same, because every target is blocked: ${last.reason}` };
    return { steps: [step], skipped: [...skipped, ...out.filter((other) => other !== last)] };
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

/** Has the alias more than one place where a session could be? */
function mayTie({ targets, rules, canary, warm }: Alias): boolean {
  return targets.length > 1 || rules !== undefined || canary !== undefined || warm !== undefined;
}

function without(targets: readonly Target[], others: readonly Target[]): readonly Target[] {
  return targets.filter((target) => !others.some((other) => nameOf(other) === nameOf(target)));
}

/** The arm's own targets in their order, then the alias's as their fallback. */
function armFirst(
  alias: Alias,
  arm: Arm,
  usable: readonly Target[],
  order: (name: string, targets: readonly Target[]) => readonly PlannedStep[],
): readonly PlannedStep[] {
  const rest = without(usable, arm.targets);
  const chosen = usable.filter((target) => !rest.includes(target));
  if (chosen.length === 0) return order(alias.name, rest);
  const first = order(`${alias.name}\0${arm.name}`, chosen).map((step, place) => ({
    ...step,
    reason: place === 0 ? arm.reason : FALLBACK,
  }));
  return [...first, ...(rest.length === 0 ? [] : order(alias.name, rest)).map(({ target }) => ({ target, reason: FALLBACK }))];
}

/** @throws ProblemError unsupported when none fits */
function fitting(
  alias: Alias,
  targets: readonly Target[],
  fit: Fit,
  able: () => string,
): { readonly usable: readonly Target[]; readonly skipped: readonly PlannedStep[] } {
  let skipped: PlannedStep[] | undefined;
  for (const target of targets) {
    const reason = fit.fault(target);
    if (reason !== undefined) (skipped ??= []).push({ target, reason });
  }
  if (!skipped) return { usable: targets, skipped: NONE };
  const out = skipped;
  if (out.length === targets.length) throw unsuited(alias, out, able());
  return { usable: targets.filter((target) => !out.some((step) => step.target === target)), skipped: out };
}

/** Told as the caller's fault: SDKs try again what is told as the server's, and it would be no other. */
function unsuited(alias: Alias, skipped: readonly PlannedStep[], able: string): ProblemError {
  const message =
    skipped.length === 1
      ? `The model "${alias.name}" cannot take this call: ${inWords(skipped)}.`
      : `No target of the model "${alias.name}" can take this call: ${inWords(skipped)}.`;
  return new ProblemError({ kind: "unsupported", status: 400, message: message + able, param: "model" });
}

function shut(steps: readonly PlannedStep[], view: TargetView): ProblemError {
  const killed = steps.some(({ target }) => view.killed?.(target.provider, target.model));
  return new ProblemError({ kind: killed ? "killed" : "upstream_unavailable", message: `Nothing may be asked: ${inWords(steps)}.` });
}

function inWords(steps: readonly PlannedStep[]): string {
  return steps.map(({ target, reason }) => `${nameOf(target)} ${reason}`).join("; ");
}

/** Puts the session's own target first, where it is still among those that may be asked. */
function stick(ordered: readonly PlannedStep[], tiedTo: string, tie: Tie): readonly PlannedStep[] {
  const own = ordered.find(({ target }) => nameOf(target) === tiedTo);
  if (!own) return ordered;
  const first = { target: own.target, reason: tie.what };
  return [first, ...ordered.filter((step) => step !== own)];
}

import { Environment, type ParseResult } from "@marcbachmann/cel-js";
import type { Alias, AliasRule } from "../canon/index.ts";
import { nearest } from "../kit/index.ts";
import type { CallFacts } from "./facts.ts";

/** What a condition may name: its type in CEL and its meaning, for the checker and for the documentation. */
export interface Variable {
  readonly name: string;
  readonly type: string;
  readonly meaning: string;
}

export const VARIABLES: readonly Variable[] = [
  { name: "call.model", type: "string", meaning: "The model as the caller named it." },
  { name: "call.stream", type: "bool", meaning: "Is the answer to be streamed?" },
  {
    name: "call.inputTokens",
    type: "int",
    meaning: "Estimated tokens of input: a quarter of the characters; images, files and sound count a flat thousand each.",
  },
  { name: "call.maxOutputTokens", type: "int", meaning: "The caller's cap on the answer; 0 where there is none." },
  { name: "call.tools", type: "list<string>", meaning: "Names of the tools offered." },
  { name: "call.turns", type: "int", meaning: "How often the user has spoken." },
  { name: "call.complexity", type: "int", meaning: "How demanding it is, 0 to 100: counted, or as the model under `complexity` says." },
  {
    name: "call.needs",
    type: "list<string>",
    meaning: "What it asks beyond text, of `vision`, `files`, `audio`, `tools`, `structuredOutput`.",
  },
  { name: "call.hour", type: "int", meaning: "Hour of the day in UTC, 0 to 23." },
  { name: "call.weekday", type: "int", meaning: "Day of the week in UTC, 1 (Monday) to 7 (Sunday)." },
  {
    name: "call.time",
    type: "google.protobuf.Timestamp",
    meaning: 'When it came; `call.time.getHours("Europe/Berlin")` is the hour there.',
  },
  { name: "caller.name", type: "string", meaning: "Name of the key." },
  { name: "caller.team", type: "string", meaning: "Its team, or an empty text." },
  { name: "caller.project", type: "string", meaning: "Its project, or an empty text." },
  { name: "caller.tags", type: "list<string>", meaning: "Its tags." },
  { name: "caller.anonymous", type: "bool", meaning: "Did the call come without a key?" },
  {
    name: "metadata",
    type: "map<string, dyn>",
    meaning:
      "The header `x-gimbal-metadata`. A rule that names a member which a call lacks does not match it; `has(metadata.x)` asks first.",
  },
  { name: "session", type: "string", meaning: "The header `x-gimbal-session`, or an empty text." },
  { name: "tier", type: "int", meaning: "The highest data tier of the key, 0 (public) to 4; 4 where the key has no bound." },
  { name: "labels", type: "list<string>", meaning: "Labels of sensitivity that guards gave the call." },
  { name: "budget.remainingUsd", type: "double", meaning: "Dollars left in the tightest budget; infinite while none covers the call." },
];

/** The `call` of a condition. Getters, so that only what a condition names is worked out. */
class CallVariables {
  readonly #facts: CallFacts;
  constructor(facts: CallFacts) {
    this.#facts = facts;
  }
  get model(): string {
    return this.#facts.source.model;
  }
  get stream(): boolean {
    return this.#facts.source.stream;
  }
  get inputTokens(): bigint {
    return BigInt(this.#facts.inputTokens);
  }
  get maxOutputTokens(): bigint {
    return BigInt(Math.trunc(this.#facts.source.maxOutputTokens ?? 0));
  }
  get tools(): readonly string[] {
    return this.#facts.tools;
  }
  get turns(): bigint {
    return BigInt(this.#facts.turns);
  }
  get complexity(): bigint {
    return BigInt(this.#facts.complexity.score);
  }
  get needs(): readonly string[] {
    return this.#facts.needWords;
  }
  get hour(): bigint {
    return BigInt(this.#facts.hour);
  }
  get weekday(): bigint {
    return BigInt(this.#facts.weekday);
  }
  get time(): Date {
    return new Date(this.#facts.source.at);
  }
}

class CallerVariables {
  readonly #facts: CallFacts;
  constructor(facts: CallFacts) {
    this.#facts = facts;
  }
  get name(): string {
    return this.#facts.caller.name;
  }
  get team(): string {
    return this.#facts.caller.team ?? "";
  }
  get project(): string {
    return this.#facts.caller.project ?? "";
  }
  get tags(): readonly string[] {
    return this.#facts.caller.tags ?? [];
  }
  get anonymous(): boolean {
    return this.#facts.caller.anonymous;
  }
}

class BudgetVariables {
  readonly #facts: CallFacts;
  constructor(facts: CallFacts) {
    this.#facts = facts;
  }
  get remainingUsd(): number {
    return this.#facts.source.remainingUsd();
  }
}

const HOLDERS = { call: CallVariables, caller: CallerVariables, budget: BudgetVariables } as const;

/** Larger expressions are programs; and parsing must not become slow. */
const LIMITS = { maxAstNodes: 2000, maxDepth: 50, maxListElements: 500, maxMapEntries: 100, maxCallArguments: 16 };

let made: Environment | undefined;

/** Only who has rules pays for it. */
function environment(): Environment {
  if (made) return made;
  made = new Environment({ unlistedVariablesAreDyn: false, limits: LIMITS });
  for (const [name, ctor] of Object.entries(HOLDERS)) {
    const fields = Object.fromEntries(membersOf(name).map((variable) => [variable.name.slice(name.length + 1), variable.type]));
    const type = `gimbal.${ctor.name}`;
    made.registerType(type, { ctor, fields }).registerVariable(name, type);
  }
  for (const { name, type } of VARIABLES) if (!name.includes(".")) made.registerVariable(name, type);
  return made;
}

function membersOf(holder: string): readonly Variable[] {
  return VARIABLES.filter(({ name }) => name.startsWith(`${holder}.`));
}

/** What is wrong with a condition, as a sentence; undefined when it can be used. */
export function conditionFault(text: string): string | undefined {
  const { valid, type, error } = environment().check(text);
  if (!valid) return error ? describe(text, error) : "It cannot be read.";
  return type === "bool" || type === "dyn" ? undefined : `It yields ${type ?? "something"}, and a condition must be true or false.`;
}

function describe(
  text: string,
  error: { readonly code: string; readonly summary: string; readonly range?: { readonly start: number; readonly end: number } },
): string {
  const { start = 0, end = 0 } = error.range ?? {};
  const word = text.slice(start, end);
  const hint = (wanted: string, known: readonly string[]): string => {
    const like = nearest(wanted, known);
    return like === undefined ? `Known: ${known.join(", ")}.` : `Did you mean "${like}"?`;
  };
  if (error.code === "unknown_variable") {
    const known = [...new Set(VARIABLES.map(({ name }) => name.split(".")[0] ?? name))];
    return `There is no variable "${word}". ${hint(word, known)}`;
  }
  const holder = error.code === "no_such_key" ? /(\w+)\s*\.\s*$/.exec(text.slice(0, start))?.[1] : undefined;
  const members = holder === undefined ? [] : membersOf(holder).map(({ name }) => name);
  if (members.length > 0) return `There is no "${holder}.${word}". ${hint(`${holder}.${word}`, members)}`;
  const summary = error.summary.charAt(0).toUpperCase() + error.summary.slice(1);
  return `${summary}${word === "" || word === text ? "" : ` at "${word}"`}.`;
}

/** What became of one rule. */
export interface RuleOutcome {
  readonly rule: AliasRule;
  readonly matched: boolean;
  readonly reason: string;
}

interface Compiled {
  readonly rule: AliasRule;
  readonly test: ParseResult | undefined;
  readonly fault: string;
  readonly holds: string;
  readonly fails: string;
}

const NO_FAULT = "";
const EXCERPT = 120;
const compiled = new WeakMap<Alias, readonly Compiled[]>();

/** An alias is immutable, so its rules are parsed once. */
function compile(alias: Alias): readonly Compiled[] {
  const before = compiled.get(alias);
  if (before) return before;
  const rules = (alias.rules ?? []).map((rule): Compiled => {
    const fault = conditionFault(rule.when) ?? NO_FAULT;
    const shown = rule.when.length > EXCERPT ? `${rule.when.slice(0, EXCERPT)}...` : rule.when;
    const test = fault === NO_FAULT ? environment().parse(rule.when) : undefined;
    return { rule, test, fault, holds: `${shown} holds`, fails: `${shown} does not hold` };
  });
  compiled.set(alias, rules);
  return rules;
}

/**
 * Tries an alias's rules in order, up to the first that matches. One that cannot be evaluated for this call (a member of `metadata` that
 * it lacks, say) does not match, and its reason says so.
 */
export function tryRules(alias: Alias, facts: CallFacts): readonly RuleOutcome[] {
  const outcomes: RuleOutcome[] = [];
  const { source } = facts;
  const variables = {
    call: new CallVariables(facts),
    caller: new CallerVariables(facts),
    budget: new BudgetVariables(facts),
    metadata: source.metadata ?? {},
    session: source.session ?? "",
    tier: BigInt(facts.tier),
    labels: source.labels,
  };
  for (const { rule, test, fault, holds, fails } of compile(alias)) {
    if (!test) {
      outcomes.push({ rule, matched: false, reason: fault });
      continue;
    }
    const outcome = evaluate(test, variables);
    const matched = outcome === true;
    outcomes.push({ rule, matched, reason: typeof outcome === "string" ? outcome : matched ? holds : fails });
    if (matched) break;
  }
  return outcomes;
}

function evaluate(test: ParseResult, variables: object): boolean | string {
  try {
    const value: unknown = test(variables);
    return typeof value === "boolean" ? value : "its condition is neither true nor false for this call";
  } catch (error) {
    const summary = error instanceof Error && "summary" in error ? String(error.summary) : "its condition cannot be evaluated";
    return `its condition failed: ${summary}`;
  }
}

/** Does any rule name the measured complexity? Only then is it worth asking a model for it. */
export function namesComplexity(alias: Alias): boolean {
  return alias.rules?.some(({ when }) => /\bcall\s*\.\s*complexity\b/.test(when)) ?? false;
}

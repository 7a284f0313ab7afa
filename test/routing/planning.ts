import type { Alias, Call, Caller, Capabilities, ModelBook, ModelFacts, Provider, Snapshot, Target } from "../../src/canon/index.ts";
import { ProblemError } from "../../src/canon/index.ts";
import { CallFacts, type FactsSource } from "../../src/routing/facts.ts";
import type { TargetLatency, TargetView } from "../../src/routing/view.ts";

export const caller: Caller = { id: "k", scope: "k", name: "k", scopes: {}, limits: [], anonymous: false };

/** Thursday, 1 January 2026, 09:30 UTC. */
export const AT = Date.UTC(2026, 0, 1, 9, 30);

export function target(model: string, rest: Partial<Target> = {}): Target {
  return { provider: "p", model, weight: 1, ...rest };
}

export function alias(name: string, strategy: Alias["strategy"], targets: readonly (string | Target)[], rest: Partial<Alias> = {}): Alias {
  return {
    name,
    strategy,
    retries: 0,
    timeoutMs: 1000,
    continue: "never",
    targets: targets.map((entry) => (typeof entry === "string" ? target(entry) : entry)),
    ...rest,
  };
}

/** A configuration with these aliases and one provider `p`, whose models can do what `capabilities` says. */
export function snapshot(
  aliases: readonly Alias[],
  capabilities: Readonly<Record<string, Capabilities>> = {},
  rest: Partial<Snapshot> = {},
): Snapshot {
  const provider = { id: "p", capabilities: (model: string) => capabilities[model] ?? {} } as Provider;
  return {
    version: 1,
    aliases: new Map(aliases.map((entry) => [entry.name, entry])),
    providers: new Map([["p", provider]]),
    limits: { defaultTimeoutMs: 1000 } as Snapshot["limits"],
    access: { anonymous: "never" },
    callerLimits: [],
    ...rest,
  };
}

const NEEDS_NOTHING = { vision: false, files: false, audio: false, tools: false, structuredOutput: false };

/** Facts of a small call, as far as the test does not say otherwise. */
export function facts(given: Partial<FactsSource> = {}): CallFacts {
  return new CallFacts({
    caller,
    model: "a",
    operation: "generate",
    stream: false,
    maxOutputTokens: undefined,
    characters: 400,
    metadata: undefined,
    session: undefined,
    previousId: undefined,
    labels: [],
    at: AT,
    needs: () => NEEDS_NOTHING,
    call: () => {
      throw new Error("the call was decoded");
    },
    remainingUsd: () => Number.POSITIVE_INFINITY,
    ...given,
  });
}

export function needs(...named: (keyof typeof NEEDS_NOTHING)[]): Pick<FactsSource, "needs"> {
  const found = { ...NEEDS_NOTHING, ...Object.fromEntries(named.map((need) => [need, true])) };
  return { needs: () => found };
}

export function call(text: string, rest: Partial<Call> = {}): Call {
  return {
    operation: "generate",
    origin: { dialect: "test" },
    model: "a",
    stream: false,
    items: [{ type: "message", role: "user", parts: [{ type: "text", text }] }],
    tools: [],
    sampling: {},
    native: {},
    touched: new Set(),
    ...rest,
  };
}

/** A book of nanodollars a token (input and output alike) and of facts. */
export function book(prices: Readonly<Record<string, number>>, known: Readonly<Record<string, Partial<ModelFacts>>> = {}): ModelBook {
  return {
    version: "test",
    facts: (_provider, model) => known[model] && { capabilities: {}, ...known[model] },
    cost: (_provider, model, usage) => {
      const price = prices[model];
      return price === undefined ? undefined : price * (usage.inputUncached + usage.output);
    },
    countTokens: (text) => text.split(" ").length,
  };
}

export function view(
  blocked: Readonly<Record<string, string>>,
  latency: Readonly<Record<string, TargetLatency>> = {},
  shut: readonly string[] = [],
): TargetView {
  return {
    blocked: (_provider, model) => blocked[model],
    latency: (_provider, model) => latency[model],
    forcedShut: (_provider, model) => shut.includes(model),
  };
}

export function problemOf(work: () => unknown): ProblemError["problem"] {
  try {
    work();
  } catch (error) {
    if (error instanceof ProblemError) return error.problem;
    throw error;
  }
  throw new Error("no problem");
}

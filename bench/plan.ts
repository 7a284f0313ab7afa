// node bench/plan.ts: what a plan costs, in microseconds of CPU. The plain case is in the way of every call.
import type { Alias, Caller, Provider, Snapshot } from "../src/canon/index.ts";
import openaiChat from "../src/dialects/openai-chat/index.ts";
import { SeededRandomness } from "../src/kit/index.ts";
import { createModelBook } from "../src/models/index.ts";
import { CallFacts, type FactsSource } from "../src/routing/facts.ts";
import { Planner } from "../src/routing/plan.ts";

const ROUNDS = 7;
const CALLS = 200_000;

const caller: Caller = { id: "k", scope: "k", name: "k", scopes: {}, limits: [], anonymous: false };
const provider = { id: "openai", capabilities: (model: string) => book.facts("openai", model)?.capabilities ?? {} } as Provider;
const book = createModelBook();
const body = {
  model: "a",
  messages: Array.from({ length: 6 }, (_, at) => ({ role: at % 2 ? "assistant" : "user", content: "word ".repeat(30) })),
};
const text = JSON.stringify(body);

function source(session: string | undefined): FactsSource {
  return {
    caller,
    model: "a",
    operation: "generate",
    stream: true,
    maxOutputTokens: undefined,
    characters: text.length,
    metadata: undefined,
    session,
    previousId: undefined,
    labels: [],
    at: Date.UTC(2026, 0, 1),
    needs: () => openaiChat.needs?.(body),
    call: () => openaiChat.decodeCall(body, { operation: "generate", headers: {}, params: {} }),
    remainingUsd: () => Number.POSITIVE_INFINITY,
  };
}

function measure(name: string, alias: Partial<Alias>, models: readonly string[], session?: string): void {
  const one: Alias = {
    name: "a",
    strategy: "fallback",
    retries: 2,
    timeoutMs: 60_000,
    continue: "never",
    targets: models.map((model) => ({ provider: "openai", model, weight: 1 })),
    ...alias,
  };
  const snapshot = {
    version: 1,
    aliases: new Map([["a", one]]),
    providers: new Map([["openai", provider]]),
    limits: {},
    access: { anonymous: "any" },
    callerLimits: [],
  } as unknown as Snapshot;
  const view = {
    blocked: () => undefined,
    latency: (_provider: string, model: string) => ({ ttftMs: model.length * 50, tokensPerSecond: 80, samples: 20 }),
  };
  const planner = new Planner(new SeededRandomness(1), view);
  const from = source(session);
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage();
    for (let call = 0; call < CALLS; call++) {
      const plan = planner.plan({ snapshot, caller, model: "a", facts: new CallFacts(from), at: from.at, book });
      planner.learn(plan, caller, one.targets[0] ?? { provider: "", model: "" }, from.at);
    }
    const spent = process.cpuUsage(before);
    times.push((spent.user + spent.system) / CALLS);
  }
  times.sort((a, b) => a - b);
  process.stdout.write(`${name.padEnd(44)} ${(times[Math.floor(ROUNDS / 2)] ?? 0).toFixed(2)} µs\n`);
}

const two = ["gpt-5-mini", "gpt-4.1-mini"];
const rules = [
  { name: "big", when: "call.inputTokens > 50000", targets: [{ provider: "openai", model: "gpt-4.1", weight: 1 }] },
  { name: "night", when: "call.hour < 6 && caller.team == 'batch'", targets: [{ provider: "openai", model: "gpt-5-nano", weight: 1 }] },
];
measure("one target", {}, ["gpt-5-mini"]);
measure("two targets, in order", { sticky: "off" }, two);
measure("two targets, a look for a prompt cache key", {}, two);
measure("two targets, in a session", {}, two, "session-1");
measure("two targets, one that takes no images", {}, ["gpt-5-mini", "gpt-3.5-turbo"]);
measure("weighted", { strategy: "weighted" }, two);
measure("round-robin", { strategy: "round-robin" }, two);
measure("latency", { strategy: "latency" }, two);
measure("cost", { strategy: "cost" }, two);
measure("two rules that do not match", { rules }, two);
measure("a rule on complexity", { rules: [{ name: "hard", when: "call.complexity > 60", targets: [] }] }, two);

import { describe, expect, it } from "vitest";
import type { Alias } from "../../src/canon/index.ts";
import { ManualClock } from "../../src/kit/index.ts";
import { Affinity } from "../../src/routing/affinity.ts";
import { cheapComplexity, ModelScorer } from "../../src/routing/complexity.ts";
import type { FactsSource } from "../../src/routing/facts.ts";
import { conditionFault, tryRules, VARIABLES } from "../../src/routing/rules.ts";
import { alias, AT, call, caller, facts, needs, target } from "./planning.ts";

/** Does a condition hold for a call? The reason, where it cannot be evaluated. */
function holds(when: string, given: Partial<FactsSource> = {}): boolean | string {
  expect(conditionFault(when)).toBeUndefined();
  const [outcome] = tryRules(alias("a", "rules", ["x"], { rules: [{ name: "r", when, targets: [target("y")] }] }), facts(given));
  if (!outcome) throw new Error("no outcome");
  return outcome.reason.startsWith("its condition") ? outcome.reason : outcome.matched;
}

describe("conditions", () => {
  const tools = [
    { type: "function" as const, name: "search" },
    { type: "native" as const, kind: "web_search", raw: {} },
  ];
  it.each<[string, Partial<FactsSource>]>([
    ["call.model == 'a' && !call.stream", {}],
    ["call.inputTokens == 100 && call.maxOutputTokens == 0", {}],
    ["call.maxOutputTokens >= 50", { maxOutputTokens: 50 }],
    ["'search' in call.tools && size(call.tools) == 2", { call: () => call("hi", { tools }) }],
    ["call.turns == 1", { call: () => call("hi") }],
    ["call.complexity < 20", { call: () => call("hi") }],
    ["call.needs == ['vision', 'tools']", needs("vision", "tools")],
    ["call.hour == 9 && call.weekday == 4", {}],
    ['call.time.getHours("Europe/Berlin") == 10', {}],
    ["call.time > timestamp('2025-12-31T00:00:00Z')", {}],
    ["caller.name == 'k' && caller.team == '' && caller.project == '' && !caller.anonymous", {}],
    ["caller.team == 'search' && 'beta' in caller.tags", { caller: { ...caller, team: "search", tags: ["beta"] } }],
    ["metadata.plan == 'gold' && metadata.seats > 5 && metadata.trial", { metadata: { plan: "gold", seats: 6, trial: true } }],
    ["!has(metadata.plan)", {}],
    ["session == ''", {}],
    ["session.startsWith('s')", { session: "s1" }],
    ["tier == 4", {}],
    ["tier < 3", { caller: { ...caller, scopes: { tier: 2 } } }],
    ["'pii' in labels", { labels: ["pii"] }],
    ["budget.remainingUsd > 1000000.0", {}],
    ["budget.remainingUsd < 5", { remainingUsd: () => 4.5 }],
  ])("%s", (when, given) => expect(holds(when, given)).toBe(true));

  it("fail softly where a call lacks what they name", () => {
    expect(holds("metadata.plan == 'gold'")).toBe("its condition failed: No such key: plan");
    expect(holds("metadata.plan", { metadata: { plan: "gold" } })).toBe("its condition is neither true nor false for this call");
    expect(holds("metadata.seats > 3", { metadata: { seats: "many" } })).toContain("its condition failed");
  });

  it("work out only what they name", () => {
    let asked = 0;
    const counting = { needs: () => (asked++, facts().needs), call: () => (asked++, call("hi")) };
    expect(holds("call.hour > 20 && call.complexity > 5", counting)).toBe(false);
    expect(asked).toBe(0);
    expect(holds("'vision' in call.needs || 'audio' in call.needs", counting)).toBe(false);
    expect(asked).toBe(1);
  });

  it("can name every variable that is documented", () => {
    for (const { name, type } of VARIABLES) {
      const fault = conditionFault(`${name} == 3 || true`);
      const usable = conditionFault(type.startsWith("list") ? `size(${name}) >= 0` : `${name} == ${name}`);
      expect([fault?.includes("no variable"), usable]).toEqual([fault === undefined ? undefined : false, undefined]);
    }
  });

  it("are bounded", () => expect(conditionFault(Array(3000).fill("true").join(" && "))).toBeDefined());
});

describe("complexity", () => {
  it("is small talk or work, and says what it is made of", () => {
    const small = cheapComplexity(call("hello there"), 10);
    expect(small).toEqual({ score: 0, parts: [] });
    const text = "Prove step by step that the algorithm is optimal, analyze its complexity and refactor it:\n```ts\nfunction f() {}\n```";
    const hard = cheapComplexity(
      call(text, { tools: Array.from({ length: 12 }, (_, at) => ({ type: "function", name: `t${at}` })) }),
      20_000,
    );
    expect(hard.score).toBeGreaterThan(60);
    expect(hard.score).toBeLessThanOrEqual(100);
    expect(hard.parts.map(({ what }) => what)).toEqual([
      "about 20000 input tokens",
      "a block of code",
      "asks to prove, step by step, algorithm, analyze, complexity",
      "12 tools",
    ]);
    expect(hard.parts.reduce((sum, { points }) => sum + points, 0)).toBe(hard.score);
  });

  it("grows with turns and is capped", () => {
    const turns = (count: number) =>
      call("", { items: Array.from({ length: count }, () => ({ type: "message", role: "user", parts: [] })) });
    expect(cheapComplexity(turns(5), 0).parts).toEqual([{ what: "turn 5", points: 6 }]);
    expect(cheapComplexity(turns(500), 0).score).toBe(15);
    const everything = cheapComplexity(
      call("```prove derive analyze compare evaluate design", { reasoning: { effort: "high" } }),
      10_000_000,
    );
    expect(everything.score).toBeLessThanOrEqual(100);
  });

  it("looks at a bounded piece of a long question", () => {
    const long = `${"x".repeat(5_000_000)} prove it`;
    expect(cheapComplexity(call(long), 0).parts).toEqual([{ what: "asks to prove", points: 5 }]);
  });

  it("can be a model's answer; what fails is counted here", async () => {
    const clock = new ManualClock();
    const asked: string[] = [];
    const scored = async (answer: string | Error | undefined) => {
      const scorer = new ModelScorer({
        model: "judge",
        timeoutMs: 500,
        clock,
        ask: (_model, text, signal) => {
          asked.push(text);
          if (answer === undefined) return new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
          return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
        },
      });
      const score = scorer.score(call("prove it"), 10);
      if (answer === undefined) clock.advance(500);
      return score;
    };
    expect(await scored(" 72.\n")).toEqual({ score: 72, parts: [{ what: "judge says so", points: 72 }] });
    expect(asked[0]).toContain("prove it");
    expect(await scored("Complexity: 100")).toMatchObject({ score: 100 });
    for (const [answer, why] of [
      ["quite hard", "answered no number from 0 to 100"],
      ["-5", "answered no number from 0 to 100"],
      ["1000", "answered no number from 0 to 100"],
      [new Error("no"), "failed"],
      [undefined, "did not answer within 500 ms"],
    ] as const)
      expect(await scored(answer)).toEqual({
        score: 5,
        parts: [
          { what: "asks to prove", points: 5 },
          { what: `counted here, because judge ${why}`, points: 0 },
        ],
      });
  });
});

describe("estimates", () => {
  it("count media flat instead of by their bytes", () => {
    const image = { type: "image" as const, source: { data: "A".repeat(400_000) } };
    const picture = call("", { items: [{ type: "message", role: "user", parts: [{ type: "text", text: "w".repeat(400) }, image] }] });
    expect(facts({ characters: 400_500, ...needs("vision"), call: () => picture }).inputTokens).toBe(1100);
    expect(facts({ characters: 400_500 }).inputTokens).toBe(100_125);
  });
  it("survive a body that cannot be read", () => {
    const broken = facts({
      needs: () => undefined,
      call: () => {
        throw new Error("unreadable");
      },
    });
    expect([broken.needWords, broken.tools, broken.turns, broken.inputTokens, broken.complexity.score]).toEqual([[], [], 0, 100, 0]);
  });
});

describe("affinity", () => {
  it("forgets the session that was silent longest", () => {
    const memory = new Affinity(2);
    const of = (session: string) => {
      const tie = memory.tieOf(sticky, facts({ session }));
      if (!tie) throw new Error("no tie");
      return tie;
    };
    const sticky: Alias = alias("a", "fallback", ["x", "y"]);
    for (const session of ["1", "2", "1", "3"]) memory.remember(sticky, of(session).key, target("x"), AT);
    expect(memory.size).toBe(2);
    expect(["1", "2", "3"].map((session) => memory.find(sticky, of(session), AT))).toEqual(["p/x", undefined, "p/x"]);
    expect(memory.tieOf(sticky, facts({ session: "s".repeat(1000) }))).toBeUndefined();
  });
});

import { describe, expect, it } from "vitest";
import type { Alias, Caller, Snapshot } from "../../src/canon/index.ts";
import { SeededRandomness } from "../../src/kit/index.ts";
import type { FactsSource } from "../../src/routing/facts.ts";
import { Planner, type Plan, type PlanRequest } from "../../src/routing/plan.ts";
import { explainPlan, hadChoice } from "../../src/routing/explain.ts";
import { alias, AT, book, call, caller, facts, needs, problemOf, snapshot, target, view } from "./planning.ts";

const MINUTE = 60_000;

function request(snap: Snapshot, model: string, given: Partial<FactsSource> & Partial<Pick<PlanRequest, "book" | "at">> = {}): PlanRequest {
  const { book: prices, at = AT, ...source } = given;
  const of = source.caller ?? caller;
  return { snapshot: snap, caller: of, model, facts: facts({ model, at, ...source }), at, ...(prices && { book: prices }) };
}
const models = (plan: Plan): string => plan.steps.map((step) => step.target.model).join("");
const reasons = (plan: Plan): string[] => plan.steps.map((step) => step.reason);
const skipped = (plan: Plan): string[] => plan.skipped.map((step) => `${step.target.model}: ${step.reason}`);

describe("names", () => {
  const planner = new Planner(new SeededRandomness(1));

  it("lets an alias win over provider/model and splits at the first slash", () => {
    const snap = snapshot([alias("p/m", "fallback", ["other"])]);
    expect(models(planner.plan(request(snap, "p/m")))).toBe("other");
    expect(planner.plan(request(snap, "p/org/model:tag")).steps[0]?.target).toMatchObject({ provider: "p", model: "org/model:tag" });
  });

  it("names the nearest model and only those the key may use", () => {
    const snap = snapshot([alias("fast", "fallback", ["x"]), alias("secret-fast", "fallback", ["x"])]);
    expect(problemOf(() => planner.plan(request(snap, "fsat")))).toMatchObject({
      kind: "unknown_model",
      message: expect.stringContaining('"fast"'),
    });
    const scoped: Caller = { ...caller, scopes: { models: ["fast"] } };
    expect(problemOf(() => planner.plan(request(snap, "secret-fats", { caller: scoped }))).message).not.toContain("secret-fast");
    expect(problemOf(() => planner.plan(request(snap, "secret-fast", { caller: scoped }))).kind).toBe("forbidden");
    for (const name of ["p/", "/m", "q/m", "x".repeat(100_000)])
      expect(problemOf(() => planner.plan(request(snap, name))).kind).toBe("unknown_model");
  });
});

describe("what cannot take a call", () => {
  const planner = new Planner(new SeededRandomness(1));
  const blind = { blind: { vision: false }, seeing: { vision: true } };

  it("is skipped with the reason, and a model of which nothing is known is not", () => {
    const snap = snapshot([alias("a", "fallback", ["blind", "seeing", "unknown"])], blind);
    const plan = planner.plan(request(snap, "a", needs("vision")));
    expect(models(plan)).toBe("seeingunknown");
    expect(skipped(plan)).toEqual(["blind: takes no images"]);
    expect(models(planner.plan(request(snap, "a")))).toBe("blindseeingunknown");
  });

  it("leaves a problem that says what each target lacks, as the caller's fault", () => {
    const snap = snapshot([alias("a", "fallback", ["blind", "mute"])], { ...blind, mute: { vision: false, tools: false } });
    expect(problemOf(() => planner.plan(request(snap, "a", needs("vision", "tools"))))).toEqual({
      kind: "unsupported",
      status: 400,
      param: "model",
      message: 'No target of the model "a" can take this call: p/blind takes no images; p/mute takes no images, no tools.',
    });
    expect(problemOf(() => planner.plan(request(snap, "p/blind", needs("vision")))).message).toBe(
      'The model "p/blind" cannot take this call: p/blind takes no images.',
    );
  });

  it("asks for the needs of a call only where they could matter", () => {
    const unseen = {
      needs: () => {
        throw new Error("looked");
      },
    };
    const plain = snapshot([alias("a", "fallback", ["x", "y"], { sticky: "off" })]);
    expect(models(planner.plan(request(plain, "a", unseen)))).toBe("xy");
    expect(models(planner.plan(request(snapshot([], {}), "p/x", unseen)))).toBe("x");
    expect(() => planner.plan(request(snapshot([], blind), "p/blind", unseen))).toThrow("looked");
  });

  it("has too short a context: judged by the length, and by counting only near the limit", () => {
    const known = book({}, { small: { contextTokens: 1000, maxOutputTokens: 1000 }, large: { contextTokens: 100_000 } });
    const snap = snapshot([alias("a", "fallback", ["small", "large"])]);
    const plan = (given: Partial<FactsSource>): Plan => planner.plan(request(snap, "a", { book: known, ...given }));
    expect(models(plan({ characters: 500, maxOutputTokens: 500 }))).toBe("smalllarge");
    expect(skipped(plan({ characters: 40_000 }))).toEqual(["small: holds 1000 tokens, and the call has about 10000 of input"]);
    expect(skipped(plan({ characters: 400, maxOutputTokens: 950 }))).toEqual([
      "small: holds 1000 tokens, and the call has about 100 of input and up to 950 of output",
    ]);
    // Near the limit the words are counted: 900 of them fit, 1200 do not, whatever the characters say.
    const text = (words: number): Partial<FactsSource> => ({ characters: 4400, call: () => call("w ".repeat(words).trim()) });
    expect(skipped(plan(text(900)))).toEqual([]);
    expect(skipped(plan(text(1200)))).toHaveLength(1);
    expect(models(plan({ characters: 400_000, operation: "count_tokens" }))).toBe("smalllarge");
  });

  it("is in the wrong place, or does not say where it is", () => {
    const targets = ["here", target("there", { place: { region: "us-east-1" } }), target("west", { place: { region: "eu-west-1" } })];
    const places = new Map([["p", { residency: "eu" }]]);
    const snap = snapshot(
      [alias("a", "fallback", targets), alias("b", "fallback", targets, { requires: { region: ["eu"] } })],
      {},
      { places },
    );
    expect(skipped(planner.plan(request(snap, "b")))).toEqual([
      "here: has no region in the configuration, and eu is required",
      "there: runs in us-east-1, and eu is required",
    ]);
    expect(models(planner.plan(request(snap, "a", { metadata: { "requires.region": "us" } })))).toBe("there");
    const bound: Caller = { ...caller, scopes: { requires: { residency: ["eu", "ch"] } } };
    expect(models(planner.plan(request(snap, "a", { caller: bound })))).toBe("heretherewest");
    expect(problemOf(() => planner.plan(request(snap, "b", { metadata: { "requires.residency": "us" } }))).message).toContain(
      "p/west keeps data in eu, and us is required",
    );
  });
});

describe("health", () => {
  const snap = snapshot([alias("a", "fallback", ["x", "y", "z"])]);

  it("skips a target that is blocked", () => {
    const plan = new Planner(new SeededRandomness(1), view({ x: "its breaker is open" })).plan(request(snap, "a"));
    expect(models(plan)).toBe("yz");
    expect(skipped(plan)).toEqual(["x: its breaker is open"]);
  });

  it("asks a target that only does worse than the others after them", () => {
    const worse = {
      ...view({ x: "set aside: slow", y: "its breaker is open" }),
      setAside: (_provider: string, model: string) => model === "x",
    };
    const plan = new Planner(new SeededRandomness(1), worse).plan(request(snap, "a"));
    expect(models(plan)).toBe("zx");
    expect(skipped(plan)).toEqual(["y: its breaker is open"]);
  });

  it("asks the first all the same when every target is blocked", () => {
    const all = view({ x: "down", y: "down", z: "down" }, {}, ["x"]);
    const plan = new Planner(new SeededRandomness(1), all).plan(request(snap, "a"));
    expect(models(plan)).toBe("y");
    expect(reasons(plan)).toEqual(["tried all the same, because every target is blocked: down"]);
    expect(skipped(plan)).toEqual(["x: down", "z: down"]);
  });

  it("never asks what a person shut", () => {
    const shut = view({ x: "shut by a person" }, {}, ["x"]);
    expect(problemOf(() => new Planner(new SeededRandomness(1), shut).plan(request(snap, "p/x")))).toMatchObject({
      kind: "upstream_unavailable",
      message: "Nothing may be asked: p/x shut by a person.",
    });
  });
});

describe("rules", () => {
  const withRules = (rules: Alias["rules"], rest: Partial<Alias> = {}): Snapshot =>
    snapshot([alias("a", "round-robin", ["x", "y"], { ...(rules && { rules }), ...rest })]);
  const planner = new Planner(new SeededRandomness(1));
  const big = { name: "big", when: "call.inputTokens > 1000", targets: [target("large")] };
  const night = { name: "night", when: "call.hour < 6", targets: [target("cheap"), target("x")], strategy: "fallback" as const };

  it("send a call elsewhere, the first that matches; else the alias decides", () => {
    const snap = withRules([big, night]);
    const plan = planner.plan(request(snap, "a", { characters: 8000 }));
    expect(models(plan)).toBe("large");
    expect(explainPlan(plan)).toMatchObject({
      rule: "big",
      rules: [{ name: "big", matched: true, reason: "call.inputTokens > 1000 holds" }],
    });
    const early = planner.plan(request(snap, "a", { at: Date.UTC(2026, 0, 1, 3) }));
    expect(models(early)).toBe("cheapx");
    expect(early.strategy).toBe("fallback");
    expect(planner.plan(request(snap, "a"))).toMatchObject({ strategy: "round-robin", rules: [{ matched: false }, { matched: false }] });
  });

  it("that cannot be evaluated do not match, and say so", () => {
    const snap = withRules([{ name: "vip", when: "metadata.plan == 'gold'", targets: [target("best")] }]);
    const plan = planner.plan(request(snap, "a", { metadata: { other: 1 } }));
    expect(plan.rules?.[0]).toMatchObject({ matched: false, reason: "its condition failed: No such key: plan" });
    expect(models(planner.plan(request(snap, "a", { metadata: { plan: "gold" } })))).toBe("best");
  });

  it("win over a session's habit, and the explanation says so", () => {
    const own = new Planner(new SeededRandomness(1));
    const snap = withRules([big]);
    const first = own.plan(request(snap, "a", { session: "s" }));
    own.learn(first, caller, target("y"), AT);
    const plan = own.plan(request(snap, "a", { session: "s", characters: 8000 }));
    expect(models(plan)).toBe("large");
    expect(explainPlan(plan)).toMatchObject({ sticky: "p/y answered this session last, and is not asked now" });
  });

  it("ask a model how demanding a call is only where a rule gets that far", () => {
    const hard = { name: "hard", when: "call.complexity > 60", targets: [target("best")] };
    const complexity = { model: "judge", timeoutMs: 1000 };
    const snap = withRules([big, hard], { complexity });
    const small = request(snap, "a");
    expect(planner.wantsRating(small)).toEqual(complexity);
    expect(planner.wantsRating(request(snap, "a", { characters: 8000 }))).toBeUndefined();
    expect(planner.wantsRating(request(withRules([big], { complexity }), "a"))).toBeUndefined();
    expect(planner.wantsRating(request(withRules([hard]), "a"))).toBeUndefined();
    small.facts.complexity = { score: 80, parts: [{ what: "judge says so", points: 80 }] };
    expect(planner.wantsRating(small)).toBeUndefined();
    expect(models(planner.plan(small))).toBe("best");
  });
});

describe("sessions", () => {
  const snap = snapshot([
    alias("a", "round-robin", ["x", "y", "z"]),
    alias("long", "round-robin", ["x", "y", "z"], { sticky: "session" }),
    alias("off", "round-robin", ["x", "y", "z"], { sticky: "off" }),
  ]);
  const answered = (planner: Planner, model: string, given: Partial<FactsSource>, answerId?: string): void =>
    planner.learn(planner.plan(request(snap, model, given)), given.caller ?? caller, target("z"), AT, answerId);
  const next = (planner: Planner, model: string, given: Partial<FactsSource>, after = 0): Plan =>
    planner.plan(request(snap, model, { ...given, at: AT + after }));

  it("stay where they were answered last while the prompt cache is warm", () => {
    const planner = new Planner(new SeededRandomness(1));
    answered(planner, "a", { session: "s" });
    const plan = next(planner, "a", { session: "s" }, 4 * MINUTE);
    expect(plan.steps[0]).toMatchObject({ target: { model: "z" }, reason: "answered this session last" });
    expect(models(plan)).toHaveLength(3);
    expect(reasons(next(planner, "a", { session: "s" }, 6 * MINUTE))[0]).toBe("its turn");
    expect(reasons(next(planner, "a", { session: "t" }))[0]).toBe("its turn");
    expect(reasons(next(planner, "long", { session: "s" }))[0]).toBe("its turn");
  });

  it("stay longer or not at all where the alias says so", () => {
    const planner = new Planner(new SeededRandomness(1));
    answered(planner, "long", { session: "s" });
    expect(models(next(planner, "long", { session: "s" }, 600 * MINUTE))[0]).toBe("z");
    expect(reasons(next(planner, "long", { session: "s" }, 3000 * MINUTE))[0]).toBe("its turn");
    answered(planner, "off", { session: "s" });
    expect(reasons(next(planner, "off", { session: "s" }))[0]).toBe("its turn");
  });

  it("are known by a prompt cache key and by the answer that a call continues, and never cross callers", () => {
    const planner = new Planner(new SeededRandomness(1));
    const keyed = { needs: () => ({ ...facts().needs, cacheKey: "k1" }) };
    answered(planner, "a", keyed, "resp_1");
    expect(reasons(next(planner, "a", keyed))[0]).toBe("answered calls with this prompt cache key last");
    expect(reasons(next(planner, "a", { previousId: "resp_1" }))[0]).toBe("gave the answer that this call continues");
    const stranger: Caller = { ...caller, id: "other", scope: "other" };
    expect(reasons(next(planner, "a", { ...keyed, caller: stranger }))[0]).toBe("its turn");
    expect(reasons(next(planner, "a", { previousId: "resp_1", caller: stranger }))[0]).toBe("its turn");
  });

  it("leave a target that is blocked or cannot take the call", () => {
    const blockedNow: Record<string, string> = {};
    const planner = new Planner(new SeededRandomness(1), view(blockedNow));
    answered(planner, "a", { session: "s" });
    blockedNow["z"] = "its breaker is open";
    const plan = next(planner, "a", { session: "s" });
    expect(plan.steps.map((step) => step.target.model)).not.toContain("z");
    expect(explainPlan(plan)).toMatchObject({ sticky: "p/z answered this session last, and is not asked now" });
  });
});

describe("a plan's trace", () => {
  const planner = new Planner(new SeededRandomness(1));
  it("is worth keeping only where there was a choice", () => {
    const snap = snapshot([alias("one", "fallback", ["x"]), alias("two", "fallback", ["x", "y"])]);
    const plan = planner.plan(request(snap, "two"));
    expect([hadChoice(planner.plan(request(snap, "one"))), hadChoice(plan)]).toEqual([false, true]);
    expect(explainPlan(plan)).toEqual({
      alias: "two",
      strategy: "fallback",
      steps: [
        { target: "p/x", reason: "first target" },
        { target: "p/y", reason: "fallback" },
      ],
      skipped: [],
    });
  });
});

import { describe, expect, it } from "vitest";
import type { Alias } from "../../src/canon/index.ts";
import { SeededRandomness } from "../../src/kit/index.ts";
import { explainPlan, hadChoice } from "../../src/routing/explain.ts";
import type { FactsSource } from "../../src/routing/facts.ts";
import { Planner, type Plan } from "../../src/routing/plan.ts";
import { fractionOf } from "../../src/routing/release.ts";
import { alias, AT, caller, facts, needs, snapshot, target, view } from "./planning.ts";

const MINUTE = 60_000;

function canary(percent: number, rest: Partial<NonNullable<Alias["canary"]>> = {}): Partial<Alias> {
  return { canary: { targets: [target("new")], percent, sticky: "session", ...rest } };
}

function plan(planner: Planner, one: Alias, given: Partial<FactsSource> = {}, at = AT, capabilities = {}): Plan {
  return planner.plan({
    snapshot: snapshot([one], capabilities),
    caller: given.caller ?? caller,
    model: one.name,
    facts: facts({ model: one.name, ...given }),
    at,
  });
}
const models = ({ steps }: Plan): string => steps.map((step) => step.target.model).join(" ");

describe("a draw", () => {
  it("is even, and the same for the same text everywhere", () => {
    const tenths = Array.from({ length: 10 }, () => 0);
    for (let one = 0; one < 20_000; one++) {
      const place = Math.floor(fractionOf(`canary\0fast\0k\0session-${one}`) * 10);
      tenths[place] = (tenths[place] ?? 0) + 1;
    }
    for (const count of tenths) expect(count).toBeGreaterThan(1800);
    for (const count of tenths) expect(count).toBeLessThan(2200);
    // Written down, so that no later version moves the sessions of a running canary.
    expect(fractionOf("canary\0fast\0k\0one").toFixed(9)).toBe("0.343894070");
  });
});

describe("a canary", () => {
  const planner = new Planner(new SeededRandomness(1));
  const session = (number: number): Partial<FactsSource> => ({ session: `s${number}`, callId: `call_${number}` });

  it("takes its share of the sessions, each always the same way, and says why", () => {
    const one = alias("a", "fallback", ["old", "spare"], canary(10));
    let taken = 0;
    for (let number = 0; number < 5000; number++) {
      const first = plan(new Planner(new SeededRandomness(number)), one, session(number));
      expect(models(plan(planner, one, { ...session(number), callId: `again_${number}` }))).toBe(models(first));
      expect(["new old spare", "old spare"]).toContain(models(first));
      if (first.arm?.name === "canary") taken++;
    }
    expect(taken).toBeGreaterThan(430);
    expect(taken).toBeLessThan(570);
    const inIt = Array.from({ length: 200 }, (_, number) => plan(planner, one, session(number))).find(({ arm }) => arm?.name === "canary");
    expect(inIt?.steps.map(({ reason }) => reason)).toEqual(["canary: 10% of the sessions", "fallback", "fallback"]);
    const out = Array.from({ length: 200 }, (_, number) => plan(planner, one, session(number))).find(({ arm }) => arm?.name === "main");
    expect(out && explainPlan(out)).toMatchObject({
      arm: { name: "main", reason: expect.stringMatching(/^not in the canary: the session drew [\d.]+ of 100, and those below 10 are$/) },
    });
  });

  it("keeps whoever is in it when it grows, and tells callers of one session name apart", () => {
    const at = (percent: number, number: number): string | undefined =>
      plan(planner, alias("a", "fallback", ["old"], canary(percent)), session(number)).arm?.name;
    for (let number = 0; number < 300; number++) if (at(5, number) === "canary") expect(at(20, number)).toBe("canary");
    expect(at(0, 1)).toBe("main");
    expect(at(100, 1)).toBe("canary");
    const arms = Array.from({ length: 50 }, (_, number) => {
      const other = { ...caller, id: `k${number}`, scope: `k${number}` };
      return plan(planner, alias("a", "fallback", ["old"], canary(50)), { session: "default", caller: other }).arm?.name;
    });
    expect(new Set(arms)).toEqual(new Set(["canary", "main"]));
  });

  it("draws each call where there is no session, and where it is told to", () => {
    const count = (sticky: "session" | "call", given: Partial<FactsSource>): number =>
      Array.from({ length: 400 }, (_, number) =>
        plan(planner, alias("a", "fallback", ["old"], canary(25, { sticky })), { callId: `call_${number}`, ...given }),
      ).filter(({ arm }) => arm?.name === "canary").length;
    expect(count("session", {})).toBeGreaterThan(60);
    expect(count("session", {})).toBeLessThan(140);
    expect(count("call", { session: "one" })).toBe(count("session", {}));
    expect([0, 400]).toContain(count("session", { session: "one" }));
    expect([0, 400]).toContain(count("session", { needs: () => ({ ...facts().needs, cacheKey: "one" }) }));
  });

  it("has what continues an answer go where the answer came from", () => {
    const one = alias("a", "fallback", ["old"], canary(50));
    const memory = new Planner(new SeededRandomness(1));
    for (const model of ["new", "old"]) {
      const begun = plan(memory, one, { callId: "call_0" });
      memory.learn(begun, caller, target(model), AT, `answer-${model}`);
      for (let number = 0; number < 20; number++) {
        const next = plan(memory, one, { callId: `call_${number}`, previousId: `answer-${model}` }, AT + MINUTE);
        expect(next.steps[0]?.target.model).toBe(model);
        expect(next.arm?.reason).toContain("gave the answer that this call continues");
      }
    }
  });

  it("does not draw a session back to where it was before the canary grew", () => {
    const memory = new Planner(new SeededRandomness(1));
    const before = plan(memory, alias("a", "fallback", ["old"], canary(0)), { session: "s" });
    memory.learn(before, caller, target("old"), AT);
    expect(models(plan(memory, alias("a", "fallback", ["old"], canary(100)), { session: "s" }, AT + 1))).toBe("new old");
  });

  it("falls back where it is blocked or cannot take the call", () => {
    const sick = new Planner(new SeededRandomness(1), view({ new: "its breaker is open" }));
    const one = alias("a", "fallback", ["old"], canary(100));
    const blocked = plan(sick, one, { callId: "call_1" });
    expect([models(blocked), blocked.arm?.name]).toEqual(["old", "canary"]);
    expect(blocked.skipped).toMatchObject([{ target: { model: "new" }, reason: "its breaker is open" }]);
    const blind = plan(planner, one, { callId: "call_1", ...needs("vision") }, AT, { new: { vision: false } });
    expect([models(blind), blind.skipped[0]?.reason]).toEqual(["old", "takes no images"]);
    expect(hadChoice(blind)).toBe(true);
  });

  it("may try one of the alias's own targets, and several by its strategy", () => {
    const own = alias("a", "fallback", ["old", "new"], canary(100));
    expect(models(plan(planner, own, { callId: "call_1" }))).toBe("new old");
    const several = canary(100, { targets: [target("new", { weight: 0 }), target("newer", { weight: 3 })] });
    const drawn = plan(planner, alias("a", "weighted", ["old"], several), { callId: "call_1" });
    expect(models(drawn)).toBe("newer new old");
  });

  it("is not drawn in a dry run of a call without a session", () => {
    const one = alias("a", "fallback", ["old"], canary(5));
    expect(plan(planner, one).arm).toMatchObject({ name: "main", reason: "each such call is drawn: 5% go to p/new first" });
    expect(plan(planner, one, { session: "s" }).arm?.reason).toContain("the session drew");
  });

  it("leaves calls alone that a rule sends elsewhere", () => {
    const rules = [{ name: "batch", when: "call.stream == false", targets: [target("slow")] }];
    const ruled = plan(planner, alias("a", "fallback", ["old"], { ...canary(100), rules }));
    expect([models(ruled), ruled.arm]).toEqual(["slow", undefined]);
  });
});

describe("a way out that is kept warm", () => {
  const planner = new Planner(new SeededRandomness(1));
  const warm = (share: number): Partial<Alias> => ({ warm: { target: target("open"), share, coldAfterMs: MINUTE } });

  it("gets its share, with the alias's own as fallback; a canary gets its part of the rest", () => {
    const one = alias("a", "fallback", ["old"], { ...warm(0.2), ...canary(50) });
    const arms = Array.from({ length: 2000 }, (_, number) => plan(planner, one, { callId: `call_${number}` }));
    const count = (name: string): number => arms.filter(({ arm }) => arm?.name === name).length;
    expect(count("warm")).toBeGreaterThan(330);
    expect(count("warm")).toBeLessThan(470);
    expect(count("canary")).toBeGreaterThan(700);
    expect(count("canary")).toBeLessThan(900);
    const kept = arms.find(({ arm }) => arm?.name === "warm");
    expect([kept && models(kept), kept?.steps[0]?.reason]).toEqual(["open old", "kept warm with 20% of the calls"]);
    expect(plan(planner, alias("a", "fallback", ["old"], warm(0))).arm?.name).toBe("main");
  });
});

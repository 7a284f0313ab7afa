import { describe, expect, it } from "vitest";
import { ProblemError, type Alias, type Caller, type Provider, type Snapshot } from "../../src/canon/index.ts";
import { SeededRandomness } from "../../src/kit/index.ts";
import { Planner } from "../../src/routing/plan.ts";

const caller: Caller = { id: "k", scope: "k", name: "k", scopes: {}, limits: [], anonymous: false };

function alias(name: string, strategy: Alias["strategy"], ...targets: [string, number?][]): Alias {
  return {
    name,
    strategy,
    retries: 0,
    timeoutMs: 1000,
    continue: "never",
    targets: targets.map(([model, weight = 1]) => ({ provider: "p", model, weight })),
  };
}

function snapshot(...aliases: Alias[]): Snapshot {
  const provider = { id: "p" } as Provider;
  return {
    version: 1,
    aliases: new Map(aliases.map((entry) => [entry.name, entry])),
    providers: new Map([["p", provider]]),
    limits: { defaultTimeoutMs: 1000 } as Snapshot["limits"],
    access: { anonymous: "never" },
    callerLimits: [],
  };
}

function problemOf(work: () => unknown): ProblemError["problem"] {
  try {
    work();
  } catch (error) {
    if (error instanceof ProblemError) return error.problem;
  }
  throw new Error("no problem");
}

describe("the plan", () => {
  const planner = new Planner(new SeededRandomness(1));
  const first = (strategy: Alias["strategy"], ...targets: [string, number?][]): string =>
    planner.plan(snapshot(alias("a", strategy, ...targets)), caller, "a").steps[0]?.target.model ?? "";

  it("keeps the order for fallback and says why each target is where it is", () => {
    const { steps } = planner.plan(snapshot(alias("a", "fallback", ["x"], ["y"])), caller, "a");
    expect(steps.map(({ target, reason }) => [target.model, reason])).toEqual([
      ["x", "first target"],
      ["y", "fallback"],
    ]);
  });

  it("takes turns for round-robin", () => {
    const snap = snapshot(alias("rr", "round-robin", ["x"], ["y"], ["z"]));
    expect(
      Array.from({ length: 4 }, () =>
        planner
          .plan(snap, caller, "rr")
          .steps.map((step) => step.target.model)
          .join(""),
      ),
    ).toEqual(["xyz", "yzx", "zxy", "xyz"]);
  });

  it("draws by weight and never loses a target", () => {
    let heavy = 0;
    for (let draw = 0; draw < 2000; draw++) if (first("weighted", ["x", 3], ["y", 1]) === "x") heavy++;
    expect(heavy).toBeGreaterThan(1400);
    expect(heavy).toBeLessThan(1600);
    expect(
      planner
        .plan(snapshot(alias("a", "weighted", ["x", 3], ["y", 1], ["z", 2])), caller, "a")
        .steps.map((step) => step.target.model)
        .toSorted(),
    ).toEqual(["x", "y", "z"]);
  });

  it("lets an alias win over provider/model and splits at the first slash", () => {
    const snap = snapshot(alias("p/m", "fallback", ["other"]));
    expect(planner.plan(snap, caller, "p/m").steps[0]?.target.model).toBe("other");
    expect(planner.plan(snap, caller, "p/org/model:tag").steps[0]?.target).toMatchObject({ provider: "p", model: "org/model:tag" });
  });

  it("names the nearest model and only those the key may use", () => {
    const snap = snapshot(alias("fast", "fallback", ["x"]), alias("secret-fast", "fallback", ["x"]));
    expect(problemOf(() => planner.plan(snap, caller, "fsat"))).toMatchObject({
      kind: "unknown_model",
      message: expect.stringContaining('"fast"'),
    });
    const scoped = { ...caller, scopes: { models: ["fast"] } };
    expect(problemOf(() => planner.plan(snap, scoped, "secret-fats")).message).not.toContain("secret-fast");
    expect(problemOf(() => planner.plan(snap, scoped, "secret-fast")).kind).toBe("forbidden");
    for (const name of ["p/", "/m", "q/m", "x".repeat(100_000)])
      expect(problemOf(() => planner.plan(snap, caller, name)).kind).toBe("unknown_model");
  });
});

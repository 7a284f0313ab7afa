import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Provider } from "../../src/canon/index.ts";
import { formatProblems, readConfig, snapshotOf, type GimbalConfig } from "../../src/config/index.ts";

const HEAD =
  "version: 1\nproviders:\n  lab: { kind: openai-compatible, baseUrl: http://127.0.0.1:9999/v1, apiKey: x, allowPrivateNetwork: true, region: eu-west-1, residency: eu }\nmodels:\n";
/** The first line below `models:`. */
const FIRST = 5;

function read(models: string, env: Record<string, string> = {}): GimbalConfig {
  const outcome = readConfig(HEAD + models, env);
  if (!outcome.ok) throw new Error(formatProblems("gimbal.yaml", outcome.problems).join("\n"));
  return outcome.config;
}
function problems(models: string): string[] {
  const outcome = readConfig(HEAD + models, {});
  return outcome.ok ? [] : outcome.problems.map(({ line, message }) => `${line - FIRST} ${message}`);
}
const rules = (...lines: string[]): string =>
  `  a:\n    targets: [lab/x, lab/y]\n    rules:\n${lines.map((line) => `      - ${line}\n`).join("")}`;

describe("aliases", () => {
  it("have rules, stickiness, requirements and a model that rates calls", () => {
    const config = read(
      `${rules("{ when: call.inputTokens > 5, use: [lab/y] }", "{ name: night, when: call.hour < 6, targets: [{ target: lab/z, weight: 2 }], strategy: cost }")}    sticky: off\n    requires: { region: eu, residency: [eu, ch] }\n    complexity: { model: lab/judge }\n`,
    );
    expect(config.aliases.get("a")).toMatchObject({
      sticky: "off",
      requires: { region: ["eu"], residency: ["eu", "ch"] },
      complexity: { model: "lab/judge", timeoutMs: 3000 },
      rules: [
        { name: "rule 1", when: "call.inputTokens > 5", targets: [{ provider: "lab", model: "y" }] },
        { name: "night", targets: [{ model: "z", weight: 2 }], strategy: "cost" },
      ],
    });
    expect(read("  a: lab/x\n").aliases.get("a")).toEqual({
      name: "a",
      targets: [{ provider: "lab", model: "x", weight: 1 }],
      strategy: "fallback",
      retries: 2,
      timeoutMs: 600_000,
      continue: "never",
    });
    for (const strategy of ["latency", "cost", "round-robin", "weighted"])
      expect(read(`  a: { targets: [lab/x], strategy: ${strategy} }\n`).aliases.get("a")?.strategy).toBe(strategy);
  });

  it("say where providers and targets are", () => {
    const config = read("  a: { targets: [lab/x, { target: lab/y, region: us }] }\n");
    expect(config.aliases.get("a")?.targets[1]?.place).toEqual({ region: "us" });
    expect(snapshotOf(config, 1, new Map<string, Provider>()).places?.get("lab")).toEqual({ region: "eu-west-1", residency: "eu" });
    expect(problems("  a: { targets: [lab/x], requires: { region: [] } }\n")).toHaveLength(1);
    expect(problems("  a: { targets: [lab/x], requires: { country: eu } }\n")[0]).toContain('Unknown key "country"');
  });

  it("refuse a rule that names an unknown field, with its line and the nearest name", () => {
    expect(problems(rules("{ when: call.inputTokenz > 5, use: [lab/y] }"))).toEqual([
      '3 models.a: the condition of rule 1 cannot be used. There is no "call.inputTokenz". Did you mean "call.inputTokens"?',
    ]);
    expect(problems(rules("{ when: call.hour < 6, use: [lab/y] }", "{ name: vip, when: coller.team == 'x', use: [lab/y] }"))).toEqual([
      '4 models.a: the condition of vip cannot be used. There is no variable "coller". Did you mean "caller"?',
    ]);
  });

  it.each([
    ["call.model + 1 == 2", "No such overload: string + int"],
    ["call.model", "It yields string, and a condition must be true or false."],
    ["call.hour >", "Unexpected token: EOF."],
    ["caller.nmae == 'x'", 'There is no "caller.nmae". Did you mean "caller.name"?'],
    ["shout(call.model)", "shout"],
  ])("refuse the condition %s", (when, why) => {
    const [problem, ...more] = problems(rules(`{ when: "${when}", use: [lab/y] }`));
    expect(problem).toContain(why);
    expect(more).toEqual([]);
  });

  it("refuse rules that lead nowhere", () => {
    expect(problems(rules("{ when: 'true' }"))[0]).toContain("A rule has either `targets` or `use`.");
    expect(problems(rules("{ when: 'true', use: [lab/x], targets: [lab/y] }"))[0]).toContain("either");
    expect(problems(rules("{ when: 'true', use: [lab/xx] }"))).toEqual([
      '3 models.a: "lab/xx" is none of its targets. Did you mean "lab/x"?',
    ]);
    expect(problems(rules("{ when: 'true', targets: [] }"))[0]).toContain("at least one target");
    expect(problems(rules("{ when: 'true', targets: [lba/x] }"))[0]).toContain('There is no provider "lba"');
    expect(problems(rules("{ wenn: 'true', use: [lab/x] }")).join()).toContain('Unknown key "wenn". Did you mean "when"?');
    expect(problems("  a: { targets: [lab/x], strategy: rules }\n")[0]).toContain("There are no `rules`.");
  });

  it("refuse weights that add up to 0, and take a weight of 0 for a fallback", () => {
    expect(problems("  a: { strategy: weighted, targets: [{ target: lab/x, weight: 0 }, { target: lab/y, weight: 0 }] }\n")).toEqual([
      "0 models.a: The weights add up to 0, so no target could be drawn. Give one a weight.",
    ]);
    expect(problems("  a: { strategy: weighted, targets: [lab/x, { target: lab/y, weight: 0 }] }\n")).toEqual([]);
    expect(problems("  a: { strategy: weighted, targets: [{ target: lab/x, weight: -1 }] }\n")).toHaveLength(1);
    expect(problems(rules("{ when: 'true', strategy: weighted, targets: [{ target: lab/x, weight: 0 }] }"))[0]).toContain("add up to 0");
  });

  it("refuse empty lists and circles, naming the way round", () => {
    expect(problems("  a: { targets: [] }\n")[0]).toContain("An alias needs at least one target.");
    expect(problems("  a: { targets: [b] }\n  b: { targets: [lab/x, c] }\n  c: a\n")).toEqual([
      '0 models.a: "b" is itself a model of this file. They would go in a circle: a -> b -> c -> a. A target is `provider/model`: name what stands behind it instead.',
      '1 models.b: "c" is itself a model of this file. They would go in a circle: b -> c -> a -> b. A target is `provider/model`: name what stands behind it instead.',
      '2 models.c: "a" is itself a model of this file. They would go in a circle: c -> a -> b -> c. A target is `provider/model`: name what stands behind it instead.',
    ]);
    expect(problems("  a: { targets: [b] }\n  b: lab/x\n")[0]).not.toContain("circle");
    const rated = (name: string, by: string): string => `  ${name}: { targets: [lab/x], complexity: { model: ${by} } }\n`;
    expect(problems(rated("a", "b") + rated("b", "a"))[0]).toContain("Calls would be rated in a circle: a -> b -> a.");
    expect(problems(rated("a", "nobody/x"))[0]).toContain('There is no provider "nobody"');
    expect(problems(`${rated("a", "b")}  b: lab/x\n`)).toEqual([]);
  });

  it("leave out rules whose providers are off, with a warning", () => {
    const text = HEAD.replace("models:", "  away: { kind: openai-compatible, baseUrl: http://127.0.0.1:1, apiKey: ${NOT_SET} }\nmodels:");
    const outcome = readConfig(text + rules("{ when: 'true', targets: [away/x] }"), {});
    expect(outcome.ok && outcome.config.aliases.get("a")?.rules).toBeUndefined();
    expect(outcome.ok && outcome.warnings.map(({ message }) => message)).toContain(
      "models.a: rule 1 is off: every provider behind it is. Its calls go where the next rule says.",
    );
  });

  it("can be written as docs/routing.md shows", () => {
    const doc = readFileSync(join(import.meta.dirname, "../../docs/routing.md"), "utf8");
    const example = /```yaml\n([\s\S]*?)```/.exec(doc)?.[1] ?? "";
    const providers = "  anthropic: { apiKey: x }\n  openai: { apiKey: x }\n";
    const outcome = readConfig(HEAD.replace("models:\n", providers) + example, {});
    expect(outcome).toMatchObject({ ok: true });
    expect(outcome.ok && outcome.config.aliases.get("agent")?.rules).toHaveLength(3);
  });
});

import { describe, expect, it } from "vitest";
import { formatProblems, readConfig, type GimbalConfig } from "../../src/config/index.ts";

function read(text: string, env: Record<string, string> = {}): GimbalConfig {
  const outcome = readConfig(text, env);
  if (!outcome.ok) throw new Error(formatProblems("gimbal.yaml", outcome.problems).join("\n"));
  return outcome.config;
}
function problems(text: string, env: Record<string, string> = {}): string[] {
  const outcome = readConfig(text, env);
  return outcome.ok ? [] : outcome.problems.map((problem) => `${problem.line}:${problem.column} ${problem.message}`);
}
function warnings(text: string, env: Record<string, string> = {}): string[] {
  const outcome = readConfig(text, env);
  return outcome.ok
    ? outcome.warnings.map((problem) => `${problem.line} ${problem.message}`)
    : [`refused: ${outcome.problems[0]?.message}`];
}

const LAB = "providers:\n  lab: { kind: openai-compatible, baseUrl: http://127.0.0.1:9999/v1, apiKey: x, allowPrivateNetwork: true }\n";

describe("readConfig", () => {
  it("reads aliases in both forms and splits targets at the first slash", () => {
    const config = read(
      `version: 1\n${LAB}models:\n  brain: lab/org/model:tag\n  fast:\n    targets: [lab/a, { target: lab/b, weight: 3 }]\n    strategy: weighted\n    retries: 0\n    timeoutMs: 5000\n`,
    );
    expect(config.aliases.get("brain")?.targets).toEqual([{ provider: "lab", model: "org/model:tag", weight: 1 }]);
    expect(config.aliases.get("brain")).toMatchObject({ strategy: "fallback", retries: 2, timeoutMs: 600_000, continue: "never" });
    expect(config.aliases.get("fast")).toMatchObject({ strategy: "weighted", retries: 0, timeoutMs: 5000 });
    expect(config.aliases.get("fast")?.targets[1]).toEqual({ provider: "lab", model: "b", weight: 3 });
  });

  it("has a default for everything", () => {
    const config = read("version: 1");
    expect(config).toMatchObject({ serve: { host: "127.0.0.1", port: 4100 }, access: { anonymous: "loopback" }, callerLimits: [] });
    expect(config.limits.bodyBytes).toBe(32 * 1024 * 1024);
  });

  it("expands variables, in flow mappings and with defaults, and takes numbers for numbers", () => {
    const text = `version: 1\nproviders: { lab: { kind: openai-compatible, baseUrl: "\${URL:-http://127.0.0.1:1/v1}", apiKey: \${KEY}, allowPrivateNetwork: \${PRIVATE:-true} } }\nserve: { port: \${PORT:-4200}, host: \${HOST} }\n`;
    const config = read(text, { KEY: "12345", HOST: "0.0.0.0" });
    expect(config.providers.get("lab")).toMatchObject({ baseUrl: "http://127.0.0.1:1/v1", allowPrivateNetwork: true });
    expect(config.providers.get("lab")?.apiKey?.reveal()).toBe("12345");
    expect(JSON.stringify([...config.providers])).not.toContain("12345");
    expect(config.serve).toEqual({ host: "0.0.0.0", port: 4200 });
    expect(read(text, { KEY: "k", HOST: "h", PORT: "1" }).serve.port).toBe(1);
    expect(problems(text, { KEY: "k", HOST: "h", PORT: "many" })[0]).toMatch(/^3:\d+ serve.port: /);
  });

  it("switches a provider off whose variable is unset, and says so", () => {
    const text = `version: 1\nproviders:\n  lab: { kind: openai-compatible, baseUrl: http://127.0.0.1:1, apiKey: \${KEY} }\nmodels:\n  a: lab/x\n  b: { targets: [lab/x, sim/echo] }\n`;
    expect(warnings(text)).toEqual(["3 The provider lab is off: ${KEY} is not set.", "5 The model a is off: every provider behind it is."]);
    const config = read(text, { KEY: "" });
    expect([...config.providers.keys()]).toEqual([]);
    expect(config.disabled.get("lab")).toBe("${KEY} is not set");
    expect(config.aliases.get("b")?.targets).toEqual([{ provider: "sim", model: "echo", weight: 1 }]);
    expect(read(text, { KEY: "k" }).aliases.get("b")?.targets).toHaveLength(2);
  });

  it("refuses an unset variable elsewhere, and reads an escaped one as text", () => {
    expect(problems("version: 1\nserve:\n  host: ${HOST}\n")).toEqual([
      "3:9 serve.host: ${HOST} is not set; set it, or give a default: ${HOST:-value}.",
    ]);
    expect(read('version: 1\nserve: { host: "$${HOST}" }').serve.host).toBe("${HOST}");
  });

  it("names the nearest key and the line for an unknown one", () => {
    expect(problems("version: 1\nmodles: {}\n")).toEqual(['2:1 Unknown key "modles". Did you mean "models"?']);
    expect(problems(`version: 1\n${LAB}models:\n  a:\n    targets: [lab/x]\n    retrys: 3\n`)).toEqual([
      '7:5 models.a: Unknown key "retrys". Did you mean "retries"?',
    ]);
    expect(problems(`version: 1\nserve:\n  limits:\n    bodybyte: 3\n`)).toEqual([
      '4:5 serve.limits: Unknown key "bodybyte". Did you mean "bodyBytes"?',
    ]);
    expect(problems(`version: 1\n${LAB}models:\n  a:\n    targets: [{ target: lab/x, wieght: 2 }]\n`)).toEqual([
      '6:32 models.a.targets.0: Unknown key "wieght". Did you mean "weight"?',
    ]);
  });

  it("refuses targets that lead nowhere", () => {
    const models = (text: string): string[] => problems(`version: 1\n${LAB}models:\n${text}`);
    expect(models("  a: lba/x\n")).toEqual(['5:6 models.a: There is no provider "lba" under `providers:`. Did you mean "lab"?']);
    expect(models("  a: { targets: [] }\n")[0]).toContain("An alias needs at least one target.");
    expect(models("  a: a\n")[0]).toContain('"a" is itself a model of this file.');
    expect(models("  a: { targets: [b] }\n  b: { targets: [a] }\n")).toHaveLength(2);
    expect(models("  a: lab/\n")[0]).toContain('"lab/" is no target');
    expect(models("  a: { targets: [3] }\n")[0]).toContain("A target is `provider/model`");
    expect(models("  a: 3\n")[0]).toContain("A model is `provider/model`");
  });

  it("refuses kinds and names of providers that do not exist", () => {
    expect(problems("version: 1\nproviders:\n  mine: { baseUrl: http://127.0.0.1:1 }\n")[0]).toMatch(
      /^3:3 providers.mine: There is no kind of provider "mine"/,
    );
    expect(problems("version: 1\nproviders:\n  mine: { kind: openai-compatibel }\n")[0]).toContain('Did you mean "openai-compatible"?');
    expect(problems("version: 1\nproviders:\n  sim: { kind: openai-compatible, baseUrl: http://127.0.0.1:1 }\n")[0]).toContain(
      "configure it under `sim:`",
    );
    expect(problems("version: 1\nproviders:\n  a/b: { kind: openai-compatible, baseUrl: http://127.0.0.1:1 }\n")[0]).toContain("no slash");
  });

  it("takes a provider without options, and never repeats a secret in a problem", () => {
    expect([...read("version: 1\nproviders:\n  openai:\n").providers.keys()]).toEqual(["openai"]);
    const said = problems('version: 1\nproviders:\n  lab: { kind: openai-compatible, baseUrl: nonsense, apiKey: "hush\\nhush" }\n');
    expect(said).toHaveLength(2);
    expect(said.join()).not.toContain("hush");
  });

  it("takes budgets and limits, each with a name of its own under which it counts", () => {
    const config = read(
      "version: 1\nbudgets: [{ match: { team: search }, usd: 100, per: month, hard: true, downgradeTo: fast }, { tokens: 5, per: day, timeZone: Europe/Berlin }, { usd: 0.5, tokens: 9, per: day, timeZone: Europe/Berlin }]\nlimits: [{ match: { key: '*' }, requests: 600, inputTokens: 200000, outputTokens: 50000, concurrency: 50, per: minute }]\nmodels: { fast: sim/echo }\n",
    );
    expect(config.budgets).toMatchObject([
      {
        id: "team=search per month",
        match: { team: "search" },
        nanodollars: 100_000_000_000,
        per: "month",
        timeZone: "UTC",
        hard: true,
        downgradeTo: "fast",
      },
      { id: "all per day in Europe/Berlin", tokens: 5 },
      { id: "all per day in Europe/Berlin #2", nanodollars: 500_000_000, tokens: 9 },
    ]);
    expect(config.callerLimits).toMatchObject([
      { id: "key=* per minute", requests: 600, inputTokens: 200_000, outputTokens: 50_000, concurrency: 50 },
    ]);
  });

  it("says what is wrong with a budget or a limit", () => {
    expect(problems("version: 1\nbudgets: [{ per: day }]\n")).toEqual(["2:11 budgets.0: A budget needs `usd` or `tokens`."]);
    expect(problems("version: 1\nbudgets: [{ usd: 1, per: day, timeZone: Mars/Base }]\n")[0]).toContain("There is no such time zone");
    expect(problems("version: 1\nbudgets: [{ usd: 1, per: day, match: { tem: a } }]\n")[0]).toContain('"team"');
    expect(problems("version: 1\nbudgets: [{ usd: 1, per: day, downgradeTo: fats }]\nmodels: { fast: sim/echo }\n")[0]).toContain('"fast"');
    expect(problems("version: 1\nlimits: [{ match: { key: a } }]\n")[0]).toContain("at least one of");
  });

  it("survives what is no configuration at all", () => {
    expect(problems("")).toHaveLength(1);
    expect(problems("- a\n- b\n")).toHaveLength(1);
    expect(problems("version: 2\n")[0]).toContain("version: 1");
    expect(problems("version: 1\nversion: 1\n")[0]).toMatch(/^2:1 /);
    expect(problems("version: 1\nmodels: {\n")[0]).toMatch(/^\d+:\d+ /);
    expect(problems(`version: 1\n# ${"x".repeat(1024 * 1024)}`)[0]).toContain("longer than");
    const bomb = [
      "a: &a [x,x,x,x,x,x,x,x,x]",
      ...["b", "c", "d", "e", "f", "g"].map((name, at) => `${name}: &${name} [${Array(9).fill(`*${"abcdefg"[at]}`).join(",")}]`),
    ];
    expect(problems(`version: 1\n${bomb.join("\n")}\n`).length).toBeGreaterThan(0);
  });
});

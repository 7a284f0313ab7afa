import { describe, expect, it } from "vitest";
import { ProblemError } from "../../src/canon/index.ts";
import { patchModel } from "../../src/config/patch.ts";
import { readConfig } from "../../src/config/read.ts";
import { maskSecrets } from "../../src/config/secrets.ts";
import { diffVersions, versionAtStart } from "../../src/config/versions.ts";
import { systemClock } from "../../src/kit/index.ts";
import { memoryStores } from "../../src/stores/memory.ts";

const TEXT = `version: 1
# where it runs
providers:
  lab: { kind: openai-compatible, baseUrl: http://127.0.0.1:9999/v1, apiKey: "\${LAB_KEY}", allowPrivateNetwork: true }
models:
  fast: # the cheap one
    targets: [lab/small, { target: sim/echo, weight: 3 }] # two
    strategy: weighted
  brain: sim/lorem
`;
const ENV = { LAB_KEY: "k" };

function targetsOf(text: string, model: string): unknown {
  const outcome = readConfig(text, ENV);
  if (!outcome.ok) throw new Error(outcome.problems.map(({ message }) => message).join("\n"));
  return outcome.config.aliases.get(model)?.targets;
}

function problemOf(work: () => unknown): string {
  try {
    work();
    return "none";
  } catch (error) {
    return error instanceof ProblemError ? `${error.problem.kind}: ${error.problem.message}` : String(error);
  }
}

describe("a change to one model", () => {
  it("sets weights and leaves comments, references and everything else alone", () => {
    const text = patchModel(TEXT, "fast", { weights: { "lab/small": 2, "sim/echo": 0.5 } });
    expect(targetsOf(text, "fast")).toEqual([
      { provider: "lab", model: "small", weight: 2 },
      { provider: "sim", model: "echo", weight: 0.5 },
    ]);
    for (const kept of ["# where it runs", "# the cheap one", "# two", '"${LAB_KEY}"', "brain: sim/lorem"]) expect(text).toContain(kept);
  });

  it("sets members, takes out what is null, and makes a mapping of the short form", () => {
    const text = patchModel(TEXT, "brain", { members: { targets: ["sim/echo"], retries: 1 } });
    expect(targetsOf(text, "brain")).toEqual([{ provider: "sim", model: "echo", weight: 1 }]);
    expect(targetsOf(patchModel(TEXT, "brain", { members: { retries: 1 } }), "brain")).toEqual([
      { provider: "sim", model: "lorem", weight: 1 },
    ]);
    expect(patchModel(TEXT, "fast", { members: { strategy: null } })).not.toContain("strategy");
  });

  it("names the nearest model or target where there is none", () => {
    expect(problemOf(() => patchModel(TEXT, "fats", {}))).toBe('not_found: The configuration has no model "fats". Did you mean "fast"?');
    expect(problemOf(() => patchModel(TEXT, "fast", { weights: { "lab/smal": 1 } }))).toContain('Did you mean "lab/small"?');
    expect(problemOf(() => patchModel("version: 1\n", "fast", {}))).toContain("no model");
  });

  it("changes nothing else of a text that is patched again and again", () => {
    let text = TEXT;
    for (let round = 1; round <= 20; round++) text = patchModel(text, "fast", { weights: { "lab/small": round } });
    expect(text.split("\n").length).toBeLessThanOrEqual(TEXT.split("\n").length + 3);
    expect(targetsOf(text, "brain")).toHaveLength(1);
  });
});

describe("versions of the configuration", () => {
  const plain = (version: number, text: string) => ({ version, createdAt: 1, author: "file", text });

  it("differ by lines", () => {
    const diff = diffVersions(plain(1, TEXT), plain(2, TEXT.replace("weight: 3", "weight: 4")));
    expect(diff).toContain("-    targets: [lab/small, { target: sim/echo, weight: 3 }] # two");
    expect(diff).toContain("+    targets: [lab/small, { target: sim/echo, weight: 4 }] # two");
    expect(diffVersions(plain(1, TEXT), plain(2, TEXT))).toBe("");
    expect(diffVersions(undefined, plain(1, TEXT))).toContain("+version: 1");
  });

  it("never show a key that was written out", () => {
    const secret = "sk-live-0123456789abcdef";
    const text = `version: 1
providers:
  a: { kind: openai, apiKey: ${secret} }
  b:
    kind: openai
    apiKeys: ["${secret}", { key: '${secret}', weight: 2 }, "\${B_KEY}"]
    headers: { authorization: "Bearer ${secret}", x-plain: hello }
`;
    const masked = maskSecrets(text);
    expect(masked).not.toContain(secret);
    expect(masked).toContain("${B_KEY}");
    expect(masked).toContain("x-plain: hello");
    expect(diffVersions(plain(1, text), plain(2, text.replace(secret, `${secret}2`)))).toBe(
      "Only a key that stands in the file itself has changed.\n",
    );
    expect(diffVersions(plain(1, text), plain(2, text.replace("hello", "bye")))).not.toContain(secret);
  });

  it("at a start: an administrator's stays while the file is as it was, a changed file wins", async () => {
    const { config } = memoryStores(systemClock);
    expect((await versionAtStart(config, "one", 1)).kept).toBe(false);
    await config.append({ createdAt: 2, author: "admin", text: "two" });
    expect(await versionAtStart(config, "one", 3)).toMatchObject({ kept: true, version: { version: 2, text: "two" } });
    expect(await versionAtStart(config, "three", 4)).toMatchObject({ kept: false, version: { version: 3, text: "three", author: "file" } });
    expect(await versionAtStart(config, "three", 5)).toMatchObject({ kept: false, version: { version: 3 } });
  });
});

import { describe, expect, it } from "vitest";
import { ProblemError } from "../../src/canon/index.ts";
import { abortCanary, patchModel, promoteCanary } from "../../src/config/patch.ts";
import { readConfig } from "../../src/config/read.ts";
import { canarySince } from "../../src/config/versions.ts";
import { ManualClock } from "../../src/kit/index.ts";
import { memoryStores } from "../../src/stores/index.ts";

const TEXT = `version: 1
providers:
  lab: { kind: openai-compatible, baseUrl: "\${LAB_URL:-http://127.0.0.1:9/v1}", apiKey: x, allowPrivateNetwork: true }
models:
  fast: # for everybody
    targets: [sim/echo, { target: lab/small, weight: 3 }] # in this order
    canary: { target: lab/new, percent: 5 }
    cache: { ttlSeconds: 60, share: team }
  plain: { targets: [sim/echo] }
`;

function aliasOf(text: string, name = "fast") {
  const read = readConfig(text, {});
  if (!read.ok) throw new Error(read.problems.map(({ message }) => message).join("\n"));
  const alias = read.config.aliases.get(name);
  return { ...alias, targets: alias?.targets.map(({ provider, model, weight }) => `${provider}/${model} ${weight}`) };
}

function problemOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof ProblemError) return `${error.problem.kind}: ${error.problem.message}`;
    throw error;
  }
  return "none";
}

describe("promoting a canary", () => {
  it("puts its target first and keeps the others, comments and references", () => {
    const text = promoteCanary(TEXT, "fast", false);
    expect(aliasOf(text)).toMatchObject({ targets: ["lab/new 1", "sim/echo 1", "lab/small 3"] });
    expect(aliasOf(text).canary).toBeUndefined();
    for (const kept of ["# for everybody", "# in this order", "${LAB_URL:-http://127.0.0.1:9/v1}"]) expect(text).toContain(kept);
  });

  it("does not name one of the model's own targets twice", () => {
    const own = patchModel(TEXT, "fast", { members: { canary: { target: "lab/small" } } });
    expect(aliasOf(promoteCanary(own, "fast", false)).targets).toEqual(["lab/small 1", "sim/echo 1"]);
  });

  it("takes the others' weight, or the others, where their order says nothing", () => {
    const written = (strategy: string): string =>
      patchModel(TEXT, "fast", {
        members: { strategy, canary: { target: null, targets: [{ target: "lab/new", weight: 2 }, "lab/newer"] } },
      });
    expect(aliasOf(promoteCanary(written("weighted"), "fast", false)).targets).toEqual([
      "lab/new 2",
      "lab/newer 1",
      "sim/echo 0",
      "lab/small 0",
    ]);
    for (const strategy of ["round-robin", "latency", "cost"])
      expect(aliasOf(promoteCanary(written(strategy), "fast", false)).targets).toEqual(["lab/new 2", "lab/newer 1"]);
    expect(aliasOf(promoteCanary(TEXT, "fast", true)).targets).toEqual(["lab/new 1"]);
  });

  it("or ending it needs a canary", () => {
    expect(aliasOf(abortCanary(TEXT, "fast"))).toMatchObject({ targets: ["sim/echo 1", "lab/small 3"] });
    expect(abortCanary(TEXT, "fast")).not.toContain("canary");
    expect(problemOf(() => promoteCanary(TEXT, "plain", false))).toBe('not_found: The model "plain" has no canary.');
    expect(problemOf(() => abortCanary(TEXT, "plain"))).toBe('not_found: The model "plain" has no canary.');
    expect(problemOf(() => abortCanary(TEXT, "plian"))).toContain('Did you mean "plain"');
  });
});

describe("changing members of a model", () => {
  it("merges mappings, takes out what is null and replaces the rest", () => {
    const text = patchModel(TEXT, "fast", { members: { canary: { percent: 20 }, cache: { ttlSeconds: 5, share: null } } });
    expect(aliasOf(text)).toMatchObject({ canary: { percent: 20, sticky: "session" }, cache: { ttlMs: 5000, share: "key" } });
    const fresh = patchModel(TEXT, "plain", { members: { canary: { targets: ["sim/lorem"], target: null, percent: 1 } } });
    expect(aliasOf(fresh, "plain").canary).toMatchObject({ percent: 1, targets: [{ provider: "sim", model: "lorem" }] });
    expect(fresh).not.toContain("null");
  });
});

describe("what is off", () => {
  it("a canary, shadow or warm target whose provider has no key is left out with a warning", () => {
    const text = `version: 1
providers: { lab: { kind: openai-compatible, baseUrl: "http://127.0.0.1:9", apiKey: "\${UNSET}", allowPrivateNetwork: true } }
models:
  fast:
    targets: [sim/echo]
    canary: { target: lab/x, percent: 5 }
    shadow: { target: lab/x, share: 0.1 }
    warm: { target: lab/x, share: 0.1 }
`;
    const read = readConfig(text, {});
    if (!read.ok) throw new Error("refused");
    const alias = read.config.aliases.get("fast");
    expect([alias?.canary, alias?.shadow, alias?.warm]).toEqual([undefined, undefined, undefined]);
    for (const member of ["canary", "shadow", "warm"])
      expect(read.warnings.map(({ message }) => message).join("\n")).toContain(`models.fast.${member} is off`);
  });
});

describe("since when a canary runs", () => {
  it("is when it got its targets, whatever its percentage was since", async () => {
    const store = memoryStores(new ManualClock()).config;
    const put = (createdAt: number, canary: object | null): Promise<unknown> =>
      store.append({
        createdAt,
        author: "t",
        text: patchModel(TEXT, "fast", { members: { canary: null } }).replace(
          "cache:",
          `${canary ? `canary: ${JSON.stringify(canary)}\n    ` : ""}cache:`,
        ),
      });
    await put(1, { target: "lab/new", percent: 1 });
    expect(await canarySince(store, "fast")).toBe(1);
    await put(2, null);
    expect(await canarySince(store, "fast")).toBeUndefined();
    await put(3, { target: "lab/new", percent: 1 });
    await put(4, { target: "lab/new", percent: 20, sticky: "call" });
    expect(await canarySince(store, "fast")).toBe(3);
    await put(5, { target: "lab/newer", percent: 20 });
    expect(await canarySince(store, "fast")).toBe(5);
    expect(await canarySince(store, "plain")).toBeUndefined();
  });
});

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runCli, type CliDeps } from "../../src/cli/index.ts";
import { bookOf, openProviders } from "../../src/in-force.ts";
import { ManualClock, SeededRandomness } from "../../src/kit/index.ts";

const CONFIG = `version: 1
providers:
  lab: { kind: openai-compatible, baseUrl: "http://127.0.0.1:9/v1", apiKey: x, allowPrivateNetwork: true, region: eu-west-1,
         models: { blind: { capabilities: { vision: false } }, small: { contextTokens: 2000 } } }
models:
  fast: { targets: [lab/blind, lab/seeing] }
  ruled:
    targets: [lab/small, lab/large]
    strategy: rules
    complexity: { model: lab/judge }
    rules:
      - { name: night, when: call.hour < 6, use: [lab/small] }
      - { name: gold, when: "metadata.plan == 'gold' && caller.team == 'search'", targets: [lab/best] }
      - { name: hard, when: call.complexity > 60, use: [lab/large] }
  home: { targets: [lab/a, sim/echo], requires: { region: eu } }
`;
const IMAGE = { type: "image_url", image_url: { url: "https://example.com/a.png" } };

let folder: string;
let output: string;
let complaints: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gimbal-explain-"));
  [output, complaints] = ["", ""];
  writeFileSync(join(folder, "gimbal.yaml"), CONFIG);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const clock = new ManualClock(Date.UTC(2026, 0, 1, 12));
const never = (): never => {
  throw new Error("not for a dry run");
};

function explain(body: unknown, ...flags: string[]): Promise<number> {
  writeFileSync(join(folder, "request.json"), typeof body === "string" ? body : JSON.stringify(body));
  const randomness = new SeededRandomness(1);
  const deps: CliDeps = {
    env: {},
    cwd: folder,
    root: folder,
    version: "0",
    nodeVersion: "26.0.0",
    clock,
    randomness,
    out: (text) => void (output += text),
    err: (text) => void (complaints += text),
    serve: never,
    openStores: never,
    discover: () => Promise.resolve({ providers: {}, models: {} }),
    openProviders: async (config) => openProviders(config, { clock, env: {}, randomness, book: bookOf(config) }),
    book: bookOf,
    openStage: () => Promise.reject(new Error("no rehearsal here")),
    isRunning: never,
    fetch: never,
  };
  return runCli(["explain", "request.json", ...flags], deps);
}
const printed = (): Record<string, unknown> => JSON.parse(output) as Record<string, unknown>;
const chat = (model: string, content: unknown = "hello", rest: object = {}): object => ({
  model,
  messages: [{ role: "user", content }],
  ...rest,
});

describe("gimbal explain", () => {
  it("says where a request would go, what is skipped and why, in any language", async () => {
    expect(await explain(chat("fast", [{ type: "text", text: "what is this?" }, IMAGE]), "--json")).toBe(0);
    expect(printed()).toMatchObject({
      dialect: "openai-chat",
      steps: [{ target: "lab/seeing", reason: "the only target that can take the call" }],
      skipped: [{ target: "lab/blind", reason: "takes no images" }],
      facts: { needs: ["vision"], turns: 1, caller: "anonymous" },
    });
    output = "";
    expect(await explain({ model: "fast", input: "hello" }, "--json")).toBe(0);
    expect(printed()).toMatchObject({ dialect: "openai-responses", steps: [{ target: "lab/blind" }, { target: "lab/seeing" }] });
    output = "";
    expect(await explain({ ...chat("fast"), max_tokens: 9, system: "be brief" }, "--json", "--dialect", "anthropic-messages")).toBe(0);
    expect(printed()).toMatchObject({ dialect: "anthropic-messages", facts: { maxOutputTokens: 9 } });
  });

  it("plans as for a given caller, metadata and time", async () => {
    const target = async (...flags: string[]): Promise<unknown> => {
      output = "";
      expect(await explain(chat("ruled"), "--json", ...flags)).toBe(0);
      const { rule, steps } = printed() as { rule?: string; steps: { target: string }[] };
      return [rule, steps[0]?.target];
    };
    expect(await target()).toEqual([undefined, "lab/small"]);
    expect(printed()["wouldAsk"]).toBe("lab/judge");
    expect(await target("--at", "2026-01-01T03:00Z")).toEqual(["night", "lab/small"]);
    expect(printed()["wouldAsk"]).toBeUndefined();
    expect(await target("--metadata", '{"plan":"gold"}', "--key", "k", "--team", "search")).toEqual(["gold", "lab/best"]);
  });

  it("tells people the same in words", async () => {
    expect(await explain(chat("ruled"), "--metadata", '{"plan":"iron"}')).toBe(0);
    expect(output).toContain("Rule night does not match: call.hour < 6 does not hold.");
    expect(output).toContain("The gateway would ask lab/judge");
    expect(output).toMatch(/1\s+lab\/small\s+first target/);
  });

  it("says what the caller would be told, and what is wrong with its use", async () => {
    expect(await explain(chat("fsat"))).toBe(1);
    expect(complaints).toContain('unknown_model: There is no model "fsat". Did you mean "fast"?');
    expect(await explain(chat("lab/blind", [IMAGE]))).toBe(1);
    expect(complaints).toContain('unsupported: The model "lab/blind" cannot take this call: lab/blind takes no images.');
    expect(await explain(chat("home"), "--json")).toBe(0);
    expect(printed()["skipped"]).toEqual([{ target: "sim/echo", reason: "has no region in the configuration, and eu is required" }]);
    expect(await explain({ hello: 1 })).toBe(1);
    expect(complaints).toContain("is no request in a language known here");
    expect(await explain("nonsense")).toBe(1);
    expect(await explain(chat("fast"), "--dialect", "openai-chatt")).toBe(2);
    expect(complaints).toContain('Did you mean "openai-chat"?');
    expect(await explain(chat("fast"), "--metadata", "nonsense")).toBe(2);
    expect(await explain(chat("fast"), "--at", "noon")).toBe(2);
    expect(await explain(chat("fast"), "--tier", "9")).toBe(2);
  });
});

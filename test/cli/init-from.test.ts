import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli } from "../../src/cli/index.ts";
import { readConfig, type GimbalConfig } from "../../src/config/index.ts";
import { bookOf } from "../../src/in-force.ts";
import { ManualClock, SeededRandomness } from "../../src/kit/index.ts";
import { memoryStores } from "../../src/stores/index.ts";

const LITELLM = `
model_list:
  - model_name: chat
    litellm_params: { model: openai/gpt-5-mini, api_key: os.environ/OPENAI_API_KEY, weight: 3, rpm: 100, timeout: 30 }
  - model_name: chat
    litellm_params: { model: azure/mine, api_base: "https://mine.openai.azure.com", api_key: os.environ/AZURE_KEY, api_version: 2025-01-01 }
  - model_name: backup
    litellm_params: { model: anthropic/claude-sonnet-5, api_key: written-in-the-file-1234 }
    model_info: { input_cost_per_token: 0.000003 }
  - model_name: house
    litellm_params: { model: openai/ours/large, api_base: "http://127.0.0.1:8000/v1", api_key: none }
  - model_name: "*"
    litellm_params: { model: "openai/*" }
  - model_name: strange
    litellm_params: { model: nobody/knows }
router_settings:
  num_retries: 4
  fallbacks: [{ chat: [backup] }, { house: [chat, backup] }]
  model_group_alias: { talk: chat }
  redis_host: localhost
litellm_settings: { cache: true, cache_params: { type: redis, ttl: 90 }, max_budget: 100, budget_duration: 30d, callbacks: [langfuse] }
general_settings: { master_key: sk-1234, database_url: "postgresql://x" }
`;
const PORTKEY = `{
  "strategy": {
    "mode": "conditional",
    "default": "cheap",
    "conditions": [
      { "query": { "metadata.plan": { "$in": ["paid", "trial"] }, "metadata.level": { "$gte": 3 } }, "then": "good" },
      { "query": { "params.model": { "$eq": "x" } }, "then": "good" }
    ]
  },
  "retry": { "attempts": 3, "on_status_codes": [429] },
  "cache": { "mode": "simple", "max_age": 60 },
  "request_timeout": 20000,
  "targets": [
    { "name": "good", "virtual_key": "openai-prod-1a", "override_params": { "model": "gpt-5", "temperature": 0 } },
    { "name": "cheap", "provider": "mistral-ai", "api_key": "written-key-written", "override_params": { "model": "mistral-small" } },
    { "name": "lost", "virtual_key": "who-knows", "override_params": { "model": "x" } }
  ]
}`;

const clock = new ManualClock();
let folder: string;
let output = "";
let complaints = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "gimbal-init-from-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(...argv: string[]): Promise<number> {
  [output, complaints] = ["", ""];
  return runCli(["init", ...argv], {
    env: {},
    cwd: folder,
    root: folder,
    version: "0",
    nodeVersion: "26.0.0",
    clock,
    randomness: new SeededRandomness(7),
    out: (text) => void (output += text),
    err: (text) => void (complaints += text),
    serve: () => Promise.resolve(0),
    openStores: () => Promise.resolve(memoryStores(clock)),
    discover: () => Promise.resolve({ providers: {}, models: {} }),
    openProviders: () => Promise.resolve(new Map()),
    book: (config) => bookOf(config),
    openStage: () => Promise.reject(new Error("no rehearsal here")),
    isRunning: () => false,
    fetch,
  });
}

interface Told {
  readonly config: string;
  readonly variables: readonly string[];
  readonly notCarried: readonly { readonly path: string; readonly reason: string }[];
}
async function converted(from: string, text: string): Promise<Told & { read: GimbalConfig }> {
  writeFileSync(join(folder, "theirs"), text);
  expect(await run("--from", from, "theirs", "--json"), complaints).toBe(0);
  const told = JSON.parse(output) as Told;
  const read = readConfig(told.config, Object.fromEntries(told.variables.map((name) => [name, "a-key"])));
  if (!read.ok) throw new Error(JSON.stringify(read.problems));
  return { ...told, read: read.config };
}
function targets(config: GimbalConfig, model: string): unknown {
  return config.aliases.get(model)?.targets.map(({ provider, model: name, weight }) => `${provider}/${name} ${weight}`);
}

describe("from litellm", () => {
  it("models, deployments, weights, fallbacks, retries, cache and budgets become ours", async () => {
    const { read, variables } = await converted("litellm", LITELLM);
    expect(variables).toEqual(["ANTHROPIC_API_KEY", "AZURE_KEY", "OPENAI_API_KEY", "OPENAI_COMPATIBLE_API_KEY"]);
    expect(targets(read, "chat")).toEqual(["openai/gpt-5-mini 3", "azure/mine 1", "anthropic/claude-sonnet-5 0"]);
    expect(read.aliases.get("chat")).toMatchObject({
      strategy: "weighted",
      retries: 4,
      timeoutMs: 30_000,
      cache: { ttlMs: 90_000, share: "all" },
    });
    expect(targets(read, "talk")).toHaveLength(2);
    expect(targets(read, "house")).toEqual([
      "openai-compatible/ours/large 1",
      "openai/gpt-5-mini 1",
      "azure/mine 1",
      "anthropic/claude-sonnet-5 1",
    ]);
    expect(read.providers.get("azure")).toMatchObject({ baseUrl: "https://mine.openai.azure.com", apiVersion: "2025-01-01" });
    expect(read.providers.get("openai-compatible")?.allowPrivateNetwork).toBe(true);
    expect(read.budgets).toMatchObject([{ nanodollars: 100e9, per: "month", hard: true }]);
    expect(read.access.anonymous).toBe("never");
  });

  it("what is not carried is told with its reason, and no key is copied", async () => {
    const { config, notCarried } = await converted("litellm", LITELLM);
    const paths = notCarried.map(({ path }) => path);
    expect(paths).toEqual(
      expect.arrayContaining([
        "model_list[0].litellm_params.rpm",
        "model_list[2].litellm_params.api_key",
        "model_list[2].model_info.input_cost_per_token",
        "model_list[4]",
        "model_list[5]",
        "router_settings.redis_host",
        "litellm_settings.cache_params",
        "litellm_settings.callbacks",
        "general_settings.master_key",
        "general_settings.database_url",
      ]),
    );
    expect(notCarried.every(({ reason }) => reason.length > 10)).toBe(true);
    expect(config).not.toMatch(/written-in-the-file|sk-1234|postgresql/);
  });
});

describe("from portkey", () => {
  it("targets, conditions, retries, cache and timeout become ours", async () => {
    const { read, variables, notCarried, config } = await converted("portkey", PORTKEY);
    expect(variables).toEqual(["MISTRAL_API_KEY", "OPENAI_PROD_1A_API_KEY"]);
    const alias = read.aliases.get("default");
    expect(targets(read, "default")).toEqual(["mistral/mistral-small 1", "openai/gpt-5 1"]);
    expect(alias).toMatchObject({ strategy: "rules", retries: 3, timeoutMs: 20_000, cache: { ttlMs: 60_000 } });
    expect(alias?.rules).toMatchObject([
      { when: 'metadata.plan in ["paid","trial"] && metadata.level >= 3', targets: [{ provider: "openai", model: "gpt-5" }] },
    ]);
    const paths = notCarried.map(({ path }) => path);
    expect(paths).toEqual(
      expect.arrayContaining(["targets[0].override_params.temperature", "targets[2]", "strategy.conditions[1]", "retry.on_status_codes"]),
    );
    expect(config).not.toContain("written-key");
  });

  it.each([
    ["loadbalance", "weighted", ["openai/a 0.7", "anthropic/b 0.3"]],
    ["fallback", "fallback", ["openai/a 1", "anthropic/b 1"]],
  ])("%s", async (mode, strategy, expected) => {
    const text = JSON.stringify({
      strategy: { mode },
      targets: [
        { provider: "openai", weight: 0.7, override_params: { model: "a" } },
        { targets: [{ virtual_key: "anthropic-x", override_params: { model: "b" } }], weight: 1 },
      ],
    }).replace('"virtual_key":"anthropic-x",', '"virtual_key":"anthropic-x","weight":0.3,');
    const { read } = await converted("portkey", text);
    expect(read.aliases.get("default")?.strategy).toBe(strategy);
    expect(targets(read, "default")).toEqual(expected);
  });
});

describe("bad input", () => {
  it.each([
    ["litellm", ""],
    ["litellm", "[1, 2]"],
    ["litellm", "a: [b"],
    ["portkey", "not json"],
  ])("%s of %j is refused in a sentence", async (from, text) => {
    writeFileSync(join(folder, "bad"), text);
    expect(await run("--from", from, "bad")).toBe(1);
    expect(complaints.trim().split("\n")).toHaveLength(1);
  });

  it.each([
    ["litellm", "{}"],
    [
      "litellm",
      '{ model_list: [7, { model_name: x }, { model_name: "${x}", litellm_params: { model: openai/y } }], litellm_settings: 3, router_settings: [] }',
    ],
    ["litellm", '{ model_list: [{ model_name: x, litellm_params: { model: openai/y, api_base: "::", weight: -1, timeout: nan } }] }'],
    ["portkey", '{ "strategy": { "mode": "dance" }, "targets": [{ "provider": "openai" }, 5] }'],
    ["portkey", '{ "targets": [{ "provider": "openai", "custom_host": "::", "override_params": { "model": "m" } }] }'],
  ])("%s of %s still gives a valid configuration and says what is missing", async (from, text) => {
    const { notCarried } = await converted(from, text);
    expect(notCarried.length).toBeGreaterThan(text === "{}" ? -1 : 0);
  });

  it("wrong use, and files that are there", async () => {
    writeFileSync(join(folder, "ours.yaml"), "version: 1\n");
    writeFileSync(join(folder, "theirs.yaml"), LITELLM);
    expect(await run("--from", "nobody", "theirs.yaml")).toBe(2);
    expect(complaints).toContain("litellm, portkey");
    expect(await run("--from", "litellm")).toBe(2);
    expect(await run("theirs.yaml")).toBe(2);
    expect(await run("--from", "litellm", "nowhere.yaml")).toBe(1);
    expect(await run("--from", "litellm", "theirs.yaml", "--out", "ours.yaml")).toBe(1);
    expect(readFileSync(join(folder, "ours.yaml"), "utf8")).toBe("version: 1\n");
    expect(await run("--from", "litellm", "theirs.yaml", "--out", "new.yaml")).toBe(0);
    expect(existsSync(join(folder, "new.yaml"))).toBe(true);
    expect(complaints).toContain("To be set in the environment: ANTHROPIC_API_KEY");
    expect(await run("--from", "litellm", "theirs.yaml")).toBe(0);
    expect(output).toMatch(/^# From a litellm configuration\.\n# Not carried: /);
  });
});

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Stores } from "../../src/canon/index.ts";
import { runCli, type CliDeps } from "../../src/cli/index.ts";
import { ManualClock, SystemRandomness } from "../../src/kit/index.ts";
import { createModelBook } from "../../src/models/index.ts";
import { memoryStores } from "../../src/stores/index.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { CLIENT, startIssuer, type TestIssuer } from "../support/issuer.ts";

const root = join(import.meta.dirname, "../..");
const clock = new ManualClock(Date.UTC(2026, 5, 1));

let folder: string;
let stores: Stores;
let output: string;
let complaints: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gimbal-cli-"));
  stores = memoryStores(clock);
  [output, complaints] = ["", ""];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function run(argv: readonly string[], change: Partial<CliDeps> = {}): Promise<number> {
  [output, complaints] = ["", ""];
  return runCli(argv, {
    env: {},
    cwd: folder,
    root,
    version: "0.0.1",
    nodeVersion: "26.10.0",
    clock,
    randomness: new SystemRandomness(),
    out: (text) => void (output += text),
    err: (text) => void (complaints += text),
    serve: () => Promise.reject(new Error("unexpected")),
    openStores: () => Promise.resolve({ ...stores, close: () => Promise.resolve() }),
    discover: () => Promise.resolve({ providers: {}, models: {} }),
    openProviders: () => Promise.resolve(new Map()),
    book: () => createModelBook(),
    openStage: () => Promise.reject(new Error("no rehearsal here")),
    isRunning: () => true,
    fetch: () => Promise.reject(new Error("unexpected")),
    ...change,
  });
}
const printed = (): Record<string, unknown> => JSON.parse(output) as Record<string, unknown>;

describe("accounts, teams and projects on the command line", () => {
  it("change all keys of an account, member by member", async () => {
    await run(["keys", "create", "--name", "ci", "--team", "a", "--models", "fast", "--metadata", '{"force":{"unit":"7"}}', "--json"]);
    const { id } = printed() as { id: string };
    await run(["keys", "add", id]);
    expect(
      await run([
        "keys",
        "account",
        id,
        "--name",
        "moved",
        "--tier",
        "2",
        "--tools",
        "clock",
        "--budget",
        "5/day",
        "--clear",
        "team,models",
      ]),
    ).toBe(0);
    const kept = await stores.keys.list();
    expect(kept).toHaveLength(2);
    for (const key of kept) {
      expect(key).toMatchObject({
        name: "moved",
        scopes: { tier: 2, tools: ["clock"], metadata: { force: { unit: "7" } } },
        budgets: [{ per: "day" }],
      });
      expect([key.team, key.scopes.models]).toEqual([undefined, undefined]);
    }
    expect([await run(["keys", "account", id, "--json", "--priority", "3"]), printed()["id"], output.includes("hash")]).toEqual([
      0,
      id,
      false,
    ]);
  });

  it("say what a team or project may do, and take it back", async () => {
    expect(await run(["keys", "team", "search", "--models", "fast,sim/*", "--region", "eu", "--json"])).toBe(0);
    expect(printed()).toEqual({ name: "search", scopes: { models: ["fast", "sim/*"], requires: { region: ["eu"] } } });
    expect([await run(["keys", "project", "site", "--tier", "1"]), output]).toEqual([0, 'The project site may at most: {"tier":1}.\n']);
    expect([await run(["keys", "team", "search", "--clear", "models,requires"]), output]).toEqual([
      0,
      "The team search is not restricted.\n",
    ]);
    expect(await stores.keys.bounds()).toEqual([{ group: "project", name: "site", scopes: { tier: 1 } }]);
  });

  it("deny and allow, and list who is denied", async () => {
    expect(await run(["keys", "deny", "lab", "--subject", "indexer", "--reason", "gone", "--expires", "2d", "--json"])).toBe(0);
    const { id } = printed() as { id: string };
    await run(["keys", "list"]);
    expect(output).toContain(`${id}  lab`);
    await run(["keys", "list", "--json"]);
    expect(printed()["denials"]).toMatchObject([{ id, kind: "subject", value: "indexer", author: "cli", reason: "gone" }]);
    expect([await run(["keys", "allow", id]), await run(["keys", "allow", id])]).toEqual([0, 1]);
    expect(await stores.keys.denials(clock.now())).toEqual([]);
  });

  it("refuse what makes no sense, and change nothing", async () => {
    await run(["keys", "create", "--name", "ci", "--json"]);
    const { id } = printed() as { id: string };
    const before = await stores.keys.list();
    for (const argv of [
      ["account", id],
      ["account", id, "--role", "root"],
      ["account", id, "--clear", "nothing"],
      ["account", id, "--clear", "name"],
      ["account", id, "--metadata", "{}}"],
      ["account", id, "--metadata", '{"deny":[]}'],
      ["team", "search"],
      ["team", "search", "--clear", "role"],
      ["deny", "lab"],
      ["deny", "lab", "--subject", "a", "--token", "b"],
      ["create", "--name", "x", "--metadata", "[]"],
    ])
      expect([argv, await run(["keys", ...argv])]).toEqual([argv, 2]);
    expect(await run(["keys", "account", "key_none", "--tier", "1"])).toBe(1);
    expect(await run(["keys", "account", id, "--role", "admin"])).toBe(1);
    expect(complaints).toContain("surfaces");
    expect(await stores.keys.list()).toEqual(before);
  });
});

describe("the command line beside a running gateway", () => {
  let issuer: TestIssuer;
  let gateway: TestGateway;
  beforeAll(async () => {
    issuer = await startIssuer();
    gateway = await startGateway({
      config: `models: { fast: sim/echo }
identity: { oidc: { issuer: "${issuer.issuer}", clientId: ${CLIENT}, roles: { claim: groups, map: { admins: admin, builders: developer } } } }
`,
    });
  });
  afterAll(async () => {
    await gateway.close();
    await issuer.close();
  });

  it("acts as whoever the token of people's provider names, by their role", async () => {
    mkdirSync(join(folder, ".gimbal"));
    writeFileSync(join(folder, ".gimbal/server.json"), JSON.stringify({ url: gateway.url, pid: 42 }));
    const token = (group: string): Promise<string> =>
      issuer.sign({ iss: issuer.issuer, aud: CLIENT, sub: group, exp: Math.floor(Date.now() / 1000) + 60, groups: [group] });
    const by = async (group: string): Promise<Partial<CliDeps>> => ({ env: { GIMBAL_ADMIN_TOKEN: await token(group) }, fetch });
    expect(await run(["keys", "create", "--name", "ci", "--json"], await by("admins"))).toBe(0);
    const { id } = printed() as { id: string };
    expect(await run(["keys", "account", id, "--models", "fast", "--json"], await by("admins"))).toBe(0);
    expect(printed()).toMatchObject({ id, scopes: { models: ["fast"] } });
    expect([await run(["keys", "team", "search", "--tier", "1"], await by("builders")), complaints]).toEqual([
      1,
      expect.stringContaining("The role developer may not PATCH"),
    ]);
    expect(await run(["keys", "team", "search", "--tier", "1", "--json"], await by("admins"))).toBe(0);
    expect(printed()).toEqual({ name: "search", scopes: { tier: 1 } });
    expect(await run(["keys", "deny", "oidc", "--token", "t", "--json"], await by("admins"))).toBe(0);
    const denial = printed()["id"] as string;
    await run(["keys", "list", "--json"], await by("builders"));
    expect(printed()["denials"]).toMatchObject([{ id: denial, author: "oidc:admins" }]);
    expect(await run(["keys", "allow", denial], await by("admins"))).toBe(0);
    expect([await run(["keys", "deny", "lab", "--token", "t"], await by("admins")), complaints]).toEqual([
      1,
      expect.stringContaining("There are: oidc"),
    ]);
    expect(await run(["keys", "list"], await by("strangers"))).toBe(1);
  });
});

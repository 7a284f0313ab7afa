import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ProblemError, type Provider, type Stores } from "../../src/canon/index.ts";
import { runCli, type CliDeps, type ServeSettings } from "../../src/cli/index.ts";
import { ManualClock, SeededRandomness, SystemRandomness } from "../../src/kit/index.ts";
import { createModelBook } from "../../src/models/index.ts";
import { memoryStores } from "../../src/stores/index.ts";

const root = join(import.meta.dirname, "../..");
const DAY_MS = 86_400_000;

let folder: string;
let stores: Stores;
let served: ServeSettings[];
let opened: string[];
let output: string;
let complaints: string;
const clock = new ManualClock(Date.UTC(2026, 5, 1));

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gimbal-cli-"));
  stores = memoryStores(clock);
  [served, opened, output, complaints] = [[], [], "", ""];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function provider(id: string, check: Provider["check"]): Provider {
  return {
    id,
    dialects: [],
    capabilities: () => ({}),
    open: () => ({ cancel: () => {}, resume: () => {} }),
    models: () => Promise.resolve([]),
    check,
    close: () => Promise.resolve(),
  };
}

function run(argv: readonly string[], change: Partial<CliDeps> = {}): Promise<number> {
  return runCli(argv, {
    env: {},
    cwd: folder,
    root,
    version: "0.0.1",
    nodeVersion: "26.10.0",
    clock,
    randomness: new SeededRandomness(7),
    out: (text) => void (output += text),
    err: (text) => void (complaints += text),
    serve: (settings) => {
      served.push(settings);
      return Promise.resolve(0);
    },
    openStores: (path) => {
      opened.push(path);
      return Promise.resolve({ ...stores, close: () => Promise.resolve() });
    },
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

describe("the command line", () => {
  it("explains itself", async () => {
    expect(await run(["--help"])).toBe(0);
    expect(output).toContain("keys create");
    expect(await run(["serve", "--help"])).toBe(0);
    expect(output).toContain("--port N");
    expect(await run(["keys", "--help"])).toBe(0);
    expect(await run(["--version"])).toBe(0);
    expect(output).toContain("gimbal 0.0.1");
  });

  it("answers wrong use with 2 and the nearest right word", async () => {
    expect(await run([])).toBe(2);
    expect(await run(["srve"])).toBe(2);
    expect(complaints).toContain('Did you mean "gimbal serve"?');
    expect(await run(["serve", "--prot", "1"])).toBe(2);
    expect(complaints).toContain("Did you mean --port?");
    expect(await run(["keys", "crate"])).toBe(2);
    expect(complaints).toContain('Did you mean "create"?');
    expect(await run(["keys", "revoke"])).toBe(2);
    expect(complaints).toContain("needs ID");
    expect(await run(["serve", "--port"])).toBe(2);
    expect(await run(["serve", "--port", "70000"])).toBe(2);
    expect(await run(["serve", "extra"])).toBe(2);
    expect(await run(["keys", "create", "--json"])).toBe(2);
    expect(printed()).toEqual({ error: { message: "gimbal keys create needs --name NAME." } });
  });

  it("says what is not built yet, with 2", async () => {
    for (const name of ["eval", "bench", "advise"]) {
      expect(await run([name])).toBe(2);
      expect(complaints).toContain(`gimbal ${name} is not built yet.`);
    }
  });
});

describe("gimbal serve", () => {
  it("takes flags over environment over defaults", async () => {
    writeFileSync(join(folder, "mine.yaml"), "version: 1\n");
    expect(await run(["serve"])).toBe(0);
    expect(served[0]).toMatchObject({
      configFile: undefined,
      host: undefined,
      port: undefined,
      dataFolder: join(folder, ".gimbal"),
      workers: 1,
    });
    const env = {
      GIMBAL_PORT: "4200",
      GIMBAL_HOST: "0.0.0.0",
      GIMBAL_DATA: "data",
      GIMBAL_CONFIG: "mine.yaml",
      GIMBAL_ADMIN_TOKEN: "secret",
    };
    await run(["serve", "--port", "0"], { env });
    expect(served[1]).toMatchObject({ configFile: join(folder, "mine.yaml"), host: "0.0.0.0", port: 0, dataFolder: join(folder, "data") });
    expect(JSON.stringify(served[1])).not.toContain('"secret"');
    expect(served[1]?.adminToken?.reveal()).toBe("secret");
    writeFileSync(join(folder, "gimbal.yaml"), "version: 1\n");
    await run(["serve"]);
    expect(served[2]?.configFile).toBe(join(folder, "gimbal.yaml"));
  });

  it("refuses what it cannot serve with", async () => {
    expect(await run(["serve", "--config", "absent.yaml"])).toBe(2);
    expect(await run(["serve"], { env: { GIMBAL_PORT: "http" } })).toBe(2);
    expect(served).toEqual([]);
  });
});

describe("gimbal keys", () => {
  it("rotates a key and adds one to its account", async () => {
    await run(["keys", "create", "--name", "ci", "--tools", "clock,web_*", "--json"]);
    const first = printed() as { id: string; key: string };
    output = "";
    expect(await run(["keys", "rotate", first.id, "--overlap-hours", "2", "--json"], { randomness: new SystemRandomness() })).toBe(0);
    const second = printed() as { id: string; key: string; account: string; previous: object };
    expect(second).toMatchObject({ account: first.id, previous: { id: first.id, expiresAt: clock.now() + 2 * 3_600_000 } });
    output = "";
    expect(await run(["keys", "add", first.id, "--expires", "30d", "--json"], { randomness: new SystemRandomness() })).toBe(0);
    expect(printed()).toMatchObject({ account: first.id, expiresAt: clock.now() + 30 * DAY_MS });
    const kept = await stores.keys.list();
    expect(kept.map(({ name, scopes }) => [name, scopes.tools])).toEqual(Array.from({ length: 3 }, () => ["ci", ["clock", "web_*"]]));
    expect(kept.find(({ id }) => id === first.id)?.expiresAt).toBe(clock.now() + 2 * 3_600_000);
    expect(await run(["keys", "rotate", "key_none"])).toBe(1);
    expect(await run(["keys", "rotate", first.id, "--overlap-hours", "-1"])).toBe(2);
    expect(await run(["keys", "add", "key_none"])).toBe(1);
  });

  it("makes keys for the admin API", async () => {
    expect(await run(["keys", "create", "--name", "board", "--role", "viewer"])).toBe(0);
    expect((await stores.keys.list())[0]?.scopes).toEqual({ surfaces: ["admin"], role: "viewer" });
    expect(await run(["keys", "create", "--name", "board", "--role", "root"])).toBe(2);
    expect(await run(["keys", "create", "--name", "board", "--role", "viewer", "--surfaces", "openai-chat"])).toBe(2);
  });

  it("makes a key that is shown once, lists it and revokes it", async () => {
    expect(
      await run([
        "keys",
        "create",
        "--name",
        "ci",
        "--team",
        "search",
        "--models",
        "fast, sim/*",
        "--requests-per-minute",
        "60",
        "--expires",
        "30d",
        "--tier",
        "2",
        "--json",
      ]),
    ).toBe(0);
    const made = printed() as { id: string; key: string; prefix: string };
    expect(made.key).toMatch(/^gk_[0-9A-Za-z]{43}$/);
    expect(made.key.startsWith(made.prefix)).toBe(true);
    const [kept] = await stores.keys.list();
    expect(kept).toMatchObject({
      id: made.id,
      team: "search",
      scopes: { models: ["fast", "sim/*"], tier: 2 },
      limits: [{ requests: 60, per: "minute" }],
      expiresAt: clock.now() + 30 * DAY_MS,
    });
    expect(JSON.stringify(kept)).not.toContain(made.key);
    output = "";
    expect(await run(["keys", "list"])).toBe(0);
    expect(output).toContain("active");
    expect(await run(["keys", "revoke", made.id])).toBe(0);
    expect(await run(["keys", "revoke", made.id])).toBe(1);
    output = "";
    await run(["keys", "list", "--json"]);
    expect(output).not.toContain("hash");
    expect((printed()["keys"] as { revokedAt?: number }[])[0]?.revokedAt).toBe(clock.now());
  });

  it("prints only the key on standard output", async () => {
    await run(["keys", "create", "--name", "ci"]);
    expect(output).toMatch(/^gk_[0-9A-Za-z]{43}\n$/);
    expect(opened).toEqual([join(folder, ".gimbal")]);
  });

  it("gives a key a budget of its own", async () => {
    const asked: string[] = [];
    mkdirSync(join(folder, ".gimbal"));
    writeFileSync(join(folder, ".gimbal/server.json"), JSON.stringify({ url: "http://0.0.0.0:4100", pid: 42 }));
    writeFileSync(join(folder, ".gimbal/admin-token"), "token\n");
    const fetch: CliDeps["fetch"] = (_url, init) => {
      asked.push(typeof init?.body === "string" ? init.body : "");
      return Promise.resolve(Response.json({ id: "key_1", key: "gk_x", prefix: "gk_" }, { status: 201 }));
    };
    expect(await run(["keys", "create", "--name", "ci", "--budget", "2.5/month"], { fetch })).toBe(0);
    expect(JSON.parse(asked[0] ?? "")).toMatchObject({ budgets: [{ usd: 2.5, per: "month", hard: true }] });
  });

  it("refuses bad expiries and numbers", async () => {
    for (const args of [
      ["--expires", "soon"],
      ["--expires", "2020-01-01"],
      ["--tier", "9"],
      ["--models", ""],
      ["--surfaces", " , "],
      ["--requests-per-minute", "0"],
      ["--requests-per-minute", "1.5"],
      ["--budget", "100"],
      ["--budget", "-1/day"],
      ["--budget", "1/year"],
    ]) {
      expect(await run(["keys", "create", "--name", "x", ...args])).toBe(2);
    }
    expect(opened).toEqual([]);
  });

  it("goes through the gateway that holds the data folder", async () => {
    mkdirSync(join(folder, ".gimbal"));
    writeFileSync(join(folder, ".gimbal/server.json"), JSON.stringify({ url: "http://0.0.0.0:4100", pid: 42 }));
    writeFileSync(join(folder, ".gimbal/admin-token"), "token\n");
    const asked: unknown[] = [];
    const fetch: CliDeps["fetch"] = (url, init) => {
      asked.push([url, init?.method, init?.body, new Headers(init?.headers).get("authorization")]);
      return Promise.resolve(Response.json({ id: "key_1", key: "gk_x", prefix: "gk_" }, { status: 201 }));
    };
    expect(await run(["keys", "create", "--name", "ci", "--models", "fast"], { fetch })).toBe(0);
    expect(asked).toEqual([
      ["http://127.0.0.1:4100/admin/api/keys", "POST", JSON.stringify({ name: "ci", limits: [], models: ["fast"] }), "Bearer token"],
    ]);
    expect(opened).toEqual([]);
    expect(
      await run(["keys", "list"], { fetch: () => Promise.resolve(Response.json({ error: { message: "No." } }, { status: 401 })) }),
    ).toBe(1);
    expect(complaints).toContain("No.");
    const openStores = (): Promise<Stores> => Promise.reject(new ProblemError({ kind: "conflict", message: "Process 42 holds it." }));
    expect(await run(["keys", "list"], { openStores })).toBe(1);
    expect(complaints).toContain("does not answer");
    // A gateway that died leaves its file behind.
    expect(await run(["keys", "list"], { isRunning: () => false })).toBe(0);
    expect(opened).toHaveLength(1);
    // Another program may have got its process id since.
    expect(await run(["keys", "list"])).toBe(0);
    expect(opened).toHaveLength(2);
  });

  it("says who holds the data folder", async () => {
    const openStores = (): Promise<Stores> => Promise.reject(new ProblemError({ kind: "conflict", message: "Process 9 holds it." }));
    expect(await run(["keys", "list"], { openStores })).toBe(1);
    expect(complaints).toBe("Process 9 holds it.\n");
  });
});

describe("gimbal models, ledger and init", () => {
  it("lists models with their targets", async () => {
    writeFileSync(join(folder, "gimbal.yaml"), "version: 1\nmodels: { fast: sim/echo }\n");
    expect(await run(["models", "--json"])).toBe(0);
    expect((printed()["models"] as unknown[])[0]).toMatchObject({ id: "fast", strategy: "fallback", targets: ["sim/echo"] });
    writeFileSync(join(folder, "gimbal.yaml"), "version: 1\nmodles: {}\n");
    expect(await run(["models"])).toBe(1);
    expect(complaints).toContain('gimbal.yaml:2:1 Unknown key "modles". Did you mean "models"?');
  });

  it("lists rows of the ledger", async () => {
    expect(await run(["ledger"])).toBe(1);
    mkdirSync(join(folder, ".gimbal"));
    expect(await run(["ledger"])).toBe(0);
    expect(output).toContain("empty");
    output = "";
    expect(await run(["ledger", "--json"])).toBe(0);
    expect(printed()).toEqual({ rows: [] });
    writeFileSync(join(folder, ".gimbal/server.json"), JSON.stringify({ url: "http://127.0.0.1:4100", pid: 42 }));
    writeFileSync(join(folder, ".gimbal/admin-token"), "token\n");
    const asked: unknown[] = [];
    const fetch: CliDeps["fetch"] = (url) => {
      asked.push(url);
      return Promise.resolve(Response.json({ rows: [] }));
    };
    expect(await run(["ledger", "--limit", "5", "--key", "key_1"], { fetch })).toBe(0);
    expect(asked).toEqual(["http://127.0.0.1:4100/admin/api/ledger?limit=5&key=key_1"]);
  });

  it("writes the starter, and never over a file", async () => {
    expect(await run(["init"])).toBe(0);
    expect(readFileSync(join(folder, "gimbal.yaml"), "utf8")).toBe(readFileSync(join(root, "gimbal.example.yaml"), "utf8"));
    expect(await run(["init"])).toBe(1);
    expect(await run(["init", "--force"])).toBe(0);
    output = "";
    expect(await run(["models", "--json"])).toBe(0);
  });
});

describe("gimbal doctor", () => {
  const free = ["--port", "0"];
  const statuses = (): Record<string, string> =>
    Object.fromEntries((printed()["findings"] as { check: string; status: string }[]).map(({ check, status }) => [check, status]));

  it("finds nothing wrong on a fresh machine", async () => {
    expect(await run(["doctor", "--json", ...free])).toBe(0);
    expect(statuses()).toMatchObject({ runtime: "ok", "data folder": "ok", config: "ok", providers: "warning", port: "ok" });
    expect(opened).toEqual([]);
  });

  it("says what to do about each failure", async () => {
    mkdirSync(join(folder, ".gimbal"));
    writeFileSync(join(folder, ".gimbal/admin-token"), "x", { mode: 0o644 });
    writeFileSync(join(folder, "gimbal.yaml"), "version: 1\nmodles: {}\n");
    const openStores = (): Promise<Stores> => Promise.reject(new ProblemError({ kind: "conflict", message: "Process 9 holds it." }));
    expect(
      await run(["doctor", "--json", ...free], {
        nodeVersion: "20.1.0",
        openStores,
        clock: new ManualClock(0),
        env: { GIMBAL_DATABASE_URL: "mysql://x" },
      }),
    ).toBe(1);
    expect(statuses()).toMatchObject({
      runtime: "failure",
      database: "failure",
      secrets: "failure",
      record: "failure",
      config: "failure",
      clock: "failure",
    });
    const findings = printed()["findings"] as { status: string; remedy?: string }[];
    expect(findings.filter((finding) => finding.status !== "ok" && !finding.remedy)).toEqual([]);
  });

  it("warns of a key that stands in the file, says what to do, and does not repeat it", async () => {
    writeFileSync(join(folder, "gimbal.yaml"), "version: 1\nproviders: { openai: { apiKey: sk-live-4f6b1d0c9a8e7 } }\n");
    expect(await run(["doctor", "--json", ...free])).toBe(0);
    const findings = printed()["findings"] as { check: string; status: string; detail: string; remedy?: string }[];
    expect(findings.filter(({ check, status }) => check === "config" && status === "warning")).toEqual([
      expect.objectContaining({ detail: expect.stringContaining("gimbal.yaml:2:"), remedy: expect.stringContaining("${OPENAI_API_KEY}") }),
    ]);
    expect(output).not.toContain("sk-live");
  });

  it("asks the providers, each within a bound", async () => {
    const late = new ManualClock(clock.now());
    const openProviders: CliDeps["openProviders"] = () =>
      Promise.resolve(
        new Map([
          ["good", provider("good", () => Promise.resolve({ ok: true, detail: "answers" }))],
          ["bad", provider("bad", () => Promise.resolve({ ok: false, detail: "refuses the key" }))],
          ["mute", provider("mute", () => (queueMicrotask(() => late.advance(60_000)), new Promise(() => {})))],
        ]),
      );
    expect(await run(["doctor", "--json", ...free], { openProviders, clock: late })).toBe(1);
    expect(statuses()).toMatchObject({ "provider good": "ok", "provider bad": "failure", "provider mute": "failure" });
  });

  it("sees a port that is taken", async () => {
    const server = createServer();
    await new Promise<void>((listening) => void server.listen(0, "127.0.0.1", listening));
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    expect(await run(["doctor", "--port", String(port)])).toBe(1);
    expect(output).toContain("is taken by another program");
    await new Promise((closed) => server.close(closed));
  });
});

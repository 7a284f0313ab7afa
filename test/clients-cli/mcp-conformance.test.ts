import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { fetchPackage, run, type Finished } from "./fetch-agent.ts";
import { startDriver, type Driver } from "./mcp-driver.ts";

/** The first release that knows both revisions, and what each of them requires. */
const PACKAGE = "@modelcontextprotocol/conformance@0.2.0-alpha.12";
const ROLES = ["server", "client"] as const;
const REVISIONS = ["2025-11-25", "2026-07-28"] as const;
/** Of the optional extensions for clients, those that the gateway has. */
const EXTENSIONS = ["auth/client-credentials-basic", "auth/client-credentials-jwt"];
const SUITE_LIMIT_MS = 240_000;

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

let folder = "";
let tool = "";
let missing: string | undefined;
let driver: Driver;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gimbal-conformance-"));
  const fetched = await fetchPackage(PACKAGE, folder, "The MCP conformance tool");
  if (!fetched.ok) {
    missing = fetched.reason;
    process.stderr.write(`${missing}\n`);
  }
  tool = join(folder, "node_modules/@modelcontextprotocol/conformance");
  driver = await startDriver();
});
afterAll(async () => {
  await driver.close();
  await rm(folder, { recursive: true, force: true });
});

function conformance(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  return run(process.execPath, [join(tool, "dist/index.js"), ...args], {
    cwd: folder,
    env: { ...process.env, ...env },
    limitMs: SUITE_LIMIT_MS,
  });
}

/** The gateway stands before a server that has everything the tool asks for. */
function gatewayBefore(revision: string): Promise<TestGateway> {
  const everything = {
    command: process.execPath,
    args: [here("mcp-everything-server.ts")],
    prefix: "",
    pin: "first-use",
    revision,
    relay: ["sampling", "elicitation", "roots", "logging"],
  };
  return startGateway({ env: { PATH: process.env["PATH"] ?? "" }, config: `mcp: ${JSON.stringify({ servers: { everything } })}` });
}

/** Scenarios that the revision requires, by the tool's own frozen list. */
async function required(role: (typeof ROLES)[number], revision: string): Promise<readonly string[]> {
  const text = await readFile(join(tool, "requirements", `${revision}.yaml`), "utf8");
  const section = text.split(new RegExp(`^${role}:\\n`, "m"))[1]?.split(/^\S/m)[0] ?? "";
  return [...section.matchAll(/^ +- (\S+)$/gm)].map(([, name = ""]) => name);
}

/** What the tool says of each scenario in its summary. */
function outcomes(stdout: string): ReadonlyMap<string, boolean> {
  return new Map([...stdout.matchAll(/^([✓✗]) (\S+): \d+ passed, \d+ failed/gmu)].map(([, mark, name = ""]) => [name, mark === "✓"]));
}

describe.each(REVISIONS)("the official conformance tool's required set of %s", (revision) => {
  it.for(ROLES)("passes for the gateway as a %s", async (role, { skip }) => {
    if (missing !== undefined) return skipped(skip, missing);
    const names = await required(role, revision);
    expect(names.length).toBeGreaterThan(15);
    const finished = role === "server" ? await asServer(revision) : await asClient(["--requirements", revision]);
    const results = outcomes(finished.stdout);
    expect(
      names.filter((name) => results.get(name) !== true),
      finished.stdout,
    ).toEqual([]);
    expect(finished.code, finished.stdout).toBe(0);
  });
});

it.for(EXTENSIONS)("the official conformance tool passes %s", async (scenario, { skip }) => {
  if (missing !== undefined) return skipped(skip, missing);
  expect(await asClient(["--scenario", scenario])).toMatchObject({ code: 0 });
});

async function asServer(revision: string): Promise<Finished> {
  const gateway = await gatewayBefore(revision);
  try {
    return await conformance(["server", "--url", `${gateway.url}/mcp`, "--requirements", revision]);
  } finally {
    await gateway.close();
  }
}

function asClient(which: readonly string[]): Promise<Finished> {
  const command = `${process.execPath} ${here("mcp-driver-child.ts")}`;
  return conformance(["client", "--command", command, "--timeout", String(SUITE_LIMIT_MS), ...which], { GIMBAL_MCP_DRIVER: driver.url });
}

/** On a machine without network there is nothing to test; where tests count, that is a failure. */
function skipped(skip: (note: string) => never, reason: string): never {
  if (process.env["CI"]) throw new Error(reason);
  return skip(reason);
}

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isInstalled } from "../../bin/install.mjs";
import { atLeast, readTarFile } from "../../bin/runtime.mjs";

const root = join(import.meta.dirname, "../..");
const PLATFORM = `${process.platform}-${process.arch}`;
const BLOCK_BYTES = 512;

/** A tar archive of regular files; only what a reader needs is filled in. */
function tarOf(files: Readonly<Record<string, string>>): Buffer {
  const blocks: Buffer[] = [];
  for (const [name, text] of Object.entries(files)) {
    const header = Buffer.alloc(BLOCK_BYTES);
    const content = Buffer.from(text);
    header.write(name, 0);
    header.write(content.length.toString(8).padStart(11, "0"), 124);
    blocks.push(header, content, Buffer.alloc((BLOCK_BYTES - (content.length % BLOCK_BYTES)) % BLOCK_BYTES));
  }
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK_BYTES)]);
}

/** Stands in for npm: `pack` hands out a prepared archive, `ci` makes node_modules; each run leaves a line in a log. */
const FAKE_NPM = `
const { appendFileSync, copyFileSync, mkdirSync, existsSync } = require("node:fs");
const { join } = require("node:path");
const home = process.env.FAKE_HOME;
appendFileSync(join(home, "npm.log"), process.argv.slice(2).join(" ") + "\\n");
if (process.env.FAKE_OFFLINE) { console.error("npm error code ENOTFOUND"); process.exit(1); }
if (process.argv[2] === "pack") copyFileSync(join(home, "node.tgz"), join(process.argv[process.argv.indexOf("--pack-destination") + 1], "node.tgz"));
else mkdirSync(join(process.cwd(), "node_modules"), { recursive: true });
`;

/** A program that says what it is and does what its arguments say. */
const PROGRAM = `
const [word, ...rest]: string[] = process.argv.slice(2);
process.stdout.write(JSON.stringify({ args: [word, ...rest], via: process.env["FAKE_RUNTIME"] ?? "" }) + "\\n");
if (word === "exit") process.exit(Number(rest[0]));
if (word === "wait") {
  setInterval(() => {}, 1000);
  process.once("SIGTERM", () => setTimeout(() => process.exit(7), 300));
  process.stdout.write("waiting\\n");
}
`;

describe("the launcher", () => {
  let home: string;
  let checkout: string;

  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "gimbal-launch-"));
    checkout = join(home, "checkout");
    mkdirSync(join(checkout, "src"), { recursive: true });
    cpSync(join(root, "bin"), join(checkout, "bin"), { recursive: true });
    writeFileSync(join(checkout, "src/main.ts"), PROGRAM);
    writeFileSync(join(checkout, "package.json"), JSON.stringify({ type: "module" }));
    writeFileSync(join(checkout, "package-lock.json"), JSON.stringify({ packages: { "": {}, "node_modules/x": { version: "1.0.0" } } }));
    mkdirSync(join(home, "npm"));
    writeFileSync(join(home, "npm/npm-cli.js"), FAKE_NPM);
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));

  /** Pretends that this Node is too old; the one to install is a script that starts this one. */
  function pretendOld(change: { integrity?: string; reports?: string } = {}): void {
    const script = `#!/bin/sh\n[ "$1" = --version ] && { echo ${change.reports ?? "v99.1.0"}; exit; }\nFAKE_RUNTIME=pinned exec '${process.execPath}' "$@"\n`;
    const archive = gzipSync(tarOf({ "package/README.md": "x".repeat(700), "package/bin/node": script }));
    writeFileSync(join(home, "node.tgz"), archive);
    const integrity = change.integrity ?? `sha512-${createHash("sha512").update(archive).digest("base64")}`;
    writeFileSync(
      join(checkout, "bin/runtime.json"),
      JSON.stringify({
        minimum: "99.0.0",
        version: "99.1.0",
        packages: { [PLATFORM]: { name: "node-test", integrity, binary: "bin/node" } },
      }),
    );
  }

  function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): ReturnType<typeof spawn> {
    return spawn(process.execPath, [join(checkout, "bin/gimbal"), ...args], {
      env: { PATH: process.env["PATH"] ?? "", npm_execpath: join(home, "npm/npm-cli.js"), FAKE_HOME: home, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
  }
  async function launch(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<{ code: number | null; out: string; err: string }> {
    const child = start(args, env);
    let [out, err] = ["", ""];
    child.stdout?.on("data", (chunk: Buffer) => (out += chunk.toString()));
    child.stderr?.on("data", (chunk: Buffer) => (err += chunk.toString()));
    const code = await new Promise<number | null>((ended) => child.on("close", ended));
    return { code, out, err };
  }
  const npmRuns = (): string[] => (existsSync(join(home, "npm.log")) ? readFileSync(join(home, "npm.log"), "utf8").trim().split("\n") : []);

  it("installs dependencies once, again when the lock file changed, and passes arguments and exit code on", async () => {
    const first = await launch(["exit", "3", "--port", "0"]);
    expect(first).toMatchObject({ code: 3, out: '{"args":["exit","3","--port","0"],"via":""}\n' });
    expect(first.err).toBe("gimbal: Installing the production dependencies named in package-lock.json.\n");
    expect(npmRuns()).toEqual([expect.stringMatching(/^ci --omit=dev --ignore-scripts /)]);
    expect(await launch(["exit", "0"])).toMatchObject({ code: 0, err: "" });
    writeFileSync(join(checkout, "package-lock.json"), JSON.stringify({ packages: { "": {}, "node_modules/x": { version: "2.0.0" } } }));
    await launch(["exit", "0"]);
    expect(npmRuns()).toHaveLength(2);
  });

  it("leaves who develops here the tools of development when the lock file changed, and adopts what was installed by hand since", async () => {
    mkdirSync(join(checkout, "node_modules/x"), { recursive: true });
    writeFileSync(join(checkout, "node_modules/.gimbal-installed.json"), JSON.stringify({ for: "another lock file", development: true }));
    await launch(["exit", "0"]);
    expect(npmRuns()).toEqual([expect.stringMatching(/^ci --include=dev /)]);
    writeFileSync(join(checkout, "node_modules/.gimbal-installed.json"), JSON.stringify({ for: "another lock file", development: false }));
    mkdirSync(join(checkout, "node_modules/x"), { recursive: true });
    writeFileSync(
      join(checkout, "node_modules/.package-lock.json"),
      JSON.stringify({ packages: { "node_modules/x": { version: "1.0.0" } } }),
    );
    await launch(["exit", "0"]);
    expect(npmRuns()).toHaveLength(1);
  });

  it.skipIf(process.platform === "win32")("brings its own runtime where this one is too old, once for all concurrent starts", async () => {
    pretendOld();
    const starts = await Promise.all(Array.from({ length: 4 }, () => launch(["exit", "5"])));
    for (const { code, out } of starts) expect({ code, out }).toEqual({ code: 5, out: '{"args":["exit","5"],"via":"pinned"}\n' });
    expect(npmRuns().map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual(["pack node-test@99.1.0", "ci --omit=dev"]);
    expect(await launch(["exit", "0"])).toMatchObject({ code: 0, err: "" });
    expect(existsSync(join(checkout, ".runtime/lock"))).toBe(false);
  });

  it.skipIf(process.platform === "win32")("passes signals on, and ends the program with itself", async () => {
    pretendOld();
    await launch(["exit", "0"]);
    for (const [signal, code] of [
      ["SIGTERM", 7],
      ["SIGKILL", null],
    ] as const) {
      const child = start(["wait"]);
      const closed = new Promise<number | null>((ended) => child.on("close", ended));
      await new Promise<void>((waiting) => child.stdout?.on("data", (chunk: Buffer) => chunk.includes("waiting") && waiting()));
      child.kill(signal);
      // The pipes close only when the program has let go of them too: a program that lived on would hold the test here.
      expect(await closed).toBe(code);
    }
  });

  it.skipIf(process.platform === "win32")("counts a signal that arrives twice once", async () => {
    for (const old of [false, true]) {
      if (old) pretendOld();
      const child = start(["wait"]);
      const closed = new Promise<number | null>((ended) => child.on("close", ended));
      await new Promise<void>((waiting) => child.stdout?.on("data", (chunk: Buffer) => chunk.includes("waiting") && waiting()));
      child.kill("SIGTERM");
      setTimeout(() => child.kill("SIGTERM"), 50);
      expect(await closed).toBe(7);
    }
  });

  it.skipIf(process.platform === "win32")("refuses a runtime that is not the pinned one, or does not run", async () => {
    pretendOld({ integrity: "sha512-other" });
    const refused = await launch(["exit", "0"]);
    expect(refused).toMatchObject({ code: 1, out: "" });
    expect(refused.err).toContain("its checksum differs");
    pretendOld({ reports: "v1.0.0" });
    expect((await launch(["exit", "0"])).err).toContain("does not run on this system");
    expect(existsSync(join(checkout, ".runtime/node-99.1.0-" + PLATFORM))).toBe(false);
  });

  it("says in one sentence why it could not install", async () => {
    const { code, err } = await launch(["exit", "0"], { FAKE_OFFLINE: "1" });
    expect(code).toBe(1);
    expect(err.trim().split("\n").at(-1)).toBe(
      "gimbal: npm could not install the dependencies: ENOTFOUND. Check the connection and start again.",
    );
  });

  it.skipIf(process.platform === "win32")("installs nothing beneath a running program of the same checkout", async () => {
    await launch(["exit", "0"]);
    const child = start(["wait"]);
    const closed = new Promise<number | null>((ended) => child.on("close", ended));
    await new Promise<void>((waiting) => child.stdout?.on("data", (chunk: Buffer) => chunk.includes("waiting") && waiting()));
    writeFileSync(join(checkout, "package-lock.json"), JSON.stringify({ packages: { "": {}, "node_modules/x": { version: "2.0.0" } } }));
    const refused = await launch(["exit", "0"]);
    expect(refused).toMatchObject({ code: 1, out: "" });
    expect(refused.err).toContain(`but process ${child.pid} runs from this checkout`);
    expect(npmRuns()).toHaveLength(1);
    child.kill("SIGTERM");
    await closed;
    expect(await launch(["exit", "0"])).toMatchObject({ code: 0 });
    expect(npmRuns()).toHaveLength(2);
  });

  it.runIf(process.platform === "linux")("knows a killed program from another that got its process id", async () => {
    mkdirSync(join(checkout, ".runtime/running"), { recursive: true });
    writeFileSync(join(checkout, ".runtime/running/999999999"), "");
    // This process lives, and began at another time than what is noted.
    writeFileSync(join(checkout, `.runtime/running/${process.pid}`), "1");
    expect(await launch(["exit", "0"])).toMatchObject({ code: 0 });
    expect(readdirSync(join(checkout, ".runtime/running"))).toEqual([]);
  });

  it("takes over the lock of a start that died", async () => {
    mkdirSync(join(checkout, ".runtime/lock"), { recursive: true });
    writeFileSync(join(checkout, ".runtime/lock/owner"), "999999999");
    expect(await launch(["exit", "0"])).toMatchObject({ code: 0 });
  });

  it("accepts what somebody installed by hand when it agrees with the lock file", () => {
    const inCheckout = (development: boolean): boolean => isInstalled(checkout, { development });
    mkdirSync(join(checkout, "node_modules/x"), { recursive: true });
    expect(inCheckout(false)).toBe(false);
    const record = (version: string): void =>
      writeFileSync(join(checkout, "node_modules/.package-lock.json"), JSON.stringify({ packages: { "node_modules/x": { version } } }));
    record("0.9.0");
    expect(inCheckout(false)).toBe(false);
    record("1.0.0");
    expect(inCheckout(true)).toBe(true);
    expect(existsSync(join(checkout, "node_modules/.gimbal-installed.json"))).toBe(true);
  });

  it("compares versions by number and reads tar archives", () => {
    expect(["v24.15.0", "24.15.1", "26.0.0", "v25.0.0-nightly"].map((version) => atLeast(version, "24.15.0"))).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(["v24.14.9", "v9.99.99", "24.2.0"].map((version) => atLeast(version, "24.15.0"))).toEqual([false, false, false]);
    const tar = tarOf({ "a/b": "first", "a/c": "x".repeat(BLOCK_BYTES) });
    expect(readTarFile(tar, "a/c")?.length).toBe(BLOCK_BYTES);
    expect(readTarFile(tar, "a/b")?.toString()).toBe("first");
    expect(readTarFile(tar, "a/d")).toBeUndefined();
  });

  it("pins every platform it names with a checksum", () => {
    const pins = JSON.parse(readFileSync(join(root, "bin/runtime.json"), "utf8")) as { packages: Record<string, { integrity: string }> };
    expect(Object.keys(pins.packages).toSorted()).toEqual(["darwin-arm64", "darwin-x64", "linux-arm64", "linux-x64", "win32-x64"]);
    for (const pin of Object.values(pins.packages)) expect(pin.integrity).toMatch(/^sha512-[A-Za-z0-9+/]{86}==$/);
  });
});

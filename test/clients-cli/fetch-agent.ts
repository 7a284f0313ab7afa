import { spawn } from "node:child_process";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** A released command-line agent: the package that holds the binary for this platform, and where the binary is in it. */
export interface AgentRelease {
  readonly title: string;
  /** `name@version` of the platform package, as the registry knows it. */
  readonly package: string;
  /** The binary's path inside the package; `*` stands for the only folder there. */
  readonly binary: readonly string[];
}

export type FetchedAgent = { readonly ok: true; readonly binary: string } | { readonly ok: false; readonly reason: string };

/** What npm calls a registry that cannot be reached. Any other failure is a defect of the test, not of the network. */
const UNREACHABLE =
  /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|network request .* failed)\b/;

/**
 * Installs an agent's platform package into `folder` and finds its binary. Install scripts do not run: the binary is started directly.
 *
 * @returns not ok when the registry is unreachable
 * @throws when npm fails for another reason
 */
export async function fetchAgent(release: AgentRelease, folder: string): Promise<FetchedAgent> {
  const installed = await fetchPackage(`agent@npm:${release.package}`, folder, release.title);
  return installed.ok ? { ok: true, binary: await locate(join(folder, "node_modules/agent"), release.binary) } : installed;
}

/** Installs any package into `folder`, without its install scripts; the same returns and throws. */
export async function fetchPackage(
  name: string,
  folder: string,
  title: string = name,
): Promise<{ readonly ok: true } | { readonly ok: false; readonly reason: string }> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "package.json"), JSON.stringify({ private: true }));
  const { code, stderr } = await run(
    npmCommand(),
    ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--no-package-lock", name],
    { cwd: folder, env: process.env },
  );
  if (code === 0) return { ok: true };
  if (UNREACHABLE.test(stderr)) return { ok: false, reason: `${title}: skipped, the package registry is unreachable.` };
  throw new Error(`npm could not install ${name}:\n${stderr.slice(-2000)}`);
}

function npmCommand(): string {
  return process.platform === "win32" ? "npm.cmd" : "npm";
}

async function locate(root: string, path: readonly string[]): Promise<string> {
  let at = root;
  for (const part of path) {
    if (part !== "*") {
      at = join(at, part);
      continue;
    }
    const [only] = await readdir(at);
    if (only === undefined) throw new Error(`${at} is empty`);
    at = join(at, only);
  }
  return process.platform === "win32" ? `${at}.exe` : at;
}

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** An agent that hangs is killed after this long; a tool loop against the simulator takes a second or two. */
const AGENT_LIMIT_MS = 120_000;

/** Runs a program to its end with nothing on standard input. */
export function run(
  command: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv; readonly limitMs?: number },
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: options.limitMs ?? AGENT_LIMIT_MS * 4,
      killSignal: "SIGKILL",
      shell: process.platform === "win32" && command.endsWith(".cmd"),
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

/** Runs an agent with an environment of its own: nothing of ours reaches it but what is named. */
export function runAgent(
  binary: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly home: string; readonly env: NodeJS.ProcessEnv; readonly proxy: string },
): Promise<Finished> {
  return run(binary, args, {
    cwd: options.cwd,
    limitMs: AGENT_LIMIT_MS,
    env: {
      ...systemEnvironment(),
      HOME: options.home,
      USERPROFILE: options.home,
      XDG_CONFIG_HOME: join(options.home, ".config"),
      TMPDIR: options.home,
      HTTP_PROXY: options.proxy,
      HTTPS_PROXY: options.proxy,
      ALL_PROXY: options.proxy,
      NO_PROXY: "127.0.0.1",
      ...options.env,
    },
  });
}

/** The few variables without which no program starts. */
function systemEnvironment(): NodeJS.ProcessEnv {
  const kept: NodeJS.ProcessEnv = {};
  for (const name of ["PATH", "SystemRoot", "ComSpec", "LANG"]) if (process.env[name] !== undefined) kept[name] = process.env[name];
  return kept;
}

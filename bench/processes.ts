import { execFileSync, spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { availableParallelism } from "node:os";

const READY_MS = 60_000;
const PROBE_MS = 50;

/** The core that belongs to the process being measured, and the one for everything else. */
export type Core = "subject" | "rest" | "any";
const CORES: Readonly<Record<Core, string>> = { subject: "0", rest: "1", any: "0,1" };

export const canPin = availableParallelism() >= 2 && has("taskset");

export function has(command: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${command}`], { stdio: "ignore" }).status === 0;
}

/** What a command prints on both outputs; undefined when it cannot be run. */
export function outputOf(command: string, args: readonly string[]): string | undefined {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  return status === 0 ? `${stdout}${stderr}`.trim() : undefined;
}

export interface Running {
  readonly pid: number;
  readonly stdout: () => string;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) for (const pid of family(child.pid ?? 0)) signalTo(pid, "SIGKILL");
});
// Interrupted, it must not leave its crowd behind.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));

/** Starts a process on a core. Its errors are shown, its output kept. */
export function start(core: Core, command: string, args: readonly string[], env: Record<string, string> = {}, cwd?: string): Running {
  const [program, list] = canPin ? ["taskset", ["-c", CORES[core], command, ...args]] : [command, [...args]];
  const child = spawn(program, list, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
    ...(cwd !== undefined && { cwd }),
  });
  let out = "";
  let err = "";
  child.stdout.on("data", (bytes: Buffer) => (out += bytes.toString()));
  child.stderr.on("data", (bytes: Buffer) => (err = (err + bytes.toString()).slice(-4_000)));
  running.add(child);
  const exited = new Promise<void>((resolve) => {
    child.once("exit", (code) => {
      running.delete(child);
      if (code) process.stderr.write(`${command} ${args.slice(0, 3).join(" ")} ended with ${code}:\n${err}\n`);
      resolve();
    });
  });
  return {
    pid: child.pid ?? 0,
    stdout: () => out,
    stop: (signal = "SIGTERM") => {
      // Some launchers do not pass signals on.
      for (const pid of family(child.pid ?? 0)) signalTo(pid, signal);
      return exited;
    },
  };
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Ended meanwhile.
  }
}

/** The port in a process's line `... ready on http://HOST:PORT`. */
export async function readyPort(helper: Running): Promise<number> {
  const until = Date.now() + READY_MS;
  while (Date.now() < until) {
    const port = /ready on http:\/\/[^:\s]+:(\d+)/.exec(helper.stdout())?.[1];
    if (port) return Number(port);
    await pause(PROBE_MS / 10);
  }
  throw new Error("a process did not become ready");
}

/** Waits until something listens on a port. */
export async function listening(port: number): Promise<void> {
  const until = Date.now() + READY_MS;
  while (Date.now() < until) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true));
      socket.once("error", () => resolve(false));
      socket.once("connect", () => socket.destroy());
    });
    if (open) return;
    await pause(PROBE_MS);
  }
  throw new Error(`nothing listens on port ${port}`);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms));
}

/** A process and all its descendants: workers count. */
export function family(pid: number): number[] {
  try {
    const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
    );
    return [pid, ...children.flatMap(family)];
  } catch {
    return [pid];
  }
}

/** Resident kilobytes of a process and its descendants. */
export function residentKb(pid: number): number {
  let sum = 0;
  for (const member of family(pid)) {
    try {
      sum += Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${member}/status`, "utf8"))?.[1] ?? 0);
    } catch {
      // Ended meanwhile.
    }
  }
  return sum;
}

export function fileLimit(): number {
  return Number(execFileSync("sh", ["-c", "ulimit -Hn"], { encoding: "utf8" }).trim()) || Number.POSITIVE_INFINITY;
}

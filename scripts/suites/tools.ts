import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";

export const root = join(import.meta.dirname, "../..");

/** One thing that can pass or fail, with how many single checks it stands for. */
export interface SuiteResult {
  readonly name: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly ms: number;
}

/** The program of an installed package, to be run by this very Node: what the PATH offers may be an older one. */
export function programOf(packageName: string, program = packageName): string {
  const folder = join(root, "node_modules", packageName);
  const { bin } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { bin: string | Record<string, string> };
  const path = typeof bin === "string" ? bin : bin[program];
  if (path === undefined) throw new Error(`${packageName} has no program ${program}`);
  return join(folder, path);
}

/** Runs a program with this Node; its output is shown when it fails, or always when `show` says so. */
export async function runNode(args: readonly string[], show: boolean): Promise<boolean> {
  const child = spawn(process.execPath, args, {
    cwd: root,
    stdio: ["ignore", show ? "inherit" : "pipe", show ? "inherit" : "pipe"],
    env: { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env["PATH"] ?? ""}` },
  });
  const output: Buffer[] = [];
  child.stdout?.on("data", (chunk: Buffer) => output.push(chunk));
  child.stderr?.on("data", (chunk: Buffer) => output.push(chunk));
  const ok = await new Promise<boolean>((resolve) => {
    child.on("error", () => resolve(false));
    child.on("close", (code) => resolve(code === 0));
  });
  if (!ok) process.stdout.write(Buffer.concat(output));
  return ok;
}

/** What is checked without running the program. */
export const STATIC_CHECKS: readonly { readonly name: string; readonly args: () => readonly string[] }[] = [
  { name: "generated files", args: () => [join(root, "scripts/generate.ts"), "--check"] },
  { name: "types", args: () => [programOf("typescript", "tsc"), "-p", "."] },
  { name: "lint", args: () => [programOf("oxlint")] },
  { name: "format", args: () => [programOf("oxfmt"), "--check"] },
  { name: "dead code", args: () => [programOf("knip"), "--no-progress", "--no-config-hints"] },
];

export async function runStaticChecks(): Promise<SuiteResult[]> {
  const results: SuiteResult[] = [];
  for (const { name, args } of STATIC_CHECKS) {
    process.stdout.write(`checking ${name} ...\n`);
    const started = performance.now();
    const ok = await runNode(args(), false);
    results.push({ name, passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0, ms: performance.now() - started });
  }
  return results;
}

/** One line per suite, then the sum as the last line. Returns the process's exit code. */
export function summarise(results: readonly SuiteResult[]): number {
  const sum = (pick: (result: SuiteResult) => number): number => results.reduce((total, result) => total + pick(result), 0);
  const width = Math.max(...results.map((result) => result.name.length));
  process.stdout.write("\n");
  for (const result of results) {
    const mark = result.failed > 0 ? "FAILED" : "ok    ";
    const skipped = result.skipped > 0 ? `, ${result.skipped} skipped` : "";
    process.stdout.write(
      `${mark} ${result.name.padEnd(width)}  ${result.passed} passed, ${result.failed} failed${skipped}  (${(result.ms / 1000).toFixed(1)} s)\n`,
    );
  }
  const failed = sum((result) => result.failed);
  process.stdout.write(`${sum((result) => result.passed)} passed, ${failed} failed\n`);
  return failed > 0 ? 1 : 0;
}

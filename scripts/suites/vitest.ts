import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { programOf, root, runNode, type SuiteResult } from "./tools.ts";

/** The part of Vitest's JSON report that is counted here. */
interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly startTime: number;
    readonly endTime: number;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

/** Runs Vitest and counts by suite: a folder of `test/`, or a file that stands in it alone. */
export async function runVitest(args: readonly string[]): Promise<SuiteResult[]> {
  const folder = mkdtempSync(join(tmpdir(), "gimbal-tests-"));
  const file = join(folder, "report.json");
  const started = performance.now();
  try {
    const ok = await runNode(
      [programOf("vitest"), "run", "--reporter=default", "--reporter=json", `--outputFile.json=${file}`, ...args],
      true,
    );
    const suites = countSuites(JSON.parse(readFileSync(file, "utf8")) as Report);
    // Vitest also fails for what no test stands for: an unhandled rejection, say.
    if (!ok && suites.every((suite) => suite.failed === 0)) suites.push({ name: "vitest itself", passed: 0, failed: 1, skipped: 0, ms: 0 });
    return suites;
  } catch (error) {
    process.stderr.write(`Vitest left no report: ${String(error)}\n`);
    return [{ name: "vitest itself", passed: 0, failed: 1, skipped: 0, ms: performance.now() - started }];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export function countSuites(report: Report): SuiteResult[] {
  const suites = new Map<string, SuiteResult>();
  for (const result of report.testResults) {
    const name = suiteOf(result.name);
    const of = (...statuses: string[]): number => result.assertionResults.filter((test) => statuses.includes(test.status)).length;
    // A file that cannot even be loaded has no tests to fail.
    const broken = result.status === "failed" && of("failed") === 0 ? 1 : 0;
    const before = suites.get(name);
    suites.set(name, {
      name,
      passed: (before?.passed ?? 0) + of("passed"),
      failed: (before?.failed ?? 0) + of("failed") + broken,
      skipped: (before?.skipped ?? 0) + of("pending", "skipped", "todo"),
      ms: (before?.ms ?? 0) + Math.max(0, result.endTime - result.startTime),
    });
  }
  return [...suites.values()].toSorted((a, b) => a.name.localeCompare(b.name));
}

function suiteOf(path: string): string {
  const [first = path, ...rest] = relative(join(root, "test"), path).split(/[\\/]/);
  return rest.length > 0 ? first : first.replace(/\.test\.ts$/, "");
}

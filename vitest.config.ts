import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** One more than a small machine has cores: a third of what the long files take is waiting, for children, disks and clocks. */
const WORKERS = 3;
/** A defect that hangs is to be found, not a machine that is busy. */
const TEST_LIMIT_MS = 120_000;
/** How long a test looks again for what is to come about, where it says nothing else. */
const POLL_LIMIT_MS = 15_000;

// Every process and thread that tests start reads it. Without it each of some two hundred gateways strips and compiles the whole source anew,
// which is most of what a start costs.
process.env["NODE_COMPILE_CACHE"] ??= join(import.meta.dirname, "node_modules/.cache/gimbal-tests");

/** Files that start processes and records come first: begun last, one of them would keep the run waiting by itself. */
class LongFirst extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => Number(!/\/test\/(?:end-to-end|stores|contracts)\//.test(moduleId));
    return Promise.resolve(files.toSorted((a, b) => rank(a) - rank(b)));
  }
}

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/clients-cli/**"],
    maxWorkers: WORKERS,
    sequence: { sequencer: LongFirst },
    // Files share a process, one after the other: what a file imports is imported once, not once a file. So none may leave anything behind.
    isolate: false,
    testTimeout: TEST_LIMIT_MS,
    hookTimeout: TEST_LIMIT_MS,
    expect: { poll: { timeout: POLL_LIMIT_MS, interval: 20 } },
    // A test that leaves the machine is a defect; a proxy in the environment would hide it.
    env: { NO_PROXY: "127.0.0.1,localhost" },
  },
});

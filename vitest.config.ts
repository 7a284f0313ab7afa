import { join } from "node:path";
import { defineConfig } from "vitest/config";

/** Two cores are what a small machine has; more workers than cores only make tests with deadlines slower. */
const WORKERS = 2;
/** A defect that hangs is to be found, not a machine that is busy. */
const TEST_LIMIT_MS = 120_000;
/** How long a test looks again for what is to come about, where it says nothing else. */
const POLL_LIMIT_MS = 15_000;

// Every process and thread that tests start reads it. Without it each of some two hundred gateways strips and compiles the whole source anew,
// which is most of what a start costs.
process.env["NODE_COMPILE_CACHE"] ??= join(import.meta.dirname, "node_modules/.cache/gimbal-tests");

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/clients-cli/**"],
    maxWorkers: WORKERS,
    // Files share a process, one after the other: what a file imports is imported once, not once a file. So none may leave anything behind.
    isolate: false,
    testTimeout: TEST_LIMIT_MS,
    hookTimeout: TEST_LIMIT_MS,
    expect: { poll: { timeout: POLL_LIMIT_MS, interval: 20 } },
    // A test that leaves the machine is a defect; a proxy in the environment would hide it.
    env: { NO_PROXY: "127.0.0.1,localhost" },
  },
});

import { defineConfig } from "vitest/config";

/** Two cores are what a small machine has; more workers than cores only make tests with deadlines slower. */
const WORKERS = 2;
const TEST_LIMIT_MS = 30_000;

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/clients-cli/**"],
    maxWorkers: WORKERS,
    testTimeout: TEST_LIMIT_MS,
    hookTimeout: TEST_LIMIT_MS,
    // A test that leaves the machine is a defect; a proxy in the environment would hide it.
    env: { NO_PROXY: "127.0.0.1,localhost" },
  },
});

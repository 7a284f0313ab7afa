import { defineConfig } from "vitest/config";

/** An agent is downloaded and installed within it. */
const INSTALL_LIMIT_MS = 10 * 60_000;

export default defineConfig({
  test: {
    include: ["test/clients-cli/**/*.test.ts"],
    // One after the other: two agents at once would only make each other's timeouts meaningless.
    fileParallelism: false,
    testTimeout: INSTALL_LIMIT_MS,
    hookTimeout: INSTALL_LIMIT_MS,
  },
});

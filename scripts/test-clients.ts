// npm run test:clients: released command-line agents against Gimbal. They are fetched at run time into a temporary folder, because they
// are heavy and no dependency of ours.
import { summarise } from "./suites/tools.ts";
import { runVitest } from "./suites/vitest.ts";

process.exitCode = summarise(await runVitest(["--config", "vitest.clients.config.ts", ...process.argv.slice(2)]));

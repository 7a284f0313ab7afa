// npm test: everything a user can run, under ten minutes on two cores. Arguments go to Vitest, and then only Vitest runs.
import { runStaticChecks, summarise } from "./suites/tools.ts";
import { runVitest } from "./suites/vitest.ts";

const args = process.argv.slice(2);
const results = args.length > 0 ? [] : await runStaticChecks();
results.push(...(await runVitest(args)));
process.exitCode = summarise(results);

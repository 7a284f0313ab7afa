// npm test: everything a user can run, under ten minutes on two cores. Arguments go to Vitest, and then only Vitest runs.
import { ensurePostgres } from "./suites/postgres.ts";
import { root, runStaticChecks, summarise } from "./suites/tools.ts";
import { runVitest } from "./suites/vitest.ts";

const args = process.argv.slice(2);
// Tests of the PostgreSQL record run a server of their own. In continuous integration its absence is a failure, which they say themselves.
const missing = ensurePostgres(root);
if (missing !== undefined) process.stderr.write(`${missing}\n`);
const results = args.length > 0 ? [] : await runStaticChecks();
results.push(...(await runVitest(args)));
process.exitCode = summarise(results);

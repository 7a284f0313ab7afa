// npm run check: types, lint, format, dead code, generated files and the house rules, without the tests.
import { runStaticChecks, summarise } from "./suites/tools.ts";
import { runVitest } from "./suites/vitest.ts";

const results = await runStaticChecks();
results.push(...(await runVitest(["test/house.test.ts"])));
process.exitCode = summarise(results);

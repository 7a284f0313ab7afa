// npm run format: rewrites the code the way `npm run check` wants it.
import { programOf, runNode } from "./suites/tools.ts";

const ok = await runNode([programOf("oxfmt"), ...process.argv.slice(2)], true);
process.exitCode = ok ? 0 : 1;

import { breaker } from "./survive/breaker.ts";
import { cutStreams } from "./survive/cut.ts";
import { surviveSection, surviveTargets, type SurviveFigures } from "./survive/figures.ts";
import { identical } from "./survive/identical.ts";
import { overhead } from "./survive/overhead.ts";
import { refusedConnection } from "./survive/refused.ts";
import { resume } from "./survive/resume.ts";

interface Size {
  readonly plainCalls: number;
  readonly streams: number;
  readonly rounds: number;
  readonly cutSeconds: number;
  readonly refusedCalls: number;
  readonly readers: number;
}

const FULL: Size = { plainCalls: 10_000, streams: 600, rounds: 7, cutSeconds: 150, refusedCalls: 2000, readers: 10_000 };
const QUICK: Size = { plainCalls: 3000, streams: 200, rounds: 3, cutSeconds: 20, refusedCalls: 500, readers: 1000 };
const IDENTICAL_CALLS = 10_000;

/** Calls that survive: `node bench/survive.ts [--quick]`, and a part of `npm run bench`. @param say told what is measured next */
export async function survive(quick: boolean, say: (line: string) => void): Promise<SurviveFigures> {
  const size = quick ? QUICK : FULL;
  // First what is measured in microseconds: the others leave a large heap behind.
  say("measuring: planning, health and journal");
  const costs = await overhead(size.plainCalls, size.streams, size.rounds);
  say("measuring: a refused connection");
  const refused = await refusedConnection(size.refusedCalls);
  say("measuring: streams that are cut");
  const cut = await cutStreams(size.cutSeconds);
  say("measuring: a breaker");
  const opened = await breaker();
  say("measuring: identical calls");
  const same = await identical(IDENTICAL_CALLS);
  say("measuring: readers who come back");
  return { overhead: costs, cut, refused, breaker: opened, identical: same, resume: await resume(size.readers) };
}

if (process.argv[1] === import.meta.filename) {
  const figures = await survive(process.argv.includes("--quick"), (line) => process.stderr.write(`${line}\n`));
  for (const { what, figure, limit, atLeast, unit } of surviveTargets(figures)) {
    const met = atLeast ? figure >= limit : figure <= limit;
    process.stdout.write(`${met ? "met    " : "NOT MET"}  ${what}: ${figure.toFixed(2)} ${unit} (${atLeast ? "≥" : "≤"} ${limit})\n`);
  }
  process.stdout.write(`\n${surviveSection(figures).join("\n")}`);
}

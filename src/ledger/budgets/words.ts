import { formatDollars, type Problem } from "../../canon/index.ts";
import type { Cover, Measure } from "./covers.ts";
import { describeMatch } from "./match.ts";
import type { Refusal } from "./reserve.ts";
import type { Wall } from "./wall.ts";
import { NEVER } from "./window.ts";

/** When what runs may give something back. */
const SOON_MS = 1000;
const UNAVAILABLE_MS = 1000;
const UNITS = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1000],
] as const;

/** What is said to a call for which a budget has no room. `now`: milliseconds since 1970. */
export function refusalProblem({ cover, wall, amount, why }: Refusal, now: number): Problem {
  if (why === "unavailable")
    return {
      kind: "storage_unavailable",
      message: `Whether the ${describeBudget(cover)} has room for this call cannot be known: the record cannot be reached.`,
      retryAfterMs: UNAVAILABLE_MS,
    };
  const { measure, limit } = cover;
  const held = Math.max(0, wall.leased - wall.free);
  const message = `The ${describeBudget(cover)} has no room for this call: ${amountOf(measure, wall.spent)} are spent, ${amountOf(measure, held)} are reserved by running calls, and this call may use ${amountOf(measure, amount)}.`;
  const problem = { kind: "budget_exhausted", code: "budget_exhausted" } as const;
  if (amount > limit)
    return { ...problem, message: `${message} It would not fit into a whole ${wordOf(cover)}: lower its maximum of output tokens.` };
  if (wall.spent + amount <= limit)
    return { ...problem, message: `${message} Ask again when some of them are done.`, retryAfterMs: SOON_MS };
  if (wall.ends === NEVER) return { ...problem, message: `${message} It does not begin anew; an administrator can raise it.` };
  const wait = Math.max(SOON_MS, wall.ends - now);
  return {
    ...problem,
    message: `${message} It begins anew at ${new Date(wall.ends).toISOString()}, in ${durationOf(wait)}.`,
    retryAfterMs: wait,
  };
}

/** `83% of the budget of $100.00 per month for team search is used`. */
export function softWords(cover: Cover, wall: Wall): string {
  const percent = cover.limit === 0 ? 100 : Math.floor((wall.spent / cover.limit) * 100);
  return `${percent}% of the ${describeBudget(cover)} is used`;
}

export function describeBudget({ budget, measure, limit, subject }: Cover): string {
  const whose = subject === "" ? describeMatch(budget.match) : subject;
  return `budget of ${amountOf(measure, limit)} ${budget.per === "lifetime" ? "for a lifetime" : `per ${budget.per}`} for ${whose}`;
}

function wordOf({ budget }: Cover): string {
  return budget.per === "lifetime" ? "budget" : budget.per;
}

export function amountOf(measure: Measure, amount: number): string {
  if (measure === "tokens") return `${amount} tokens`;
  const exact = formatDollars(amount);
  // Two decimals at least, and no more zeros than that.
  return `$${exact.replace(/(\.\d\d\d*?)0*$/, "$1")}`;
}

/** In the two largest units. */
function durationOf(ms: number): string {
  const words: string[] = [];
  let rest = ms;
  for (const [unit, size] of UNITS) {
    const count = Math.floor(rest / size);
    if (count === 0 && words.length === 0) continue;
    if (words.length === 2) break;
    rest -= count * size;
    if (count > 0) words.push(`${count} ${unit}${count === 1 ? "" : "s"}`);
    else break;
  }
  return words.join(" ") || "a moment";
}

import { formatDollars } from "../canon/index.ts";
import { differencesPage, type CostDifference, type DifferencesPage } from "../ledger/differences.ts";
import { DONE, table, UsageError, type Command, type Input } from "./command.ts";
import { RANGE_FLAGS, rangeOf } from "./ledger-range.ts";
import { onRecord } from "./record.ts";
import { askServer } from "./running.ts";
import { DATA_FLAG } from "./settings.ts";

const THRESHOLD_PERCENT = 1;
/** The largest are shown; JSON has as many. */
const MOST_SHOWN = 1000;

interface Found {
  readonly differences: readonly CostDifference[];
  readonly compared: number;
  readonly apart: number;
}

export const differencesCommand: Command = {
  name: "ledger differences",
  summary: "List calls whose provider says another price than the price book.",
  operands: [],
  flags: {
    ...RANGE_FLAGS,
    threshold: { value: "PERCENT", meaning: `How far apart, in percent of the price book's figure. Default: ${THRESHOLD_PERCENT}.` },
    ...DATA_FLAG,
  },
  async run(input, deps) {
    const range = rangeOf(input);
    const threshold = thresholdOf(input);
    const { differences, compared, apart } = await onRecord(input, deps, {
      server: (server, folder) =>
        overPages(async (after) => {
          const query = new URLSearchParams({ after: String(after), threshold: String(threshold) });
          for (const [name, value] of Object.entries(range)) query.set(name, String(value));
          return (await askServer(server, folder, deps, "GET", `/ledger/differences?${query.toString()}`)) as DifferencesPage;
        }),
      stores: (stores) => overPages((after) => differencesPage(stores.ledger, { ...range, after }, threshold)),
    });
    if (input.json) deps.out(`${JSON.stringify({ thresholdPercent: threshold, compared, apart, differences })}\n`);
    else {
      if (differences.length > 0)
        deps.out(`${table(["TIME", "TARGET", "PROVIDER USD", "OURS USD", "PERCENT", "CALL"], differences.map(cellsOf))}\n`);
      deps.out(`${compared} calls have a price of their provider's; ${apart} of them are more than ${threshold}% away from ours.\n`);
    }
    return DONE;
  },
};

function thresholdOf(input: Input): number {
  const text = input.text("threshold");
  if (text === undefined) return THRESHOLD_PERCENT;
  const percent = Number(text);
  if (text.trim() === "" || !Number.isFinite(percent) || percent < 0)
    throw new UsageError(`--threshold is a number of percent, not "${text}".`);
  return percent;
}

/** The largest differences first. */
async function overPages(page: (after: number) => Promise<DifferencesPage>): Promise<Found> {
  let largest: readonly CostDifference[] = [];
  let compared = 0;
  let apart = 0;
  for (let after: number | undefined = 0; after !== undefined;) {
    const one: DifferencesPage = await page(after);
    compared += one.compared;
    apart += one.differences.length;
    largest = [...largest, ...one.differences].toSorted((a, b) => sizeOf(b) - sizeOf(a)).slice(0, MOST_SHOWN);
    after = one.next;
  }
  return { differences: largest, compared, apart };
}

function sizeOf({ reportedNanodollars, ownNanodollars = 0 }: CostDifference): number {
  return Math.abs(reportedNanodollars - ownNanodollars);
}

function cellsOf({ startedAt, target, reportedNanodollars, ownNanodollars, percent, callId }: CostDifference): string[] {
  return [
    new Date(startedAt).toISOString().slice(0, 19),
    target,
    formatDollars(reportedNanodollars),
    ownNanodollars === undefined ? "unknown" : formatDollars(ownNanodollars),
    percent === undefined ? "-" : `${percent > 0 ? "+" : ""}${percent}`,
    callId,
  ];
}

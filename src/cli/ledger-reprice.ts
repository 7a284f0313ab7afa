import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { formatDollars, type ModelBook, type RepricingRun, type Stores } from "../canon/index.ts";
import { formatProblems, loadPrices, PriceFileError, readPrices, type GimbalConfig } from "../config/index.ts";
import { addTotals, NO_TOTALS, repricePage, type CostSum, type RepricePage, type RepriceTotals } from "../ledger/reprice.ts";
import type { LocalPrices } from "../models/index.ts";
import { CommandError, DONE, table, type Command, type Input } from "./command.ts";
import type { CliDeps } from "./deps.ts";
import { RANGE_FLAGS, rangeOf, type RowRange } from "./ledger-range.ts";
import { onRecord } from "./record.ts";
import { askServer, type RunningServer } from "./running.ts";
import { CONFIG_FLAG, DATA_FLAG, loadConfig, settingsOf } from "./settings.ts";

/** How often a long run says how far it is, in pages. */
const PROGRESS_PAGES = 50;

type Run = Pick<RepricingRun, "id" | "at">;

interface Outcome {
  readonly run: Run;
  readonly priceVersion: string;
  readonly totals: RepriceTotals;
}

export const repriceCommand: Command = {
  name: "ledger reprice",
  summary: "Derive what calls cost anew, from their tokens and the prices of today; the old figures are kept beside.",
  operands: [],
  flags: {
    ...RANGE_FLAGS,
    prices: { value: "FILE", meaning: "Use this price file instead of the one in force. See docs/costs.md." },
    "dry-run": { meaning: "Write nothing; only say what would change." },
    ...CONFIG_FLAG,
    ...DATA_FLAG,
  },
  async run(input, deps) {
    const range = rangeOf(input);
    const dryRun = input.has("dry-run");
    const file = input.text("prices");
    const prices = file === undefined ? undefined : await readPriceText(resolve(deps.cwd, file));
    const outcome = await onRecord(input, deps, {
      server: (server, folder) => throughServer(server, folder, deps, { ...range, dryRun, ...(prices !== undefined && { prices }) }),
      stores: async (stores) => throughStores(stores, deps, await bookFor(input, deps, prices), range, dryRun),
    });
    if (input.json) deps.out(`${JSON.stringify(jsonOf(outcome, dryRun))}\n`);
    else deps.out(describe(outcome, dryRun));
    return DONE;
  },
};

async function readPriceText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new CommandError(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}.`);
  }
}

async function throughServer(
  server: RunningServer,
  folder: string,
  deps: CliDeps,
  asked: RowRange & { readonly dryRun: boolean; readonly prices?: string },
): Promise<Outcome> {
  let run: Run | undefined;
  let priceVersion = "";
  const totals = await overPages(deps, async (after) => {
    const body = { ...asked, after, ...(run && { run }) };
    const page = (await askServer(server, folder, deps, "POST", "/ledger/reprice", body)) as RepricePage & Omit<Outcome, "totals">;
    ({ run, priceVersion } = page);
    return page;
  });
  return { run: run ?? { id: "", at: 0 }, priceVersion, totals };
}

async function throughStores(stores: Stores, deps: CliDeps, book: ModelBook, range: RowRange, dryRun: boolean): Promise<Outcome> {
  const run = { id: deps.randomness.id("rpr_"), at: deps.clock.now() };
  const totals = await overPages(deps, (after) => repricePage(stores.ledger, book, { ...range, after }, dryRun ? undefined : run));
  return { run, priceVersion: book.version, totals };
}

async function overPages(deps: CliDeps, page: (after: number) => Promise<RepricePage>): Promise<RepriceTotals> {
  let totals = NO_TOTALS;
  let after: number | undefined = 0;
  for (let pages = 1; after !== undefined; pages++) {
    const one: RepricePage = await page(after);
    totals = addTotals(totals, one.totals);
    after = one.next;
    if (pages % PROGRESS_PAGES === 0) deps.err(`${totals.rows} rows looked at, ${totals.changed} of them cost something else now\n`);
  }
  return totals;
}

async function bookFor(input: Input, deps: CliDeps, text: string | undefined): Promise<ModelBook> {
  const { configFile } = settingsOf(input, deps);
  const { config } = await loadConfig(configFile, deps);
  return deps.book(config, text === undefined ? await pricesOf(configFile, config) : pricesIn(text, input.text("prices") ?? "", config));
}

/** The price file beside a configuration. @throws CommandError with every problem, one a line */
export async function pricesOf(configFile: string | undefined, config: GimbalConfig): Promise<LocalPrices | undefined> {
  if (configFile === undefined) return undefined;
  try {
    return (await loadPrices(configFile, config)).prices;
  } catch (error) {
    if (error instanceof PriceFileError) throw new CommandError(error.message);
    throw error;
  }
}

function pricesIn(text: string, file: string, config: GimbalConfig): LocalPrices {
  const outcome = readPrices(text, config.providers.keys());
  if (!outcome.ok) throw new CommandError(formatProblems(file, outcome.problems).join("\n"));
  return outcome.prices;
}

function jsonOf({ run, priceVersion, totals }: Outcome, dryRun: boolean): object {
  const { rows, changed, before, after } = totals;
  const sum = ({ nanodollars, unknown }: CostSum): object => ({ usd: formatDollars(BigInt(nanodollars)), nanodollars, unknown });
  return { ...(!dryRun && { run: run.id }), dryRun, priceVersion, rows, changed, before: sum(before), after: sum(after) };
}

function describe({ run, priceVersion, totals }: Outcome, dryRun: boolean): string {
  const { rows, changed, before, after } = totals;
  const line = (name: string, { nanodollars, unknown }: CostSum): string[] => [name, formatDollars(BigInt(nanodollars)), String(unknown)];
  const sums = table(["", "USD", "UNKNOWN"], [line("before", before), line("after", after)]);
  const done = dryRun
    ? `${changed} of ${rows} calls would cost something else; nothing was written.`
    : `${changed} of ${rows} calls cost something else now (${run.id}).`;
  return `${sums}\n${done}\nPrices: ${priceVersion}\n`;
}

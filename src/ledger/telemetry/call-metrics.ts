import type { LedgerRow } from "../../canon/index.ts";
import { Histogram, type Exposition, type Labels } from "./exposition.ts";

/** Models that callers named and no alias stands for, as labels of their own; the rest share one. */
const MOST_UNLISTED = 100;
/** Over all configurations that were in force since the start. */
const MOST_SERIES = 1000;
/** Label of what has none of its own. */
const OTHER = "other";
const NANODOLLARS = 1e9;

/** What is counted of the calls for one model that ended at one provider. */
class Series {
  readonly labels: Labels;
  done = 0;
  /** By the problem's kind. */
  readonly problems = new Map<string, { state: string; count: number }>();
  shadows = 0;
  input = 0;
  cacheRead = 0;
  cacheWrite = 0;
  output = 0;
  reasoning = 0;
  nanodollars = 0;
  unpriced = 0;
  savedNanodollars = 0;
  readonly cache: Record<"hit" | "miss" | "bypass", number> = { hit: 0, miss: 0, bypass: 0 };
  readonly ready = new Histogram();
  readonly firstOutput = new Histogram();
  readonly total = new Histogram();

  constructor(model: string, provider: string) {
    this.labels = { model, provider };
  }
}

/** Of one provider: its attempts. */
class Attempts {
  ok = 0;
  readonly problems = new Map<string, number>();
  hedges = 0;
  continuations = 0;
  readonly seconds = new Histogram();
}

/**
 * Counts finished calls, in a fraction of a microsecond each. Labels are models, providers, states and kinds of problems: never a caller's
 * words. A model's name is its caller's word until an alias stands for it or an answer came, and there are only so many of those.
 */
export class CallMetrics {
  readonly #isListed: (model: string) => boolean;
  /** By model, then by provider. */
  readonly #series = new Map<string, Map<string, Series>>();
  readonly #attempts = new Map<string, Attempts>();
  readonly #unlisted = new Set<string>();
  readonly #record = new Histogram();
  #count = 0;

  /** @param isListed does an alias of the configuration in force have this name? */
  constructor(isListed: (model: string) => boolean) {
    this.#isListed = isListed;
  }

  called(row: LedgerRow): void {
    const series = this.#seriesOf(row);
    const { usage, costNanodollars, problem, timings } = row;
    if (row.shadow) series.shadows++;
    else {
      if (problem === undefined) series.done++;
      else countProblem(series, row.state, problem);
      series.ready.observe(timings.readyMs);
      series.total.observe(timings.totalMs);
      if (timings.firstOutputMs !== undefined) series.firstOutput.observe(timings.firstOutputMs);
    }
    series.input += usage.inputUncached;
    series.cacheRead += usage.cacheRead;
    series.cacheWrite += usage.cacheWrite5m + usage.cacheWrite1h;
    series.output += usage.output;
    series.reasoning += usage.reasoning;
    if (costNanodollars === undefined) series.unpriced++;
    else series.nanodollars += costNanodollars;
    if (row.cache !== undefined) series.cache[row.cache]++;
    if (row.savedNanodollars !== undefined) series.savedNanodollars += row.savedNanodollars;
    for (const attempt of row.attempts) {
      const attempts = this.#attemptsOf(attempt.target);
      if (attempt.problem === undefined) attempts.ok++;
      else attempts.problems.set(attempt.problem, (attempts.problems.get(attempt.problem) ?? 0) + 1);
      if (attempt.hedge) attempts.hedges++;
      if (attempt.continues) attempts.continuations++;
      attempts.seconds.observe(attempt.endedMs - attempt.startedMs);
    }
  }

  /** The row of a call is durable so long after the call ended. */
  recorded(ms: number): void {
    this.#record.observe(ms);
  }

  write(page: Exposition): void {
    const all = [...this.#series.values()].flatMap((byProvider) => [...byProvider.values()]);
    writeCalls(page, all);
    writeTokens(page, all);
    writeStages(page, all);
    this.#writeAttempts(page);
    page.family("record_delay_seconds", "histogram", "From the end of a call until its row is durable.").histogram(this.#record);
  }

  #writeAttempts(page: Exposition): void {
    const all = [...this.#attempts].map(([provider, attempts]) => ({ labels: { provider }, attempts }));
    page.family("attempts_total", "counter", "Attempts at a provider, by what came of them.");
    for (const { labels, attempts } of all) {
      page.sample(attempts.ok, { ...labels, problem: "" });
      for (const [problem, count] of attempts.problems) page.sample(count, { ...labels, problem });
    }
    page.family("hedged_attempts_total", "counter", "Attempts begun beside one that was slow to begin.");
    for (const { labels, attempts } of all) page.sample(attempts.hedges, labels);
    page.family("continued_attempts_total", "counter", "Attempts that went on with a stream that had broken.");
    for (const { labels, attempts } of all) page.sample(attempts.continuations, labels);
    page.family("attempt_seconds", "histogram", "How long attempts at a provider took.");
    for (const { labels, attempts } of all) page.histogram(attempts.seconds, labels);
  }

  #seriesOf(row: LedgerRow): Series {
    const model = this.#modelLabel(row);
    const provider = providerOf(row.target);
    let byProvider = this.#series.get(model);
    if (!byProvider) this.#series.set(model, (byProvider = new Map()));
    const known = byProvider.get(provider);
    if (known) return known;
    // Nothing is counted twice or lost: what has no room shares a series.
    if (this.#count >= MOST_SERIES && (model !== OTHER || provider !== "")) {
      if (byProvider.size === 0) this.#series.delete(model);
      return this.#shared();
    }
    this.#count++;
    const series = new Series(model, provider);
    byProvider.set(provider, series);
    return series;
  }

  #shared(): Series {
    const byProvider = this.#series.get(OTHER) ?? new Map<string, Series>();
    this.#series.set(OTHER, byProvider);
    const shared = byProvider.get("") ?? new Series(OTHER, "");
    byProvider.set("", shared);
    return shared;
  }

  #modelLabel({ model, state }: LedgerRow): string {
    if (this.#isListed(model) || this.#unlisted.has(model)) return model;
    if (state !== "done" || this.#unlisted.size >= MOST_UNLISTED) return OTHER;
    this.#unlisted.add(model);
    return model;
  }

  /** Providers are the configuration's: there are only so many. */
  #attemptsOf(target: string): Attempts {
    const provider = providerOf(target);
    const known = this.#attempts.get(provider);
    if (known) return known;
    const attempts = new Attempts();
    this.#attempts.set(provider, attempts);
    return attempts;
  }
}

function providerOf(target: string | undefined): string {
  return target === undefined ? "" : target.slice(0, target.indexOf("/"));
}

function countProblem(series: Series, state: string, problem: string): void {
  const known = series.problems.get(problem);
  if (known) known.count++;
  else series.problems.set(problem, { state, count: 1 });
}

function writeCalls(page: Exposition, all: readonly Series[]): void {
  page.family("calls_total", "counter", "Calls that are over, by model, the provider that answered or was tried last, and how they ended.");
  for (const { labels, done, problems } of all) {
    page.sample(done, { ...labels, state: "done", problem: "" });
    for (const [problem, { state, count }] of problems) page.sample(count, { ...labels, state, problem });
  }
  page.family("shadow_calls_total", "counter", "Copies of calls that nobody reads; not among gimbal_calls_total.");
  for (const { labels, shadows } of all) if (shadows > 0) page.sample(shadows, labels);
  page.family("cache_total", "counter", "Calls of models with a cache, by what the cache had to say.");
  for (const { labels, cache } of all) {
    if (cache.hit + cache.miss + cache.bypass === 0) continue;
    for (const [status, count] of Object.entries(cache)) page.sample(count, { ...labels, status });
  }
  page.family("cache_saved_dollars_total", "counter", "What cached answers would have cost.");
  for (const { labels, savedNanodollars } of all) if (savedNanodollars > 0) page.sample(savedNanodollars / NANODOLLARS, labels);
}

function writeTokens(page: Exposition, all: readonly Series[]): void {
  page.family("tokens_total", "counter", "Tokens, by kind; the kinds are disjoint.");
  for (const { labels, input, cacheRead, cacheWrite, output } of all) {
    page.sample(input, { ...labels, kind: "input" });
    page.sample(cacheRead, { ...labels, kind: "cache_read" });
    page.sample(cacheWrite, { ...labels, kind: "cache_write" });
    page.sample(output, { ...labels, kind: "output" });
  }
  page.family("reasoning_tokens_total", "counter", "Output tokens that were spent on reasoning; they are among the output.");
  for (const { labels, reasoning } of all) if (reasoning > 0) page.sample(reasoning, labels);
  page.family("cost_dollars_total", "counter", "What calls cost, as the ledger has it.");
  for (const { labels, nanodollars } of all) page.sample(nanodollars / NANODOLLARS, labels);
  page.family("unpriced_calls_total", "counter", "Calls whose cost is not known.");
  for (const { labels, unpriced } of all) if (unpriced > 0) page.sample(unpriced, labels);
}

/** `ready`: admission and decoding, until the first attempt. `first_output`: until the client's first byte. `total`: the whole call. */
function writeStages(page: Exposition, all: readonly Series[]): void {
  page.family("call_seconds", "histogram", "From the beginning of a call to the end of a stage: ready, first_output, total.");
  for (const { labels, ready, firstOutput, total } of all) {
    page.histogram(ready, { ...labels, stage: "ready" });
    page.histogram(firstOutput, { ...labels, stage: "first_output" });
    page.histogram(total, { ...labels, stage: "total" });
  }
}

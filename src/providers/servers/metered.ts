import type { ModelServer, ServedModel, ServerLoad, ServerReport } from "../../canon/index.ts";
import { readMetrics, type Metric } from "./exposition.ts";
import { jsonOf, listAt, nameAt, textOfGood, tokensAt, whyDown } from "./read.ts";
import { asNamed, type ServerParts } from "./types.ts";

/** Names of what a scheduler of requests tells of itself. Of several the first that is there counts: they were renamed between versions. */
export interface SchedulerMetrics {
  readonly running: string;
  readonly waiting: string;
  /** Shares from 0 to 1; of several engines the fullest counts. */
  readonly cacheShare: readonly string[];
  /** Histograms in seconds, without `_sum` and `_count`: from a request's turn to its end. */
  readonly requestSeconds: readonly string[];
}

const MS_PER_SECOND = 1000;

/**
 * A server that lists its models with their context in OpenAI's shape (`/models`, `max_model_len`), is asked for its health at `/health` and
 * meters its queue in Prometheus's format at `/metrics`.
 */
export function meteredServer({ ask }: ServerParts, metrics: SchedulerMetrics): ModelServer {
  const { running, waiting, cacheShare, requestSeconds } = metrics;
  const names = new Set([running, waiting, ...cacheShare, ...requestSeconds.flatMap((name) => [`${name}_sum`, `${name}_count`])]);
  const lately = new MeanOfLate(requestSeconds);
  const loadIn = (text: string | undefined): ServerLoad | undefined => {
    const found = text === undefined ? undefined : readMetrics(text, names);
    const [now, next] = [found?.get(running)?.sum, found?.get(waiting)?.sum];
    if (!found || now === undefined || next === undefined) return undefined;
    const share = cacheShare.map((name) => found.get(name)?.largest).find((value) => value !== undefined);
    const requestMs = lately.of(found);
    return {
      running: Math.max(0, now),
      waiting: Math.max(0, next),
      ...(share !== undefined && { cacheShare: Math.min(Math.max(share, 0), 1) }),
      ...(requestMs !== undefined && { requestMs }),
    };
  };
  return {
    listedAs: asNamed,
    wantsWarm: [],
    async survey(what, signal): Promise<ServerReport> {
      const question = ask(signal);
      const [health, metered, list] = await Promise.all([
        question("/health"),
        question("/metrics"),
        what === "models" ? question("/models", { inApi: true }) : undefined,
      ]);
      const down = whyDown(health);
      if (down !== undefined) return { up: false, detail: down };
      const models = list && servedModels(jsonOf(list));
      const load = loadIn(textOfGood(metered));
      return { up: true, detail: "it answers", ...(models && { models }), ...(load && { load }) };
    },
  };
}

/** Undefined: it was no list. */
export function servedModels(body: unknown): readonly ServedModel[] | undefined {
  const models = listAt(body, "data").flatMap((entry) => {
    const name = nameAt(entry, "id");
    const contextTokens = tokensAt(entry, "max_model_len");
    return name === undefined ? [] : [{ name, ...(contextTokens !== undefined && { contextTokens }) }];
  });
  return models.length > 0 ? models : undefined;
}

/** Means of histograms over what came in since they were read last; at first, and when nothing came in, over all that there is. */
class MeanOfLate {
  readonly #names: readonly string[];
  #sum = 0;
  #count = 0;
  #mean: number | undefined;

  constructor(names: readonly string[]) {
    this.#names = names;
  }

  /** Milliseconds. */
  of(found: ReadonlyMap<string, Metric>): number | undefined {
    for (const name of this.#names) {
      const [sum, count] = [found.get(`${name}_sum`)?.sum, found.get(`${name}_count`)?.sum];
      if (sum === undefined || count === undefined) continue;
      // A server that began anew counts from nought.
      const restarted = count < this.#count || sum < this.#sum;
      const [late, lateCount] = restarted ? [sum, count] : [sum - this.#sum, count - this.#count];
      if (lateCount > 0) this.#mean = Math.round((late / lateCount) * MS_PER_SECOND * 10) / 10;
      this.#sum = sum;
      this.#count = count;
      return this.#mean;
    }
    return undefined;
  }
}

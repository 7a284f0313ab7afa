import type { BatchService, BatchStanding, HandedPart, ServiceRequest, ServiceResult } from "../canon/index.ts";
import type { Told } from "./service.ts";

export interface SearchDeps {
  readonly part: HandedPart;
  /** Of this batch's other parts. */
  readonly known: ReadonlySet<string>;
  readonly service: () => BatchService | undefined;
  readonly ask: (request: (service: BatchService) => ServiceRequest) => Promise<Told>;
  readonly results: (standing: BatchStanding) => AsyncGenerator<ServiceResult | undefined>;
  readonly wait: (ms: number) => Promise<void>;
  readonly isOver: () => boolean;
}

/** Clocks here and there may differ by so much. */
const SKEW_MS = 10 * 60_000;
/** A batch may be listed a moment after it was made: it is looked for so often, with so long in between. */
const LOOKS = 3;
const BETWEEN_LOOKS_MS = 10_000;
/** Pages of a list that are read. */
const PAGES = 50;
/** How often it is looked whether a batch that may be ours has ended. */
const UNTIL_ENDED_MS = 60_000;

/**
 * Looks for lines at a batch service of which nobody knows whether they arrived: by their mark, or, where a service keeps none, by the names
 * of the lines in results. So nothing is submitted twice.
 */
export class Search {
  readonly #deps: SearchDeps;

  constructor(deps: SearchDeps) {
    this.#deps = deps;
  }

  /** Undefined: it is not there. `unknown`: it cannot be said now. */
  async find(): Promise<BatchStanding | "unknown" | undefined> {
    const { wait, isOver } = this.#deps;
    for (let look = 1; ; look++) {
      const found = await this.#look();
      if (found !== undefined || look === LOOKS) return found;
      await wait(BETWEEN_LOOKS_MS);
      if (isOver()) return "unknown";
    }
  }

  async #look(): Promise<BatchStanding | "unknown" | undefined> {
    const candidates = await this.#list();
    if (!candidates) return "unknown";
    const { mark } = this.#deps.part;
    const marked = candidates.find((standing) => standing.mark === mark);
    if (marked) return marked;
    for (const standing of candidates) {
      if (standing.mark !== undefined || !this.#mayBe(standing)) continue;
      const is = await this.#isOurs(standing);
      if (is === "unknown") return is;
      if (is) return standing;
    }
    return undefined;
  }

  /** Batches made since ours was sent; undefined: they cannot be listed. */
  async #list(): Promise<readonly BatchStanding[] | undefined> {
    const { part, ask, service, known } = this.#deps;
    const since = part.sentAt - SKEW_MS;
    const all: BatchStanding[] = [];
    for (let after: string | undefined, page = 0; page < PAGES; page++) {
      const from = after;
      const told = await ask((to) => to.list(from));
      const list = told.ok ? service()?.readList(told.json, from) : undefined;
      if (!list) return undefined;
      all.push(...list.standings.filter(({ id, createdAt }) => createdAt >= since && !known.has(id)));
      const last = list.standings.at(-1);
      const next = list.next ?? last?.id;
      const isPast = list.inAnyOrder !== true && (!last || last.createdAt < since);
      if (!list.more || isPast || next === undefined) return all;
      after = next;
    }
    return undefined;
  }

  #mayBe({ lines }: BatchStanding): boolean {
    if (lines === undefined) return true;
    let count = 0;
    for (const [first, last] of this.#deps.part.lines) count += last - first + 1;
    return lines === count;
  }

  /** Only results tell: it is waited for until there are any. */
  async #isOurs(candidate: BatchStanding): Promise<boolean | "unknown"> {
    const { ask, service, results, wait, isOver, part } = this.#deps;
    let standing: BatchStanding | undefined = candidate;
    while (standing?.state !== "ended") {
      await wait(UNTIL_ENDED_MS);
      if (isOver()) return "unknown";
      const told = await ask((to) => to.look(candidate.id));
      if (!told.ok && told.status === 404) return false;
      standing = told.ok ? service()?.readStanding(told.json) : undefined;
    }
    try {
      for await (const result of results(standing)) if (result) return result.id.startsWith(`${part.mark}-`);
    } catch {
      return "unknown";
    }
    return false;
  }
}

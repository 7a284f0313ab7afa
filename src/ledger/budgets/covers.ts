import type { Budget, Caller } from "../../canon/index.ts";
import { isOfCall, subjectsOf, type Subject } from "./match.ts";
import { BUDGET, type Series, type Walls } from "./walls.ts";

export type Measure = "nanodollars" | "tokens";

/** One amount of one budget, for whom it counts this call. */
export interface Cover {
  readonly budget: Budget;
  readonly measure: Measure;
  readonly limit: number;
  readonly series: Series;
  /** Whose share of the budget it is, where each has its own. */
  readonly subject: string;
}

const NONE: readonly Cover[] = [];
/** Models remembered of one caller; callers choose the names, so the memory is bounded and then begun anew. */
const MODELS = 1000;
const MEASURES = ["nanodollars", "tokens"] as const;

interface Found {
  /** What covers every call of a caller to a model. */
  readonly always: readonly Cover[];
  /** Budgets that depend on more than that. */
  readonly some: readonly Budget[];
}

/** Which budgets cover a call: worked out once for a caller and a model, as long as the configuration stands. */
export class Coverage {
  readonly #walls: Walls;
  #of = new WeakMap<readonly Budget[], WeakMap<Caller, Map<string, Found>>>();

  constructor(walls: Walls) {
    this.#walls = walls;
  }

  /** In the order of their keys, which is the same for every call. */
  of(budgets: readonly Budget[], subject: Subject): readonly Cover[] {
    const { caller } = subject;
    if (budgets.length === 0 && !caller.budgets) return NONE;
    const { always, some } = this.#found(budgets, subject);
    if (some.length === 0) return always;
    const own = some.flatMap((budget) => this.#coversBy(budget, subject));
    return own.length === 0 ? always : inOrder([...always, ...own]);
  }

  #found(budgets: readonly Budget[], subject: Subject): Found {
    const { caller, model } = subject;
    let ofCallers = this.#of.get(budgets);
    if (!ofCallers) this.#of.set(budgets, (ofCallers = new WeakMap()));
    let ofModels = ofCallers.get(caller);
    if (!ofModels || ofModels.size >= MODELS) ofCallers.set(caller, (ofModels = new Map()));
    let found = ofModels.get(model);
    if (!found) ofModels.set(model, (found = this.#find(budgets, subject)));
    return found;
  }

  #find(budgets: readonly Budget[], subject: Subject): Found {
    const all = [...budgets, ...(subject.caller.budgets ?? [])];
    const always = all.filter(({ match }) => !isOfCall(match)).flatMap((budget) => this.#coversBy(budget, subject));
    return { always: inOrder(always), some: all.filter(({ match }) => isOfCall(match)) };
  }

  #coversBy(budget: Budget, subject: Subject): Cover[] {
    const { id, per, timeZone } = budget;
    return subjectsOf(budget.match, subject).flatMap((name) =>
      MEASURES.flatMap((measure) => {
        const limit = budget[measure];
        if (limit === undefined) return [];
        const series = this.#walls.series(keyOf(id, measure, name), { per, timeZone });
        return [{ budget, measure, limit, series, subject: name }];
      }),
    );
  }
}

function inOrder(covers: readonly Cover[]): readonly Cover[] {
  return covers.toSorted((a, b) => (a.series.key < b.series.key ? -1 : a.series.key > b.series.key ? 1 : 0));
}

/** A counter's key in the store; no id and no subject holds a line break. */
function keyOf(id: string, measure: Measure, subject: string): string {
  return `${BUDGET}${oneLine(id)}\n${measure}\n${oneLine(subject)}`;
}

export function partsOfKey(key: string): { readonly id: string; readonly measure: Measure; readonly subject: string } | undefined {
  const [kind, id, measure, subject] = key.split("\n");
  if (`${kind}\n` !== BUDGET || id === undefined || subject === undefined) return undefined;
  return measure === "nanodollars" || measure === "tokens" ? { id, measure, subject } : undefined;
}

function oneLine(text: string): string {
  return text.replace(/[\r\n]/g, " ");
}

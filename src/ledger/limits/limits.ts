import type { Caller, Clock, LimitStanding, RateLimit } from "../../canon/index.ts";
import { describeMatch, subjectsOf, type Subject } from "../budgets/match.ts";
import type { Taken, Wall } from "../budgets/wall.ts";
import type { Series, Walls } from "../budgets/walls.ts";

export type LimitMeasure = "requests" | "inputTokens" | "outputTokens" | "concurrency";

/** One amount of one limit, for whom it counts this call. */
export interface LimitCover {
  readonly rule: RateLimit;
  readonly measure: LimitMeasure;
  readonly limit: number;
  readonly series: Series;
}

interface Part {
  readonly cover: LimitCover;
  readonly wall: Wall;
  readonly taken: number;
}

export interface LimitRefusal {
  readonly cover: LimitCover;
  /** When the same would pass, at the earliest. */
  readonly retryAfterMs: number;
}

export type LimitStandingsDraft = { -readonly [K in LimitMeasure]?: LimitStanding };

/** `early`: before the body is read, what needs only the caller. `late`: what needs the model, the session or the size. */
export type Stage = "early" | "late" | "attempt";

const PER_MS = { minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const;
const MEASURES = ["concurrency", "requests", "inputTokens", "outputTokens"] as const;
/** When a place may be free again. */
const PLACE_MS = 1000;
/** Models of a caller remembered; callers choose the names, so the memory is bounded and then begun anew. */
const MODELS = 1000;
const NONE: readonly LimitCover[] = [];
const KEY = "limit\n";

/** Rate limits that hold over all processes. A whole window's allowance may be used at once; it fills evenly. */
export class Limits {
  readonly #walls: Walls;
  readonly #clock: Clock;
  #of = new WeakMap<readonly RateLimit[], WeakMap<Caller, Map<string, readonly LimitCover[]>>>();

  constructor(walls: Walls, clock: Clock) {
    this.#walls = walls;
    this.#clock = clock;
  }

  /** Limits that cover the call at this stage, in the order of their keys. */
  covering(rules: readonly RateLimit[], subject: Subject, stage: Stage): readonly LimitCover[] {
    const { caller } = subject;
    if (rules.length === 0 && caller.limits.length === 0) return NONE;
    if (stage === "late" && rules.some(isOfCall)) return this.#find(rules, subject, stage);
    let ofCallers = this.#of.get(rules);
    if (!ofCallers) this.#of.set(rules, (ofCallers = new WeakMap()));
    let known = ofCallers.get(caller);
    if (!known || known.size >= MODELS) ofCallers.set(caller, (known = new Map()));
    const name = `${stage}\0${subject.provider ?? ""}\0${stage === "early" ? "" : subject.model}`;
    let covers = known.get(name);
    if (!covers) known.set(name, (covers = this.#find(rules, subject, stage)));
    return covers;
  }

  #find(rules: readonly RateLimit[], subject: Subject, stage: Stage): readonly LimitCover[] {
    const own = ownLimits(subject.caller);
    const others = own.length > 0 ? rules.filter(({ match }) => match.key === undefined) : rules;
    const covers = [...own, ...others].flatMap((rule) =>
      // `*` stands for whoever has none of its own.
      yields(rule, others, subject) ? [] : subjectsOf(rule.match, subject).flatMap((name) => this.#coversBy(rule, name, stage)),
    );
    return covers.toSorted((a, b) => (a.series.key < b.series.key ? -1 : a.series.key > b.series.key ? 1 : 0));
  }

  #coversBy(rule: RateLimit, subject: string, stage: Stage): LimitCover[] {
    return MEASURES.flatMap((measure) => {
      const limit = rule[measure];
      if (limit === undefined || stageOf(rule, measure) !== stage) return [];
      const key = `${KEY}${rule.id}\n${measure}\n${subject.replace(/[\r\n]/g, " ")}`;
      const series = this.#walls.series(key, { refillMs: measure === "concurrency" ? 0 : PER_MS[rule.per] });
      return [{ rule, measure, limit, series }];
    });
  }

  /** Takes from all of them or from none. */
  take(covers: readonly LimitCover[], inputTokens: number): LimitHold | LimitRefusal | Promise<LimitHold | LimitRefusal> {
    const monotonic = this.#clock.monotonic();
    const parts: Part[] = [];
    for (const [place, cover] of covers.entries()) {
      const wall = this.#wallOf(cover, monotonic);
      const amount = amountOf(cover, inputTokens);
      if (!wall.take(amount)) return this.#takeRest(parts, covers.slice(place), inputTokens, monotonic);
      parts.push({ cover, wall, taken: amount });
    }
    return new LimitHold(parts);
  }

  async #takeRest(parts: Part[], rest: readonly LimitCover[], inputTokens: number, monotonic: number): Promise<LimitHold | LimitRefusal> {
    for (const cover of rest) {
      const wall = this.#wallOf(cover, monotonic);
      const amount = amountOf(cover, inputTokens);
      const taken: Taken = await wall.obtain(amount);
      // A limit protects from too much, not from everything: while nobody can count, nobody is refused.
      if (taken === "unavailable") continue;
      if (taken === "taken") parts.push({ cover, wall, taken: amount });
      else {
        for (const part of parts) part.wall.putBack(part.taken);
        return { cover, retryAfterMs: waitOf(cover, wall, amount) };
      }
    }
    return new LimitHold(parts);
  }

  #wallOf({ series, limit }: LimitCover, monotonic: number): Wall {
    const wall = series.at(0);
    if (wall.limit !== limit) wall.changeLimit(limit);
    wall.usedAt = monotonic;
    return wall;
  }
}

/** What a call has taken of its limits, until it is over. */
export class LimitHold {
  readonly #parts: readonly Part[];
  readonly #kept: Part[];

  constructor(parts: readonly Part[]) {
    this.#parts = parts;
    this.#kept = parts.filter(({ cover, wall, taken }) => {
      if (cover.measure !== "requests") return true;
      // Asked is asked, whatever becomes of it.
      wall.use(taken, taken);
      return false;
    });
  }

  /** The call is over and used so many tokens. Once. */
  settle(used: { readonly inputTokens: number; readonly outputTokens: number }): void {
    for (const { cover, wall, taken } of this.#kept.splice(0)) {
      if (cover.measure === "concurrency") wall.putBack(taken);
      else wall.use(taken, cover.measure === "inputTokens" ? used.inputTokens : used.outputTokens);
    }
  }

  /** Of each measure the limit that has least left. */
  standings(into: LimitStandingsDraft): void {
    for (const { cover, wall } of this.#parts) {
      const remaining = Math.floor(wall.left);
      const known = into[cover.measure];
      if (known && known.remaining <= remaining) continue;
      const resetMs = wall.refillMs === 0 ? 0 : Math.ceil(((cover.limit - remaining) * wall.refillMs) / cover.limit);
      into[cover.measure] = { limit: cover.limit, remaining, resetMs };
    }
  }
}

/** What is said to a call that has to wait. */
export function limitWords({ cover: { rule, measure, limit } }: LimitRefusal, name: string): string {
  const whom = rule.match.key === undefined ? describeMatch(rule.match) : `"${name}"`;
  if (measure === "concurrency") return `${limit} calls of ${whom} are running, which is the limit.`;
  const what = { requests: "requests", inputTokens: "input tokens", outputTokens: "output tokens" }[measure];
  return `The limit of ${limit} ${what} per ${rule.per} is used up for ${whom}.`;
}

function ownLimits({ id, limits }: Caller): readonly RateLimit[] {
  return limits.map((limit, place) => ({
    ...limit,
    id: `key ${id} ${limit.per}${place === 0 ? "" : ` ${place + 1}`}`,
    match: { key: id },
  }));
}

function isOfCall({ match }: RateLimit): boolean {
  return match.session !== undefined || match.agent !== undefined || match.turn !== undefined;
}

function stageOf({ match }: RateLimit, measure: LimitMeasure): Stage {
  if (match.provider !== undefined) return "attempt";
  const needsCall = match.model !== undefined || match.session !== undefined || match.agent !== undefined || match.turn !== undefined;
  return needsCall || measure === "inputTokens" || measure === "outputTokens" ? "late" : "early";
}

/** Is there a limit for the same kind of thing that names this one? */
function yields(rule: RateLimit, rules: readonly RateLimit[], subject: Subject): boolean {
  const stars = Object.values(rule.match).filter((pattern) => pattern === "*").length;
  if (stars === 0) return false;
  const members = Object.keys(rule.match).toSorted().join();
  return rules.some(
    (other) =>
      other !== rule &&
      Object.keys(other.match).toSorted().join() === members &&
      Object.values(other.match).filter((pattern) => pattern === "*").length < stars &&
      subjectsOf(other.match, subject).length > 0,
  );
}

/** Of output one token stands for all that will come: nobody is made to wait for what it may not use. */
function amountOf({ measure, limit }: LimitCover, inputTokens: number): number {
  return measure === "inputTokens" ? Math.min(limit, Math.max(1, inputTokens)) : 1;
}

function waitOf({ limit, measure }: LimitCover, wall: Wall, amount: number): number {
  if (measure === "concurrency") return PLACE_MS;
  const missing = amount - (limit - wall.spent - Math.max(0, wall.leased - wall.free));
  return Math.max(1, Math.ceil((Math.max(1, missing) * wall.refillMs) / limit));
}

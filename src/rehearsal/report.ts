import type { AttemptRecord, LedgerRow, ModelBook, Usage } from "../canon/index.ts";
import type { Seen } from "./callers.ts";
import type { Incident, Scenario } from "./options.ts";
import { lastsAt } from "./world.ts";

/** What one stretch of time, or the whole run, was like for callers. Times are milliseconds of scenario time. */
export interface Figures {
  readonly calls: number;
  /** Calls that got one complete answer with one proper end. */
  readonly complete: number;
  readonly successShare: number;
  /** Answers that ended well with text lost, repeated or wrong. */
  readonly damaged: number;
  /** Callers that lost patience. */
  readonly left: number;
  /** Failed calls by the kind of problem. */
  readonly problems: Readonly<Record<string, number>>;
  /** Of complete answers; undefined where there was none. */
  readonly latencyMs: Percentiles | undefined;
  /** Of streams that began. */
  readonly ttftMs: Percentiles | undefined;
  readonly attempts: number;
  /** Attempts at the target that was tried just before. */
  readonly retries: number;
  /** Attempts at another target than the one before, within a call. */
  readonly failovers: number;
  readonly hedges: number;
  readonly continuations: number;
  readonly cacheHits: number;
  /** Nanodollars of everything that was paid; attempts whose price is unknown are not in it. */
  readonly costNanodollars: number;
  /** What was paid beyond one undisturbed attempt for each complete answer: failed attempts, losers of a race, what a continuation read again. */
  readonly addedNanodollars: number;
  /** Calls whose price is unknown. */
  readonly unpriced: number;
}

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export interface TargetFigures {
  readonly target: string;
  readonly attempts: number;
  readonly answered: number;
  /** Failed attempts by the kind of problem. */
  readonly problems: Readonly<Record<string, number>>;
  readonly costNanodollars: number;
}

/** A stretch in which nothing began or ended. */
export interface Phase {
  readonly fromMs: number;
  readonly untilMs: number;
  /** Names of the incidents that lasted through it. */
  readonly incidents: readonly string[];
  readonly figures: Figures;
  readonly targets: readonly TargetFigures[];
}

/** Something the gateway noticed: a breaker opened or closed, a key rests, a target was set aside. */
export interface HealthEvent {
  readonly atMs: number;
  readonly subject: string;
  readonly what: string;
  readonly reason: string;
}

interface Entry {
  seen: Seen | undefined;
  row: LedgerRow | undefined;
}

/** Joins what callers saw with what the ledger says, call by call. */
export class Records {
  readonly #entries = new Map<string, Entry>();

  saw(seen: Seen): void {
    this.#entry(seen.callId).seen = seen;
  }
  settled(row: LedgerRow): void {
    // What is not needed for the report would fill the memory.
    this.#entry(row.callId).row = { ...row, plan: undefined, metadata: undefined, diagnostics: undefined };
  }
  all(): readonly { readonly seen: Seen; readonly row: LedgerRow | undefined }[] {
    return [...this.#entries.values()].flatMap(({ seen, row }) => (seen ? [{ seen, row }] : []));
  }
  /** Of calls that no caller saw. */
  besideNanodollars(): number {
    let sum = 0;
    for (const { seen, row } of this.#entries.values()) if (!seen) sum += row?.costNanodollars ?? 0;
    return sum;
  }
  #entry(callId: string): Entry {
    let entry = this.#entries.get(callId);
    if (!entry) this.#entries.set(callId, (entry = { seen: undefined, row: undefined }));
    return entry;
  }
}

export type Joined = ReturnType<Records["all"]>;

/** The stretches between the moments at which an incident begins or ends. Calls made after the last moment are none. */
export function phasesOf({ incidents, duration }: Scenario): readonly Pick<Phase, "fromMs" | "untilMs" | "incidents">[] {
  const moments = new Set([0, duration]);
  for (const incident of incidents) {
    for (const moment of [incident.at, incident.at + (incident.for ?? duration)]) if (moment < duration) moments.add(moment);
  }
  const sorted = [...moments].toSorted((a, b) => a - b);
  return sorted.slice(0, -1).map((fromMs, place) => ({
    fromMs,
    untilMs: sorted[place + 1] ?? duration,
    incidents: incidents.filter((incident) => lastsAt(incident, fromMs)).map(nameOf),
  }));
}

export function nameOf({ name, kind, target, key }: Incident): string {
  return name ?? `${kind} ${target}${key === undefined ? "" : ` (${key})`}`;
}

export function figuresOf(calls: Joined, book: Pick<ModelBook, "cost">): Figures {
  const complete = calls.filter(({ seen }) => seen.outcome === "complete");
  const sum = new Tally();
  for (const { seen, row } of calls) {
    if (seen.outcome === "failed") sum.problem(row?.problem ?? seen.problem ?? "unknown");
    if (row) sum.row(row, seen.outcome === "complete" ? seen.undisturbed : undefined, book);
  }
  const { problems, ...counts } = sum;
  return {
    calls: calls.length,
    complete: complete.length,
    successShare: calls.length === 0 ? 1 : complete.length / calls.length,
    damaged: calls.filter(({ seen }) => seen.outcome === "damaged").length,
    left: calls.filter(({ seen }) => seen.outcome === "left").length,
    problems,
    latencyMs: percentiles(complete.map(({ seen }) => seen.tookMs)),
    ttftMs: percentiles(calls.flatMap(({ seen }) => seen.ttftMs ?? [])),
    ...counts,
  };
}

/** What is added up over calls. */
class Tally {
  readonly problems: Record<string, number> = {};
  attempts = 0;
  retries = 0;
  failovers = 0;
  hedges = 0;
  continuations = 0;
  cacheHits = 0;
  costNanodollars = 0;
  addedNanodollars = 0;
  unpriced = 0;

  problem(kind: string): void {
    this.problems[kind] = (this.problems[kind] ?? 0) + 1;
  }

  /** @param undisturbed what one attempt would have used for the answer; undefined: there was no answer */
  row(row: LedgerRow, undisturbed: Usage | undefined, book: Pick<ModelBook, "cost">): void {
    this.attempts += row.attempts.length;
    if (row.cache === "hit") this.cacheHits++;
    // They stand in the order in which they ended: the loser of a race before the winner.
    let before: string | undefined;
    for (const attempt of row.attempts.toSorted((a, b) => a.startedMs - b.startedMs)) {
      if (attempt.hedge) this.hedges++;
      else if (attempt.continues) this.continuations++;
      else {
        if (before === attempt.target) this.retries++;
        else if (before !== undefined) this.failovers++;
        before = attempt.target;
      }
    }
    if (row.costNanodollars === undefined) return void this.unpriced++;
    this.costNanodollars += row.costNanodollars;
    const needed = undisturbed && row.target !== undefined ? (priceOf(row.target, undisturbed, row, book) ?? 0) : 0;
    this.addedNanodollars += Math.max(0, row.costNanodollars - needed);
  }
}

function costOf(attempt: AttemptRecord, row: LedgerRow, book: Pick<ModelBook, "cost">): number {
  return attempt.costNanodollars ?? (attempt.usage && priceOf(attempt.target, attempt.usage, row, book)) ?? 0;
}

function priceOf(target: string, usage: Usage, row: LedgerRow, book: Pick<ModelBook, "cost">): number | undefined {
  const slash = target.indexOf("/");
  return book.cost(target.slice(0, slash), target.slice(slash + 1), usage, row.startedAt);
}

/** Every target that was asked, in the order of its name. */
export function targetsOf(calls: Joined, book: Pick<ModelBook, "cost">): readonly TargetFigures[] {
  const targets = new Map<string, { attempts: number; answered: number; problems: Record<string, number>; costNanodollars: number }>();
  for (const { row } of calls) {
    for (const attempt of row?.attempts ?? []) {
      let figures = targets.get(attempt.target);
      if (!figures) targets.set(attempt.target, (figures = { attempts: 0, answered: 0, problems: {}, costNanodollars: 0 }));
      figures.attempts++;
      if (attempt.problem === undefined) figures.answered++;
      else figures.problems[attempt.problem] = (figures.problems[attempt.problem] ?? 0) + 1;
      if (row) figures.costNanodollars += costOf(attempt, row, book);
    }
  }
  return [...targets].map(([target, figures]) => ({ target, ...figures })).toSorted((a, b) => (a.target < b.target ? -1 : 1));
}

/** Nearest rank: the least figure that so many of a hundred do not exceed. */
export function percentiles(figures: readonly number[]): Percentiles | undefined {
  if (figures.length === 0) return undefined;
  const sorted = figures.toSorted((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0);
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

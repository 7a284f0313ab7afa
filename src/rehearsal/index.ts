import type { Clock, Dialect, JournalStore, KeyRecord, LedgerStore, ModelBook, Provider, Randomness, Stores } from "../canon/index.ts";
import type { LiveCall } from "../gateway/live.ts";
import type { Reader } from "../gateway/reader.ts";
import type { CallRequest } from "../gateway/request.ts";
import { SeededRandomness } from "../kit/index.ts";
import type { LocalPrices, PriceOptions } from "../models/index.ts";
import { memoryStores } from "../stores/index.ts";
import { Callers, MOST_CALLS } from "./callers.ts";
import { judge, type Verdict } from "./expect.ts";
import type { LoadPart, Scenario } from "./options.ts";
import {
  figuresOf,
  nameOf,
  phasesOf,
  Records,
  targetsOf,
  type Figures,
  type HealthEvent,
  type Phase,
  type TargetFigures,
} from "./report.ts";
import { VirtualClock } from "./virtual-clock.ts";
import { lastsAt, World } from "./world.ts";

export { scenarioSchema, type Scenario } from "./options.ts";
export { describeReport } from "./describe.ts";
export { checkScenario, type ScenarioFault } from "./check.ts";
export type { Figures, HealthEvent, Phase, TargetFigures } from "./report.ts";

/** What a rehearsal found. Times are milliseconds of scenario time. */
export interface RehearsalReport {
  readonly name: string | undefined;
  readonly seed: number;
  readonly durationMs: number;
  readonly calls: Figures;
  readonly targets: readonly TargetFigures[];
  readonly phases: readonly Phase[];
  readonly health: readonly HealthEvent[];
  readonly verdicts: readonly Verdict[];
  /** Nanodollars of calls that the gateway made besides those of its callers: shadows, ratings, refreshed answers. In no other sum. */
  readonly besideNanodollars: number;
  /** Every expectation was met. */
  readonly met: boolean;
  /** Calls were no longer made from some moment on, because there were too many. */
  readonly truncated: boolean;
}

/** A whole gateway but for its doors and its folder. */
export interface Stage {
  readonly open: (request: CallRequest, reader: Reader) => LiveCall;
  readonly book: ModelBook;
  close(): Promise<void>;
}

/** What the top of the house needs to build a stage. */
export interface StageParts {
  readonly clock: Clock;
  readonly randomness: Randomness;
  readonly stores: Stores;
  /** Takes the place of a provider. */
  readonly standIn: (real: Provider) => Provider;
  /** By how much a target's price differs from the usual, at a time of the clock. */
  readonly priceFactor: (provider: string, model: string, at: number) => number;
  /** Prices of the configuration's own file. */
  readonly local?: LocalPrices | undefined;
  /** Prices by `provider/model` that the scenario gives. */
  readonly prices: ReadonlyMap<string, PriceOptions>;
  /** Told what health has noticed. */
  readonly onChange: (change: { readonly subject: string; readonly what: string; readonly reason: string }) => void;
}

export interface RehearsalDeps {
  readonly dialects: ReadonlyMap<string, Dialect>;
  readonly buildStage: (parts: StageParts) => Promise<Stage>;
  /** Makes a key and its record. */
  readonly newKey: (spec: Pick<KeyRecord, "name" | "team" | "project" | "tags" | "scopes" | "limits">) => {
    readonly key: string;
    readonly record: KeyRecord;
  };
  /** Lets everything that is ready run. */
  readonly rest: () => Promise<void>;
  /** Told now and then how far it is, 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

/** When a scenario begins, so that rules on the time of day repeat: a Thursday at noon. */
const BEGINNING = Date.UTC(2026, 0, 1, 12);
/** How long after the last call's patience is over the last rows may come. */
const AFTERWARDS_MS = 60_000;
const PROGRESS_STEPS = 4;

/** Plays a scenario against a configuration: the gateway is the real one, everything behind it is simulated, time is its own. */
export async function rehearse(scenario: Scenario, seed: number, deps: RehearsalDeps): Promise<RehearsalReport> {
  const clock = new VirtualClock(BEGINNING);
  const randomness = new SeededRandomness(seed);
  const world = new World(scenario, seed, { dialects: deps.dialects, clock, randomness });
  const records = new Records();
  const health: HealthEvent[] = [];
  const stores: Stores = { ...memoryStores(clock), ledger: ledgerInto(records), journal: NO_JOURNAL };
  const stage = await deps.buildStage({
    clock,
    randomness,
    stores,
    standIn: (real) => world.standIn(real),
    priceFactor: (provider, model, at) => world.priceFactor(provider, model, at),
    prices: new Map(Object.entries(scenario.targets).flatMap(([name, { price }]) => (price ? [[name, price]] : []))),
    onChange: ({ subject, what, reason }) => health.push({ atMs: Math.round(clock.monotonic()), subject, what, reason }),
  });
  try {
    const keys = await keysOf(scenario, stores, deps);
    const callers = new Callers(scenario, seed, {
      clock,
      dialects: deps.dialects,
      open: (request, reader) => stage.open(request, reader),
      keyOf: (part) => keys.get(part) ?? "",
      onSeen: (seen) => records.saw(seen),
    });
    tellProgress(clock, scenario.duration, deps.onProgress);
    await clock.run(scenario.duration + scenario.load.patience + AFTERWARDS_MS, () => callers.done, deps.rest);
    await deps.rest();
    return reportOf(scenario, seed, { records, health, book: stage.book, truncated: callers.made >= MOST_CALLS });
  } finally {
    await stage.close();
  }
}

function tellProgress(clock: Clock, durationMs: number, tell: ((share: number) => void) | undefined): void {
  if (!tell) return;
  for (let step = 1; step <= PROGRESS_STEPS; step++) clock.after((durationMs * step) / PROGRESS_STEPS, () => tell(step / PROGRESS_STEPS));
}

interface Findings {
  readonly records: Records;
  readonly health: readonly HealthEvent[];
  readonly book: ModelBook;
  readonly truncated: boolean;
}

function reportOf(scenario: Scenario, seed: number, { records, health, book, truncated }: Findings): RehearsalReport {
  const all = records.all();
  const calls = figuresOf(all, book);
  const phases = phasesOf(scenario).map((phase): Phase => {
    const within = all.filter(({ seen }) => seen.startedMs >= phase.fromMs && seen.startedMs < phase.untilMs);
    return { ...phase, figures: figuresOf(within, book), targets: targetsOf(within, book) };
  });
  const verdicts = scenario.expect ? [...judge("the whole run", scenario.expect, calls)] : [];
  for (const incident of scenario.incidents) {
    if (!incident.expect) continue;
    const during = all.filter(({ seen }) => lastsAt(incident, seen.startedMs));
    verdicts.push(...judge(`during ${nameOf(incident)}`, incident.expect, figuresOf(during, book)));
  }
  return {
    name: scenario.name,
    seed,
    durationMs: scenario.duration,
    calls,
    targets: targetsOf(all, book),
    phases,
    health,
    verdicts,
    besideNanodollars: records.besideNanodollars(),
    met: verdicts.every(({ met }) => met),
    truncated,
  };
}

/** A key for each caller that the mix names, with all its properties. */
async function keysOf({ load }: Scenario, stores: Stores, deps: RehearsalDeps): Promise<ReadonlyMap<LoadPart, string>> {
  const made = new Map<string, string>();
  const keys = new Map<LoadPart, string>();
  for (const part of load.mix) {
    const { name, team, project, tags, tier } = part.caller;
    const same = JSON.stringify(part.caller);
    let key = made.get(same);
    if (key === undefined) {
      const { key: text, record } = deps.newKey({
        name,
        ...(team !== undefined && { team }),
        ...(project !== undefined && { project }),
        ...(tags && { tags }),
        scopes: tier === undefined ? {} : { tier },
        limits: [],
      });
      await stores.keys.create(record);
      made.set(same, (key = text));
    }
    keys.set(part, key);
  }
  return keys;
}

/** Nobody comes back to a stream of a rehearsal. */
const NO_JOURNAL: JournalStore = {
  append: async () => {},
  find: async () => undefined,
  findAnswer: async () => undefined,
  read: async () => undefined,
  abandon: async () => 0,
};

/** A record that goes into the report and nowhere else. */
function ledgerInto(records: Records): LedgerStore {
  return {
    open() {},
    async progress() {},
    async settle(row) {
      records.settled(row);
    },
    read: async () => undefined,
    readOpen: async () => undefined,
    list: async () => [],
    count: async () => 0,
    page: async () => ({ rows: [], next: undefined }),
    async reprice() {},
    repricings: async () => [],
    interruptOpen: async () => 0,
    flush: async () => {},
    failure: () => undefined,
    lost: () => 0,
  };
}

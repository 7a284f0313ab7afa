import {
  Answers,
  cacheKey,
  DEFAULT_CACHE_LIMITS,
  Flights,
  idOf,
  taskKey,
  taskWireKey,
  tenantOf,
  wireKey,
  type Flight,
  type KeptAnswer,
} from "../cache/index.ts";
import {
  mayUseModel,
  ProblemError,
  type Alias,
  type AliasCache,
  type CacheLimits,
  type CacheSelection,
  type CacheStore,
  type Clock,
  type Guard,
  type Operation,
} from "../canon/index.ts";
import { Playback } from "./playback.ts";
import type { CallRequest } from "./request.ts";
import { callOf, operationOf, stop, type GatewayDeps, type Run } from "./run.ts";
import { taskOf, taskOperation } from "./task.ts";

/** Tasks that a model answers the same way each time. */
const REPEATABLE_TASKS: ReadonlySet<Operation> = new Set<Operation>(["embed", "rerank", "moderate"]);

export interface RecallOptions {
  readonly store: CacheStore;
  readonly clock: Clock;
  readonly limits: () => CacheLimits | undefined;
  /** The store failed, or something behind a call that has its answer. */
  readonly report: (error: unknown) => void;
  /** Makes the same call again without a client, to replace a stale answer. */
  readonly refresh: (request: CallRequest) => void;
}

/** What the gateway keeps to never pay twice; made once. */
export class Recall {
  readonly answers: Answers;
  readonly flights = new Flights();
  readonly refresh: (request: CallRequest) => void;
  readonly report: (error: unknown) => void;
  readonly limits: () => CacheLimits;

  constructor(options: RecallOptions) {
    const { store, clock, report } = options;
    this.limits = () => options.limits() ?? DEFAULT_CACHE_LIMITS;
    this.answers = new Answers({ store, clock, limits: this.limits, report });
    this.refresh = options.refresh;
    this.report = report;
  }

  /** @throws ProblemError storage_unavailable */
  forget(selection: CacheSelection): Promise<number> {
    return this.answers.forget(selection);
  }
}

/** A call's part in it; on `run.recalled` where the call's alias has a cache. */
export class Recalled {
  status: "hit" | "miss" = "miss";
  /** Nanodollars that this call would have cost. */
  saved: number | undefined;
  /** The call that paid for a hit. */
  origin: string | undefined;
  playback: Playback | undefined;
  /** The flight that this call leads. */
  flight: Flight | undefined;
  generation = -1;
  readonly scope: string;
  readonly key: string;
  readonly wire: string;
  readonly cache: AliasCache;
  readonly tags: readonly string[];

  constructor(facts: Pick<Recalled, "scope" | "key" | "wire" | "cache" | "tags">) {
    this.scope = facts.scope;
    this.key = facts.key;
    this.wire = facts.wire;
    this.cache = facts.cache;
    this.tags = facts.tags;
  }
}

/** Must `recall` be asked? One look for calls whose alias has no cache. */
export function mayRecall(run: Run): boolean {
  return run.wishes.cache !== undefined || run.snapshot.aliases.get(run.model)?.cache !== undefined;
}

/**
 * Has an identical call been answered, or is one being answered? True: this call has its answer. False: it must ask the upstream, and
 * identical calls wait for what it gets. @throws ProblemError not_found (`only-if-cached`), or what the shared call failed with
 */
export async function recall(deps: GatewayDeps, run: Run): Promise<boolean> {
  const alias = run.snapshot.aliases.get(run.model);
  const only = run.wishes.cache === "only-if-cached";
  if (!alias?.cache || run.wishes.cache === "no-store" || !isCacheable(deps, run, alias)) {
    if (only && (!run.caller || mayUseModel(run.caller.scopes, run.model))) throw notCached(run);
    return false;
  }
  const recalled = (run.recalled = identify(deps, run, alias, alias.cache));
  const id = idOf(recalled.scope, recalled.key);
  const { answers, flights } = deps.recall;
  const remembered = run.request.refresh ? undefined : answers.peek(id);
  if (remembered && mayServe(deps, run, remembered)) return play(deps, run, recalled, remembered);
  if (only) {
    const stored = await answers.find(recalled.scope, recalled.key);
    if (stored && mayServe(deps, run, stored)) return play(deps, run, recalled, stored);
    throw notCached(run);
  }
  const flight = flights.get(id);
  if (flight) return follow(deps, run, recalled, flight);
  recalled.flight = flights.open(id);
  return lead(deps, run, recalled, recalled.flight);
}

/** Looks in the store on behalf of everybody who joins meanwhile. */
async function lead(deps: GatewayDeps, run: Run, recalled: Recalled, flight: Flight): Promise<boolean> {
  const { answers } = deps.recall;
  recalled.generation = await answers.begin();
  const stored = run.request.refresh ? undefined : await answers.find(recalled.scope, recalled.key);
  if (run.stopped) throw new ProblemError(run.stopped);
  if (!stored || !mayServe(deps, run, stored)) return false;
  recalled.flight = undefined;
  const playing = play(deps, run, recalled, stored);
  flight.board({ source: stored.take.source, pieces: [stored.take.body], times: [0], whole: true });
  flight.land();
  return playing;
}

async function follow(deps: GatewayDeps, run: Run, recalled: Recalled, flight: Flight): Promise<boolean> {
  const playback = new Playback(deps, run, recalled.wire);
  recalled.playback = playback;
  recalled.status = "hit";
  flight.join(playback);
  try {
    if ((await playback.done) === "answered") {
      recalled.origin = flight.track?.source.callId;
      account(deps, run, recalled);
      return true;
    }
  } catch (error) {
    recalled.status = "miss";
    throw error;
  } finally {
    flight.leave(playback);
    recalled.playback = undefined;
  }
  recalled.status = "miss";
  recalled.flight = flight;
  recalled.generation = await deps.recall.answers.begin();
  return false;
}

async function play(deps: GatewayDeps, run: Run, recalled: Recalled, kept: KeptAnswer): Promise<boolean> {
  if (kept.freshUntil <= deps.clock.now()) refresh(deps, run, recalled);
  const playback = new Playback(deps, run, recalled.wire);
  recalled.playback = playback;
  recalled.status = "hit";
  recalled.origin = kept.take.source.callId;
  playback.play(kept, recalled.cache.replay === "paced");
  await playback.done;
  account(deps, run, recalled);
  return true;
}

/** What the answer would have cost. */
function account(deps: GatewayDeps, run: Run, recalled: Recalled): void {
  const usage = run.report?.usage;
  if (usage && run.target) recalled.saved = deps.book.cost(run.target.provider, run.target.model, usage, run.live.startedAt);
}

/** Fetches a new answer in place of a stale one, once for all who get the stale one meanwhile. */
function refresh(deps: GatewayDeps, run: Run, recalled: Recalled): void {
  const { recall: service } = deps;
  if (service.flights.get(idOf(recalled.scope, recalled.key)) || !run.document) return;
  const { "idempotency-key": _key, "x-gimbal-idempotency-key": _ownKey, "x-gimbal-cache": _wish, ...headers } = run.request.headers;
  const bytes = new TextEncoder().encode(run.document.text);
  const { connection: _connection, ...request } = run.request;
  service.refresh({
    ...request,
    headers: { ...headers, "x-gimbal-on-disconnect": "detach" },
    readBody: () => Promise.resolve(bytes),
    refresh: true,
  });
}

function identify(deps: GatewayDeps, run: Run, alias: Alias, cache: AliasCache): Recalled {
  const caller = run.caller ?? { scope: "" };
  const scope = tenantOf(caller, cache.share);
  const policy = policyScope(deps.guards, run);
  const labels = run.wishes.metadata;
  const facts = { tenant: scope, policy, alias, ...(labels && { labels }) };
  if (taskOperation(run) !== undefined) {
    const task = taskOf(run);
    return new Recalled({ scope, key: taskKey(task, facts), wire: taskWireKey(task), cache, tags: run.wishes.cacheTags ?? [] });
  }
  const call = callOf(run);
  const key = cacheKey(call, facts);
  return new Recalled({ scope, key, wire: wireKey(call), cache, tags: run.wishes.cacheTags ?? [] });
}

/** What may be done with the call's content: the guards in force and the caller's data tier. */
function policyScope(guards: readonly Guard[], run: Run): string {
  return JSON.stringify([guards.map((guard) => guard.id), run.caller?.scopes.tier ?? null]);
}

/** Background answers have a life of their own, warm-ups have no answer, and of several answers at once only their own language can tell. */
function isCacheable(deps: GatewayDeps, run: Run, alias: Alias): boolean {
  const operation = operationOf(run);
  if ((operation !== "generate" && !REPEATABLE_TASKS.has(operation)) || run.background || run.warmUp) return false;
  if (!run.caller || !mayUseModel(run.caller.scopes, alias.name)) return false;
  // Whoever is switched off is told so by the plan.
  if (deps.switches.refusal(run.caller, alias.name)) return false;
  if (operation !== "generate") return true;
  const { thread, sampling } = callOf(run);
  // A kept turn needs an id of its own, and a thread goes on once.
  if (thread !== undefined || (run.keep && !run.request.dialect.newAnswerId)) return false;
  return (sampling.n ?? 1) === 1;
}

/** What a model said that is switched off by now is not repeated. */
function mayServe({ switches }: GatewayDeps, run: Run, { take: { source } }: KeptAnswer): boolean {
  return switches.stops(run.caller, run.model, source) === undefined;
}

/** RFC 9111, section 5.2.1.7: 504 when nothing stored can answer. */
function notCached(run: Run): ProblemError {
  return new ProblemError({
    kind: "not_found",
    status: 504,
    message: `No answer to this call of "${run.model}" is kept, and x-gimbal-cache: only-if-cached forbids to ask for one.`,
    param: "x-gimbal-cache",
    code: "not_cached",
  });
}

/** The call is over: whoever still waits for it is told. */
export function leaveFlight(run: Run): void {
  const flight = run.recalled?.flight;
  if (!flight || flight.over) return;
  if (run.problem) flight.fail(run.problem);
  else flight.divert();
}

/** The call's last reader left. True: others wait for the same answer, so it goes on, and ends when they leave too. */
export function worksForOthers(run: Run): boolean {
  const flight = run.recalled?.flight;
  return flight?.desert(() => stop(run, { kind: "cancelled", message: "Every client left before the answer was complete." })) ?? false;
}

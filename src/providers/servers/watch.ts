import type { Clock, ModelServer, Provider, ServedModel, ServerLoad, ServerReport } from "../../canon/index.ts";
import { problemFrom } from "../../canon/index.ts";
import type { ServersOptions } from "./options.ts";

/** A load that is older than so many looks is no longer gone by. */
const STALE_LOOKS = 3;
/** Models of one server that are told of. */
const TOLD_MODELS = 100;
/** A server that does not take a model is asked again with its next start alone. */
const WARM_UP_MS = 900_000;

/** A server's state for people and programs. Times are milliseconds from now. */
export interface ServerHealth {
  readonly provider: string;
  readonly state: "up" | "down" | "unknown";
  /** Why it is down, or what it is. */
  readonly detail: string;
  /** When it was asked last, and when it is asked next. */
  readonly askedMsAgo?: number;
  readonly nextMs?: number;
  readonly load?: ServerLoad;
  readonly models: readonly ServedModel[];
}

export interface WatchDeps {
  readonly clock: Clock;
  readonly options: ServersOptions;
  /** One line for the operator, when a server goes or comes, or a model could not be loaded. */
  readonly log: (line: string) => void;
}

/** What a server's report says, as far as it was told at some time. */
class Watched {
  readonly name: string;
  server: ModelServer;
  report: ServerReport | undefined;
  /** Monotonic milliseconds: of the newest report, of the newest load, and of the newest list. */
  askedAt = 0;
  loadAt = Number.NEGATIVE_INFINITY;
  listedAt = Number.NEGATIVE_INFINITY;
  nextAt = 0;
  load: ServerLoad | undefined;
  models: readonly ServedModel[] = [];
  byName: ReadonlyMap<string, ServedModel> = new Map();
  any: ServedModel | undefined;
  complete = false;
  failures = 0;
  stop = new AbortController();
  stopTimer: (() => void) | undefined;

  constructor(name: string, server: ModelServer) {
    this.name = name;
    this.server = server;
  }
}

/**
 * Asks servers of models in the background how they are, what they serve and what they have to do. Whoever routes reads what was told last,
 * from memory. One object for a process: a server is asked by each process for itself, at a named rate, less and less often while it is
 * not there, and never twice at once.
 */
export class ServerWatch {
  readonly #clock: Clock;
  readonly #log: (line: string) => void;
  #options: ServersOptions;
  #watched: ReadonlyMap<string, Watched> = new Map();
  #isOver = false;
  /** Raised when what is known of any model changes: whoever remembers facts begins anew then. */
  version = 0;

  constructor({ clock, options, log }: WatchDeps) {
    this.#clock = clock;
    this.#options = options;
    this.#log = log;
  }

  /**
   * Takes over the providers in force. What was told of one of the same name stays until it tells anew.
   * @param warm further models to load, as `provider/model`
   */
  configure(providers: ReadonlyMap<string, Provider>, options: ServersOptions, warm: readonly string[] = []): void {
    this.#options = options;
    const before = this.#watched;
    for (const watched of before.values()) halt(watched);
    const next = new Map<string, Watched>();
    for (const [name, { server }] of providers) {
      if (!server || !options.watch) continue;
      const known = before.get(name);
      const watched = known ?? new Watched(name, server);
      watched.server = server;
      watched.stop = new AbortController();
      watched.listedAt = Number.NEGATIVE_INFINITY;
      next.set(name, watched);
    }
    this.#watched = next;
    if ([...before.keys()].some((name) => !next.has(name))) this.version++;
    if (this.#isOver) return;
    for (const watched of next.values()) {
      const wanted = warm.flatMap((target) => (target.startsWith(`${watched.name}/`) ? [target.slice(watched.name.length + 1)] : []));
      void this.#look(watched, [...watched.server.wantsWarm, ...wanted]);
    }
  }

  /** What the server of a provider tells of a model. */
  facts(provider: string, model: string): ServedModel | undefined {
    const watched = this.#watched.get(provider);
    return watched && (watched.byName.get(watched.server.listedAs(model)) ?? watched.any);
  }

  /** Why a model cannot be had from its server just now, in words that follow the target's name; undefined: it can, or nobody knows. */
  blocked(provider: string, model: string): string | undefined {
    const watched = this.#watched.get(provider);
    if (!watched?.report) return undefined;
    if (!watched.report.up) return `is on a server that is down: ${watched.report.detail}`;
    if (!watched.complete || watched.byName.has(watched.server.listedAs(model))) return undefined;
    return watched.server.missing?.(model) ?? "is not on its server";
  }

  /** What the server has to do, and when it said so in monotonic milliseconds; undefined: it does not say, or said so too long ago. */
  load(provider: string): { readonly load: ServerLoad; readonly at: number } | undefined {
    const watched = this.#watched.get(provider);
    if (!watched?.load) return undefined;
    const oldest = STALE_LOOKS * this.#options.loadMs + this.#options.answerMs;
    return this.#clock.monotonic() - watched.loadAt > oldest ? undefined : { load: watched.load, at: watched.loadAt };
  }

  /** Everything known, by name. */
  describe(): readonly ServerHealth[] {
    const now = this.#clock.monotonic();
    return [...this.#watched.values()]
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .map(({ name, report, askedAt, nextAt, models }) => {
        const fresh = this.load(name);
        return {
          provider: name,
          state: report ? (report.up ? "up" : "down") : "unknown",
          detail: report?.detail ?? "it has not answered yet",
          ...(report && { askedMsAgo: Math.round(now - askedAt) }),
          ...(nextAt > now && { nextMs: Math.round(nextAt - now) }),
          ...(fresh && { load: fresh.load }),
          models: models.slice(0, TOLD_MODELS),
        };
      });
  }

  close(): void {
    this.#isOver = true;
    for (const watched of this.#watched.values()) halt(watched);
  }

  /** @param warm models to load as soon as it is there */
  async #look(watched: Watched, warm: readonly string[] = []): Promise<void> {
    const { server, stop } = watched;
    const { modelsMs, loadMs, deadMs } = this.#options;
    const answerMs = Math.max(this.#options.answerMs, server.answerMs ?? 0);
    const wasUp = watched.report?.up;
    const due = this.#clock.monotonic() - watched.listedAt >= Math.max(modelsMs, server.everyMs ?? 0);
    const limit = new AbortController();
    const stopTimer = this.#clock.after(answerMs, () => limit.abort());
    const asked = AbortSignal.any([stop.signal, limit.signal]);
    const report = await server.survey(due || wasUp !== true ? "models" : "load", asked).catch(
      // A survey never rejects; were it to, the watch would end without a word.
      (error: unknown): ServerReport => ({ up: false, detail: problemFrom(error).message }),
    );
    stopTimer();
    if (stop.signal.aborted || this.#isOver) return;
    const told: ServerReport = limit.signal.aborted && !report.up ? { up: false, detail: `no answer within ${answerMs} ms` } : report;
    this.#take(watched, told);
    this.#tell(watched, wasUp);
    // Whoever comes back has lost what it held.
    const wanted = told.up ? (wasUp === false ? [...new Set([...warm, ...server.wantsWarm])] : warm) : [];
    if (wanted.length > 0) void this.#warmUp(watched, wanted);
    const every = Math.max(loadMs, server.everyMs ?? 0);
    const wait = told.up ? every : Math.max(loadMs, Math.min(deadMs, loadMs * 2 ** Math.min(watched.failures - 1, 30)));
    watched.nextAt = this.#clock.monotonic() + wait;
    // A model that was wanted while the server was away is still wanted.
    watched.stopTimer = this.#clock.after(wait, () => void this.#look(watched, told.up ? [] : warm));
  }

  #take(watched: Watched, report: ServerReport): void {
    const now = this.#clock.monotonic();
    watched.report = report;
    watched.askedAt = now;
    watched.failures = report.up ? 0 : watched.failures + 1;
    watched.load = report.load;
    if (report.load) watched.loadAt = now;
    if (!report.models) return;
    watched.listedAt = now;
    watched.complete = report.complete === true;
    const changed = JSON.stringify(watched.models) !== JSON.stringify(report.models);
    if (!changed) return;
    watched.models = report.models;
    watched.byName = new Map(report.models.map((model) => [watched.server.listedAs(model.name), model]));
    watched.any = report.anyName ? report.models[0] : undefined;
    this.version++;
  }

  #tell({ name, report, failures }: Watched, wasUp: boolean | undefined): void {
    if (report?.up === false && failures === 1) this.#log(`${name}: its server is down (${report.detail})`);
    else if (report?.up === true && wasUp === false) this.#log(`${name}: its server is there again`);
  }

  async #warmUp({ name, server, stop }: Watched, models: readonly string[]): Promise<void> {
    const limit = new AbortController();
    const stopTimer = this.#clock.after(WARM_UP_MS, () => limit.abort());
    // One after the other: together they would fight for the memory that they are to be loaded into.
    for (const model of new Set(models)) {
      try {
        await server.warmUp?.(model, AbortSignal.any([stop.signal, limit.signal]));
      } catch (error) {
        if (!stop.signal.aborted) this.#log(`${name}: ${problemFrom(error).message}`);
      }
    }
    stopTimer();
  }
}

function halt(watched: Watched): void {
  watched.stop.abort();
  watched.stopTimer?.();
  watched.stopTimer = undefined;
}

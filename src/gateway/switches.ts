import type { Caller, Clock, Problem, Signals, Switch, SwitchStore } from "../canon/index.ts";
import type { TargetView } from "../routing/view.ts";

/** A target a call goes to. */
export interface SwitchedTarget {
  readonly provider: string;
  readonly model: string;
}

/** A kill switch that the store has not shown after this time never reached it. */
const HELD_MS = 30_000;

export interface SwitchesOptions {
  readonly store: SwitchStore;
  readonly clock: Pick<Clock, "after">;
  /** Tells the other processes before the store does: an incident waits for no disk. */
  readonly signals: Signals;
  /** The switches in force have changed; they already are in force. */
  readonly onChange: (now: readonly Switch[], before: readonly Switch[]) => void;
  /** The store could not be read; what was in force stays. */
  readonly report: (error: unknown) => void;
}

/**
 * The kill switches and forced targets in force, held in memory and read anew whenever any process changes them. With none in force every
 * question costs one comparison.
 */
export class Switches {
  readonly #options: SwitchesOptions;
  readonly #stops: (() => void)[];
  /** What the store said last, and what is on its way there. */
  #stored: readonly Switch[] = [];
  #held: readonly Switch[] = [];
  #all: readonly Switch[] = [];
  #kills: readonly Switch[] = [];
  #reading: Promise<void> | undefined;
  #again = false;

  constructor(options: SwitchesOptions) {
    this.#options = options;
    this.#stops = [
      options.store.watch(() => void this.refresh()),
      options.signals.hear((signal) => {
        if (signal.type === "kill") this.#hold(signal.entry);
        if (signal.type === "lift") this.#forget(signal.id);
      }),
    ];
  }

  /** Oldest first. */
  get inForce(): readonly Switch[] {
    return this.#all;
  }

  /** Why this caller may not call this model at all; undefined when nothing says so. `model`: as the caller names it. */
  refusal(caller: Caller, model: string): Problem | undefined {
    if (this.#kills.length === 0) return undefined;
    const kill = this.#kills.find((entry) => coversCall(entry, caller, model));
    return kill && killed(kill);
  }

  /** Why nothing is sent to this target, in a few words; undefined when nothing says so. */
  blocked(provider: string, model: string): string | undefined {
    if (this.#kills.length === 0) return undefined;
    const kill = this.#kills.find((entry) => coversTarget(entry, provider, model));
    return kill && `switched off (${kill.scope} ${kill.value})`;
  }

  /** Why a running call must stop; undefined when it may go on. */
  stops(caller: Caller | undefined, model: string, target: SwitchedTarget | undefined): Problem | undefined {
    if (this.#kills.length === 0) return undefined;
    const kill = this.#kills.find(
      (entry) =>
        (caller !== undefined && coversCall(entry, caller, model)) ||
        (target !== undefined && coversTarget(entry, target.provider, target.model)),
    );
    return kill && killed(kill);
  }

  /** Reads the switches; resolves when what every process had said before is in force here. */
  refresh(): Promise<void> {
    // A change that comes while one is being read may not be in what is read: once more, then.
    if (this.#reading) this.#again = true;
    this.#reading ??= this.#read().finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  /**
   * Puts a kill switch in force in every process at once, then into the store; resolves when it is durable there. Rejects, and is in force
   * nowhere, when it cannot be kept: what nobody can list nobody would lift.
   */
  async kill(entry: Switch): Promise<void> {
    const { store, signals } = this.#options;
    this.#hold(entry);
    signals.tell({ type: "kill", entry });
    try {
      await store.put(entry);
    } catch (error) {
      this.#forget(entry.id);
      signals.tell({ type: "lift", id: entry.id });
      throw error;
    }
    await this.refresh();
  }

  /** Takes a kill switch back, durably. False when there is none of this id. */
  async lift(id: string): Promise<boolean> {
    const { store, signals } = this.#options;
    const removed = await store.remove(id);
    this.#forget(id);
    signals.tell({ type: "lift", id });
    await this.refresh();
    return removed;
  }

  close(): void {
    for (const stop of this.#stops.splice(0)) stop();
  }

  #hold(entry: Switch): void {
    this.#held = [...this.#held, entry];
    this.#options.clock.after(HELD_MS, () => this.#forget(entry.id));
    this.#apply();
  }

  #forget(id: string): void {
    const held = this.#held.filter((entry) => entry.id !== id);
    if (held.length === this.#held.length) return;
    this.#held = held;
    this.#apply();
  }

  #apply(): void {
    const before = this.#all;
    const now = [...this.#stored, ...this.#held.filter(({ id }) => !this.#stored.some((entry) => entry.id === id))];
    if (JSON.stringify(now) === JSON.stringify(before)) return;
    this.#all = now;
    this.#kills = now.filter(({ kind }) => kind === "kill");
    this.#options.onChange(now, before);
  }

  async #read(): Promise<void> {
    const { store, report } = this.#options;
    do {
      this.#again = false;
      try {
        this.#stored = await store.list();
        this.#held = this.#held.filter(({ id }) => !this.#stored.some((entry) => entry.id === id));
        this.#apply();
      } catch (error) {
        report(error);
      }
    } while (this.#again);
  }
}

/** Health as the planner sees it with the kill switches laid over it. */
export function switchedView(switches: Pick<Switches, "blocked">, health: TargetView): TargetView {
  const covers = (provider: string, model: string): boolean => switches.blocked(provider, model) !== undefined;
  return {
    blocked: (provider, model) => switches.blocked(provider, model) ?? health.blocked(provider, model),
    latency: (provider, model) => health.latency(provider, model),
    queue: (provider, model) => health.queue?.(provider, model),
    setAside: (provider, model) => switches.blocked(provider, model) === undefined && health.setAside?.(provider, model) === true,
    forcedShut: (provider, model) => covers(provider, model) || health.forcedShut?.(provider, model) === true,
    killed: covers,
  };
}

/** The caller, the name it asks for, or everything. */
function coversCall({ scope, value }: Switch, caller: Caller, model: string): boolean {
  switch (scope) {
    case "all":
      return true;
    case "key":
      return caller.id === value || (!caller.anonymous && caller.name === value);
    case "tag":
      return caller.tags?.includes(value) ?? false;
    case "model":
      return model === value;
    case "provider":
    case "target":
      return false;
  }
}

/** The place a call goes to; a model may be killed by its provider's name for it too. */
function coversTarget({ scope, value }: Switch, provider: string, model: string): boolean {
  if (scope === "provider") return provider === value;
  return (scope === "model" || scope === "target") && value === `${provider}/${model}`;
}

function killed({ scope, value, reason }: Switch): Problem {
  const what = scope === "all" ? "everything" : `the ${scope} "${value}"`;
  const why = reason === undefined ? "" : ` (${reason})`;
  return { kind: "killed", message: `An administrator has switched off ${what}${why}.` };
}

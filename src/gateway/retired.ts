import type { Clock, Provider, Snapshot } from "../canon/index.ts";
import type { LiveCalls } from "./live-calls.ts";

/** How often it is looked whether a call still needs the providers of a configuration that was replaced. */
const LOOK_MS = 10_000;

/**
 * Configurations that were replaced. Calls keep the one they began with, and may try its providers again to their end; until then it costs
 * a few idle connections.
 */
export class Retired {
  readonly #clock: Clock;
  readonly #live: LiveCalls;
  readonly #snapshots = new Set<Snapshot>();

  constructor(clock: Clock, live: LiveCalls) {
    this.#clock = clock;
    this.#live = live;
  }

  add(snapshot: Snapshot): void {
    this.#snapshots.add(snapshot);
    this.#lookLater(snapshot);
  }

  /** Whoever still needs one has had its time. */
  async close(): Promise<void> {
    const left = [...this.#snapshots];
    this.#snapshots.clear();
    await Promise.all(left.map(({ providers }) => closeProviders(providers)));
  }

  #lookLater(snapshot: Snapshot): void {
    this.#clock.after(LOOK_MS, () => {
      if (!this.#snapshots.has(snapshot)) return;
      if (this.#live.findRunning((call) => call.configVersion === snapshot.version)) return this.#lookLater(snapshot);
      this.#snapshots.delete(snapshot);
      void closeProviders(snapshot.providers);
    });
  }
}

export async function closeProviders(providers: ReadonlyMap<string, Provider>): Promise<void> {
  await Promise.all([...providers.values()].map((provider) => provider.close()));
}

import type { Clock } from "../canon/index.ts";
import { UpstreamConnection } from "./upstream.ts";
import type { UpstreamLimits, UpstreamOwner } from "./upstream.ts";
import type { Dialler } from "./upstream-dial.ts";

/** Idle connections kept for reuse; a burst's surplus is closed at once so that its memory comes back. */
const MAX_IDLE = 512;
/** How often silent connections are looked for: as fine as the shortest limit needs, within these bounds. */
const SWEEP_MIN_MS = 10;
const SWEEP_MAX_MS = 1_000;
const SWEEPS_PER_LIMIT = 4;

/** The connections to one origin, one request at a time on each. */
export class Slots implements UpstreamOwner {
  readonly limits: UpstreamLimits;
  readonly sweepMs: number;
  readonly #dialler: Dialler;
  readonly #clock: Clock;
  readonly #all = new Set<UpstreamConnection>();
  readonly #idle: UpstreamConnection[] = [];
  #sweeping = false;

  constructor(dialler: Dialler, limits: UpstreamLimits, clock: Clock) {
    this.#dialler = dialler;
    this.limits = limits;
    this.#clock = clock;
    const shortest = Math.min(limits.connectTimeoutMs, limits.headTimeoutMs, limits.dataTimeoutMs);
    this.sweepMs = Math.min(SWEEP_MAX_MS, Math.max(SWEEP_MIN_MS, Math.floor(shortest / SWEEPS_PER_LIMIT)));
  }

  /** The connection used last, being the one most likely alive and warm; or a new one, which is being dialled. */
  take(): UpstreamConnection {
    for (;;) {
      const connection = this.#idle.pop();
      if (!connection) return this.#create();
      if (connection.usable) return connection;
      connection.destroy();
    }
  }

  giveBack(connection: UpstreamConnection): void {
    if (this.#idle.length >= MAX_IDLE) connection.destroy();
    else this.#idle.push(connection);
  }

  closeIdle(): void {
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }

  closed(connection: UpstreamConnection): void {
    this.#all.delete(connection);
    // Idle connections end oldest first, and the oldest stand at the bottom.
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  #create(): UpstreamConnection {
    const connection = new UpstreamConnection(this, this.#dialler);
    this.#all.add(connection);
    if (!this.#sweeping) this.#sweepLater();
    return connection;
  }

  #sweepLater(): void {
    this.#sweeping = true;
    this.#clock.after(this.sweepMs, () => {
      this.#sweeping = false;
      const now = this.#clock.monotonic();
      for (const connection of this.#all) connection.sweep(now);
      if (this.#all.size > 0) this.#sweepLater();
    });
  }
}

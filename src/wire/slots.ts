import { Client } from "undici";

/** Idle connections kept for reuse; a burst's surplus is closed at once so that its memory comes back. */
const MAX_IDLE = 512;
/** An idle connection is given up after this; a shorter `keep-alive: timeout` of the server wins. */
const IDLE_MS = 30_000;
const IDLE_MAX_MS = 120_000;

/**
 * The connections to one origin, one request at a time on each. A stack instead of undici's own `Pool`: the pool searches all its
 * connections for a free one with every request and keeps an object for every connection it ever had, which shows with thousands of
 * open streams.
 */
export class Slots {
  readonly #origin: string;
  readonly #options: Client.Options;
  readonly #idle: Client[] = [];

  constructor(origin: string, options: Client.Options) {
    this.#origin = origin;
    this.#options = { ...options, pipelining: 1, keepAliveTimeout: IDLE_MS, keepAliveMaxTimeout: IDLE_MAX_MS };
  }

  /** The connection used last, being the one most likely alive and warm; or a new one, dialled when it is first used. */
  take(): Client {
    return this.#idle.pop() ?? this.#create();
  }

  giveBack(client: Client): void {
    if (this.#idle.length >= MAX_IDLE) this.drop(client);
    else this.#idle.push(client);
  }

  /** Closes the connection at once, whatever runs on it. */
  drop(client: Client): void {
    void client.destroy();
  }

  closeIdle(): void {
    for (const client of this.#idle.splice(0)) this.drop(client);
  }

  #create(): Client {
    const client = new Client(this.#origin, this.#options);
    client.on("disconnect", () => {
      // Idle connections end oldest first, and the oldest stand at the bottom.
      const at = this.#idle.indexOf(client);
      if (at < 0) return;
      this.#idle.splice(at, 1);
      this.drop(client);
    });
    return client;
  }
}

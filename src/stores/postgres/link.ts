import pg from "pg";
import type { Clock, Signal, Signals } from "../../canon/index.ts";
import { type Address } from "./address.ts";
import { readGeneration } from "./admin-tables.ts";
import { type Session, sessionOf, statement } from "./connections.ts";

/** How often the generation is looked at, so that what a lost notification said is known all the same. */
const LOOK_MS = 400;
/** A look that takes longer is a connection that is gone. */
const LOOK_LIMIT_MS = 3000;
/** Wait before the next try to connect; doubles up to the longest. */
const RECONNECT_MS = 100;
const RECONNECT_MAX_MS = 2000;

export interface LinkOptions {
  readonly address: Address;
  readonly channel: string;
  readonly node: string;
  readonly clock: Clock;
  readonly onGeneration: (generation: number) => void;
  /** Connected, for the first time or anew. */
  readonly onConnected: () => void;
  /** Called with every look, on the link's own connection. What it throws ends the connection. */
  readonly onLook: (session: Session) => Promise<void>;
}

/** What travels on the channel. */
type Message = { readonly generation: number } | { readonly from: string; readonly signal: Signal };

const TELL = statement("link.tell", "SELECT pg_notify($1, $2)");

/**
 * One connection that listens to the other gateways of the record: changes of keys, configuration and switches, and signals. It looks at
 * the generation itself a few times a second; it comes back by itself, and then knows what it has missed.
 */
export class Link {
  readonly #options: LinkOptions;
  readonly #listeners = new Set<(signal: Signal) => void>();
  #client: pg.Client | undefined;
  #session: Session | undefined;
  #pauseMs = RECONNECT_MS;
  #cancel: (() => void) | undefined;
  #closed = false;
  readonly signals: Signals = {
    tell: (signal) => void this.#tell(signal).catch(() => {}),
    hear: (listener) => {
      this.#listeners.add(listener);
      return () => this.#listeners.delete(listener);
    },
  };

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** Resolves when it listens. Rejects when it cannot, for the first time; later it tries again by itself. */
  async open(): Promise<void> {
    const { address, channel, node } = this.#options;
    const client = new pg.Client({ ...address.config, query_timeout: LOOK_LIMIT_MS, application_name: `gimbal ${node}` });
    this.#client = client;
    client.on("error", () => this.#lost(client));
    client.on("end", () => this.#lost(client));
    client.on("notification", ({ payload }) => this.#hear(payload ?? ""));
    const session = sessionOf(client);
    try {
      await client.connect();
      await session.run(`LISTEN "${channel}"`);
      this.#session = session;
      // Before anybody is told of the connection: what happened while nobody listened.
      await this.#look(session);
    } catch (error) {
      this.#drop(client);
      throw error;
    }
    this.#pauseMs = RECONNECT_MS;
    this.#options.onConnected();
    this.#lookLater(client, session);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel?.();
    const client = this.#client;
    this.#client = this.#session = undefined;
    await client?.end().catch(() => {});
  }

  async #look(session: Session): Promise<void> {
    this.#options.onGeneration(await readGeneration(session));
    await this.#options.onLook(session);
  }

  #lookLater(client: pg.Client, session: Session): void {
    if (this.#closed || this.#client !== client) return;
    this.#cancel = this.#options.clock.after(LOOK_MS, () => {
      this.#look(session).then(
        () => this.#lookLater(client, session),
        () => this.#lost(client),
      );
    });
  }

  #hear(payload: string): void {
    let message: Message;
    try {
      message = JSON.parse(payload) as Message;
    } catch {
      return;
    }
    if ("generation" in message) this.#options.onGeneration(message.generation);
    else if (message.from !== this.#options.node) for (const listener of this.#listeners) listener(message.signal);
  }

  async #tell(signal: Signal): Promise<void> {
    const message: Message = { from: this.#options.node, signal };
    await this.#session?.rows(TELL, [this.#options.channel, JSON.stringify(message)]);
  }

  #drop(client: pg.Client): void {
    if (this.#client === client) this.#client = this.#session = undefined;
    // A connection that is broken may wait for the other side's farewell for ever.
    client.end().catch(() => {});
  }

  #lost(client: pg.Client): void {
    if (this.#client !== client) return;
    this.#cancel?.();
    this.#drop(client);
    this.#reconnectLater();
  }

  #reconnectLater(): void {
    if (this.#closed) return;
    this.#cancel = this.#options.clock.after(this.#pauseMs, () => {
      this.#pauseMs = Math.min(RECONNECT_MAX_MS, this.#pauseMs * 2);
      this.open().catch(() => this.#reconnectLater());
    });
  }
}

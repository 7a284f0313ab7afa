import type { Client, McpSubscription, SubscriptionFilter } from "@modelcontextprotocol/client";
import { ProblemError, type Clock } from "../canon/index.ts";
import { plain } from "./names.ts";

/** Resources of one server whose changes somebody wants to hear of. */
const MOST_WATCHED = 10_000;
/** Changes of one moment are told together, so that a flood of them costs no more than its last. */
const GATHER_MS = 100;
/** Wait before a stream of changes that ended is opened again: doubled each time, up to the longest. */
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 60_000;

/** Who wants to hear of what: by address, how many. It outlives the connection, and the server's options. */
export class Watched {
  readonly #counts = new Map<string, number>();
  /** Nobody wants to hear of it any more. */
  onDrop: (uri: string) => void = () => {};

  has(uri: string): boolean {
    return this.#counts.has(uri);
  }

  all(): readonly string[] {
    return [...this.#counts.keys()];
  }

  /** @throws ProblemError rate_limited */
  add(uri: string): void {
    const count = this.#counts.get(uri) ?? 0;
    if (count === 0 && this.#counts.size >= MOST_WATCHED)
      throw new ProblemError({ kind: "rate_limited", message: `At most ${MOST_WATCHED} resources of one server are watched.` });
    this.#counts.set(uri, count + 1);
  }

  remove(uri: string): void {
    const count = this.#counts.get(uri);
    if (count === undefined) return;
    if (count > 1) return void this.#counts.set(uri, count - 1);
    this.#counts.delete(uri);
    this.onDrop(uri);
  }
}

export interface WatchingDeps {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly watched: Watched;
  readonly onResource: (uri: string) => void;
  /** What the server offers may be another. */
  readonly onListChanged: () => void;
  readonly log: (line: string) => void;
}

/** What one connection tells of its own accord: by the older revision unasked or subscribed to, by the newer one over a stream that is listened to. */
export class Watching {
  readonly #deps: WatchingDeps;
  readonly #client: Client;
  readonly #changed = new Set<string>();
  #stream: McpSubscription | undefined;
  #turn: Promise<void> = Promise.resolve();
  #listTold = false;
  #waitMs = FIRST_WAIT_MS;
  #stops: (() => void)[] = [];
  #closed = false;

  constructor(client: Client, deps: WatchingDeps) {
    this.#client = client;
    this.#deps = deps;
    for (const method of [
      "notifications/tools/list_changed",
      "notifications/prompts/list_changed",
      "notifications/resources/list_changed",
    ] as const)
      client.setNotificationHandler(method, () => this.#listChanged());
    client.setNotificationHandler("notifications/resources/updated", ({ params }) => this.#updated(params.uri));
  }

  /** The connection is there: everything that was watched before is again. */
  open(): void {
    const { watched, log } = this.#deps;
    watched.onDrop = (uri) => this.#dropped(uri);
    if (this.#modern) return void this.#listen().catch(() => this.#listenLater());
    for (const uri of watched.all())
      this.#client
        .subscribeResource({ uri }, this.#limits())
        .catch((error: unknown) => log(`does not tell of ${plain(uri)}: ${plain(error)}`));
  }

  /** Asks the server to tell of a resource that nobody wanted to hear of before. */
  async begin(uri: string, signal: AbortSignal): Promise<void> {
    if (this.#modern) await this.#listen();
    else await this.#client.subscribeResource({ uri }, { ...this.#limits(), signal });
  }

  close(): void {
    this.#closed = true;
    for (const stop of this.#stops) stop();
    this.#stops = [];
  }

  get #modern(): boolean {
    return this.#client.getProtocolEra() === "modern";
  }

  #limits(): { readonly timeout: number } {
    return { timeout: this.#deps.timeoutMs };
  }

  #dropped(uri: string): void {
    if (this.#closed) return;
    // By the newer revision what nobody wants stands in the filter until the next change of it.
    if (!this.#modern) this.#client.unsubscribeResource({ uri }, this.#limits()).catch(() => {});
  }

  /** One after the other, and each with all that is wanted when its turn comes. */
  #listen(): Promise<void> {
    const next = this.#turn.then(() => this.#listenNow());
    this.#turn = next.catch(() => {});
    return next;
  }

  async #listenNow(): Promise<void> {
    if (this.#closed) return;
    const { tools, prompts, resources } = this.#client.getServerCapabilities() ?? {};
    const uris = resources?.subscribe === true ? this.#deps.watched.all() : [];
    const filter: SubscriptionFilter = {
      ...(tools?.listChanged && { toolsListChanged: true }),
      ...(prompts?.listChanged && { promptsListChanged: true }),
      ...(resources?.listChanged && { resourcesListChanged: true }),
      ...(uris.length > 0 && { resourceSubscriptions: [...uris] }),
    };
    if (Object.keys(filter).length === 0) return;
    const before = this.#stream;
    const stream = await this.#client.listen(filter, this.#limits());
    this.#stream = stream;
    // Only now: between two streams something would be missed.
    await before?.close();
    void this.#followed(stream);
  }

  async #followed(stream: McpSubscription): Promise<void> {
    const cause = await stream.closed;
    if (cause !== "local" && this.#stream === stream) this.#listenLater();
  }

  #listenLater(): void {
    if (this.#closed) return;
    const waitMs = this.#waitMs;
    this.#waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2);
    this.#after(waitMs, () => void this.#listenAgain());
  }

  async #listenAgain(): Promise<void> {
    try {
      await this.#listen();
    } catch {
      return this.#listenLater();
    }
    this.#waitMs = FIRST_WAIT_MS;
    // Nobody told what changed meanwhile.
    this.#listChanged();
    for (const uri of this.#deps.watched.all()) this.#updated(uri);
  }

  #listChanged(): void {
    if (this.#listTold || this.#closed) return;
    this.#listTold = true;
    this.#after(GATHER_MS, () => {
      this.#listTold = false;
      this.#deps.onListChanged();
    });
  }

  /** What nobody asked to hear of is passed over. */
  #updated(uri: string): void {
    if (this.#closed || !this.#deps.watched.has(uri)) return;
    this.#changed.add(uri);
    if (this.#changed.size > 1) return;
    this.#after(GATHER_MS, () => {
      const told = [...this.#changed];
      this.#changed.clear();
      for (const one of told) this.#deps.onResource(one);
    });
  }

  #after(ms: number, work: () => void): void {
    const stop = this.#deps.clock.after(ms, () => {
      this.#stops = this.#stops.filter((one) => one !== stop);
      work();
    });
    this.#stops.push(stop);
  }
}

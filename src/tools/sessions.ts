import { WebStandardStreamableHTTPServerTransport, type McpServer } from "@modelcontextprotocol/server";
import type { Caller, Clock, Headers } from "../canon/index.ts";
import type { HubEvent } from "./hub.ts";
import { Replay, type SessionReplay } from "./replay.ts";

/** Who asks, as admission knows them. */
export interface Asking {
  readonly caller: Caller;
  readonly headers: Headers;
}

/** One client of revision 2025-11-25, from `initialize` on. */
export interface Session {
  /** Whose it is: nobody else's requests reach it, whatever id they name. */
  readonly scope: string;
  readonly transport: WebStandardStreamableHTTPServerTransport;
  readonly server: McpServer;
  /** How to stop hearing of each resource whose changes its client wants to hear of. */
  readonly subscriptions: Map<string, () => void>;
  readonly replay: SessionReplay;
  /** Of its newest request: what its caller may do can change while it lasts. */
  asking: Asking;
  usedAt: number;
}

export interface SessionsDeps {
  readonly clock: Clock;
  readonly most: () => number;
  readonly idleMs: () => number;
  readonly newId: () => string;
  readonly bodyBytes: () => number;
  readonly report: (error: unknown) => void;
}

const MS_PER_MINUTE = 60_000;
/** After so long a client that lost its stream should come back, in milliseconds. */
const RETRY_MS = 1000;

/** Sessions in the memory of this process. Where there are too many, whoever has most of them loses the one unused for longest. */
export class Sessions {
  readonly #deps: SessionsDeps;
  /** In the order in which they were used. */
  readonly #open = new Map<string, Session>();
  /** How many each caller has. */
  readonly #counts = new Map<string, number>();
  readonly #replay = new Replay();
  #stopped = false;

  constructor(deps: SessionsDeps) {
    this.#deps = deps;
    this.#sweep();
  }

  get count(): number {
    return this.#open.size;
  }

  /** Undefined: there is none of this id that is this caller's. */
  find(id: string, asking: Asking): Session | undefined {
    const session = this.#open.get(id);
    if (session?.scope !== asking.caller.scope) return undefined;
    session.usedAt = this.#deps.clock.monotonic();
    session.asking = asking;
    this.#open.delete(id);
    this.#open.set(id, session);
    return session;
  }

  /** Begins a session that is kept once its client has said `initialize`. `make`: the server that it talks to. */
  async begin(asking: Asking, make: (who: () => Asking, subscriptions: Map<string, () => void>) => McpServer): Promise<Session> {
    const { clock, newId, bodyBytes } = this.#deps;
    const { scope } = asking.caller;
    const replay = this.#replay.session();
    const subscriptions = new Map<string, () => void>();
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: newId,
      maxRequestBodySize: bodyBytes(),
      eventStore: replay,
      retryInterval: RETRY_MS,
      onsessioninitialized: (id) => this.#keep(id, session),
      onsessionclosed: (id) => this.#end(id),
    });
    const server = make(() => session.asking, subscriptions);
    const session: Session = { scope, transport, server, subscriptions, replay, asking, usedAt: clock.monotonic() };
    await server.connect(transport);
    return session;
  }

  tell(event: HubEvent): void {
    for (const { server, subscriptions } of this.#open.values()) {
      const told =
        event === "tools"
          ? server.server.sendToolListChanged()
          : event === "prompts"
            ? server.server.sendPromptListChanged()
            : event === "resources"
              ? server.server.sendResourceListChanged()
              : subscriptions.has(event.uri)
                ? server.server.sendResourceUpdated({ uri: event.uri })
                : Promise.resolve();
      // A client that does not listen just now reads the list when it asks.
      told.catch(() => {});
    }
  }

  async close(): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#open.values()].map(({ server }) => server.close().catch(() => {})));
    for (const id of this.#open.keys()) this.#end(id);
  }

  #keep(id: string, session: Session): void {
    while (this.#open.size >= this.#deps.most()) this.#makeRoom();
    this.#open.set(id, session);
    this.#counts.set(session.scope, (this.#counts.get(session.scope) ?? 0) + 1);
  }

  /** So that one client that opens thousands ends its own, and nobody else's. */
  #makeRoom(): void {
    let [most, count] = ["", 0];
    for (const [scope, has] of this.#counts) if (has > count) [most, count] = [scope, has];
    for (const [id, { scope }] of this.#open) if (scope === most) return this.#end(id);
  }

  #end(id: string): void {
    const session = this.#open.get(id);
    if (!session) return;
    this.#open.delete(id);
    const left = (this.#counts.get(session.scope) ?? 1) - 1;
    if (left > 0) this.#counts.set(session.scope, left);
    else this.#counts.delete(session.scope);
    for (const stop of session.subscriptions.values()) stop();
    session.subscriptions.clear();
    session.replay.clear();
    session.server.close().catch(this.#deps.report);
  }

  #sweep(): void {
    const { clock, idleMs } = this.#deps;
    clock.after(MS_PER_MINUTE, () => {
      if (this.#stopped) return;
      const before = clock.monotonic() - idleMs();
      for (const [id, { usedAt }] of this.#open) if (usedAt < before) this.#end(id);
      this.#sweep();
    });
  }
}

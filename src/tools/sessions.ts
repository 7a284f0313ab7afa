import { WebStandardStreamableHTTPServerTransport, type Server } from "@modelcontextprotocol/server";
import type { Clock } from "../canon/index.ts";
import type { HubEvent } from "./hub.ts";

/** One client of revision 2025-11-25, from `initialize` on. */
export interface Session {
  /** Whose it is: nobody else's requests reach it, whatever id they name. */
  readonly scope: string;
  readonly transport: WebStandardStreamableHTTPServerTransport;
  readonly server: Server;
  /** Resources whose changes its client wants to hear of. */
  readonly subscribed: ReadonlySet<string>;
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

/** Sessions in the memory of this process; the one unused for longest makes room. */
export class Sessions {
  readonly #deps: SessionsDeps;
  readonly #open = new Map<string, Session>();
  #stopped = false;

  constructor(deps: SessionsDeps) {
    this.#deps = deps;
    this.#sweep();
  }

  get count(): number {
    return this.#open.size;
  }

  /** Undefined: there is none of this id that is this caller's. */
  find(id: string, scope: string): Session | undefined {
    const session = this.#open.get(id);
    if (session?.scope !== scope) return undefined;
    session.usedAt = this.#deps.clock.monotonic();
    // The map keeps the order in which they were used.
    this.#open.delete(id);
    this.#open.set(id, session);
    return session;
  }

  /** Begins a session that is kept once its client has said `initialize`. */
  async begin(scope: string, server: Server, subscribed: ReadonlySet<string>): Promise<Session> {
    const { clock, newId, bodyBytes, report, most } = this.#deps;
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: newId,
      maxRequestBodySize: bodyBytes(),
      onsessioninitialized: (id) => {
        for (const oldest of this.#open.keys()) {
          if (this.#open.size < most()) break;
          this.#end(oldest);
        }
        this.#open.set(id, session);
      },
      onsessionclosed: (id) => this.#end(id),
    });
    const session: Session = { scope, transport, server, subscribed, usedAt: clock.monotonic() };
    await server.connect(transport);
    const onerror = (error: Error): void => {
      // What a client sends that is no message is its own affair.
      if (!(error instanceof SyntaxError)) report(error);
    };
    Object.assign(server, { onerror });
    return session;
  }

  tell(event: HubEvent): void {
    for (const { server, subscribed } of this.#open.values()) {
      const told =
        event === "tools"
          ? server.sendToolListChanged()
          : event === "prompts"
            ? server.sendPromptListChanged()
            : event === "resources"
              ? server.sendResourceListChanged()
              : subscribed.has(event.uri)
                ? server.sendResourceUpdated({ uri: event.uri })
                : Promise.resolve();
      // A client that does not listen just now reads the list when it asks.
      told.catch(() => {});
    }
  }

  async close(): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#open.values()].map(({ server }) => server.close().catch(() => {})));
    this.#open.clear();
  }

  #end(id: string): void {
    const session = this.#open.get(id);
    this.#open.delete(id);
    session?.server.close().catch(this.#deps.report);
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

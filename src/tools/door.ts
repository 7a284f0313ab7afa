import { createMcpHandler, isLegacyRequest, type McpHttpHandler } from "@modelcontextprotocol/server";
import type { ToolPinStore } from "../canon/index.ts";
import type { GatewayDeps } from "../gateway/run.ts";
import { ToolCalls } from "./admission.ts";
import type { FaceDeps } from "./face.ts";
import type { GrantStore } from "./grants.ts";
import { Hub } from "./hub.ts";
import { Listening } from "./listening.ts";
import { openFace } from "./open-face.ts";
import type { McpOptions } from "./options.ts";
import { type Asking, Sessions } from "./sessions.ts";

const DRAIN_LOOK_MS = 20;
const MS_PER_MINUTE = 60_000;
/** As the protocol names it; clients show it. */
const VERSION = "1.0.0";
const SESSION_HEADER = "mcp-session-id";

export interface DoorDeps {
  readonly gateway: GatewayDeps;
  readonly pins: ToolPinStore;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: (line: string) => void;
  readonly report: (error: unknown) => void;
  /** What people granted at authorization servers of upstream servers. */
  readonly grants?: GrantStore | undefined;
  /** Undefined: this process is the only one at its address. */
  readonly peers?: SessionPeers | undefined;
}

/** A request on its way from the process that took it to the one that its session lives in: all of it can be cloned. */
export interface PeerRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [string, string])[];
  /** Parsed; undefined where it has none. */
  readonly body: unknown;
  readonly asking: Asking;
}

/** The other processes behind the same address. */
export interface SessionPeers {
  /** By which the others know this one, of letters and digits. */
  readonly name: string;
  /** Undefined: there is no such process any more. */
  ask(name: string, request: PeerRequest, signal: AbortSignal): Promise<Response | undefined>;
  /** From now on the others are answered. */
  serve(answer: (request: PeerRequest, signal: AbortSignal) => Promise<Response>): void;
}

/** What `/mcp` answers once its caller is known: both revisions of the specification. */
export class McpDoor {
  readonly hub: Hub;
  readonly #face: FaceDeps;
  readonly #sessions: Sessions;
  readonly #modern: McpHttpHandler;
  readonly #listening: Listening;
  readonly #peers: SessionPeers | undefined;
  readonly #deps: GatewayDeps;
  #options: McpOptions;

  constructor(deps: DoorDeps, options: McpOptions) {
    const { gateway, log, report } = deps;
    const { clock, randomness } = gateway;
    this.#deps = gateway;
    this.#peers = deps.peers;
    this.#options = options;
    // Two ids: one alone is sortable by its time, and what guards a session or a sign-in must not be guessed.
    const newSecret = (): string => `${randomness.id("mcp_")}${globalThis.crypto.randomUUID().replaceAll("-", "")}`;
    this.hub = new Hub({ ...deps, clock, version: VERSION, newSecret, grants: deps.grants });
    this.#face = { hub: this.hub, calls: new ToolCalls(gateway, () => this.#options.running), version: VERSION, log, report };
    this.#sessions = new Sessions({
      clock,
      most: () => this.#options.sessions,
      idleMs: () => this.#options.sessionMinutes * MS_PER_MINUTE,
      bodyBytes: () => this.#options.bodyBytes,
      newId: () => newSecret() + (deps.peers ? OWNER + deps.peers.name : ""),
      report,
    });
    this.#modern = createMcpHandler(
      ({ authInfo }) => {
        const asking = authInfo?.extra?.["asking"] as Asking | undefined;
        if (!asking) throw new Error("A request came without its caller.");
        return openFace(this.#face, { who: () => asking, era: "modern" });
      },
      // A client's fault is told to the client.
      { legacy: "reject", onerror: () => {} },
    );
    this.#listening = new Listening(this.hub, report);
    this.hub.listen((event) => {
      this.#sessions.tell(event);
      const { notify } = this.#modern;
      if (event === "tools") notify.toolsChanged();
      else if (event === "prompts") notify.promptsChanged();
      else if (event === "resources") notify.resourcesChanged();
      else notify.resourceUpdated(event.uri);
    });
    this.hub.configure(options);
    deps.peers?.serve(({ method, url, headers, body, asking }, signal) =>
      this.#here(new Request(url, { method, headers: headers.map(([name, value]) => [name, value]), signal }), body, asking),
    );
  }

  configure(options: McpOptions): void {
    this.#options = options;
    this.hub.configure(options);
  }

  /** `body`: the request's, read and parsed; undefined where it has none. */
  async answer(request: Request, body: unknown, asking: Asking): Promise<Response> {
    if (!(await isLegacyRequest(request, body))) {
      const authInfo = { token: "", clientId: asking.caller.id, scopes: [], extra: { asking } };
      const parsedBody = await this.#listening.admit(body, asking.caller, request.signal);
      return this.#modern.fetch(request, { parsedBody, authInfo });
    }
    const owner = ownerOf(request.headers.get(SESSION_HEADER));
    if (owner === undefined || !this.#peers || owner === this.#peers.name) return this.#here(request, body, asking);
    const { method, url, headers, signal } = request;
    return (await this.#peers.ask(owner, { method, url, headers: [...headers], body, asking }, signal)) ?? notFound();
  }

  /** Sessions of this process. */
  async #here(request: Request, body: unknown, asking: Asking): Promise<Response> {
    const id = request.headers.get(SESSION_HEADER);
    if (id !== null) {
      const session = this.#sessions.find(id, asking);
      // Of somebody else's session nobody is told that there is one.
      return session ? session.transport.handleRequest(request, { parsedBody: body }) : notFound();
    }
    if (request.method !== "POST")
      return refusal(request.method === "GET" ? 405 : 400, -32_000, `${request.method} needs a session: send ${SESSION_HEADER}.`);
    if (!isInitialize(body)) return refusal(400, -32_000, `Bad Request: begin with initialize, then send ${SESSION_HEADER}.`);
    const session = await this.#sessions.begin(asking, (who, subscriptions) => openFace(this.#face, { who, era: "legacy", subscriptions }));
    return session.transport.handleRequest(request, { parsedBody: body });
  }

  /** Lets running calls finish, for `ms` at most. */
  async close(ms: number): Promise<void> {
    const { calls } = this.#face;
    const { clock } = this.#deps;
    const latest = clock.monotonic() + ms;
    while (calls.running > 0 && clock.monotonic() < latest) await new Promise<void>((resolve) => void clock.after(DRAIN_LOOK_MS, resolve));
    await this.#sessions.close();
    await this.#modern.close();
    await this.hub.close();
  }
}

function isInitialize(body: unknown): boolean {
  return typeof body === "object" && body !== null && "method" in body && body.method === "initialize";
}

/** Behind it stands the name of the process that a session lives in. */
const OWNER = ".";

function ownerOf(session: string | null): string | undefined {
  const at = session?.lastIndexOf(OWNER) ?? -1;
  return at < 0 ? undefined : session?.slice(at + 1);
}

function notFound(): Response {
  return refusal(404, -32_001, "Session not found");
}

function refusal(status: number, code: number, message: string): Response {
  return Response.json({ jsonrpc: "2.0", id: null, error: { code, message } }, { status });
}

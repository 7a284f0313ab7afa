import { AsyncLocalStorage } from "node:async_hooks";
import { tmpdir } from "node:os";
import {
  Client,
  ProtocolError,
  ProtocolErrorCode,
  StreamableHTTPClientTransport,
  type ClientCapabilities,
  type Prompt,
  type Resource,
  type ResourceTemplateType,
  type Tool,
  type Transport,
} from "@modelcontextprotocol/client";
import { DEFAULT_INHERITED_ENV_VARS, StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { ProblemError, type Clock, type Problem } from "../canon/index.ts";
import { LogGate } from "./log-gate.ts";
import { plain } from "./names.ts";
import type { Relayed, ServerOptions } from "./options.ts";
import type { SignIn } from "./sign-in.ts";
import { UpstreamFetch } from "./upstream-fetch.ts";
import { Watching, type Watched } from "./watching.ts";

/** Things of one kind that one server may offer. */
const MOST_OFFERED = 2000;
/** Letters of a line that a server writes to its standard error; the rest of the line is dropped. */
const LINE = 500;
/** JSON around an answer that is just short enough. */
const ENVELOPE_BYTES = 4096;
const MODERN = "2026-07-28";
const LEGACY = "2025-11-25";

/** What one server offers, as it says itself. */
export interface Catalogue {
  readonly tools: readonly Tool[];
  readonly prompts: readonly Prompt[];
  readonly resources: readonly Resource[];
  readonly templates: readonly ResourceTemplateType[];
}

export const NOTHING: Catalogue = { tools: [], prompts: [], resources: [], templates: [] };

/** The call that a server works on: what it may ask of that call's client. */
export interface RunningCall {
  readonly stop: AbortController;
  /** Undefined: nobody can be asked. */
  readonly ask?: ((method: string, params: Record<string, unknown>) => Promise<Record<string, unknown>>) | undefined;
  readonly tell?: ((method: string, params: Record<string, unknown>) => void) | undefined;
}

export interface ConnectionOptions {
  readonly name: string;
  readonly options: ServerOptions;
  readonly version: string;
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: (line: string) => void;
  /** Undefined: it asks for no token. */
  readonly signIn: SignIn | undefined;
  /** It closed by itself. */
  readonly onClose: () => void;
  readonly onListChanged: () => void;
  readonly onResource: (uri: string) => void;
  /** Resources whose changes somebody wants to hear of. */
  readonly watched: Watched;
  /** The only call that is under way, where something is relayed. */
  readonly current: () => RunningCall | undefined;
}

/** In whose context a request is sent. */
export const RUNNING = new AsyncLocalStorage<RunningCall>();

/** One connection to one server, from its start to its end. */
export class Connection {
  readonly client: Client;
  /** What the server tells of its own accord. */
  readonly watching: Watching;
  readonly #gate: LogGate;
  readonly #options: ConnectionOptions;
  readonly #transport: Transport;
  readonly #fetch: UpstreamFetch | undefined;
  #closed = false;
  /** Why it ended, where it ended for a reason that its calls should be told. */
  #reason: Problem | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { options: server } = options;
    this.#gate = new LogGate(options.clock, options.log);
    this.#fetch = server.url === undefined ? undefined : this.#openFetch(server.url);
    this.#transport = this.#openTransport();
    this.client = new Client(
      { name: "gimbal", version: options.version },
      {
        capabilities: capabilitiesOf(server.relay),
        versionNegotiation: negotiation(server),
        inputRequired: { autoFulfill: false },
      },
    );
    this.watching = new Watching(this.client, {
      ...options,
      timeoutMs: server.connectTimeoutMs,
      log: (line) => this.#log(line),
    });
    this.#listen();
  }

  get reason(): Problem | undefined {
    return this.#reason;
  }

  /** @throws whatever keeps it from saying what it offers */
  async open(signal: AbortSignal): Promise<Catalogue> {
    const timeout = this.#options.options.connectTimeoutMs;
    await this.client.connect(this.#transport, { timeout, signal });
    this.#holdAnswers();
    // First, so that no change is missed in between.
    this.watching.open();
    return this.read(signal);
  }

  /** What it offers now. */
  async read(signal: AbortSignal): Promise<Catalogue> {
    const { client } = this;
    const has = client.getServerCapabilities() ?? {};
    const asked = { timeout: this.#options.options.connectTimeoutMs, signal, cacheMode: "refresh" } as const;
    const [tools, prompts, resources, templates] = await Promise.all([
      has.tools ? client.listTools(undefined, asked).then((listed) => listed.tools) : [],
      has.prompts ? client.listPrompts(undefined, asked).then((listed) => listed.prompts, orNone) : [],
      has.resources ? client.listResources(undefined, asked).then((listed) => listed.resources, orNone) : [],
      // Servers with resources but without templates often do not know the question.
      has.resources
        ? client.listResourceTemplates(undefined, asked).then(
            (listed) => listed.resourceTemplates,
            () => [],
          )
        : [],
    ]);
    const most = <T>(kind: string, list: readonly T[]): readonly T[] => {
      if (list.length > MOST_OFFERED) this.#log(`offers ${list.length} ${kind}; the first ${MOST_OFFERED} count`);
      return list.slice(0, MOST_OFFERED);
    };
    return {
      tools: most("tools", tools),
      prompts: most("prompts", prompts),
      resources: most("resources", resources),
      templates: most("resource templates", templates),
    };
  }

  /** The official client hears notifications a moment later than answers: progress that comes together with its answer would be lost. */
  #holdAnswers(): void {
    const transport = this.#transport;
    const deliver = transport.onmessage;
    const onmessage: typeof deliver = (message, extra) => {
      if ("method" in message) deliver?.(message, extra);
      else setImmediate(() => deliver?.(message, extra));
    };
    Object.assign(transport, { onmessage });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.watching.close();
    await this.client.close().catch(() => {});
    await this.#transport.close().catch(() => {});
    await this.#fetch?.close();
  }

  #openFetch(url: string): UpstreamFetch {
    const { clock, options } = this.#options;
    return new UpstreamFetch({
      url,
      headers: options.headers,
      allowPrivateNetwork: options.allowPrivateNetwork,
      elsewhere: options.oauth !== undefined,
      connectTimeoutMs: options.connectTimeoutMs,
      headTimeoutMs: Math.max(options.timeoutMs, options.connectTimeoutMs),
      maxBytes: options.maxResultBytes,
      clock,
      whenTooLong: () => {
        const running = RUNNING.getStore();
        return () => {
          this.#log(`sent more than ${options.maxResultBytes} bytes, which is its maxResultBytes`);
          running?.stop.abort(new ProblemError(tooLong(this.#options.name, options)));
        };
      },
    });
  }

  #openTransport(): Transport {
    const { options, env, signIn } = this.#options;
    if (options.url !== undefined && this.#fetch)
      return new StreamableHTTPClientTransport(new URL(options.url), {
        fetch: this.#fetch.fetch,
        ...(signIn && { authProvider: signIn }),
      });
    const own = Object.fromEntries(Object.entries(options.env).map(([name, value]) => [name, value.reveal()]));
    const none = Object.fromEntries(DEFAULT_INHERITED_ENV_VARS.map((name) => [name, undefined]));
    const transport = new StdioClientTransport({
      command: options.command ?? "",
      args: options.args,
      // The official transport adds some of the gateway's own variables; an undefined one takes such a one away.
      env: { ...none, PATH: env["PATH"], ...own } as Record<string, string>,
      cwd: options.cwd ?? tmpdir(),
      stderr: "pipe",
      maxBufferSize: options.maxResultBytes + ENVELOPE_BYTES,
    });
    let line = "";
    transport.stderr?.on("data", (chunk: Buffer) => {
      const lines = (line + chunk.toString("utf8")).split("\n");
      line = (lines.pop() ?? "").slice(0, LINE);
      for (const one of lines) if (one.trim() !== "") this.#log(`says: ${plain(one, LINE)}`);
    });
    return transport;
  }

  #listen(): void {
    const { client } = this;
    const { options, current, onClose, name } = this.#options;
    const onerror = (error: Error): void => {
      if (this.#closed) return;
      // The official transport has no code for it.
      if (options.url === undefined && /buffer/i.test(error.message) && /exceed/i.test(error.message))
        this.#reason = tooLong(name, options);
      this.#log(plain(error));
    };
    const onclose = (): void => {
      if (!this.#closed) onClose();
    };
    Object.assign(client, { onerror, onclose });
    if (options.relay.includes("logging"))
      client.setNotificationHandler("notifications/message", ({ params }) => current()?.tell?.("notifications/message", params));
    client.fallbackRequestHandler = async ({ method, params = {} }) => {
      const needs = RELAY_OF[method];
      const running = current();
      if (needs === undefined || !options.relay.includes(needs)) {
        this.#log(`asked for ${plain(method)}, which \`relay\` does not allow`);
        throw new ProblemError({ kind: "forbidden", message: refusedWords(name, method) });
      }
      if (!running?.ask) throw new ProblemError({ kind: "unsupported", message: "No call is under way whose client could be asked." });
      return running.ask(method, params);
    };
  }

  #log(words: string): void {
    this.#gate.write(`mcp ${this.#options.name}`, words);
  }
}

/** A server may say that it has something and not know the question: then it has none. */
function orNone(error: unknown): readonly never[] {
  if (error instanceof ProtocolError && error.code === (ProtocolErrorCode.MethodNotFound as number)) return [];
  throw error;
}

/** Which part of `relay` lets a server ask this. */
export const RELAY_OF: Readonly<Record<string, Relayed | undefined>> = {
  "sampling/createMessage": "sampling",
  "elicitation/create": "elicitation",
  "roots/list": "roots",
};

export function refusedWords(server: string, method: string): string {
  return `The server "${server}" asked for ${plain(method)}, which this gateway denies; \`mcp.servers.${server}.relay\` can allow it.`;
}

function tooLong(name: string, { maxResultBytes }: ServerOptions): Problem {
  return {
    kind: "upstream_broken",
    code: "result_too_large",
    message: `The server "${name}" answered with more than ${maxResultBytes} bytes, which is its limit \`maxResultBytes\`.`,
  };
}

function capabilitiesOf(relay: readonly Relayed[]): ClientCapabilities {
  return {
    ...(relay.includes("sampling") && { sampling: { tools: {} } }),
    ...(relay.includes("elicitation") && { elicitation: { form: { applyDefaults: true }, url: {} } }),
    ...(relay.includes("roots") && { roots: {} }),
  };
}

function negotiation({ revision, connectTimeoutMs }: ServerOptions): {
  mode: "auto" | "legacy" | { pin: string };
  probe?: { timeoutMs: number };
} {
  if (revision === LEGACY) return { mode: "legacy" };
  return revision === MODERN ? { mode: { pin: MODERN } } : { mode: "auto", probe: { timeoutMs: Math.ceil(connectTimeoutMs / 3) } };
}

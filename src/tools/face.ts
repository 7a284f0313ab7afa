import { CLIENT_CAPABILITIES_META_KEY, LOG_LEVEL_META_KEY, ProtocolError, ProtocolErrorCode } from "@modelcontextprotocol/server";
import type { ClientCapabilities, Server, ServerContext } from "@modelcontextprotocol/server";
import type { CallToolResult, InputRequiredResult, Tool } from "@modelcontextprotocol/client";
import { PROBLEM_KINDS, problemFrom, problemStatus, type Caller, type Headers, type Problem } from "../canon/index.ts";
import type { ToolCalls } from "./admission.ts";
import type { Hub } from "./hub.ts";
import { plain } from "./names.ts";
import { mayUse, type Offer } from "./offers.ts";
import { toolOptionsOf } from "./options.ts";
import { assertAllowed, assertPromised } from "./promised.ts";
import type { CallOptions, Upstream } from "./upstream.ts";

/** JSON-RPC's own code for what went wrong on the server's side (JSON-RPC 2.0, section 5.1); the kind stands in `data`. */
const FAILED = ProtocolErrorCode.InternalError;
const INVALID = ProtocolErrorCode.InvalidParams;

export interface FaceDeps {
  readonly hub: Hub;
  readonly calls: ToolCalls;
  readonly version: string;
  readonly log: (line: string) => void;
  readonly report: (error: unknown) => void;
}

export interface FaceOptions {
  /** Who asks: a session's caller is known anew with each of its requests. */
  readonly who: () => { readonly caller: Caller; readonly headers: Headers };
  /** Can its client be asked while a call runs? */
  readonly era: "legacy" | "modern";
  /** How to stop hearing of each resource whose changes its client wants to hear of. Undefined: its client listens otherwise. */
  readonly subscriptions?: Map<string, () => void>;
}

type Asked = Parameters<Upstream["call"]>[1] extends (client: infer C, ...rest: never[]) => unknown ? C : never;
interface Limits {
  readonly signal: AbortSignal;
  readonly timeout: number;
  readonly allowInputRequired: true;
  readonly onprogress?: (progress: { progress: number; total?: number | undefined; message?: string | undefined }) => void;
}

/** What goes on to the server beside what is asked. Only servers of the newer revision read it. */
interface Carried {
  readonly inputResponses?: ServerContext["mcpReq"]["inputResponses"];
  readonly requestState?: string;
  readonly _meta?: Record<string, unknown>;
}

/** What of its client's abilities a server may know: no more than it may use. */
function sharedOf(declared: ClientCapabilities | undefined, { options: { relay } }: Upstream): ClientCapabilities {
  const { sampling, elicitation, roots } = declared ?? {};
  return {
    ...(sampling && relay.includes("sampling") && { sampling }),
    ...(elicitation && relay.includes("elicitation") && { elicitation }),
    ...(roots && relay.includes("roots") && { roots }),
  };
}

/** What one caller can do with all that the upstream servers offer, as far as it may use it. */
export class Face {
  readonly #deps: FaceDeps;
  readonly #options: FaceOptions;
  readonly #server: Server;

  constructor(deps: FaceDeps, options: FaceOptions, server: Server) {
    this.#deps = deps;
    this.#options = options;
    this.#server = server;
  }

  get #caller(): Caller {
    return this.#options.who().caller;
  }

  /** The form of a tool's arguments, where this caller may use it. */
  schemaOf(name: string): Record<string, unknown> | undefined {
    const offer = this.#deps.hub.offers.tools.get(name);
    return offer && mayUse(this.#caller, offer) ? offer.value.inputSchema : undefined;
  }

  async tools(): Promise<{ tools: Tool[] }> {
    await this.#deps.hub.whenTried();
    const mine = [...this.#deps.hub.offers.tools.values()].filter((offer) => mayUse(this.#caller, offer));
    return { tools: mine.map(({ name, value }) => ({ ...value, name })) };
  }

  async prompts(): Promise<{ prompts: Offer<{ name: string }>["value"][] }> {
    await this.#deps.hub.whenTried();
    const mine = [...this.#deps.hub.offers.prompts.values()].filter((offer) => mayUse(this.#caller, offer));
    return { prompts: mine.map(({ name, value }) => ({ ...value, name })) };
  }

  async resources(): Promise<{ resources: { uri: string; name: string }[] }> {
    await this.#deps.hub.whenTried();
    const mine = [...this.#deps.hub.offers.resources.values()].filter((offer) => mayUse(this.#caller, offer));
    return { resources: mine.map(({ name, value }) => ({ ...value, name })) };
  }

  async templates(): Promise<{ resourceTemplates: { uriTemplate: string; name: string }[] }> {
    await this.#deps.hub.whenTried();
    const mine = this.#deps.hub.offers.templates.filter((offer) => mayUse(this.#caller, offer));
    return { resourceTemplates: mine.map(({ name, value }) => ({ ...value, name })) };
  }

  prompt(name: string): Offer<{ name: string }> {
    const offer = this.#deps.hub.offers.prompts.get(name);
    if (offer && mayUse(this.#caller, offer)) return offer;
    throw new ProtocolError(INVALID, `There is no prompt "${plain(name)}".`);
  }

  resource(uri: string): Offer<unknown> {
    const offer = this.#deps.hub.resourceAt(this.#caller, uri);
    if (offer) return offer;
    const missing = this.#options.era === "modern" ? INVALID : ProtocolErrorCode.ResourceNotFound;
    throw new ProtocolError(missing, `There is no resource ${plain(uri)}.`, { uri });
  }

  template(uri: string): Offer<unknown> {
    const offer = this.#deps.hub.offers.templates.find((one) => one.value.uriTemplate === uri);
    return offer && mayUse(this.#caller, offer) ? offer : this.resource(uri);
  }

  async call(name: string, args: Readonly<Record<string, unknown>>, context: ServerContext): Promise<CallToolResult | InputRequiredResult> {
    const { hub, calls } = this.#deps;
    const { caller, headers } = this.#options.who();
    await hub.whenTried();
    const offer = hub.offers.tools.get(name);
    if (!offer || !mayUse(caller, offer)) throw new ProtocolError(INVALID, this.#noTool(name));
    const { upstream, value } = offer;
    const call = { caller, headers, name, server: upstream.name, options: upstream.options, tool: value.name, arguments: args };
    return calls.run(call, context.mcpReq.signal, async (signal) => {
      const { timeoutMs } = toolOptionsOf(upstream.options, value.name);
      const { outputSchema, ...definition } = value;
      const result = await this.ask(
        upstream,
        context,
        (client, asked, carried) =>
          // By the definition that was approved, not by what the server says of it now.
          client.callTool({ ...carried, name: value.name, arguments: args }, { ...asked, toolDefinition: definition }),
        { signal, ...(timeoutMs !== undefined && { timeoutMs }) },
      );
      const complete = !("inputRequests" in result) && !("requestState" in result);
      if (complete && outputSchema) assertPromised(upstream.name, value.name, outputSchema, result, this.#deps.log);
      return { result, failed: result.isError === true };
    });
  }

  /** Asks a server, with what its caller's client can be asked and told meanwhile. */
  async ask<T>(
    upstream: Upstream,
    context: ServerContext,
    work: (client: Asked, asked: Limits, carried: Carried) => Promise<T>,
    more: { readonly signal?: AbortSignal; readonly timeoutMs?: number } = {},
  ): Promise<T> {
    const { mcpReq } = context;
    const { _meta: meta } = mcpReq;
    const token = meta?.progressToken;
    const onprogress: Limits["onprogress"] =
      token === undefined
        ? undefined
        : ({ progress, total, message }) => {
            const params = {
              progressToken: token,
              progress,
              ...(total !== undefined && { total }),
              ...(message !== undefined && { message }),
            };
            // A client that left does not hear of it.
            void mcpReq.notify({ method: "notifications/progress", params }).catch(() => {});
          };
    const result = await upstream.call(
      { signal: more.signal ?? mcpReq.signal, timeoutMs: more.timeoutMs ?? upstream.options.timeoutMs, ...this.#relay(context) },
      (client, signal, timeout) =>
        work(client, { signal, timeout, allowInputRequired: true, ...(onprogress && { onprogress }) }, this.#carry(upstream, context)),
    );
    assertAllowed(upstream, result);
    return result;
  }

  /** What a client that was asked something says when it asks again, and what it can be asked. */
  #carry(upstream: Upstream, { mcpReq }: ServerContext): Carried {
    if (!upstream.modern) return {};
    const modern = this.#options.era === "modern";
    const requestState: unknown = mcpReq.requestState();
    // The official server has checked it; its type does not name the keys.
    const envelope = mcpReq.envelope as Readonly<Record<string, unknown>> | undefined;
    const declared = modern
      ? (envelope?.[CLIENT_CAPABILITIES_META_KEY] as ClientCapabilities | undefined)
      : this.#server.getClientCapabilities();
    const level = modern && upstream.options.relay.includes("logging") ? envelope?.[LOG_LEVEL_META_KEY] : undefined;
    return {
      ...(mcpReq.inputResponses && { inputResponses: mcpReq.inputResponses }),
      ...(typeof requestState === "string" && { requestState }),
      _meta: { [CLIENT_CAPABILITIES_META_KEY]: sharedOf(declared, upstream), ...(level !== undefined && { [LOG_LEVEL_META_KEY]: level }) },
    };
  }

  /** Clients of the newer revision are asked by answers alone. */
  #relay({ mcpReq }: ServerContext): Pick<CallOptions, "ask" | "tell"> {
    return {
      ...(this.#options.era === "legacy" && { ask: (method, params) => mcpReq.send({ method: method as "roots/list", params }) }),
      tell: (method, params) => {
        if (method !== "notifications/message") return;
        void mcpReq
          .log(levelOf(params["level"]), params["data"], typeof params["logger"] === "string" ? params["logger"] : undefined)
          .catch(() => {});
      },
    };
  }

  /** Problems go to the client in its own language; what is a defect says nothing of its inside. */
  async guarded<T>(work: () => T | Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof ProtocolError || (error instanceof Error && "code" in error && typeof error.code === "number")) throw error;
      const problem = problemFrom(error);
      if (problem.kind === "internal") this.#deps.report(error);
      throw new ProtocolError(FAILED, problem.message, dataOf(problem));
    }
  }

  #noTool(name: string): string {
    const report = this.#deps.hub.offers.reports.find((one) => one.name === name && (one.withheld === "new" || one.withheld === "changed"));
    if (!report || !this.#deps.hub.isVisible(this.#caller, report)) return `There is no tool "${plain(name)}".`;
    return report.withheld === "changed"
      ? `The tool "${name}" is not what was approved any more; a person must approve it again.`
      : `The tool "${name}" must be approved by a person first.`;
  }
}

function dataOf(problem: Problem): Readonly<Record<string, unknown>> {
  const { kind, code, retryAfterMs } = problem;
  return {
    kind,
    status: problemStatus(problem),
    retryable: PROBLEM_KINDS[kind].retryable,
    ...(code !== undefined && { code }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

const LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"] as const;

function levelOf(level: unknown): (typeof LEVELS)[number] {
  return LEVELS.find((one) => one === level) ?? "info";
}

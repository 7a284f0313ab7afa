import { ProtocolError, ProtocolErrorCode, Server, type ServerContext } from "@modelcontextprotocol/server";
import { AjvJsonSchemaValidator } from "@modelcontextprotocol/server/validators/ajv";
import type { CallToolResult, InputRequiredResult, Tool } from "@modelcontextprotocol/client";
import { PROBLEM_KINDS, ProblemError, problemFrom, problemStatus, type Caller, type Headers, type Problem } from "../canon/index.ts";
import { refusedWords, RELAY_OF } from "./connection.ts";
import type { ToolCalls } from "./admission.ts";
import type { Hub } from "./hub.ts";
import { plain } from "./names.ts";
import { mayUse, type Offer } from "./offers.ts";
import { toolOptionsOf } from "./options.ts";
import type { CallOptions, Upstream } from "./upstream.ts";

/** JSON-RPC's own code for what went wrong on the server's side (JSON-RPC 2.0, section 5.1); the kind stands in `data`. */
const FAILED = ProtocolErrorCode.InternalError;
const INVALID = ProtocolErrorCode.InvalidParams;

/** Resources of which one client hears. */
const MOST_SUBSCRIBED = 1000;

export interface FaceDeps {
  readonly hub: Hub;
  readonly calls: ToolCalls;
  readonly version: string;
  readonly log: (line: string) => void;
  readonly report: (error: unknown) => void;
}

export interface FaceOptions {
  readonly caller: Caller;
  readonly headers: Headers;
  /** Can its client be asked while a call runs? */
  readonly era: "legacy" | "modern";
  /** Resources whose changes its client wants to hear of. */
  readonly subscribed: Set<string>;
}

/** The server that one caller talks to: all that the upstream servers offer, as far as this caller may use it. */
export function openFace(deps: FaceDeps, options: FaceOptions): Server {
  const server = new Server(
    { name: "gimbal", title: "Gimbal", version: deps.version },
    {
      capabilities: {
        tools: { listChanged: true },
        prompts: { listChanged: true },
        resources: { listChanged: true, subscribe: true },
        completions: {},
        ...(options.era === "legacy" && { logging: {} }),
      },
    },
  );
  const face = new Face(deps, options);
  server.setRequestHandler("tools/list", () => face.tools());
  server.setRequestHandler("tools/call", ({ params }, context) =>
    face.guarded(() => face.call(params.name, params.arguments ?? {}, context)),
  );
  server.setRequestHandler("prompts/list", () => face.prompts());
  server.setRequestHandler("prompts/get", ({ params }, context) =>
    face.guarded(() => {
      const { upstream, value } = face.prompt(params.name);
      return face.ask(upstream, context, (client, asked) => client.getPrompt({ ...params, ...again(context), name: value.name }, asked));
    }),
  );
  server.setRequestHandler("resources/list", () => face.resources());
  server.setRequestHandler("resources/templates/list", () => face.templates());
  server.setRequestHandler("resources/read", ({ params }, context) =>
    face.guarded(() =>
      face.ask(face.resource(params.uri).upstream, context, (client, asked) =>
        client.readResource({ uri: params.uri, ...again(context) }, { ...asked, cacheMode: "bypass" }),
      ),
    ),
  );
  for (const method of ["resources/subscribe", "resources/unsubscribe"] as const)
    server.setRequestHandler(method, ({ params }, context) =>
      face.guarded(async () => {
        const { uri } = params;
        const { upstream } = face.resource(uri);
        if (method === "resources/unsubscribe") options.subscribed.delete(uri);
        else if (options.subscribed.size >= MOST_SUBSCRIBED)
          throw new ProblemError({ kind: "rate_limited", message: `A client hears of at most ${MOST_SUBSCRIBED} resources.` });
        else {
          // Others may want to hear of it too, so the server is never told that nobody does.
          await face.ask(upstream, context, (client, asked) => client.subscribeResource({ uri }, asked));
          options.subscribed.add(uri);
        }
        return {};
      }),
    );
  server.setRequestHandler("completion/complete", ({ params }, context) =>
    face.guarded(() => {
      const { ref } = params;
      if (ref.type === "ref/resource")
        return face.ask(face.template(ref.uri).upstream, context, (client, asked) => client.complete(params, asked));
      const { upstream, value } = face.prompt(ref.name);
      return face.ask(upstream, context, (client, asked) => client.complete({ ...params, ref: { ...ref, name: value.name } }, asked));
    }),
  );
  return server;
}

type Asked = Parameters<Upstream["call"]>[1] extends (client: infer C, ...rest: never[]) => unknown ? C : never;
interface Limits {
  readonly signal: AbortSignal;
  readonly timeout: number;
  readonly allowInputRequired: true;
  readonly onprogress?: (progress: { progress: number; total?: number | undefined; message?: string | undefined }) => void;
}

/** What a client that was asked something says, when it asks again. Only servers of the newer revision read it. */
function again({ mcpReq }: ServerContext): object {
  const requestState: unknown = mcpReq.requestState();
  return {
    ...(mcpReq.inputResponses && { inputResponses: mcpReq.inputResponses }),
    ...(requestState !== undefined && { requestState }),
  };
}

class Face {
  readonly #deps: FaceDeps;
  readonly #options: FaceOptions;

  constructor(deps: FaceDeps, options: FaceOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  async tools(): Promise<{ tools: Tool[] }> {
    await this.#deps.hub.whenTried();
    const mine = [...this.#deps.hub.offers.tools.values()].filter((offer) => mayUse(this.#options.caller, offer));
    return { tools: mine.map(({ name, value }) => ({ ...value, name })) };
  }

  async prompts(): Promise<{ prompts: Offer<{ name: string }>["value"][] }> {
    await this.#deps.hub.whenTried();
    const mine = [...this.#deps.hub.offers.prompts.values()].filter((offer) => mayUse(this.#options.caller, offer));
    return { prompts: mine.map(({ name, value }) => ({ ...value, name })) };
  }

  async resources(): Promise<{ resources: { uri: string; name: string }[] }> {
    await this.#deps.hub.whenTried();
    const mine = [...this.#deps.hub.offers.resources.values()].filter((offer) => mayUse(this.#options.caller, offer));
    return { resources: mine.map(({ name, value }) => ({ ...value, name })) };
  }

  async templates(): Promise<{ resourceTemplates: { uriTemplate: string; name: string }[] }> {
    await this.#deps.hub.whenTried();
    const mine = this.#deps.hub.offers.templates.filter((offer) => mayUse(this.#options.caller, offer));
    return { resourceTemplates: mine.map(({ name, value }) => ({ ...value, name })) };
  }

  prompt(name: string): Offer<{ name: string }> {
    const offer = this.#deps.hub.offers.prompts.get(name);
    if (offer && mayUse(this.#options.caller, offer)) return offer;
    throw new ProtocolError(INVALID, `There is no prompt "${plain(name)}".`);
  }

  resource(uri: string): Offer<unknown> {
    const offer = this.#deps.hub.resourceAt(this.#options.caller, uri);
    if (offer) return offer;
    const missing = this.#options.era === "modern" ? INVALID : ProtocolErrorCode.ResourceNotFound;
    throw new ProtocolError(missing, `There is no resource ${plain(uri)}.`, { uri });
  }

  template(uri: string): Offer<unknown> {
    const offer = this.#deps.hub.offers.templates.find((one) => one.value.uriTemplate === uri);
    return offer && mayUse(this.#options.caller, offer) ? offer : this.resource(uri);
  }

  async call(name: string, args: Readonly<Record<string, unknown>>, context: ServerContext): Promise<CallToolResult | InputRequiredResult> {
    const { hub, calls } = this.#deps;
    const { caller, headers } = this.#options;
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
        (client, asked) =>
          // By the definition that was approved, not by what the server says of it now.
          client.callTool({ name: value.name, arguments: args, ...again(context) }, { ...asked, toolDefinition: definition }),
        { signal, ...(timeoutMs !== undefined && { timeoutMs }) },
      );
      const complete = !("inputRequests" in result) && !("requestState" in result);
      if (complete && outputSchema) assertTrue(upstream.name, value.name, outputSchema, result, this.#deps.log);
      return { result, failed: result.isError === true };
    });
  }

  /** Asks a server, with what its caller's client can be asked and told meanwhile. */
  async ask<T>(
    upstream: Upstream,
    context: ServerContext,
    work: (client: Asked, asked: Limits) => Promise<T>,
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
            void mcpReq.notify({ method: "notifications/progress", params }).catch(this.#deps.report);
          };
    const result = await upstream.call(
      { signal: more.signal ?? mcpReq.signal, timeoutMs: more.timeoutMs ?? upstream.options.timeoutMs, ...this.#relay(context) },
      (client, signal, timeout) => work(client, { signal, timeout, allowInputRequired: true, ...(onprogress && { onprogress }) }),
    );
    assertAllowed(upstream, result);
    return result;
  }

  /** Clients of the newer revision are asked by answers alone. */
  #relay({ mcpReq }: ServerContext): Pick<CallOptions, "ask" | "tell"> {
    if (this.#options.era === "modern") return {};
    return {
      ask: (method, params) => mcpReq.send({ method: method as "roots/list", params }),
      tell: (method, params) => {
        if (method !== "notifications/message") return;
        void mcpReq
          .log(levelOf(params["level"]), params["data"], typeof params["logger"] === "string" ? params["logger"] : undefined)
          .catch(this.#deps.report);
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
    if (!report || !this.#deps.hub.isVisible(this.#options.caller, report)) return `There is no tool "${plain(name)}".`;
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

/** A server of the newer revision asks by its answer. @throws ProblemError forbidden */
function assertAllowed({ name, options }: Upstream, result: unknown): void {
  const requests: unknown = typeof result === "object" && result !== null && "inputRequests" in result ? result.inputRequests : undefined;
  if (typeof requests !== "object" || requests === null) return;
  for (const request of Object.values(requests) as { readonly method?: unknown }[]) {
    const method = String(request?.method);
    const needs = RELAY_OF[method];
    if (needs === undefined || !options.relay.includes(needs))
      throw new ProblemError({ kind: "forbidden", message: refusedWords(name, method) });
  }
}

const validators = new WeakMap<object, (value: unknown) => { valid: boolean; errorMessage?: string | undefined }>();
const ajv = new AjvJsonSchemaValidator();

/** Does the answer have the form that the tool promises? @throws ProblemError upstream_broken */
function assertTrue(
  server: string,
  tool: string,
  schema: object,
  result: { structuredContent?: unknown; isError?: unknown },
  log: (line: string) => void,
): void {
  if (result.isError === true) return;
  let why = "it has none";
  if (result.structuredContent !== undefined) {
    try {
      let validate = validators.get(schema);
      if (!validate) validators.set(schema, (validate = ajv.getValidator(schema)));
      const outcome = validate(result.structuredContent);
      if (outcome.valid) return;
      why = outcome.errorMessage ?? "it does not fit";
    } catch (error) {
      why = `the schema cannot be used: ${error instanceof Error ? error.message : String(error)}`;
    }
  }
  const message = `The structured content of "${plain(tool)}" of the server "${server}" is not what its output schema promises: ${plain(why)}.`;
  log(`mcp ${server}: ${message}`);
  throw new ProblemError({ kind: "upstream_broken", code: "schema_broken", message });
}

const LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"] as const;

function levelOf(level: unknown): (typeof LEVELS)[number] {
  return LEVELS.find((one) => one === level) ?? "info";
}

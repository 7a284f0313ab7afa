import {
  problemFrom,
  type Capabilities,
  type Credential,
  type Headers,
  type Problem,
  type Provider,
  type Secret,
  type UpstreamCall,
  type UpstreamHandle,
  type UpstreamSink,
} from "../canon/index.ts";
import { openJson, replaceMembers } from "../kit/index.ts";
import type { CatalogRow, OwnProvider } from "./catalog.ts";
import { credentialsOf, refuse } from "./vertex-credentials.ts";
import { networkOf } from "./network.ts";
import { TokenSource, tokenHostOf } from "./vertex-token.ts";

/** Whose models they are, and how their requests are said here. */
export interface Publisher {
  /** As it stands in the path. */
  readonly name: string;
  /**
   * Its own language, sent on as it is (`rawPredict`): the model stands in the path and not in the body, where these fields are added.
   * Undefined: the platform's own language, paths included.
   */
  readonly raw?: Readonly<Record<string, string>>;
}

/** Nesting of a body that this gateway wrote or read before. */
const JSON_DEPTH = 1000;

/** What stands behind `/publishers/<name>`, and the body. */
function requestTo(
  { raw }: Publisher,
  { request, model, stream }: UpstreamCall,
): { readonly path: string; readonly body: string | Buffer } {
  if (!raw) return { path: request.path, body: request.body };
  const counts = request.path.endsWith("/count_tokens");
  const verb = stream ? "streamRawPredict" : "rawPredict";
  const path = counts ? "/models/count-tokens:rawPredict" : `/models/${encodeURIComponent(model)}:${verb}`;
  const opened = openJson(Buffer.from(request.body), { depth: JSON_DEPTH });
  if (!opened.ok) return { path, body: request.body };
  return { path, body: replaceMembers(opened.document, { ...(!counts && { model: undefined }), ...raw }) };
}

/**
 * Models that Google's cloud runs, its own or another publisher's: one path a project, a place and a publisher, and tokens in place of
 * keys. @throws ProblemError invalid_request, with what to write into the configuration
 */
export function vertexProvider(publisher: Publisher): OwnProvider {
  return ({ name, options, row, deps, plain }) => {
    if (options.apiKey !== undefined || options.apiKeys !== undefined)
      throw refuse(name, "takes no apiKey: give it serviceAccount, serviceAccountFile or applicationDefault");
    const { env } = deps;
    const { grant, project: own } = credentialsOf(name, options, env);
    const project = options.project ?? own ?? env["GOOGLE_CLOUD_PROJECT"];
    if (project === undefined) throw refuse(name, "needs a project");
    const location = options.location ?? env["GOOGLE_CLOUD_LOCATION"] ?? "global";
    const { baseUrl, isPrivate } = tokenHostOf(grant);
    const { connectTimeoutMs, headTimeoutMs, dataTimeoutMs, maxConnections, maxHeaderBytes } = options;
    const tokens = new TokenSource(
      name,
      grant,
      deps.connect({
        baseUrl,
        allowPrivateNetwork: isPrivate || options.allowPrivateNetwork === true,
        connectTimeoutMs,
        headTimeoutMs,
        dataTimeoutMs,
        maxConnections,
        maxHeaderBytes,
        // What is shown in handshakes is for the models' own host.
        ...networkOf(name, { proxy: options.proxy, tls: options.tls?.ca === undefined ? undefined : { ca: options.tls.ca } }, baseUrl, env),
      }),
      deps.clock,
    );
    const host = location === "global" ? "aiplatform.googleapis.com" : `${location}-aiplatform.googleapis.com`;
    const at: CatalogRow = { ...row, baseUrl: `https://${host}` };
    const prefix = `/v1/projects/${encodeURIComponent(project)}/locations/${encodeURIComponent(location)}/publishers/${publisher.name}`;
    return new VertexProvider(plain(at), tokens, publisher, prefix);
  };
}

class VertexProvider implements Provider {
  readonly id: string;
  readonly dialects: readonly string[];
  readonly credentials: readonly Credential[] = [];
  readonly #inner: Provider;
  readonly #tokens: TokenSource;
  readonly #publisher: Publisher;
  readonly #prefix: string;

  constructor(inner: Provider, tokens: TokenSource, publisher: Publisher, prefix: string) {
    this.id = inner.id;
    this.dialects = inner.dialects;
    this.#inner = inner;
    this.#tokens = tokens;
    this.#publisher = publisher;
    this.#prefix = prefix;
  }

  get capacity(): NonNullable<Provider["capacity"]> {
    return this.#inner.capacity ?? {};
  }

  get tasks(): NonNullable<Provider["tasks"]> {
    return this.#inner.tasks ?? {};
  }

  capabilities(model: string): Capabilities {
    return this.#inner.capabilities(model);
  }

  open(call: UpstreamCall, sink: UpstreamSink): UpstreamHandle {
    const { path, body } = requestTo(this.#publisher, call);
    const placed: UpstreamCall = { ...call, request: { ...call.request, path: this.#prefix + path, body } };
    return new Signed(placed, sink, this.#inner, this.#tokens);
  }

  /** The platform lists what could be had, not what a project may use. */
  models(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  async check(): Promise<{ readonly ok: boolean; readonly detail: string }> {
    try {
      await this.#tokens.get();
      return { ok: true, detail: "Its credentials give a token; whether the project may use a model is unproven." };
    } catch (error) {
      return { ok: false, detail: problemFrom(error).message };
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#tokens.close(), this.#inner.close()]);
  }
}

/** One call with a token: at once where there is one. A token that is refused is replaced, once. */
class Signed implements UpstreamHandle, UpstreamSink {
  readonly #call: UpstreamCall;
  readonly #sink: UpstreamSink;
  readonly #inner: Provider;
  readonly #tokens: TokenSource;
  #handle: UpstreamHandle | undefined;
  #token: Secret | undefined;
  #over = false;
  #again = false;

  constructor(call: UpstreamCall, sink: UpstreamSink, inner: Provider, tokens: TokenSource) {
    this.#call = call;
    this.#sink = sink;
    this.#inner = inner;
    this.#tokens = tokens;
    const token = tokens.current();
    if (token) this.#open(token);
    else this.#ask();
  }

  onHead(status: number, headers: Headers): void {
    if (this.#over) return;
    if (status !== 401 || this.#again || !this.#token) return this.#sink.onHead(status, headers);
    this.#again = true;
    this.#handle?.cancel();
    this.#tokens.forget(this.#token);
    this.#ask();
  }
  onData(chunk: Buffer): boolean {
    return this.#over || this.#sink.onData(chunk);
  }
  onEnd(): void {
    if (!this.#over) this.#sink.onEnd();
  }
  onProblem(problem: Problem): void {
    if (!this.#over) this.#sink.onProblem(problem);
  }
  cancel(): void {
    this.#over = true;
    this.#handle?.cancel();
  }
  resume(): void {
    this.#handle?.resume();
  }

  #ask(): void {
    void this.#whenGiven();
  }

  async #whenGiven(): Promise<void> {
    try {
      const token = await this.#tokens.get();
      if (!this.#over) this.#open(token);
    } catch (error) {
      this.onProblem(problemFrom(error));
    }
  }

  #open(token: Secret): void {
    this.#token = token;
    const { request } = this.#call;
    const headers = { ...request.headers, authorization: `Bearer ${token.reveal()}` };
    this.#handle = this.#inner.open({ ...this.#call, request: { ...request, headers } }, this);
  }
}

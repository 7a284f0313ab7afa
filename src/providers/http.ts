import type { Clock, Headers, Problem, Provider, Secret, UpstreamCall, UpstreamHandle, UpstreamSink } from "../canon/index.ts";
import type { ClientHandle, ClientSink, HttpClient } from "../wire/types.ts";
import type { Address } from "./address.ts";
import type { CatalogRow } from "./catalog.ts";
import { fetchSmall, modelNames, type Fetched } from "./listing.ts";
import type { ProviderOptions } from "./options.ts";

export interface HttpProviderParts {
  readonly name: string;
  readonly row: CatalogRow;
  readonly options: ProviderOptions;
  readonly address: Address;
  readonly key: Secret | undefined;
  readonly client: HttpClient;
  readonly clock: Clock;
  readonly capabilities: Provider["capabilities"];
}

const JSON_TYPE = "application/json";
const STREAM_TYPE = "text/event-stream";

/** Longest that a list of models or a check may take, in milliseconds. */
const ASK_MS = 10_000;

/** Every provider reached over HTTP. It follows no redirect: the key belongs to this host and to no other. */
export class HttpProvider implements Provider {
  readonly id: string;
  readonly dialects: readonly string[];
  readonly capabilities: Provider["capabilities"];
  readonly #parts: HttpProviderParts;
  /** Name and value of what the configuration and the catalogue add to every request; credentials last, so that nothing replaces them. */
  readonly #fixed: readonly (readonly [string, string])[];
  /** The headers of most requests, whose dialect adds none of its own: made once. */
  readonly #plain: { readonly whole: Readonly<Record<string, string>>; readonly stream: Readonly<Record<string, string>> };

  constructor(parts: HttpProviderParts) {
    const { row, options } = parts;
    this.#parts = parts;
    this.id = parts.name;
    // The dated API has no path for the newer language.
    const dated = options.apiVersion !== undefined && row.dated !== undefined;
    this.dialects = options.dialects ?? (dated ? row.dialects.slice(-1) : row.dialects);
    this.capabilities = parts.capabilities;
    this.#fixed = fixedHeaders(parts);
    this.#plain = { whole: this.#headers({}, JSON_TYPE), stream: this.#headers({}, STREAM_TYPE) };
  }

  open(call: UpstreamCall, sink: UpstreamSink): UpstreamHandle {
    const { method, path, body } = call.request;
    const headers = this.#headersOf(call);
    const guard = new RedirectGuard(this.id, sink);
    const target = this.#path(path, call.model);
    guard.handle = this.#parts.client.open(
      method === "GET" ? { method, path: target, headers } : { method, path: target, headers, body },
      guard,
    );
    return guard;
  }

  async models(signal: AbortSignal): Promise<readonly string[]> {
    const { modelsPath, notForChat } = this.#parts.row;
    if (modelsPath === undefined) return [];
    const fetched = await this.#ask(modelsPath, signal);
    if (!fetched.ok || fetched.status !== 200) return [];
    const exclude = notForChat === undefined ? undefined : new RegExp(notForChat, "i");
    return modelNames(fetched.text).flatMap(({ name }) => (exclude?.test(name) ? [] : [name]));
  }

  async check(signal: AbortSignal): Promise<{ readonly ok: boolean; readonly detail: string }> {
    const { row, key, address } = this.#parts;
    if (row.needsKey && !key) return { ok: false, detail: `No key: set apiKey, or ${row.environment.join(" or ")} in the environment.` };
    const fetched = await this.#ask(row.modelsPath ?? "/models", signal);
    if (!fetched.ok) return { ok: false, detail: fetched.problem.message };
    const { status } = fetched;
    if (status === 401 || status === 403) return { ok: false, detail: `${address.host} refused the key (HTTP ${status}).` };
    if (status >= 300 && status < 400) return { ok: false, detail: redirectMessage(this.id, fetched.headers) };
    if (status >= 500) return { ok: false, detail: `${address.host} answered HTTP ${status}; it is failing.` };
    if (status !== 200) return { ok: true, detail: `${address.host} answers; it has no list of models, so the key is unproven.` };
    const count = modelNames(fetched.text).length;
    return { ok: true, detail: `${address.host} answers and lists ${count} model${count === 1 ? "" : "s"}.` };
  }

  close(): Promise<void> {
    return this.#parts.client.close();
  }

  #ask(path: string, signal: AbortSignal): Promise<Fetched> {
    const { client, clock, options, row } = this.#parts;
    const asked =
      options.apiVersion !== undefined && row.dated !== undefined ? `${row.dated.modelsPath}?api-version=${options.apiVersion}` : path;
    return fetchSmall(client, asked, this.#plain.whole, signal, clock, ASK_MS);
  }

  #headersOf({ request, stream }: UpstreamCall): Readonly<Record<string, string>> {
    if (!isEmpty(request.headers)) return this.#headers(request.headers, stream ? STREAM_TYPE : JSON_TYPE);
    return stream ? this.#plain.stream : this.#plain.whole;
  }

  #headers(ofDialect: Readonly<Record<string, string>>, accept: string): Record<string, string> {
    const headers: Record<string, string> = { "content-type": JSON_TYPE, accept, "user-agent": "gimbal" };
    for (const name in ofDialect) {
      const value = ofDialect[name];
      if (value !== undefined && isHeaderValue(value)) headers[name] = value;
    }
    for (const [name, value] of this.#fixed) headers[name] = value;
    return headers;
  }

  #path(path: string, model: string): string {
    const { row, options, address } = this.#parts;
    if (options.apiVersion !== undefined && row.dated !== undefined) {
      return `${row.dated.deploymentPath.replace("{model}", () => encodeURIComponent(model))}${path}?api-version=${options.apiVersion}`;
    }
    // Some dialects name the version themselves; it must not stand there twice.
    return path.startsWith("/v1/") && address.baseUrl.endsWith("/v1") ? path.slice(3) : path;
  }
}

function isEmpty(headers: Readonly<Record<string, string>>): boolean {
  for (const name in headers) if (headers[name] !== undefined) return false;
  return true;
}

function fixedHeaders({ row, options, key }: HttpProviderParts): readonly (readonly [string, string])[] {
  const fixed: [string, string][] = [];
  for (const [name, value] of Object.entries(options.headers ?? {})) fixed.push([name.toLowerCase(), value.reveal()]);
  if (key) fixed.push(row.auth.style === "bearer" ? ["authorization", `Bearer ${key.reveal()}`] : [row.auth.name, key.reveal()]);
  return fixed;
}

/** A dialect may pass on a client's opt-ins; what could end a header line never goes out. */
function isHeaderValue(value: string): boolean {
  return /^[\x20-\x7e\t]*$/.test(value);
}

/** Passes everything through but redirects, which become a problem. */
class RedirectGuard implements ClientSink, UpstreamHandle {
  handle: ClientHandle | undefined;
  readonly #provider: string;
  readonly #sink: UpstreamSink;
  #over = false;

  constructor(provider: string, sink: UpstreamSink) {
    this.#provider = provider;
    this.#sink = sink;
  }

  onHead(status: number, headers: Headers): void {
    if (this.#over) return;
    if (status < 300 || status >= 400) return this.#sink.onHead(status, headers);
    this.cancel();
    this.#sink.onProblem({ kind: "upstream_rejected", code: "redirect", status: 502, message: redirectMessage(this.#provider, headers) });
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
    this.handle?.cancel();
  }
  resume(): void {
    this.handle?.resume();
  }
}

const HOST_CHARACTERS = 200;

function redirectMessage(provider: string, headers: Headers): string {
  const location = headers["location"] ?? "";
  const host = URL.canParse(location) ? new URL(location).host.slice(0, HOST_CHARACTERS) : "another path of the same host";
  return `The provider "${provider}" redirects to ${host}. Redirects are not followed, because the key must not travel; correct its baseUrl.`;
}

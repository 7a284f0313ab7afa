import type {
  BatchService,
  Capacity,
  Clock,
  Credential,
  Headers,
  ModelServer,
  Problem,
  Provider,
  RealtimeCall,
  RealtimeHandle,
  RealtimeProvider,
  RealtimeSink,
  Secret,
  UpstreamCall,
  UpstreamHandle,
  UpstreamSink,
} from "../canon/index.ts";
import type { ClientHandle, ClientSink, HttpClient } from "../wire/types.ts";
import type { Address } from "./address.ts";
import { batchServiceOf } from "./catalog-batches.ts";
import { realtimeOf } from "./catalog-realtime.ts";
import type { CatalogRow } from "./catalog.ts";
import type { ProviderKey } from "./keys.ts";
import { fetchSmall, modelNames, type Fetched } from "./listing.ts";
import type { ProviderOptions } from "./options.ts";
import type { OpenServer } from "./servers/index.ts";
import { reportInWords } from "./servers/words.ts";
import { openSession } from "./realtime.ts";

export interface HttpProviderParts {
  readonly name: string;
  readonly row: CatalogRow;
  readonly options: ProviderOptions;
  readonly address: Address;
  /** The part of the address that stands before every path but those of `besidePath`. */
  readonly below: string;
  /** Empty where it needs none or has none. */
  readonly keys: readonly ProviderKey[];
  readonly client: HttpClient;
  readonly clock: Clock;
  readonly capabilities: Provider["capabilities"];
  readonly tasks: NonNullable<Provider["tasks"]>;
  /** Undefined where its servers tell nothing of themselves. */
  readonly openServer?: (headers: () => Readonly<Record<string, string>>) => OpenServer | undefined;
}

const JSON_TYPE = "application/json";
const STREAM_TYPE = "text/event-stream";

/** The version that a path begins with. */
const VERSION = /^(\/v\d)\//;

/** Longest that a list of models or a check may take, in milliseconds. */
const ASK_MS = 10_000;

/** Every provider reached over HTTP. It follows no redirect: the key belongs to this host and to no other. */
export class HttpProvider implements Provider {
  readonly id: string;
  readonly dialects: readonly string[];
  readonly uploads = true;
  readonly capabilities: Provider["capabilities"];
  readonly tasks: NonNullable<Provider["tasks"]>;
  readonly realtime?: RealtimeProvider;
  readonly server?: ModelServer;
  readonly batches?: BatchService;
  readonly #parts: HttpProviderParts;
  readonly #opened: OpenServer | undefined;
  readonly credentials: readonly Credential[];
  readonly capacity: Capacity;
  /** Of each key by its id. */
  readonly #wired = new Map<string, KeyHeaders>();
  /** Of the first key, or of none. */
  readonly #first: KeyHeaders;
  /** Of each key by its id, for languages that take it otherwise. */
  readonly #apart = new Map<string, KeyHeaders>();

  constructor(parts: HttpProviderParts) {
    const { row, options } = parts;
    this.#parts = parts;
    this.id = parts.name;
    // The dated API has no path for the newer language.
    const dated = options.apiVersion !== undefined && row.dated !== undefined;
    this.dialects = options.dialects ?? (dated ? row.dialects.slice(-1) : row.dialects);
    this.capabilities = parts.capabilities;
    this.tasks = parts.tasks;
    const realtime = realtimeOf(options.kind ?? parts.name);
    if (realtime) this.realtime = { dialects: realtime.dialects, open: (call, sink) => this.#session(call, realtime.besideVersion, sink) };
    const batches = batchServiceOf(options.kind ?? parts.name, options.batches);
    if (batches) this.batches = batches;
    this.credentials = parts.keys.map(({ credential }) => credential);
    this.capacity = capacityOf(options);
    for (const { credential, secret } of parts.keys) this.#wired.set(credential.id, keyHeaders(parts, secret));
    for (const [dialect, { auth }] of Object.entries(row.apart ?? {}))
      for (const { credential, secret } of parts.keys)
        this.#apart.set(`${credential.id} ${dialect}`, keyHeaders({ ...parts, row: { ...row, auth: auth ?? row.auth } }, secret));
    this.#first = this.#wired.get(this.credentials[0]?.id ?? "") ?? keyHeaders(parts, undefined);
    this.#opened = parts.openServer?.(() => this.#first.whole);
    if (this.#opened) this.server = this.#opened.server;
  }

  /** A socket's path begins where those of calls do, unless its kind says otherwise. */
  #session(call: RealtimeCall, besideVersion: true | undefined, sink: RealtimeSink): RealtimeHandle {
    const headers = Object.fromEntries(this.#keyHeaders(call.credential).fixed);
    return openSession(
      this.#parts.client,
      { ...call, path: besideVersion ? call.path : this.#parts.below + call.path },
      { "user-agent": "gimbal", ...headers },
      besideVersion,
      sink,
    );
  }

  open(call: UpstreamCall, sink: UpstreamSink): UpstreamHandle {
    const { method, path, body } = call.request;
    const headers = this.#headersOf(call);
    const guard = new RedirectGuard(this.id, sink);
    const target = this.#path(path, call);
    guard.handle = this.#parts.client.open(
      method === "GET" ? { method, path: target, headers } : { method, path: target, headers, body: call.upload ?? body },
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

  async check(signal: AbortSignal): Promise<CheckOutcome> {
    const { row, keys } = this.#parts;
    if (row.needsKey && keys.length === 0)
      return { ok: false, detail: `No key: set apiKey, or ${row.environment.join(" or ")} in the environment.` };
    let first: CheckOutcome | undefined;
    for (const { id } of keys.length > 1 ? this.credentials : [{ id: undefined }]) {
      const outcome = await this.#checkKey(id, signal);
      if (!outcome.ok) return outcome;
      first ??= outcome;
    }
    return first ? this.#told(first, signal) : { ok: false, detail: "It has no key." };
  }

  /** With what the server tells of itself. */
  async #told(checked: CheckOutcome, signal: AbortSignal): Promise<CheckOutcome> {
    const report = await this.server?.survey("models", signal);
    return report ? { ok: report.up, detail: `${checked.detail} ${reportInWords(report)}`.trim() } : checked;
  }

  /** One key of several is named; a single one need not be. */
  async #checkKey(id: string | undefined, signal: AbortSignal): Promise<CheckOutcome> {
    const { row, address } = this.#parts;
    const fetched = await this.#ask(row.modelsPath ?? "/models", signal, id);
    if (!fetched.ok) return { ok: false, detail: fetched.problem.message };
    const { status } = fetched;
    if (status === 401 || status === 403)
      return { ok: false, detail: `${address.host} refused the key ${id === undefined ? "" : `${id} `}(HTTP ${status}).` };
    if (status >= 300 && status < 400) return { ok: false, detail: redirectMessage(this.id, fetched.headers) };
    if (status >= 500) return { ok: false, detail: `${address.host} answered HTTP ${status}; it is failing.` };
    if (status !== 200) return { ok: true, detail: `${address.host} answers; it has no list of models, so the key is unproven.` };
    const count = modelNames(fetched.text).length;
    return { ok: true, detail: `${address.host} answers and lists ${count} model${count === 1 ? "" : "s"}.` };
  }

  async close(): Promise<void> {
    await Promise.all([this.#parts.client.close(), this.#opened?.close()]);
  }

  #ask(path: string, signal: AbortSignal, credential?: string): Promise<Fetched> {
    const { client, clock, options, row } = this.#parts;
    const asked =
      options.apiVersion !== undefined && row.dated !== undefined ? `${row.dated.modelsPath}?api-version=${options.apiVersion}` : path;
    return fetchSmall(client, this.#parts.below + asked, this.#keyHeaders(credential).whole, signal, clock, ASK_MS);
  }

  #headersOf({ request, stream, accepts, credential, dialect }: UpstreamCall): Readonly<Record<string, string>> {
    const apart = this.#apart.size === 0 ? undefined : this.#apart.get(`${credential ?? this.credentials[0]?.id ?? ""} ${dialect}`);
    const ofKey = apart ?? this.#keyHeaders(credential);
    if (accepts !== undefined || !isEmpty(request.headers))
      return headersWith(request.headers, stream ? (accepts ?? STREAM_TYPE) : JSON_TYPE, ofKey.fixed);
    return stream ? ofKey.stream : ofKey.whole;
  }

  #keyHeaders(credential: string | undefined): KeyHeaders {
    return credential === undefined ? this.#first : (this.#wired.get(credential) ?? this.#first);
  }

  #path(path: string, { model, dialect }: UpstreamCall): string {
    const { row, options, address, below } = this.#parts;
    const apart = row.apart?.[dialect];
    if (apart) return `${below}${apart.path}${path}`;
    if (row.besidePath !== undefined && path.startsWith(row.besidePath)) return path;
    if (options.apiVersion !== undefined && row.dated !== undefined) {
      return `${row.dated.deploymentPath.replace("{model}", () => encodeURIComponent(model))}${path}?api-version=${options.apiVersion}`;
    }
    // Some dialects name the version themselves; it must not stand there twice.
    const version = VERSION.exec(path)?.[1];
    return below + (version !== undefined && address.baseUrl.endsWith(version) ? path.slice(version.length) : path);
  }
}

function isEmpty(headers: Readonly<Record<string, string>>): boolean {
  for (const name in headers) if (headers[name] !== undefined) return false;
  return true;
}

interface CheckOutcome {
  readonly ok: boolean;
  readonly detail: string;
}

/** What goes out with one key. */
interface KeyHeaders {
  /** What the configuration and the catalogue add to every request; credentials last, so that nothing replaces them. */
  readonly fixed: readonly (readonly [string, string])[];
  /** The headers of most requests, whose dialect adds none of its own: made once. */
  readonly whole: Readonly<Record<string, string>>;
  readonly stream: Readonly<Record<string, string>>;
}

function keyHeaders({ row, options }: HttpProviderParts, key: Secret | undefined): KeyHeaders {
  const fixed: [string, string][] = [];
  for (const [name, value] of Object.entries(options.headers ?? {})) fixed.push([name.toLowerCase(), value.reveal()]);
  if (key) fixed.push(row.auth.style === "bearer" ? ["authorization", `Bearer ${key.reveal()}`] : [row.auth.name, key.reveal()]);
  return { fixed, whole: headersWith({}, JSON_TYPE, fixed), stream: headersWith({}, STREAM_TYPE, fixed) };
}

function headersWith(ofDialect: Readonly<Record<string, string>>, accept: string, fixed: KeyHeaders["fixed"]): Record<string, string> {
  const headers: Record<string, string> = { "content-type": JSON_TYPE, accept, "user-agent": "gimbal" };
  for (const name in ofDialect) {
    const value = ofDialect[name];
    if (value !== undefined && isHeaderValue(value)) headers[name] = value;
  }
  for (const [name, value] of fixed) headers[name] = value;
  return headers;
}

function capacityOf({ concurrency, models }: ProviderOptions): Capacity {
  const limits = Object.entries(models ?? {}).flatMap(([model, options]) =>
    options.concurrency === undefined ? [] : [[model, options.concurrency] as const],
  );
  return { ...(concurrency !== undefined && { concurrency }), ...(limits.length > 0 && { models: new Map(limits) }) };
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

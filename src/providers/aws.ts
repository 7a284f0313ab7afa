import {
  problemFrom,
  ProblemError,
  Secret,
  type Capabilities,
  type Clock,
  type Credential,
  type Headers,
  type Problem,
  type Provider,
  type UpstreamCall,
  type UpstreamHandle,
  type UpstreamSink,
} from "../canon/index.ts";
import { addressOf, type Environment } from "./address.ts";
import { RequestSigner, type AccessKey } from "./aws-sign.ts";
import type { OwnProvider } from "./catalog.ts";
import type { ProviderOptions } from "./options.ts";

/** The region in an address of the catalogue. */
const ADDRESS_REGION = "us-east-1";
/** A region as host names have it. */
const REGION = /^[a-z]{2,3}(?:-[a-z]+)+-\d+$/;
/** A clock that is further off than this is set by the service's own. The service bears five minutes. */
const MOST_SKEW_MS = 60_000;

/** Another maker's language as this cloud takes it: one request in and another out, and the answer in that maker's language. */
export interface Hosting {
  asked(call: UpstreamCall): UpstreamCall;
  /** Whoever hears the answer may find that it is over, and stops `handle`. */
  heard(call: UpstreamCall, sink: UpstreamSink, provider: string, clock: Clock): UpstreamSink & { handle: UpstreamHandle | undefined };
}

/**
 * Models that Amazon's cloud runs, proven to it by an API key, or by an access key that signs. `hosting`: they are asked in their maker's
 * language.
 *
 * @throws ProblemError invalid_request, with what to write into the configuration
 */
export const awsProvider =
  (service: string, hosting?: Hosting): OwnProvider =>
  ({ name, options, row, deps, plain }) => {
    const { env, clock } = deps;
    const region = options.region ?? env["AWS_REGION"] ?? env["AWS_DEFAULT_REGION"];
    if (region === undefined) throw refuse(name, "needs a region, such as us-east-1, or AWS_REGION in the environment", "region");
    if (!REGION.test(region))
      throw refuse(name, `has a region "${region.slice(0, 100)}" that is none of the cloud's, such as us-east-1`, "region");
    const at = { ...row, baseUrl: (row.baseUrl ?? "").replace(ADDRESS_REGION, region) };
    const address = addressOf(name, options, at, env);
    const written = writtenKey(name, options);
    if (written && (options.apiKey ?? options.apiKeys) !== undefined)
      throw refuse(name, "has both an API key and an accessKeyId: name one", "accessKeyId");
    // What signs is not also sent a key that happens to stand in the environment.
    const inner = plain(written ? { ...at, environment: [] } : at);
    const bearer = (inner.credentials ?? []).length > 0;
    // Like every key, one of the environment serves the cloud's own address alone.
    const key = written ?? (bearer || !address.own ? undefined : keyFrom(env));
    const signer = key && new RequestSigner({ region, service, host: address.host }, key);
    const basePath = new URL(address.baseUrl).pathname.replace(/\/$/, "");
    return new AwsProvider({ inner, signer, clock, basePath, hasKey: bearer || key !== undefined, hosting });
  };

function writtenKey(name: string, { accessKeyId: id, secretAccessKey: secret, sessionToken }: ProviderOptions): AccessKey | undefined {
  if (id === undefined && secret === undefined && sessionToken === undefined) return undefined;
  if (id === undefined || secret === undefined)
    throw refuse(name, "needs both accessKeyId and secretAccessKey", id === undefined ? "accessKeyId" : "secretAccessKey");
  return { id, secret, sessionToken };
}

function keyFrom(env: Environment): AccessKey | undefined {
  const { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret, AWS_SESSION_TOKEN: token } = env;
  if (!id || !secret) return undefined;
  return { id: new Secret(id), secret: new Secret(secret), ...(token && { sessionToken: new Secret(token) }) };
}

function refuse(name: string, what: string, param: string): ProblemError {
  return new ProblemError({ kind: "invalid_request", message: `The provider "${name}" ${what}.`, param: `providers.${name}.${param}` });
}

interface AwsParts {
  readonly inner: Provider;
  /** Undefined: an API key is sent in place of signatures, or there is none. */
  readonly signer: RequestSigner | undefined;
  readonly clock: Clock;
  /** What stands before every path at this address. */
  readonly basePath: string;
  readonly hasKey: boolean;
  readonly hosting: Hosting | undefined;
}

class AwsProvider implements Provider {
  readonly id: string;
  readonly dialects: readonly string[];
  readonly credentials: readonly Credential[];
  readonly #parts: AwsParts;
  readonly #skew = { ms: 0 };

  constructor(parts: AwsParts) {
    this.#parts = parts;
    this.id = parts.inner.id;
    this.dialects = parts.inner.dialects;
    this.credentials = parts.inner.credentials ?? [];
  }

  get capacity(): NonNullable<Provider["capacity"]> {
    return this.#parts.inner.capacity ?? {};
  }

  get tasks(): NonNullable<Provider["tasks"]> {
    return this.#parts.inner.tasks ?? {};
  }

  capabilities(model: string): Capabilities {
    return this.#parts.inner.capabilities(model);
  }

  open(call: UpstreamCall, sink: UpstreamSink): UpstreamHandle {
    const { hosting, clock } = this.#parts;
    if (!hosting) return this.#open(call, sink);
    const heard = hosting.heard(call, sink, this.id, clock);
    return (heard.handle = this.#open(hosting.asked(call), heard));
  }

  #open(call: UpstreamCall, sink: UpstreamSink): UpstreamHandle {
    const { signer, inner } = this.#parts;
    return signer ? new SignedCall(call, sink, this.#parts, signer, this.#skew) : inner.open(call, sink);
  }

  /** Models are listed by another service, under rights of their own. */
  models(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  check(): Promise<{ readonly ok: boolean; readonly detail: string }> {
    const detail = this.#parts.hasKey
      ? "It has credentials; whether they may use a model is unproven."
      : "No credentials: set apiKey, or accessKeyId and secretAccessKey.";
    return Promise.resolve({ ok: this.#parts.hasKey, detail });
  }

  close(): Promise<void> {
    return this.#parts.inner.close();
  }
}

/** One call with a signature. One that was refused because this machine's clock is wrong is signed anew by the service's, once. */
class SignedCall implements UpstreamHandle, UpstreamSink {
  readonly #call: UpstreamCall;
  readonly #sink: UpstreamSink;
  readonly #parts: AwsParts;
  readonly #signer: RequestSigner;
  readonly #skew: { ms: number };
  #handle: UpstreamHandle | undefined;
  #over = false;
  #again = false;

  constructor(call: UpstreamCall, sink: UpstreamSink, parts: AwsParts, signer: RequestSigner, skew: { ms: number }) {
    this.#call = call;
    this.#sink = sink;
    this.#parts = parts;
    this.#signer = signer;
    this.#skew = skew;
    void this.#open();
  }

  onHead(status: number, headers: Headers): void {
    if (this.#over) return;
    if (status !== 403 || this.#again || !this.#isSkewed(headers)) return this.#sink.onHead(status, headers);
    this.#again = true;
    this.#handle?.cancel();
    void this.#open();
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

  /** Is the service's time, by its own `date`, another than the one signed with? It is taken over then. */
  #isSkewed(headers: Headers): boolean {
    const theirs = Date.parse(headers["date"] ?? "");
    if (Number.isNaN(theirs)) return false;
    const skew = theirs - this.#parts.clock.now();
    if (Math.abs(skew - this.#skew.ms) <= MOST_SKEW_MS) return false;
    this.#skew.ms = skew;
    return true;
  }

  async #open(): Promise<void> {
    const { inner, clock, basePath } = this.#parts;
    const { request } = this.#call;
    try {
      const proof = await this.#signer.headers({ ...request, path: basePath + request.path }, clock.now() + this.#skew.ms);
      if (!this.#over)
        this.#handle = inner.open({ ...this.#call, request: { ...request, headers: { ...request.headers, ...proof } } }, this);
    } catch (error) {
      this.onProblem(problemFrom(error));
    }
  }
}

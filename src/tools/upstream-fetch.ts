import type { Clock, Secret } from "../canon/index.ts";
import { connect } from "../wire/client.ts";
import type { HttpClient } from "../wire/types.ts";

const HEADER_BYTES = 64 * 1024;
const CONNECTIONS = 256;
/** A stream of notifications may be silent for long. */
const SILENCE_MS = 24 * 3_600_000;
/** Other hosts that one server leads to, and bytes of an answer of theirs. */
const MOST_ELSEWHERE = 8;
const ELSEWHERE_BYTES = 1024 * 1024;
const NEW_LINE = 10;
const RETURN = 13;

export interface UpstreamFetchOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, Secret>>;
  readonly allowPrivateNetwork: boolean;
  /** May others be asked, too: authorization servers, over https or in a network that is allowed? Nothing of `headers` goes to them. */
  readonly elsewhere: boolean;
  readonly connectTimeoutMs: number;
  readonly headTimeoutMs: number;
  /** Bytes of an answer, and of one event of a stream. */
  readonly maxBytes: number;
  readonly clock: Clock;
  /** Asked when a request is sent, in its caller's own context: whom to tell that the answer was longer, and is cut off. */
  readonly whenTooLong: () => () => void;
}

/**
 * `fetch` for the official client, over the gateway's own dialler: only this one server can be reached by it, and its authorization server
 * where it may have one; addresses are checked, no redirect is followed, and no answer is longer than it may be.
 */
export class UpstreamFetch {
  readonly #options: UpstreamFetchOptions;
  readonly #client: HttpClient;
  readonly #elsewhere = new Map<string, HttpClient>();
  readonly #origin: string;

  constructor(options: UpstreamFetchOptions) {
    this.#options = options;
    this.#origin = new URL(options.url).origin;
    this.#client = this.#connect(this.#origin);
  }

  async close(): Promise<void> {
    await Promise.all([this.#client, ...this.#elsewhere.values()].map((client) => client.close()));
  }

  #connect(baseUrl: string): HttpClient {
    const { allowPrivateNetwork, connectTimeoutMs, headTimeoutMs, clock } = this.#options;
    return connect({
      baseUrl,
      allowPrivateNetwork,
      connectTimeoutMs,
      headTimeoutMs,
      dataTimeoutMs: SILENCE_MS,
      maxConnections: CONNECTIONS,
      maxHeaderBytes: HEADER_BYTES,
      clock,
    });
  }

  /** Undefined: it may not be asked. */
  #clientOf({ origin, protocol }: URL): HttpClient | undefined {
    if (origin === this.#origin) return this.#client;
    const { elsewhere, allowPrivateNetwork } = this.#options;
    if (!elsewhere || (protocol !== "https:" && !(protocol === "http:" && allowPrivateNetwork))) return undefined;
    let client = this.#elsewhere.get(origin);
    if (!client && this.#elsewhere.size < MOST_ELSEWHERE) this.#elsewhere.set(origin, (client = this.#connect(origin)));
    return client;
  }

  readonly fetch = async (input: string | URL, init: RequestInit = {}): Promise<Response> => {
    const response = await this.#fetch(input, init);
    // Only who asks for a token sends a form.
    return init.body instanceof URLSearchParams && !response.ok ? withoutWords(response) : response;
  };

  readonly #fetch = (input: string | URL, init: RequestInit): Promise<Response> => {
    const url = new URL(input);
    const client = this.#clientOf(url);
    if (!client) return Promise.reject(new TypeError(`Only ${this.#origin} is asked, not ${url.origin}.`));
    const own = client === this.#client;
    const maxBytes = own ? this.#options.maxBytes : ELSEWHERE_BYTES;
    const headers: Record<string, string> = Object.fromEntries(new Headers(init.headers));
    for (const [name, value] of own ? Object.entries(this.#options.headers) : []) headers[name.toLowerCase()] = value.reveal();
    const { signal, method = "GET" } = init;
    const body = init.body instanceof URLSearchParams ? init.body.toString() : init.body;
    if (body !== undefined && body !== null && typeof body !== "string") return Promise.reject(new TypeError("Only text is sent."));
    const tooLong = this.#options.whenTooLong();
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(reasonOf(signal));
      let sink: ReadableStreamDefaultController<Uint8Array> | undefined;
      let settled = false;
      const fail = (error: unknown): void => {
        if (settled) return;
        settled = true;
        signal?.removeEventListener("abort", abort);
        if (sink) sink.error(error);
        else reject(error instanceof Error ? error : new Error(String(error)));
      };
      const abort = (): void => {
        handle.cancel();
        fail(signal ? reasonOf(signal) : new Error("aborted"));
      };
      let count: (chunk: Buffer) => boolean = () => true;
      const handle = client.open(
        { method, path: url.pathname + url.search, headers, ...(typeof body === "string" && { body }) },
        {
          onHead: (status, head) => {
            count = counter(head["content-type"], maxBytes);
            const stream = new ReadableStream<Uint8Array>(
              {
                start: (controller) => void (sink = controller),
                cancel: () => {
                  settled = true;
                  handle.cancel();
                },
              },
              new ByteLengthQueuingStrategy({ highWaterMark: maxBytes }),
            );
            const named = Object.entries(head).filter((entry): entry is [string, string] => entry[1] !== undefined);
            const empty = status === 204 || status === 205 || status === 304;
            resolve(new Response(empty ? null : stream, { status, headers: named }));
          },
          onData: (chunk) => {
            if (settled) return true;
            // What nobody has read yet counts too: a stream is not held up, but it is not kept without bound either.
            const room = count(chunk) && (sink?.desiredSize ?? 0) >= chunk.length;
            if (room) sink?.enqueue(new Uint8Array(chunk));
            else {
              handle.cancel();
              tooLong();
              fail(new Error(`The answer is longer than ${maxBytes} bytes (maxResultBytes).`));
            }
            return true;
          },
          onEnd: () => {
            if (settled) return;
            settled = true;
            signal?.removeEventListener("abort", abort);
            sink?.close();
          },
          onProblem: (problem) => fail(new Error(problem.message)),
        },
      );
      signal?.addEventListener("abort", abort, { once: true });
    });
  };
}

/** What an authorization server says in its own words may repeat the secret that it was sent: its code is enough (RFC 6749, section 5.2). */
async function withoutWords(response: Response): Promise<Response> {
  const { status } = response;
  const said: unknown = await response.json().catch(() => undefined);
  const error =
    typeof said === "object" && said !== null && "error" in said && typeof said.error === "string" ? said.error : "invalid_request";
  return Response.json({ error: CODE.test(error) ? error : "invalid_request" }, { status });
}

const CODE = /^[a-z_]{1,64}$/;

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error("The request was cancelled.");
}

/** Counts what was not yet said to be whole: of a stream the bytes since the last blank line. False: it is too much. */
function counter(type: string | undefined, most: number): (chunk: Buffer) => boolean {
  let bytes = 0;
  if (!type?.toLowerCase().startsWith("text/event-stream")) return (chunk) => (bytes += chunk.length) <= most;
  let fresh = true;
  return (chunk) => {
    for (const byte of chunk) {
      if (byte === RETURN) continue;
      if (byte !== NEW_LINE) {
        fresh = false;
        bytes++;
        if (bytes > most) return false;
      } else if (fresh) bytes = 0;
      else fresh = true;
    }
    return true;
  };
}

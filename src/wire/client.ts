import { isIP } from "node:net";
import { ProblemError } from "../canon/index.ts";
import type { Clock, Headers, Problem } from "../canon/index.ts";
import { systemClock } from "../kit/index.ts";
import { bodyDecoder, isEncoded } from "./decoding.ts";
import type { BodyDecoder } from "./decoding.ts";
import { AddressRefused, guardedLookup, isInside } from "./dial.ts";
import { brokenAnswer, connectionProblem, LOCAL } from "./failures.ts";
import { requestHead } from "./request-text.ts";
import { ProxyFailure } from "./proxy.ts";
import { clientContext } from "./secure.ts";
import { Slots } from "./slots.ts";
import { Dialler } from "./upstream-dial.ts";
import type { Asker, UpstreamConnection } from "./upstream.ts";
import { refusedSocket, UpstreamSocket } from "./upstream-socket.ts";
import type {
  ClientHandle,
  ClientOptions,
  ClientRequest,
  ClientSink,
  HttpClient,
  ProxyAddress,
  SocketHandle,
  SocketRequest,
  SocketSink,
} from "./types.ts";

/** Requests that wait for a connection, as a multiple of the connections. */
const WAITING_PER_CONNECTION = 1;

/**
 * An HTTP/1.1 client of one upstream. It follows no redirect, repeats nothing and logs nothing. Throws ProblemError (invalid_request)
 * for a base URL that is not http(s) or holds credentials.
 */
export function connect(options: ClientOptions): HttpClient {
  return new UpstreamClient(options);
}

class UpstreamClient implements HttpClient {
  readonly host: string;
  readonly basePath: string;
  readonly slots: Slots;
  /** Set where requests go whole to a proxy that passes them on. */
  readonly forwarded: { readonly origin: string; readonly proxy: ProxyAddress } | undefined;
  readonly #options: ClientOptions;
  readonly #url: URL;
  readonly #dialler: Dialler;
  readonly #clock: Clock;
  readonly #waiting = new Set<Exchange>();
  /** Set when the base URL itself names an address that may not be dialled. */
  readonly #refusal: Problem | undefined;
  #running = 0;
  #closed: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ClientOptions) {
    const url = baseUrl(options.baseUrl);
    this.host = url.host;
    this.basePath = url.pathname === "/" ? "" : url.pathname.replace(/\/$/, "");
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const literal = url.hostname.replace(/^\[|\]$/g, "");
    // Dialling an IP address asks no resolver, so it is checked here.
    if (!options.allowPrivateNetwork && isIP(literal) !== 0 && isInside(literal)) {
      this.#refusal = connectionProblem(new AddressRefused("private"), this.host, false);
    }
    const { proxy, tls } = options;
    // A request in the clear names its whole address to the proxy (RFC 9112, section 3.2.2).
    this.forwarded = proxy !== undefined && url.protocol === "http:" ? { origin: url.origin, proxy } : undefined;
    const context = clientContext(tls);
    const way = {
      lookup: options.allowPrivateNetwork ? options.lookup : guardedLookup(options.lookup),
      proxyLookup: options.lookup,
      proxy,
      context,
      proxyContext: tls?.ca === undefined ? undefined : clientContext({ ca: tls.ca }),
      serverName: tls?.servername,
    };
    this.#url = url;
    this.#dialler = new Dialler(url, way);
    this.slots = new Slots(this.#dialler, options, this.#clock);
  }

  socket(request: SocketRequest, sink: SocketSink): SocketHandle {
    const refusal = this.#refusal ?? (this.#closing && connectionProblem(LOCAL.closed, this.host, false));
    if (refusal) return refusedSocket(refusal, sink);
    // A proxy that passes whole requests on would have to understand what the connection becomes.
    if (this.forwarded)
      return refusedSocket(
        { kind: "unsupported", message: `The upstream ${this.host} is reached in the clear through a proxy: sessions need https.` },
        sink,
      );
    const { connectTimeoutMs } = this.#options;
    return new UpstreamSocket({ url: this.#url, host: this.host, connectTimeoutMs, dial: () => this.#dialler.dial() }, request, sink);
  }

  open(request: ClientRequest, sink: ClientSink): ClientHandle {
    const exchange = new Exchange(this, request, sink);
    if (this.#refusal) exchange.refuse(this.#refusal);
    else if (this.#closing) exchange.refuse(connectionProblem(LOCAL.closed, this.host, false));
    else if (this.#running < this.#options.maxConnections) this.#start(exchange);
    else this.#wait(exchange);
    return exchange;
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#closed = resolve;
      this.#settleClose();
    });
    return this.#closing;
  }

  /** A running exchange has ended; its connection was given back or dropped. */
  ended(): void {
    this.#running--;
    for (const next of this.#waiting) {
      this.#waiting.delete(next);
      this.#start(next);
      return;
    }
    if (this.#closing) this.#settleClose();
  }

  stopWaiting(exchange: Exchange): void {
    this.#waiting.delete(exchange);
  }

  #start(exchange: Exchange): void {
    this.#running++;
    exchange.start();
  }

  #wait(exchange: Exchange): void {
    const { maxConnections, connectTimeoutMs } = this.#options;
    const full = (): void => {
      this.#waiting.delete(exchange);
      exchange.refuse({
        kind: "overloaded",
        code: "connections",
        message: `All ${maxConnections} connections to the upstream ${this.host} are in use; raise its maxConnections or send fewer calls at once.`,
      });
    };
    if (this.#waiting.size >= maxConnections * WAITING_PER_CONNECTION) return full();
    this.#waiting.add(exchange);
    exchange.stopTimer = this.#clock.after(connectTimeoutMs, full);
  }

  #settleClose(): void {
    this.slots.closeIdle();
    if (this.#running === 0) this.#closed?.();
  }
}

/** One request and its answer: whom the connection tells and our handle in one object, so that a call costs no closures. */
class Exchange implements ClientHandle, Asker {
  readonly #owner: UpstreamClient;
  readonly #request: ClientRequest;
  readonly #sink: ClientSink;
  #connection: UpstreamConnection | undefined;
  #decoder: BodyDecoder | undefined;
  #started = false;
  #reusable = false;
  #answered = false;
  #over = false;
  stopTimer: (() => void) | undefined;

  constructor(owner: UpstreamClient, request: ClientRequest, sink: ClientSink) {
    this.#owner = owner;
    this.#request = request;
    this.#sink = sink;
  }

  start(): void {
    this.stopTimer?.();
    this.#started = true;
    const { method, path, headers, body } = this.#request;
    const { host, basePath, slots, forwarded } = this.#owner;
    const upload = typeof body === "object" && "start" in body ? body : undefined;
    const whole = upload ? "" : (body as string | Buffer | undefined);
    const bytes = upload ? (upload.bytes ?? "chunked") : whole === undefined ? undefined : Buffer.byteLength(whole);
    const target = forwarded === undefined ? basePath + path : forwarded.origin + basePath + path;
    const head = requestHead(method, target, host, forwarded === undefined ? headers : withProxy(headers, forwarded.proxy), bytes);
    // Not before `open` has returned: its caller does not hold the handle yet.
    if (head === undefined) return queueMicrotask(() => this.onBroken(LOCAL.unsendable));
    this.#connection = slots.take();
    if (upload) this.#connection.send(this, false, head, "", 0, upload);
    else this.#connection.send(this, method === "HEAD", head, whole ?? "", typeof bytes === "number" ? bytes : 0);
  }

  /** Fails without having been started; not before `open` has returned. */
  refuse(problem: Problem): void {
    this.stopTimer?.();
    queueMicrotask(() => {
      if (this.#over) return;
      this.#over = true;
      this.#sink.onProblem(problem);
    });
  }

  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.stopTimer?.();
    this.#reusable = false;
    this.#owner.stopWaiting(this);
    this.#release();
  }

  resume(): void {
    // The sink may ask for more before it has said no to what it was given: go on when the stack is empty.
    queueMicrotask(() => {
      if (this.#over) return;
      if (this.#decoder) this.#decoder.resume();
      else this.#connection?.resume();
    });
  }

  onHead(status: number, headers: Headers): void {
    this.#answered = true;
    const { forwarded, host } = this.#owner;
    if (status === 407 && forwarded)
      return this.#fail(connectionProblem(new ProxyFailure("credentials", new URL(forwarded.proxy.url).host, "HTTP 407"), host, false));
    const encoding = headers["content-encoding"];
    if (isEncoded(encoding)) this.#decode(status, headers, encoding);
    else this.#sink.onHead(status, headers);
  }

  onPiece(piece: Buffer): boolean {
    return this.#decoder ? this.#decoder.write(piece) : this.#sink.onData(piece);
  }

  onComplete(reusable: boolean): void {
    this.#reusable = reusable;
    if (this.#decoder) this.#decoder.end();
    else this.#finish();
  }

  onBroken(error: unknown): void {
    this.#fail(connectionProblem(error, this.#owner.host, this.#answered));
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#release();
    this.#sink.onEnd();
  }

  #fail(problem: Problem): void {
    if (this.#over) return;
    this.#over = true;
    this.#reusable = false;
    this.#release();
    this.#sink.onProblem(problem);
  }

  #release(): void {
    this.#decoder?.destroy();
    if (!this.#started) return;
    const connection = this.#connection;
    this.#connection = undefined;
    if (this.#reusable && connection) this.#owner.slots.giveBack(connection);
    else connection?.destroy();
    this.#owner.ended();
  }

  #decode(status: number, headers: Headers, encoding: string): void {
    const { host } = this.#owner;
    this.#decoder = bodyDecoder(encoding, {
      onData: (piece) => {
        if (!this.#over && !this.#sink.onData(piece)) this.#decoder?.pause();
      },
      onEnd: () => this.#finish(),
      onFault: (code) => this.#fail(brokenAnswer(host, code, `sent a body that is not the ${encoding.slice(0, 16)} it claims to be`)),
      onRoom: () => {
        if (!this.#over) this.#connection?.resume();
      },
    });
    if (!this.#decoder)
      return this.#fail(brokenAnswer(host, "bad_encoding", "sent a content-encoding that was not asked for and is not known"));
    // Both described the encoded bytes.
    const { "content-encoding": _encoding, "content-length": _length, ...plain } = headers;
    this.#sink.onHead(status, plain);
  }
}

function withProxy(headers: Readonly<Record<string, string>>, { authorization }: ProxyAddress): Readonly<Record<string, string>> {
  return authorization ? { ...headers, "proxy-authorization": authorization.reveal() } : headers;
}

function baseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const wrong = (message: string): ProblemError => new ProblemError({ kind: "invalid_request", message });
  if (!url || (url.protocol !== "https:" && url.protocol !== "http:"))
    throw wrong("A provider's base URL must begin with https:// or http://.");
  if (url.username || url.password) throw wrong("A provider's base URL must not hold a user name or password; use apiKey or headers.");
  if (url.search || url.hash) throw wrong("A provider's base URL must not hold a query or fragment.");
  return url;
}

import { isIP } from "node:net";
import type { Client } from "undici";
import { ProblemError } from "../canon/index.ts";
import type { Clock, Headers, Problem } from "../canon/index.ts";
import { systemClock } from "../kit/index.ts";
import { bodyDecoder, isEncoded } from "./decoding.ts";
import type { BodyDecoder } from "./decoding.ts";
import { AddressRefused, guardedLookup, isInside } from "./dial.ts";
import { brokenAnswer, connectionProblem } from "./failures.ts";
import { Slots } from "./slots.ts";
import type { ClientHandle, ClientOptions, ClientRequest, ClientSink, HttpClient } from "./types.ts";

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
  readonly #options: ClientOptions;
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
    const lookup = options.allowPrivateNetwork ? options.lookup : guardedLookup(options.lookup);
    this.slots = new Slots(url.origin, {
      headersTimeout: options.headTimeoutMs,
      bodyTimeout: options.dataTimeoutMs,
      maxHeaderSize: options.maxHeaderBytes,
      connect: { timeout: options.connectTimeoutMs, ...(lookup && { lookup }) },
    });
  }

  open(request: ClientRequest, sink: ClientSink): ClientHandle {
    const exchange = new Exchange(this, request, sink);
    if (this.#refusal) exchange.refuse(this.#refusal);
    else if (this.#closing) exchange.refuse(connectionProblem({ code: "UND_ERR_CLOSED" }, this.host, false));
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

/** One request and its answer: undici's handler and our handle in one object, so that a call costs no closures. */
class Exchange implements ClientHandle {
  readonly #owner: UpstreamClient;
  readonly #request: ClientRequest;
  readonly #sink: ClientSink;
  #connection: Client | undefined;
  #continue: (() => void) | undefined;
  #decoder: BodyDecoder | undefined;
  #answered = false;
  #over = false;
  #dispatching = false;
  stopTimer: (() => void) | undefined;

  constructor(owner: UpstreamClient, request: ClientRequest, sink: ClientSink) {
    this.#owner = owner;
    this.#request = request;
    this.#sink = sink;
  }

  start(): void {
    this.stopTimer?.();
    const { method, path, headers, body } = this.#request;
    this.#connection = this.#owner.slots.take();
    this.#dispatching = true;
    this.#connection.dispatch({ method, path: this.#owner.basePath + path, headers: headerList(headers), body: body ?? null }, this);
    this.#dispatching = false;
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
    this.#owner.stopWaiting(this);
    this.#release(false);
  }

  resume(): void {
    // undici parses with one parser for all connections and may be in the middle of another's bytes: go on when the stack is empty.
    queueMicrotask(() => {
      if (this.#over) return;
      if (this.#decoder) this.#decoder.resume();
      else this.#continue?.();
    });
  }

  // undici's handler. The older method names: objects with the newer ones are wrapped, and their headers are parsed into lists.

  onConnect(abort: (error?: Error) => void): void {
    if (this.#over) abort();
  }

  onHeaders(status: number, raw: Buffer[], resume: () => void): boolean {
    // 103 Early Hints and the like are not the answer.
    if (status < 200 || this.#over) return true;
    this.#answered = true;
    this.#continue = resume;
    const headers = headerRecord(raw);
    if (isEncoded(headers["content-encoding"])) this.#decode(status, headers, headers["content-encoding"]);
    else this.#sink.onHead(status, headers);
    return true;
  }

  onData(piece: Buffer): boolean {
    if (this.#over) return true;
    return this.#decoder ? this.#decoder.write(piece) : this.#sink.onData(piece);
  }

  onComplete(): void {
    if (this.#over) return;
    if (this.#decoder) this.#decoder.end();
    else this.#finish();
  }

  onError(error: unknown): void {
    const problem = connectionProblem(error, this.#owner.host, this.#answered);
    // A request that cannot be written fails within `open`, before its caller holds the handle.
    if (this.#dispatching) queueMicrotask(() => this.#fail(problem));
    else this.#fail(problem);
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#release(true);
    this.#sink.onEnd();
  }

  #fail(problem: Problem): void {
    if (this.#over) return;
    this.#over = true;
    this.#release(false);
    this.#sink.onProblem(problem);
  }

  #release(reusable: boolean): void {
    this.#decoder?.destroy();
    const connection = this.#connection;
    if (!connection) return;
    this.#connection = undefined;
    if (reusable) this.#owner.slots.giveBack(connection);
    else this.#owner.slots.drop(connection);
    this.#owner.ended();
  }

  #decode(status: number, headers: Record<string, string | undefined>, encoding: string): void {
    const { host } = this.#owner;
    this.#decoder = bodyDecoder(encoding, {
      onData: (piece) => {
        if (!this.#over && !this.#sink.onData(piece)) this.#decoder?.pause();
      },
      onEnd: () => this.#finish(),
      onFault: (code) => this.#fail(brokenAnswer(host, code, `sent a body that is not the ${encoding.slice(0, 16)} it claims to be`)),
      onRoom: () => {
        if (!this.#over) this.#continue?.();
      },
    });
    if (!this.#decoder)
      return this.#fail(brokenAnswer(host, "bad_encoding", "sent a content-encoding that was not asked for and is not known"));
    // Both described the encoded bytes.
    const { "content-encoding": _encoding, "content-length": _length, ...plain } = headers;
    this.#sink.onHead(status, plain);
  }
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

function headerList(headers: Readonly<Record<string, string>>): string[] {
  const list: string[] = [];
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined) list.push(name, value);
  }
  // Frames are forwarded as they come; compressed ones could not be.
  list.push("accept-encoding", "identity");
  return list;
}

/** Name and value buffers in turn, as undici gives them, to one record. */
function headerRecord(raw: readonly Buffer[]): Record<string, string | undefined> {
  const headers: Record<string, string | undefined> = {};
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at]?.toString("latin1").toLowerCase() ?? "";
    const value = raw[at + 1]?.toString("latin1") ?? "";
    const before: unknown = headers[name];
    headers[name] = typeof before === "string" ? `${before}, ${value}` : value;
  }
  return headers satisfies Headers;
}

import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "../canon/index.ts";
import { systemClock } from "../kit/index.ts";
import { connectionsAffordable } from "./descriptors.ts";
import { headersOf, Inbound } from "./inbound.ts";
import { Outbound } from "./outbound.ts";
import type { OutOwner } from "./outbound.ts";
import { peerReader } from "./peer.ts";
import { Reclaimer } from "./reclaim.ts";
import { refuseUpgrade, WebSockets } from "./websocket.ts";
import type { Front, FrontOptions } from "./types.ts";

const HEAD_TIMEOUT_MS = 20_000;
/** How often slow heads are looked for. */
const HEAD_CHECK_MS = 5_000;
/** Longer than the minute after which common load balancers let go, so that they never reuse what we have just closed. */
const KEEP_ALIVE_MS = 65_000;
const TCP_KEEP_ALIVE_MS = 60_000;
/** Refused connections that may still be open to read their refusal; more are dropped without a word. */
const MAX_REFUSED = 16;
const REFUSED_MS = 1_000;

/** Serves HTTP/1.1 and WebSockets. Rejects when the address cannot be listened on. */
export async function listen(options: FrontOptions): Promise<Front> {
  const front = new HttpFront(options);
  await front.start();
  return front;
}

class HttpFront implements Front {
  readonly maxConnections: number;
  readonly #options: FrontOptions;
  readonly #clock: Clock;
  readonly #server: Server;
  readonly #open = new Map<Duplex, Connection>();
  readonly #sockets: WebSockets;
  readonly #reclaimer: Reclaimer;
  readonly #peerOf: (peer: string, forwardedFor: string | undefined) => string;
  #address: AddressInfo = { address: "", family: "", port: 0 };
  #refused = 0;
  #closing: Promise<void> | undefined;

  constructor(options: FrontOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#peerOf = peerReader(options.trustedProxies);
    this.#sockets = new WebSockets(options.maxMessageBytes, this.#clock);
    this.#reclaimer = new Reclaimer(this.#clock);
    this.maxConnections = Math.min(options.maxConnections, connectionsAffordable() ?? options.maxConnections);
    const headTimeoutMs = options.headTimeoutMs ?? HEAD_TIMEOUT_MS;
    this.#server = createServer({
      maxHeaderSize: options.maxHeaderBytes,
      headersTimeout: headTimeoutMs,
      connectionsCheckingInterval: Math.min(HEAD_CHECK_MS, headTimeoutMs),
      // Bodies have their own limit, where they are read.
      requestTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
      noDelay: true,
      joinDuplicateHeaders: true,
      // Offers of HTTP/2 are declined by answering in HTTP/1.1 (RFC 9110, section 7.8); some clients make one with every request.
      shouldUpgradeCallback: (message) => message.headers.upgrade?.toLowerCase() === "websocket",
    });
    this.#guardConnections();
    this.#server.on("request", (message, response) => this.#request(message, response, false));
    this.#server.on("checkContinue", (message, response) => this.#request(message, response, true));
    this.#server.on("upgrade", (message, connection, head) => this.#upgrade(message, connection, head));
    this.#server.on("clientError", (error, connection) => this.#malformed(error, connection));
  }

  get host(): string {
    return this.#address.address;
  }
  get port(): number {
    return this.#address.port;
  }
  get connections(): number {
    return this.#open.size;
  }
  get closing(): boolean {
    return this.#closing !== undefined;
  }

  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      const server = this.#server;
      const failed = (error: NodeJS.ErrnoException): void => reject(cannotListen(error, this.#options));
      server.once("error", failed);
      server.listen(this.#options.port, this.#options.host, () => {
        this.#address = server.address() as AddressInfo;
        server.removeListener("error", failed);
        // A connection that could not be accepted is gone; the others go on.
        server.on("error", () => undefined);
        resolve();
      });
    });
  }

  close(ms: number): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      const force = (): void => {
        for (const connection of this.#open.keys()) connection.destroy();
      };
      const stop = ms > 0 ? this.#clock.after(ms, force) : force;
      this.#server.close(() => {
        stop();
        resolve();
      });
      if (ms <= 0) return force();
      this.#sockets.close();
      // Node 24 counts a connection that has asked nothing yet as busy, and would wait for it.
      for (const [socket, connection] of this.#open) if (connection.fresh) socket.destroy();
    });
    return this.#closing;
  }

  /** An answer is complete; while closing, its connection must not wait for another request. */
  idle(): void {
    if (this.closing) setImmediate(() => this.#server.closeIdleConnections());
  }

  forget(socket: Socket): void {
    this.#open.delete(socket);
    this.#reclaimer.closed(this.#open.size);
  }

  /** Steps in before Node's own listener, because a refused connection must not get a parser and wait for a request. */
  #guardConnections(): void {
    const server = this.#server;
    const attach = server.listeners("connection");
    server.removeAllListeners("connection");
    server.on("connection", (socket: Socket) => {
      if (this.#open.size >= this.maxConnections) return this.#refuse(socket);
      this.#open.set(socket, new Connection(this, socket));
      this.#reclaimer.opened(this.#open.size);
      for (const listener of attach) listener.call(server, socket);
    });
  }

  #refuse(socket: Socket): void {
    socket.on("error", ignore);
    if (this.#refused >= MAX_REFUSED) return void socket.destroy();
    this.#refused++;
    const stop = this.#clock.after(REFUSED_MS, () => socket.destroy());
    socket.on("close", () => {
      this.#refused--;
      stop();
    });
    socket.resume().on("end", () => socket.destroy());
    socket.end(
      plainAnswer(
        "503 Service Unavailable",
        "overloaded",
        "The gateway has as many connections as it can serve; try again in a second.",
        1,
      ),
    );
  }

  #request(message: IncomingMessage, response: ServerResponse, awaitsContinue: boolean): void {
    const { socket } = message;
    const connection = this.#open.get(socket);
    if (!connection) return void socket.destroy();
    const headers = headersOf(message);
    const peer = this.#peerOf(connection.peer, headers["x-forwarded-for"]);
    const request = new Inbound(message, headers, peer, this.#clock, awaitsContinue ? () => response.writeContinue() : undefined);
    const out = new Outbound(request, response, socket, connection, this.#clock);
    connection.begin(out);
    this.#options.handler(request, out);
  }

  #upgrade(message: IncomingMessage, duplex: Duplex, head: Buffer): void {
    duplex.on("error", ignore);
    const connection = this.#open.get(duplex);
    if (!connection) return void duplex.destroy();
    connection.fresh = false;
    const headers = headersOf(message);
    const request = new Inbound(message, headers, this.#peerOf(connection.peer, headers["x-forwarded-for"]), this.#clock);
    if (this.closing)
      return refuseUpgrade(duplex, 503, { "x-gimbal-problem": "overloaded", "retry-after": "1" }, "The gateway is shutting down.");
    let answered = false;
    const once = (act: () => void): void => {
      if (answered) return;
      answered = true;
      act();
    };
    this.#options.upgrade(request, {
      accept: (then) => once(() => this.#sockets.accept(message, duplex, head, then)),
      refuse: (status, refusal, body) => once(() => refuseUpgrade(duplex, status, refusal, body)),
    });
  }

  /** What came is not a request: Node's parser says so, or its clock. */
  #malformed(error: NodeJS.ErrnoException, duplex: Duplex): void {
    if (!duplex.writable || error.code === "ECONNRESET" || this.#open.get(duplex)?.streaming) return void duplex.destroy();
    duplex.end(answerToMalformed(error.code), () => duplex.destroy());
  }
}

/** One client's connection, and the answers it waits for: more than one only when the client pipelines. */
class Connection implements OutOwner {
  readonly peer: string;
  readonly #front: HttpFront;
  /** Nothing was asked on it so far. */
  fresh = true;
  readonly #outs = new Set<Outbound>();

  constructor(front: HttpFront, socket: Socket) {
    this.#front = front;
    this.peer = (socket.remoteAddress ?? "").replace(/^::ffff:(?=\d+\.)/, "");
    socket.on("close", () => {
      front.forget(socket);
      for (const out of this.#outs) out.left();
      this.#outs.clear();
    });
    socket.on("drain", () => {
      for (const out of this.#outs) out.drained();
    });
  }

  get closing(): boolean {
    return this.#front.closing;
  }
  get streaming(): boolean {
    for (const out of this.#outs) if (out.streaming) return true;
    return false;
  }

  begin(out: Outbound): void {
    this.fresh = false;
    this.#outs.add(out);
  }

  finished(out: Outbound): void {
    this.#outs.delete(out);
    this.#front.idle();
  }
}

/** For the person who starts the gateway: what is wrong with the address. */
function cannotListen(error: NodeJS.ErrnoException, { host, port }: FrontOptions): Error {
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: "another program holds this port",
    EADDRNOTAVAIL: "this machine has no such address",
    ENOTFOUND: "there is no such host",
    EACCES: "this user may not use this port",
  };
  const code = error.code ?? "unknown";
  return new Error(`Cannot listen on ${host}:${port}: ${reasons[code] ?? error.message} (${code}). Choose another one.`, { cause: error });
}

function answerToMalformed(code: string | undefined): string {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return plainAnswer("431 Request Header Fields Too Large", "too_large", "The request's headers are larger than the limit.");
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return plainAnswer("408 Request Timeout", "invalid_request", "The request's headers did not arrive in time.");
    default:
      return plainAnswer("400 Bad Request", "invalid_request", "This is not a valid HTTP/1.1 request.");
  }
}

function plainAnswer(status: string, problem: string, sentence: string, retryAfterSeconds?: number): string {
  const retry = retryAfterSeconds === undefined ? "" : `retry-after: ${retryAfterSeconds}\r\n`;
  return (
    `HTTP/1.1 ${status}\r\ncontent-type: text/plain; charset=utf-8\r\nx-gimbal-problem: ${problem}\r\n${retry}` +
    `content-length: ${Buffer.byteLength(sentence) + 1}\r\nconnection: close\r\n\r\n${sentence}\n`
  );
}

function ignore(): void {
  // `close` follows, and with it everything there is to do.
}

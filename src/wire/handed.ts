import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock, Headers } from "../canon/index.ts";
import { plainAnswer } from "./answer-head.ts";
import { headersOf, Inbound } from "./inbound.ts";
import { NodeWriter } from "./node-writer.ts";
import { Outbound } from "./outbound.ts";
import { refuseUpgrade } from "./websocket.ts";
import type { WebSockets } from "./websocket.ts";
import type { FrontOptions, FrontRequest } from "./types.ts";

/** How often slow heads are looked for. */
const HEAD_CHECK_MS = 5_000;

export const SLOW_HEAD = plainAnswer(408, "invalid_request", "The request's headers did not arrive in time.");

/** What the connections below need to know of the front end. */
export interface HandedOwner {
  readonly closing: boolean;
  readonly clock: Clock;
  readonly headTimeoutMs: number;
  readonly keepAliveMs: number;
  readonly sockets: WebSockets;
  peerOf(socket: Socket, headers: Headers): string;
}

/**
 * The connections that ask for more than a plain request: bodies in chunks, upgrades, pipelines, HTTP/1.0, heads in pieces, and whatever
 * is no HTTP at all. They belong to a `node:http` server that listens nowhere and is given each connection with the bytes already read.
 */
export class HandedConnections {
  readonly #owner: HandedOwner;
  readonly #options: FrontOptions;
  readonly #server: Server;
  readonly #open = new Map<Duplex, HandedConnection>();

  constructor(owner: HandedOwner, options: FrontOptions) {
    this.#owner = owner;
    this.#options = options;
    this.#server = createServer({
      maxHeaderSize: options.maxHeaderBytes,
      headersTimeout: owner.headTimeoutMs,
      connectionsCheckingInterval: Math.min(HEAD_CHECK_MS, owner.headTimeoutMs),
      // Bodies have their own limit, where they are read.
      requestTimeout: 0,
      keepAliveTimeout: owner.keepAliveMs,
      joinDuplicateHeaders: true,
      // Offers of HTTP/2 are declined by answering in HTTP/1.1 (RFC 9110, section 7.8); some clients make one with every request.
      shouldUpgradeCallback: (message) => message.headers.upgrade?.toLowerCase() === "websocket",
    });
    this.#server.on("request", (message, response) => this.#request(message, response, false));
    this.#server.on("checkContinue", (message, response) => this.#request(message, response, true));
    this.#server.on("upgrade", (message, connection, head) => this.#upgrade(message, connection, head));
    this.#server.on("clientError", (error, connection) => this.#malformed(error, connection));
    // Begins the watch over slow heads, which otherwise starts with listening.
    this.#server.emit("listening");
  }

  get closing(): boolean {
    return this.#owner.closing;
  }

  /** Takes a connection over, at the boundary of a request of which `bytes` have been read. */
  take(socket: Socket, bytes: Buffer): void {
    const connection = new HandedConnection(this, socket);
    this.#open.set(socket, connection);
    socket.on("close", () => {
      this.#open.delete(socket);
      connection.closed();
    });
    socket.pause();
    socket.unshift(bytes);
    this.#server.emit("connection", socket);
    socket.resume();
  }

  /** Closes the connections that wait for a request. */
  closeIdle(): void {
    this.#server.closeIdleConnections();
  }

  /** The front end is closed; no connection is left. */
  stop(): void {
    // A server that never listened says so in an error; all this ends is its watch over heads.
    this.#server.close(ignore);
  }

  #request(message: IncomingMessage, response: ServerResponse, awaitsContinue: boolean): void {
    const { socket } = message;
    const connection = this.#open.get(socket);
    if (!connection) return void socket.destroy();
    const request = this.#inbound(message, awaitsContinue ? () => response.writeContinue() : undefined);
    const out = new Outbound(request, new NodeWriter(connection, response, socket), socket, this.#owner.clock);
    connection.outs.add(out);
    this.#options.handler(request, out);
  }

  #inbound(message: IncomingMessage, sendContinue?: () => void): Inbound {
    const headers = headersOf(message);
    return new Inbound(message, headers, this.#owner.peerOf(message.socket, headers), this.#owner.clock, sendContinue);
  }

  #upgrade(message: IncomingMessage, duplex: Duplex, head: Buffer): void {
    duplex.on("error", ignore);
    if (!this.#open.has(duplex)) return void duplex.destroy();
    const request: FrontRequest = this.#inbound(message);
    if (this.closing)
      return refuseUpgrade(duplex, 503, { "x-gimbal-problem": "overloaded", "retry-after": "1" }, "The gateway is shutting down.");
    let answered = false;
    const once = (act: () => void): void => {
      if (answered) return;
      answered = true;
      act();
    };
    this.#options.upgrade(request, {
      accept: (then) => once(() => this.#owner.sockets.accept(message, duplex, head, then)),
      refuse: (status, refusal, body) => once(() => refuseUpgrade(duplex, status, refusal, body)),
    });
  }

  /** What came is not a request: Node's parser says so, or its clock. */
  #malformed(error: NodeJS.ErrnoException, duplex: Duplex): void {
    if (!duplex.writable || error.code === "ECONNRESET" || this.#open.get(duplex)?.streaming) return void duplex.destroy();
    duplex.end(answerToMalformed(error.code), () => duplex.destroy());
  }
}

/** One connection and the answers it waits for: more than one only when the client pipelines. */
class HandedConnection {
  readonly outs = new Set<Outbound>();
  readonly #owner: HandedConnections;

  constructor(owner: HandedConnections, socket: Socket) {
    this.#owner = owner;
    socket.on("drain", () => {
      for (const out of this.outs) out.drained();
    });
  }

  get closing(): boolean {
    return this.#owner.closing;
  }
  get streaming(): boolean {
    for (const out of this.outs) if (out.streaming) return true;
    return false;
  }

  finished(out: Outbound): void {
    this.outs.delete(out);
    if (this.closing) setImmediate(() => this.#owner.closeIdle());
  }

  closed(): void {
    for (const out of this.outs) out.left();
    this.outs.clear();
  }
}

function answerToMalformed(code: string | undefined): string {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return plainAnswer(431, "too_large", "The request's headers are larger than the limit.");
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return SLOW_HEAD;
    default:
      return plainAnswer(400, "invalid_request", "This is not a valid HTTP/1.1 request.");
  }
}

function ignore(): void {
  // `close` follows, and with it everything there is to do.
}

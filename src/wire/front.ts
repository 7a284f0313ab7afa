import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import type { Clock, Headers } from "../canon/index.ts";
import { systemClock } from "../kit/index.ts";
import { plainAnswer } from "./answer-head.ts";
import { connectionsAffordable } from "./descriptors.ts";
import { HandedConnections, SLOW_HEAD } from "./handed.ts";
import type { HandedOwner } from "./handed.ts";
import { Http2Connections } from "./http2.ts";
import type { Http2Owner } from "./http2.ts";
import { peerReader } from "./peer.ts";
import type { PeerReader } from "./peer.ts";
import { PlainConnection } from "./plain.ts";
import type { PlainOwner } from "./plain.ts";
import { Reclaimer } from "./reclaim.ts";
import { SecureFront } from "./secure-front.ts";
import type { SecureOwner } from "./secure-front.ts";
import { WebSockets } from "./websocket.ts";
import type { Front, FrontHandler, FrontOptions } from "./types.ts";

const HEAD_TIMEOUT_MS = 20_000;
/** How often connections are looked at that ask nothing. */
const SWEEP_MS = 5_000;
/** Longer than the minute after which common load balancers let go, so that they never reuse what we have just closed. */
const KEEP_ALIVE_MS = 65_000;
const TCP_KEEP_ALIVE_MS = 60_000;
/** Refused connections that may still be open to read their refusal; more are dropped without a word. */
const MAX_REFUSED = 16;
const REFUSED_MS = 1_000;
const OVERLOADED = plainAnswer(503, "overloaded", "The gateway has as many connections as it can serve; try again in a second.", 1);

/** Serves HTTP/1.1 and WebSockets, over TLS also HTTP/2. Rejects when the address cannot be listened on or the certificate not be used. */
export async function listen(options: FrontOptions): Promise<Front> {
  const front = new HttpFront(options);
  await front.start();
  return front;
}

class HttpFront implements Front, PlainOwner, HandedOwner, Http2Owner, SecureOwner {
  readonly maxConnections: number;
  readonly maxHeaderBytes: number;
  readonly headTimeoutMs: number;
  readonly keepAliveMs = KEEP_ALIVE_MS;
  readonly clock: Clock;
  readonly sockets: WebSockets;
  readonly handler: FrontHandler;
  readonly #options: FrontOptions;
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  readonly #plain = new Map<Socket, PlainConnection>();
  readonly #handed: HandedConnections;
  readonly #reclaimer: Reclaimer;
  readonly #http2: Http2Connections;
  readonly #secure: SecureFront | undefined;
  #claimedPeer: PeerReader;
  #address: AddressInfo = { address: "", family: "", port: 0 };
  #refused = 0;
  #stopSweep: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: FrontOptions) {
    this.#options = options;
    this.clock = options.clock ?? systemClock;
    this.handler = options.handler;
    this.maxHeaderBytes = options.maxHeaderBytes;
    this.headTimeoutMs = options.headTimeoutMs ?? HEAD_TIMEOUT_MS;
    this.maxConnections = Math.min(options.maxConnections, connectionsAffordable() ?? options.maxConnections);
    this.sockets = new WebSockets(options.maxMessageBytes, this.clock);
    this.#claimedPeer = peerReader(options.trustedProxies);
    this.#reclaimer = new Reclaimer(this.clock);
    this.#handed = new HandedConnections(this, options);
    this.#http2 = new Http2Connections(this);
    this.#secure = options.tls && new SecureFront(options.tls, this);
    // Half-open: each kind of connection decides for itself what a client's last word means.
    const tcp = { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: TCP_KEEP_ALIVE_MS };
    this.#server = createServer(tcp, (socket) => this.#accept(socket));
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

  configure({ trustedProxies, tls }: Pick<FrontOptions, "trustedProxies" | "tls">): void {
    if ((tls === undefined) !== (this.#secure === undefined))
      this.report("serve.tls: whether there is TLS changes with the next start; until then it stays as it is");
    else if (tls) this.#secure?.configure(tls);
    this.#claimedPeer = peerReader(trustedProxies);
  }

  report(line: string): void {
    this.#options.report?.(line);
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
        server.on("error", ignore);
        this.#sweepLater();
        resolve();
      });
    });
  }

  close(ms: number): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      const force = (): void => {
        for (const socket of this.#open) socket.destroy();
      };
      const stop = ms > 0 ? this.clock.after(ms, force) : force;
      this.#server.close(() => {
        stop();
        this.#stopSweep?.();
        this.#handed.stop();
        this.#secure?.close();
        resolve();
      });
      if (ms <= 0) return force();
      // Known to be closing only from here on: what follows must see it.
      queueMicrotask(() => this.#closeIdle());
    });
    return this.#closing;
  }

  peerOf(socket: Socket, headers: Headers): string {
    return this.#claimedPeer((socket.remoteAddress ?? "").replace(/^::ffff:(?=\d+\.)/, ""), headers);
  }

  secured(socket: Socket, alpn: "h2" | "http/1.1"): void {
    socket.on("error", ignore);
    if (alpn === "h2") this.#http2.take(socket);
    else this.#begin(socket);
  }

  handOver(socket: Socket, bytes: Buffer): void {
    this.#plain.delete(socket);
    this.#handed.take(socket, bytes);
  }

  #accept(socket: Socket): void {
    socket.on("error", ignore);
    if (this.#open.size >= this.maxConnections) return this.#refuse(socket);
    this.#open.add(socket);
    this.#reclaimer.opened(this.#open.size);
    socket.on("close", () => {
      this.#open.delete(socket);
      this.#plain.delete(socket);
      this.#reclaimer.closed(this.#open.size);
    });
    if (this.#secure) this.#secure.take(socket);
    else this.#begin(socket);
  }

  #begin(socket: Socket): void {
    this.#plain.set(socket, new PlainConnection(this, socket));
    // One over TLS is not the one that was accepted.
    if (this.#secure) socket.on("close", () => this.#plain.delete(socket));
  }

  #refuse(socket: Socket): void {
    if (this.#refused >= MAX_REFUSED) return void socket.destroy();
    this.#refused++;
    const stop = this.clock.after(REFUSED_MS, () => socket.destroy());
    socket.on("close", () => {
      this.#refused--;
      stop();
    });
    socket.resume().on("end", () => socket.destroy());
    if (this.#secure) socket.destroy();
    else socket.end(OVERLOADED);
  }

  #closeIdle(): void {
    this.sockets.close();
    this.#handed.closeIdle();
    this.#http2.closeIdle();
    for (const [socket, connection] of this.#plain) if (connection.idle) socket.destroy();
  }

  #sweepLater(): void {
    this.#stopSweep = this.clock.after(Math.min(SWEEP_MS, this.headTimeoutMs), () => {
      this.#sweep(this.clock.monotonic());
      this.#sweepLater();
    });
  }

  /** Ends the plain connections on which nothing has been asked for too long: one timer for all, because thousands cost. */
  #sweep(now: number): void {
    this.#http2.sweep(now);
    for (const [socket, connection] of this.#plain) {
      if (!connection.idle) continue;
      connection.idleSince ??= now;
      const idleMs = now - connection.idleSince;
      if (!connection.fresh && idleMs >= this.keepAliveMs) socket.destroySoon();
      else if (connection.fresh && idleMs >= this.headTimeoutMs) socket.end(SLOW_HEAD, () => socket.destroy());
    }
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

function ignore(): void {
  // `close` follows, and with it everything there is to do.
}

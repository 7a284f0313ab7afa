import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import type { WebSocket } from "ws";
import type { Clock } from "../canon/index.ts";
import { headerLines } from "./answer-head.ts";
import type { FrontSocket } from "./types.ts";

/** A peer that has vanished without a word is noticed by the second unanswered ping. */
const PING_MS = 30_000;
/** Source: RFC 6455, section 7.4.1. */
const GOING_AWAY = 1001;
const UNSUPPORTED_DATA = 1003;
const FAREWELL = "the gateway is shutting down";

interface OpenSocket {
  /** Has it answered since the last ping? */
  alive: boolean;
  goodbye: () => void;
}

/** The open WebSockets of a front end. */
export class WebSockets {
  readonly #server: WebSocketServer;
  readonly #clock: Clock;
  readonly #open = new Map<WebSocket, OpenSocket>();
  #stopPings: (() => void) | undefined;

  constructor(maxMessageBytes: number, clock: Clock) {
    this.#clock = clock;
    this.#server = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: maxMessageBytes, clientTracking: false });
  }

  accept(message: IncomingMessage, connection: Duplex, head: Buffer, then: (socket: FrontSocket) => void): void {
    // A handshake that is none is answered 400 by the library itself.
    this.#server.handleUpgrade(message, connection, head, (socket) => {
      const state: OpenSocket = { alive: true, goodbye: () => socket.close(GOING_AWAY, FAREWELL) };
      this.#open.set(socket, state);
      socket.on("pong", () => (state.alive = true));
      // A broken frame or a message over the limit; the close that follows says so to both sides.
      socket.on("error", ignore);
      socket.on("close", () => this.#forget(socket));
      this.#stopPings ??= this.#clock.after(PING_MS, () => this.#ping());
      then(frontSocket(socket, state));
    });
  }

  /** Says goodbye to everybody. */
  close(): void {
    for (const { goodbye } of this.#open.values()) goodbye();
  }

  #ping(): void {
    for (const [socket, state] of this.#open) {
      if (!state.alive) socket.terminate();
      else {
        state.alive = false;
        socket.ping();
      }
    }
    this.#stopPings = this.#clock.after(PING_MS, () => this.#ping());
  }

  #forget(socket: WebSocket): void {
    this.#open.delete(socket);
    if (this.#open.size > 0) return;
    this.#stopPings?.();
    this.#stopPings = undefined;
  }
}

function frontSocket(socket: WebSocket, state: OpenSocket): FrontSocket {
  return {
    send: (text) => {
      if (socket.readyState === socket.OPEN) socket.send(text, ignore);
    },
    onMessage: (callback) => {
      socket.on("message", (bytes, isBinary) => {
        if (isBinary || !Buffer.isBuffer(bytes)) socket.close(UNSUPPORTED_DATA, "messages must be text");
        else callback(bytes.toString("utf8"));
      });
    },
    onClose: (callback) => void socket.once("close", () => callback()),
    onGoodbye: (callback) => {
      state.goodbye = callback;
    },
    close: (code, reason) => socket.close(code, reason),
    get buffered() {
      return socket.bufferedAmount;
    },
  };
}

/** Answers an upgrade with a plain response and ends the connection. */
export function refuseUpgrade(connection: Duplex, status: number, headers: Readonly<Record<string, string>>, body: string): void {
  const head = headerLines({ status, headers, length: undefined, bodiless: false, close: true });
  connection.end(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

function ignore(): void {
  // The socket's close tells what matters.
}

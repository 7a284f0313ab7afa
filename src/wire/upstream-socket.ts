import type { Socket } from "node:net";
import { WebSocket } from "ws";
import type { Problem } from "../canon/index.ts";
import { brokenAnswer, connectionProblem, LOCAL } from "./failures.ts";
import type { SocketHandle, SocketRequest, SocketSink } from "./types.ts";

/** Source: RFC 6455, section 7.4.1. */
const NORMAL = 1000;
const GOING_AWAY = 1001;

/** The version that a base path ends with. */
const VERSION = /\/v\d\w*$/;

export interface SocketWay {
  /** `http://host/base`: the scheme says whether it is secured. */
  readonly url: URL;
  readonly host: string;
  readonly connectTimeoutMs: number;
  /** Opens the connection, wherever it leads. */
  readonly dial: () => Socket;
}

/** A WebSocket to an upstream. It follows no redirect, for the key belongs to that host, and compresses nothing. */
export class UpstreamSocket implements SocketHandle {
  readonly #socket: WebSocket;
  readonly #sink: SocketSink;
  readonly #host: string;
  #open = false;
  #over = false;

  constructor(
    { url, host, connectTimeoutMs, dial }: SocketWay,
    { path, besideVersion, headers, maxMessageBytes }: SocketRequest,
    sink: SocketSink,
  ) {
    this.#sink = sink;
    this.#host = host;
    const whole = url.pathname.replace(/\/$/, "");
    const base = besideVersion ? whole.replace(VERSION, "") : whole;
    const address = `${url.protocol === "https:" ? "wss" : "ws"}://${url.host}${base}${path}`;
    const socket = new WebSocket(address, {
      headers: { ...headers },
      maxPayload: maxMessageBytes,
      perMessageDeflate: false,
      followRedirects: false,
      handshakeTimeout: connectTimeoutMs,
      createConnection: () => dial(),
    });
    this.#socket = socket;
    socket.on("open", () => this.#opened());
    // Some providers send their JSON as bytes.
    socket.on("message", (data) => {
      if (!this.#over) sink.onMessage(Buffer.isBuffer(data) ? data.toString("utf8") : "");
    });
    socket.on("unexpected-response", (request, response) => {
      const status = response.statusCode ?? 0;
      response.resume();
      request.destroy();
      this.#close(refused(host, status));
    });
    socket.on("error", (error) => this.#close(this.#open ? broken(host, error) : connectionProblem(error, host, false)));
    socket.on("close", (code, reason) => {
      // Some languages have no other words for what went wrong.
      const why = reason.length === 0 ? `${code}` : `${code}: ${reason.toString("utf8")}`;
      this.#close(code === NORMAL || code === GOING_AWAY ? undefined : brokenAnswer(host, "socket_closed", `closed the session (${why})`));
    });
  }

  get buffered(): number {
    return this.#socket.bufferedAmount;
  }
  send(text: string): void {
    if (this.#open && !this.#over) this.#socket.send(text, () => {});
  }
  pause(): void {
    this.#socket.pause();
  }
  resume(): void {
    this.#socket.resume();
  }
  close(): void {
    this.#over = true;
    this.#socket.resume();
    this.#socket.close(NORMAL);
    // A peer that never answers keeps no connection here: the library ends it after its own wait.
  }

  #opened(): void {
    this.#open = true;
    if (!this.#over) this.#sink.onOpen();
  }

  #close(problem: Problem | undefined): void {
    if (this.#over) return;
    this.#over = true;
    // Before it stands, an end that looks regular is none.
    this.#sink.onClose(problem ?? (this.#open ? undefined : connectionProblem(LOCAL.closed, this.#host, false)));
  }
}

function broken(host: string, error: Error): Problem {
  const tooLarge = "code" in error && error.code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH";
  return tooLarge
    ? brokenAnswer(host, "message_too_large", "sent a message over the limit")
    : brokenAnswer(host, "socket_broken", `broke the session (${error.message})`);
}

function refused(host: string, status: number): Problem {
  const code = `http_${status}`;
  if (status === 401 || status === 403)
    return {
      kind: "upstream_rejected",
      code,
      status: 502,
      fault: "credentials",
      message: `The upstream ${host} refused the key (HTTP ${status}).`,
    };
  if (status === 429) return { kind: "rate_limited", code, message: `The upstream ${host} takes no more sessions now (HTTP 429).` };
  if (status >= 500) return { kind: "upstream_unavailable", code, message: `The upstream ${host} opened no session (HTTP ${status}).` };
  return { kind: "upstream_rejected", code, status: 502, message: `The upstream ${host} opened no session (HTTP ${status}).` };
}

/** A socket that is not even tried; its sink is told so as of any other. */
export function refusedSocket(problem: Problem, sink: SocketSink): SocketHandle {
  queueMicrotask(() => sink.onClose(problem));
  return { send() {}, buffered: 0, pause() {}, resume() {}, close() {} };
}

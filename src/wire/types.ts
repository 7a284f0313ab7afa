import type { LookupFunction } from "node:net";
import type { BodyFlow, BodySink, BodySource, Clock, Headers, Problem, Secret } from "../canon/index.ts";
import type { FlowLimits } from "./body-flow.ts";

/** One request as the front end hands it over. The body is read only when the handler asks. */
export interface FrontRequest {
  readonly method: string;
  /** Path without the query, not decoded. */
  readonly path: string;
  /** What follows `?`, or "". */
  readonly query: string;
  readonly headers: Headers;
  /** The peer's address; behind a trusted proxy the client's. */
  readonly peer: string;
  /** The stated length of the body in bytes; undefined when it is not known before its end. */
  readonly declared: number | undefined;
  /** Reads the whole body; calls back once. Over the limit, too slow or cut: a problem, and the connection closes after the answer. */
  readBody(limits: { readonly maxBytes: number; readonly timeoutMs: number }, done: (outcome: BodyOutcome) => void): void;
}
/** A request whose body can also be taken piece by piece, while it comes. */
export interface StreamedRequest extends FrontRequest {
  /** Instead of `readBody`, once. Over a limit, too slow or cut: a problem, and the connection closes after the answer. */
  streamBody(limits: FlowLimits, sink: BodySink): BodyFlow;
}
export type BodyOutcome = { readonly ok: true; readonly bytes: Buffer } | { readonly ok: false; readonly problem: Problem };

/** Where the answer to one request goes. Methods after the end or after the client left do nothing. */
export interface FrontOut {
  /** Has the client left, or is the answer complete? */
  readonly closed: boolean;
  /** Begins a streamed answer. */
  head(status: number, headers: Readonly<Record<string, string>>): void;
  /** False: the client is slow; wait for `onDrain`. */
  write(chunk: Buffer | string): boolean;
  end(): void;
  /** Closes the connection in the middle of a streamed answer, so that nobody takes it for whole. */
  cut(): void;
  /** A whole answer in one write with content-length. */
  whole(status: number, headers: Readonly<Record<string, string>>, body: Buffer | string): void;
  /** Calls back once, when the client has taken what it owes; to be asked anew after the next `false`. */
  onDrain(callback: () => void): void;
  /** Calls back once when the client leaves before the answer is complete. */
  onLeave(callback: () => void): void;
}

/** One client's WebSocket. */
export interface FrontSocket {
  send(text: string): void;
  onMessage(callback: (text: string) => void): void;
  onClose(callback: () => void): void;
  /** Calls back when the front end closes: the socket is then to be closed as soon as what is under way is done. Without a callback it is closed at once. */
  onGoodbye(callback: () => void): void;
  close(code: number, reason: string): void;
  /** Bytes accepted by `send` that have not left yet. */
  readonly buffered: number;
}

export type FrontHandler = (request: StreamedRequest, out: FrontOut) => void;
/** Decides on an upgrade: accept it, or answer like a plain request. */
export type UpgradeHandler = (
  request: FrontRequest,
  answer: {
    accept(then: (socket: FrontSocket) => void): void;
    refuse(status: number, headers: Readonly<Record<string, string>>, body: string): void;
  },
) => void;

export interface FrontOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** Connections open at once; more are answered 503 and closed. Also bounded by the process's file descriptors. */
  readonly maxConnections: number;
  readonly maxHeaderBytes: number;
  /** Largest WebSocket message. */
  readonly maxMessageBytes: number;
  readonly handler: FrontHandler;
  readonly upgrade: UpgradeHandler;
  /** Addresses (`10.0.0.7`, `10.0.0.0/8`) whose `x-forwarded-for` or `forwarded` is believed. Default: none. */
  readonly trustedProxies?: readonly string[];
  /** Serves TLS, and HTTP/2 to who asks for it. Default: neither. */
  readonly tls?: ServerTls;
  /** Takes a line for the operator. Default: nobody. */
  readonly report?: (line: string) => void;
  /** How long a request's head may take. Default 20 s. */
  readonly headTimeoutMs?: number;
  /** For idle connections, body timeouts, lingering and closing. Default: the system's. */
  readonly clock?: Clock;
}

/** Each text is PEM, or the path of a file that holds it; files are read again when they change. */
export interface ServerTls {
  /** The certificate, with those between it and its authority. */
  readonly cert: string;
  readonly key: Secret;
  readonly passphrase?: Secret;
  /** Authorities of clients' certificates; undefined: the system's. */
  readonly ca?: string;
  /** Must a client show a certificate, may it, or is none asked for? One that is shown must be good. */
  readonly clientAuth: "none" | "request" | "require";
}

export interface Front {
  /** What may change while it serves: new connections go by it. Whether there is TLS at all does not. @throws ProblemError invalid_request */
  configure(options: Pick<FrontOptions, "trustedProxies" | "tls">): void;
  readonly host: string;
  readonly port: number;
  readonly connections: number;
  /** Stops accepting; resolves when every connection is closed, or closes them after `ms`. */
  close(ms: number): Promise<void>;
}

/** How an upstream is reached. */
export interface ClientOptions {
  /** `https://host/base/path`, without a trailing slash. */
  readonly baseUrl: string;
  /** May the host resolve to a loopback or private address? */
  readonly allowPrivateNetwork: boolean;
  readonly connectTimeoutMs: number;
  /** Longest silence before the response head. */
  readonly headTimeoutMs: number;
  /** Longest silence between pieces of the body. */
  readonly dataTimeoutMs: number;
  /** Connections open at once; further requests wait, as long as connecting may take. */
  readonly maxConnections: number;
  readonly maxHeaderBytes: number;
  /** Resolves names; what it finds is checked all the same. Default: the system's. */
  readonly lookup?: LookupFunction;
  /** The upstream is reached through it. Then the proxy resolves the upstream's name, and its own address may be private. Default: none. */
  readonly proxy?: ProxyAddress;
  /** Whom to trust and what to show in handshakes. Default: the system's authorities, and nothing. */
  readonly tls?: ClientTls;
  /** For every time limit, and for how long idle connections are kept. Default: the system's. */
  readonly clock?: Clock;
}

/** A proxy: tunnels to `https` upstreams (CONNECT), whole requests for `http` ones. */
export interface ProxyAddress {
  /** `http://host:port` or `https://host:port`, without credentials. */
  readonly url: string;
  /** Value of `proxy-authorization`. */
  readonly authorization?: Secret;
}

/** Each text is PEM, or the path of a file that holds it. */
export interface ClientTls {
  /** Trusted instead of the system's authorities. */
  readonly ca?: string;
  /** Shown to the upstream; goes with `key`. */
  readonly cert?: string;
  readonly key?: Secret;
  readonly passphrase?: Secret;
  /** The name that the upstream's certificate must be for. */
  readonly servername?: string;
}

export interface ClientRequest {
  readonly method: string;
  /** Appended to the base URL's path. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Buffer | BodySource;
}

/** See UpstreamSink in canon: the same promises. */
export interface ClientSink {
  onHead(status: number, headers: Headers): void;
  onData(chunk: Buffer): boolean;
  onEnd(): void;
  onProblem(problem: Problem): void;
}
export interface ClientHandle {
  cancel(): void;
  resume(): void;
}
export interface SocketRequest {
  /** Appended to the base URL's path, with its query. */
  readonly path: string;
  /** To the path without the version at its end. */
  readonly besideVersion?: true | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly maxMessageBytes: number;
}
/** See RealtimeSink and RealtimeHandle in canon: the same promises. */
export interface SocketSink {
  onOpen(): void;
  onMessage(text: string): void;
  onClose(problem: Problem | undefined): void;
}
export interface SocketHandle {
  send(text: string): void;
  readonly buffered: number;
  pause(): void;
  resume(): void;
  close(): void;
}
export interface HttpClient {
  open(request: ClientRequest, sink: ClientSink): ClientHandle;
  /** Opens a WebSocket; absent where only requests can be made. */
  socket?(request: SocketRequest, sink: SocketSink): SocketHandle;
  close(): Promise<void>;
}

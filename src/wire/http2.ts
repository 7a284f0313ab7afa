import { constants, createServer } from "node:http2";
import type { Http2Server, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Clock, Headers } from "../canon/index.ts";
import { fieldName } from "./fields.ts";
import { Http2Answer } from "./http2-answer.ts";
import { Http2Request } from "./http2-request.ts";
import type { FrontHandler } from "./types.ts";

/** Requests that one connection may have under way; more are refused by the protocol itself. */
const MAX_STREAMS = 128;
/**
 * Requests that a connection may take back at once, and in a second after that; beyond it the connection ends (CVE-2023-44487). The first
 * has room for all that can be under way, so that a client may cancel everything at once.
 */
const MAX_RESETS = 2 * MAX_STREAMS;
const RESETS_PER_SECOND = 64;
/** What each header line counts beside its letters (RFC 9113, section 6.5.2). */
const LINE_BYTES = 32;
/** Frames that are wrong, and streams refused for being too many, until the connection ends. */
const MAX_INVALID_FRAMES = 100;
const MAX_REFUSED_STREAMS = 100;
/** Header lines of one request. */
const MAX_HEADER_PAIRS = 128;
/** Memory that the protocol may take for one connection, in MB. */
const SESSION_MEGABYTES = 16;
/** What a client may send of one body before it is read, in bytes. */
const STREAM_WINDOW_BYTES = 256 * 1024;

/** What HTTP/2 needs to know of the front end. */
export interface Http2Owner {
  readonly closing: boolean;
  readonly clock: Clock;
  readonly maxHeaderBytes: number;
  readonly headTimeoutMs: number;
  readonly keepAliveMs: number;
  readonly handler: FrontHandler;
  peerOf(socket: Socket, headers: Headers): string;
}

interface OpenSession {
  streams: number;
  fresh: boolean;
  /** Requests taken back, less those that time has forgiven. */
  resets: number;
  resetAt: number;
  /** Since when nothing has been under way, as the sweep noted it. */
  idleSince: number | undefined;
}

/** The connections that speak HTTP/2 (RFC 9113). Streams, flow control and header compression are Node's; what is allowed is said here. */
export class Http2Connections {
  readonly #owner: Http2Owner;
  readonly #server: Http2Server;
  readonly #open = new Map<ServerHttp2Session, OpenSession>();

  constructor(owner: Http2Owner) {
    this.#owner = owner;
    this.#server = createServer({
      maxHeaderListPairs: MAX_HEADER_PAIRS,
      maxSessionMemory: SESSION_MEGABYTES,
      maxSessionInvalidFrames: MAX_INVALID_FRAMES,
      maxSessionRejectedStreams: MAX_REFUSED_STREAMS,
      settings: {
        maxConcurrentStreams: MAX_STREAMS,
        maxHeaderListSize: owner.maxHeaderBytes,
        initialWindowSize: STREAM_WINDOW_BYTES,
        enablePush: false,
      },
    });
    this.#server.on("session", (session) => this.#opened(session));
    this.#server.on("sessionError", ignore);
  }

  /** Takes over a connection whose TLS handshake chose `h2`. */
  take(socket: Socket): void {
    this.#server.emit("connection", socket);
  }

  /** No more requests: those under way go on, then the connections end. */
  closeIdle(): void {
    for (const session of this.#open.keys()) session.close();
  }

  /** Ends the connections on which nothing has been asked for too long. */
  sweep(now: number): void {
    for (const [session, open] of this.#open) {
      if (open.streams > 0) continue;
      open.idleSince ??= now;
      if (now - open.idleSince >= (open.fresh ? this.#owner.headTimeoutMs : this.#owner.keepAliveMs)) session.close();
    }
  }

  #opened(session: ServerHttp2Session): void {
    const open: OpenSession = { streams: 0, fresh: true, resets: 0, resetAt: this.#owner.clock.monotonic(), idleSince: undefined };
    this.#open.set(session, open);
    session.on("stream", (stream, _headers, _flags, raw) => this.#request(stream, raw, session, open));
    session.on("error", ignore);
    session.on("close", () => this.#open.delete(session));
    if (this.#owner.closing) session.close();
  }

  /** Each such request costs us work and its client nothing: a connection may do so as often as people do, not as often as it can. */
  #takenBack(session: ServerHttp2Session, open: OpenSession): void {
    const now = this.#owner.clock.monotonic();
    open.resets = Math.max(0, open.resets - ((now - open.resetAt) / 1_000) * RESETS_PER_SECOND) + 1;
    open.resetAt = now;
    if (open.resets > MAX_RESETS) session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }

  #request(stream: ServerHttp2Stream, raw: readonly string[], session: ServerHttp2Session, open: OpenSession): void {
    stream.on("error", ignore);
    const head = headOf(raw);
    if (!head) return stream.close(constants.NGHTTP2_PROTOCOL_ERROR);
    const { clock, handler } = this.#owner;
    const request = new Http2Request(stream, head, this.#owner.peerOf(session.socket, head.headers), clock);
    open.streams++;
    open.fresh = false;
    open.idleSince = undefined;
    stream.on("close", () => {
      open.streams--;
      if (stream.aborted || stream.rstCode === constants.NGHTTP2_CANCEL) this.#takenBack(session, open);
    });
    if (head.bytes > this.#owner.maxHeaderBytes)
      return new Http2Answer(stream, request, clock).whole(431, { "x-gimbal-problem": "too_large" }, HEAD_TOO_LARGE);
    handler(request, new Http2Answer(stream, request, clock));
  }
}

const HEAD_TOO_LARGE = "The request's headers are larger than the limit.\n";

/** Names and values in turn; every repeated name is joined, as everywhere: a hidden second value is a risk. Undefined: no request of ours. */
function headOf(
  raw: readonly string[],
): { readonly method: string; readonly target: string; readonly headers: Headers; readonly bytes: number } | undefined {
  let bytes = 0;
  const headers: Record<string, string | undefined> = {};
  let [method, target, authority]: (string | undefined)[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? "";
    const value = raw[at + 1] ?? "";
    bytes += name.length + value.length + LINE_BYTES;
    if (name === ":method") method = value;
    else if (name === ":path") target = value;
    else if (name === ":authority") authority = value;
    else if (!name.startsWith(":")) {
      if (fieldName(name) === undefined) return undefined;
      const before: unknown = headers[name];
      headers[name] = typeof before === "string" ? `${before}${name === "cookie" ? "; " : ", "}${value}` : value;
    }
  }
  if (method === undefined || target === undefined || !target.startsWith("/")) return undefined;
  // Two names for one place are none (RFC 9113, section 8.3.1).
  if (authority !== undefined && headers["host"] !== undefined && headers["host"] !== authority) return undefined;
  const host = authority ?? headers["host"];
  if (host === undefined) return undefined;
  return { method, target, headers: { ...headers, host }, bytes };
}

function ignore(): void {
  // `close` follows, and with it everything there is to do.
}

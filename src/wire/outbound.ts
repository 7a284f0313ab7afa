import { STATUS_CODES, validateHeaderName, validateHeaderValue } from "node:http";
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "../canon/index.ts";
import type { Inbound } from "./inbound.ts";
import type { FrontOut } from "./types.ts";

/** A client that takes nothing for this long is cut off: its answer would be kept for ever. */
const STALLED_MS = 120_000;
/** A refused body is read and thrown away this far, so that the client gets to read its refusal instead of a reset. */
const LINGER_BYTES = 64 * 1024 * 1024;
const LINGER_MS = 2_000;
/** A body nobody read is skipped when it is this small; otherwise the connection ends with the answer. */
const SKIP_BYTES = 64 * 1024;
/** Above this a chunk is sent beside its frame, not copied into it. */
const COPY_BYTES = 16 * 1024;

/** What one connection needs to know of its answers. */
export interface OutOwner {
  readonly closing: boolean;
  finished(out: Outbound): void;
}

/**
 * The answer to one request. Whole answers go through Node's response in one write. A streamed answer's head does too; its pieces are
 * framed here (RFC 9112, section 7.1) and written to the socket directly, all pieces of one tick in one chunk and one system call:
 * Node's own framing makes four writes of every piece.
 */
export class Outbound implements FrontOut {
  readonly #request: Inbound;
  readonly #response: ServerResponse;
  readonly #socket: Socket;
  readonly #owner: OutOwner;
  readonly #clock: Clock;
  #state: "waiting" | "streaming" | "ended" = "waiting";
  #bodiless = false;
  #pieces: (Buffer | string)[] = [];
  #pendingBytes = 0;
  #scheduled = false;
  #corked = false;
  #drain: (() => void) | undefined;
  #leave: (() => void) | undefined;
  #stopStall: (() => void) | undefined;

  constructor(request: Inbound, response: ServerResponse, socket: Socket, owner: OutOwner, clock: Clock) {
    this.#request = request;
    this.#response = response;
    this.#socket = socket;
    this.#owner = owner;
    this.#clock = clock;
  }

  get closed(): boolean {
    return this.#state === "ended" || this.#socket.destroyed;
  }
  get streaming(): boolean {
    return this.#state === "streaming";
  }

  whole(status: number, headers: Readonly<Record<string, string>>, body: Buffer | string): void {
    if (this.closed || this.#state !== "waiting") return;
    const list = headerList(headers);
    const bodiless = status === 204 || status === 304;
    if (!bodiless) list.push("content-length", String(Buffer.byteLength(body)));
    const linger = this.#mustClose(list);
    this.#writeHead(status, list);
    if (linger) {
      this.#state = "ended";
      this.#response.write(body);
      this.#request.discard(LINGER_BYTES, LINGER_MS, () => this.#finish());
    } else {
      this.#state = "ended";
      if (bodiless || this.#request.method === "HEAD") this.#response.end();
      else if (typeof body === "string") this.#response.end(body);
      // Node joins head and text to one write, head and bytes it writes apart; in Latin-1 every byte is a letter and stays itself.
      else if (body.length <= COPY_BYTES) this.#response.end(body.toString("latin1"), "latin1");
      else this.#response.end(body);
      this.#owner.finished(this);
    }
  }

  head(status: number, headers: Readonly<Record<string, string>>): void {
    if (this.closed || this.#state !== "waiting") return;
    this.#state = "streaming";
    this.#bodiless = this.#request.method === "HEAD" || status === 204 || status === 304;
    const list = headerList(headers);
    this.#mustClose(list);
    this.#writeHead(status, list);
    // The head leaves with the pieces of this tick, or alone at its end.
    this.#socket.cork();
    this.#corked = true;
    this.#response.flushHeaders();
    this.#schedule();
  }

  write(piece: Buffer | string): boolean {
    if (this.closed || this.#state !== "streaming") return true;
    if (this.#bodiless || piece.length === 0) return true;
    this.#schedule();
    this.#pieces.push(piece);
    this.#pendingBytes += piece.length;
    return this.#pendingBytes + this.#socket.writableLength < this.#socket.writableHighWaterMark;
  }

  end(): void {
    if (this.#state !== "streaming") return;
    const alive = !this.#socket.destroyed;
    if (alive) {
      this.#socket.cork();
      this.#send();
    }
    this.#state = "ended";
    this.#stopStall?.();
    if (alive && this.#request.body === "abandoned") {
      this.#socket.uncork();
      this.#request.discard(LINGER_BYTES, LINGER_MS, () => this.#finish());
    } else this.#finish();
  }

  onDrain(callback: () => void): void {
    this.#drain = callback;
    if (this.closed) return;
    this.#stopStall ??= this.#clock.after(STALLED_MS, () => this.#socket.destroy());
    // The connection's `drain` calls back, or the end of this tick where everything fits.
    this.#schedule();
  }

  onLeave(callback: () => void): void {
    this.#leave = callback;
  }

  /** The connection is gone. Told by its owner. */
  left(): void {
    if (this.#state === "ended") return;
    this.#state = "ended";
    this.#stopStall?.();
    this.#pieces = [];
    this.#leave?.();
  }

  /** End of the tick: what was gathered goes out. */
  flush(): void {
    this.#scheduled = false;
    if (this.#state === "streaming" && !this.#socket.destroyed) this.#send();
    if (this.#corked) {
      this.#corked = false;
      this.#socket.uncork();
    }
    if (this.#drain && !this.#socket.writableNeedDrain) this.drained();
  }

  /** The client has taken what was sent. Told by its owner. */
  drained(): void {
    const drain = this.#drain;
    if (!drain || this.closed) return;
    this.#drain = undefined;
    this.#stopStall?.();
    this.#stopStall = undefined;
    drain();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    process.nextTick(flush, this);
  }

  #finish(): void {
    this.#response.end();
    this.#owner.finished(this);
  }

  #writeHead(status: number, list: string[]): void {
    const response = this.#response;
    response.sendDate = false;
    try {
      response.writeHead(status, STATUS_CODES[status] ?? "Unknown", list);
    } catch {
      // Some name or value cannot be a header: a line break smuggled in from outside, say. The answer is worth more than that header.
      response.writeHead(status, STATUS_CODES[status] ?? "Unknown", onlyValid(list));
    }
  }

  /** Adds `connection: close` where the connection cannot be used again; true when the rest of the request must be swallowed first. */
  #mustClose(list: string[]): boolean {
    const { body, headers, awaitsContinue } = this.#request;
    const unread = body === "unread" && !(Number(headers["content-length"]) <= SKIP_BYTES && !awaitsContinue);
    if (!unread && body !== "abandoned" && body !== "reading" && !this.#owner.closing) return false;
    list.push("connection", "close");
    // Who waits for "100 Continue" and gets a refusal sends no body.
    return !awaitsContinue && (unread || body === "abandoned");
  }

  #send(): void {
    const pieces = this.#pieces;
    if (pieces.length === 0) return;
    const [only] = pieces;
    const piece = pieces.length === 1 && only !== undefined ? only : joined(pieces);
    this.#pieces = [];
    this.#pendingBytes = 0;
    const response = this.#response;
    // A pipelined answer behind another one has no socket yet: Node keeps its pieces.
    if (response.socket === null) response.write(piece);
    else if (!response.chunkedEncoding) this.#socket.write(piece);
    else writeChunk(this.#socket, piece);
  }
}

function flush(out: Outbound): void {
  out.flush();
}

function joined(pieces: readonly (Buffer | string)[]): Buffer | string {
  if (pieces.every((piece) => typeof piece === "string")) return pieces.join("");
  return Buffer.concat(pieces.map((piece) => (typeof piece === "string" ? Buffer.from(piece) : piece)));
}

function writeChunk(socket: Socket, piece: Buffer | string): void {
  if (typeof piece === "string") {
    const bytes = Buffer.byteLength(piece);
    socket.write(`${bytes.toString(16)}\r\n${piece}\r\n`, bytes === piece.length ? "latin1" : "utf8");
    return;
  }
  const size = `${piece.length.toString(16)}\r\n`;
  if (piece.length > COPY_BYTES) {
    socket.cork();
    socket.write(size, "latin1");
    socket.write(piece);
    socket.write("\r\n", "latin1");
    socket.uncork();
    return;
  }
  const framed = Buffer.allocUnsafe(size.length + piece.length + 2);
  framed.write(size, 0, "latin1");
  piece.copy(framed, size.length);
  framed[framed.length - 2] = 13;
  framed[framed.length - 1] = 10;
  socket.write(framed);
}

/** Name and value in turn. How the body is framed and whether the connection lives on is decided here, not by the caller. */
function headerList(headers: Readonly<Record<string, string>>): string[] {
  const list: string[] = [];
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined && !isFraming(name)) list.push(name, value);
  }
  return list;
}

function isFraming(name: string): boolean {
  switch (name.length) {
    case 7: // trailer, upgrade
    case 10: // connection, keep-alive
    case 14: // content-length
    case 17: // transfer-encoding
      return /^(?:trailer|upgrade|connection|keep-alive|content-length|transfer-encoding)$/i.test(name);
    default:
      return false;
  }
}

/** Without the names and values that cannot be headers. */
export function onlyValid(list: readonly string[]): string[] {
  const valid: string[] = [];
  for (let at = 0; at + 1 < list.length; at += 2) {
    const name = list[at] ?? "";
    const value = list[at + 1] ?? "";
    try {
      validateHeaderName(name);
      validateHeaderValue(name, value);
      valid.push(name, value);
    } catch {
      // Dropped, see above.
    }
  }
  return valid;
}

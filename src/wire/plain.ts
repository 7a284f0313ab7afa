import type { Socket } from "node:net";
import type { Clock, Headers } from "../canon/index.ts";
import { headerLines } from "./answer-head.ts";
import type { AnswerHead } from "./answer-head.ts";
import { LAST_CHUNK, writeAround, writeChunk } from "./chunk.ts";
import { Outbound } from "./outbound.ts";
import type { AnswerWriter } from "./outbound.ts";
import { PlainRequest } from "./plain-request.ts";
import type { Source } from "./plain-request.ts";
import { readPlainHead } from "./request-head.ts";
import type { FrontHandler } from "./types.ts";

/** What a client may send ahead while its last request is being answered; then the connection is not read until that is over. */
const AHEAD_BYTES = 64 * 1024;

/** What a connection needs to know of the front end. */
export interface PlainOwner {
  readonly closing: boolean;
  readonly clock: Clock;
  readonly maxHeaderBytes: number;
  /** How long a connection is kept without a request, in milliseconds; told to the client. */
  readonly keepAliveMs: number;
  readonly handler: FrontHandler;
  peerOf(socket: Socket, headers: Headers): string;
  /** What follows on the connection is no plain request. */
  handOver(socket: Socket, bytes: Buffer): void;
}

/**
 * A client's connection as long as it asks plain requests, one after the other: each with its head in one piece, read by a strict grammar,
 * and a body of a stated length. Anything else at the boundary of a request is handed over, with all bytes from there on; the connection
 * does not come back. It is also the writer of its answers, so that a request costs few objects.
 */
export class PlainConnection implements AnswerWriter, Source {
  readonly socket: Socket;
  readonly #owner: PlainOwner;
  #request: PlainRequest | undefined;
  #out: Outbound | undefined;
  /** Came while a request was being answered. */
  #ahead: Buffer | undefined;
  /** The head of a streamed answer that has not left yet. */
  #head: string | undefined;
  #chunked = false;
  /** The client asked for it. */
  #close = false;
  /** No further request is taken after this answer. */
  #last = false;
  /** Since when nothing has been under way, as the sweep noted it; undefined: not noted. */
  idleSince: number | undefined;
  /** Nothing was asked on it so far. */
  fresh = true;

  constructor(owner: PlainOwner, socket: Socket) {
    this.#owner = owner;
    this.socket = socket;
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("close", this.#onClose);
    socket.on("drain", this.#onDrain);
  }

  /** Is nothing being asked or answered? */
  get idle(): boolean {
    return this.#out === undefined;
  }
  get closing(): boolean {
    return this.#owner.closing;
  }

  pause(): void {
    this.socket.pause();
  }
  resume(): void {
    if (this.socket.isPaused()) this.socket.resume();
  }

  whole(head: AnswerHead, body: Buffer | string): void {
    const front = `${headerLines(head)}${this.#connectionLines(head)}\r\n`;
    if (head.bodiless) this.socket.write(front, "latin1");
    else writeAround(this.socket, front, body, head.length ?? 0, "");
  }

  head(head: AnswerHead): void {
    this.#chunked = !head.bodiless;
    const framing = this.#chunked ? "Transfer-Encoding: chunked\r\n" : "";
    this.#head = `${headerLines(head)}${this.#connectionLines(head)}${framing}\r\n`;
  }

  piece(piece: Buffer | string): void {
    writeChunk(this.socket, this.#takeHead(), piece, "");
  }

  flush(): void {
    if (this.#head !== undefined) this.socket.write(this.#takeHead(), "latin1");
  }

  end(piece: Buffer | string | undefined): void {
    const last = this.#chunked ? LAST_CHUNK : "";
    this.#chunked = false;
    if (piece !== undefined) return writeChunk(this.socket, this.#takeHead(), piece, last);
    const rest = this.#takeHead() + last;
    if (rest !== "") this.socket.write(rest, "latin1");
  }

  finished(): void {
    const request = this.#request;
    this.#out = undefined;
    if (this.#last || this.closing) return this.socket.destroySoon();
    request?.skip();
    if (request && request.missing > 0) return;
    this.#request = undefined;
    if (this.#ahead) process.nextTick(this.#goOn);
  }

  #takeHead(): string {
    const head = this.#head ?? "";
    this.#head = undefined;
    return head;
  }

  #connectionLines(head: AnswerHead): string {
    this.#last = this.#close || head.close;
    if (head.close) return "";
    if (this.#close) return "Connection: close\r\n";
    return `Connection: keep-alive\r\nKeep-Alive: timeout=${this.#owner.keepAliveMs / 1000}\r\n`;
  }

  /** The boundary of a request: `bytes` begin the next one. */
  #begin(bytes: Buffer): void {
    const head = readPlainHead(bytes, this.#owner.maxHeaderBytes);
    // With more than one request at hand their answers must wait for their turn: not plain.
    if (!head || bytes.length > head.size + head.length) return this.#handOver(bytes);
    this.fresh = false;
    this.idleSince = undefined;
    this.#close = head.close;
    const { clock, handler } = this.#owner;
    const request = new PlainRequest(head, this.#owner.peerOf(this.socket, head.headers), this, clock);
    if (bytes.length > head.size) request.feed(bytes.subarray(head.size));
    this.#request = request;
    this.#out = new Outbound(request, this, this.socket, clock);
    handler(request, this.#out);
  }

  #handOver(bytes: Buffer): void {
    const { socket } = this;
    socket.off("data", this.#onData).off("end", this.#onEnd).off("close", this.#onClose).off("drain", this.#onDrain);
    this.#owner.handOver(socket, bytes);
  }

  readonly #onData = (bytes: Buffer): void => {
    const request = this.#request;
    if (!request) return this.#ahead ? this.#keep(bytes) : this.#begin(bytes);
    const beyond = request.feed(bytes);
    if (beyond.length > 0) this.#keep(beyond);
    // The last of a body that was only skipped; its answer is out.
    if (!this.#out && request.missing === 0 && this.#request === request) {
      this.#request = undefined;
      if (this.#ahead) process.nextTick(this.#goOn);
    }
  };

  #keep(bytes: Buffer): void {
    if (this.#last) return;
    this.#ahead = this.#ahead ? Buffer.concat([this.#ahead, bytes]) : bytes;
    if (this.#ahead.length > AHEAD_BYTES) this.pause();
  }

  readonly #goOn = (): void => {
    const bytes = this.#ahead;
    if (!bytes || this.#request || this.socket.destroyed) return;
    this.#ahead = undefined;
    this.resume();
    this.#begin(bytes);
  };

  /** The client says no more, and by that has left: who only half-closes is not told from who is gone. */
  readonly #onEnd = (): void => {
    this.#request?.cut();
    this.socket.destroySoon();
  };

  readonly #onClose = (): void => {
    this.#request?.cut();
    this.#out?.left();
  };

  readonly #onDrain = (): void => this.#out?.drained();
}

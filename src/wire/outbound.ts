import type { Socket } from "node:net";
import type { Clock } from "../canon/index.ts";
import type { AnswerHead } from "./answer-head.ts";
import type { Incoming } from "./body.ts";
import { joined } from "./chunk.ts";
import { atEndOfTurn } from "./turn.ts";
import type { Leaving } from "./turn.ts";
import type { FrontOut } from "./types.ts";

/** A client that takes nothing for this long is cut off: its answer would be kept for ever. */
const STALLED_MS = 120_000;
/** A refused body is read and thrown away this far, so that the client gets to read its refusal instead of a reset. */
const LINGER_BYTES = 64 * 1024 * 1024;
const LINGER_MS = 2_000;
/** A body nobody read is skipped when it is this small; otherwise the connection ends with the answer. */
const SKIP_BYTES = 64 * 1024;

/** How an answer gets onto its connection. */
export interface AnswerWriter {
  /** The front end is closing: no more requests on this connection. */
  readonly closing: boolean;
  /** Head and body of a whole answer; `last`: nothing is awaited from the client before the answer is over, and `end` is not called. */
  whole(head: AnswerHead, body: Buffer | string, last: boolean): void;
  /** Head of a streamed answer; it leaves with the first piece, or with `flush`. */
  head(head: AnswerHead): void;
  piece(piece: Buffer | string): void;
  /** End of the turn. */
  flush(): void;
  /** The answer is over; `piece` is its last. */
  end(piece: Buffer | string | undefined): void;
  /** Called once after `whole` with `last`, or after `end`. */
  finished(out: Outbound): void;
}

interface WholeAnswer {
  readonly head: AnswerHead;
  readonly body: Buffer | string;
}

/** The answer to one request: what may be said when. All that is said in one turn of the event loop goes out together at its end. */
export class Outbound implements FrontOut, Leaving {
  readonly #request: Incoming;
  readonly #writer: AnswerWriter;
  readonly #socket: Socket;
  readonly #clock: Clock;
  #state: "waiting" | "streaming" | "ended" = "waiting";
  #bodiless = false;
  /** A whole answer that has not left yet. */
  #whole: WholeAnswer | undefined;
  #pieces: (Buffer | string)[] | undefined;
  #pendingBytes = 0;
  #scheduled = false;
  #drain: (() => void) | undefined;
  #leave: (() => void) | undefined;
  #stopStall: (() => void) | undefined;

  constructor(request: Incoming, writer: AnswerWriter, socket: Socket, clock: Clock) {
    this.#request = request;
    this.#writer = writer;
    this.#socket = socket;
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
    this.#state = "ended";
    const lengthless = status === 204 || status === 304;
    const linger = this.#mustLinger();
    const head: AnswerHead = {
      status,
      headers,
      length: lengthless ? undefined : Buffer.byteLength(body),
      bodiless: lengthless || this.#request.method === "HEAD",
      close: this.#mustClose(),
    };
    if (linger) {
      this.#writer.whole(head, body, false);
      return this.#request.discard(LINGER_BYTES, LINGER_MS, () => this.#finish(undefined));
    }
    this.#whole = { head, body };
    this.#schedule();
  }

  head(status: number, headers: Readonly<Record<string, string>>): void {
    if (this.closed || this.#state !== "waiting") return;
    this.#state = "streaming";
    this.#bodiless = this.#request.method === "HEAD" || status === 204 || status === 304;
    this.#writer.head({ status, headers, length: undefined, bodiless: this.#bodiless, close: this.#mustClose() });
    this.#schedule();
  }

  write(piece: Buffer | string): boolean {
    if (this.closed || this.#state !== "streaming") return true;
    if (this.#bodiless || piece.length === 0) return true;
    this.#schedule();
    (this.#pieces ??= []).push(piece);
    this.#pendingBytes += piece.length;
    return this.#pendingBytes + this.#socket.writableLength < this.#socket.writableHighWaterMark;
  }

  end(): void {
    if (this.#state !== "streaming") return;
    this.#state = "ended";
    this.#stopStall?.();
    const rest = this.#gathered();
    if (this.#socket.destroyed || this.#request.body !== "abandoned") return this.#finish(rest);
    if (rest !== undefined) this.#writer.piece(rest);
    this.#writer.flush();
    this.#request.discard(LINGER_BYTES, LINGER_MS, () => this.#finish(undefined));
  }

  cut(): void {
    if (this.#state !== "streaming") return;
    // What was said before leaves, and then, without the end of the answer, the end of the connection.
    this.endOfTurn();
    this.#socket.destroySoon();
  }

  onDrain(callback: () => void): void {
    this.#drain = callback;
    if (this.closed) return;
    this.#stopStall ??= this.#clock.after(STALLED_MS, () => this.#socket.destroy());
    // The connection's `drain` calls back, or the end of this turn where everything fits.
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
    this.#pieces = undefined;
    this.#leave?.();
  }

  endOfTurn(): void {
    this.#scheduled = false;
    if (this.#whole) return this.#leaveWhole(this.#whole);
    if (this.#state === "streaming" && !this.#socket.destroyed) {
      const piece = this.#gathered();
      if (piece !== undefined) this.#writer.piece(piece);
      this.#writer.flush();
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

  #leaveWhole({ head, body }: WholeAnswer): void {
    this.#whole = undefined;
    if (!this.#socket.destroyed) this.#writer.whole(head, body, true);
    this.#writer.finished(this);
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    atEndOfTurn(this);
  }

  #gathered(): Buffer | string | undefined {
    const pieces = this.#pieces;
    if (!pieces) return undefined;
    this.#pieces = undefined;
    this.#pendingBytes = 0;
    return joined(pieces);
  }

  #finish(piece: Buffer | string | undefined): void {
    if (!this.#socket.destroyed) this.#writer.end(piece);
    this.#writer.finished(this);
  }

  /** Was the body neither read nor so small that it can be skipped? */
  get #unread(): boolean {
    const { body, declared, awaitsContinue } = this.#request;
    return body === "unread" && (declared === undefined || declared > SKIP_BYTES || awaitsContinue);
  }

  #mustClose(): boolean {
    const { body } = this.#request;
    return this.#unread || body === "abandoned" || body === "reading" || this.#writer.closing;
  }

  /** Must the rest of the request be swallowed before the answer may be over? Who waits for "100 Continue" and gets a refusal sends none. */
  #mustLinger(): boolean {
    return !this.#request.awaitsContinue && (this.#unread || this.#request.body === "abandoned");
  }
}

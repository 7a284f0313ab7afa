import type { Socket } from "node:net";
import type { BodySource, Headers } from "../canon/index.ts";
import { AnswerReader } from "./answer-reader.ts";
import type { AnswerReaderSink, Fault } from "./answer-reader.ts";
import { writeAround } from "./chunk.ts";
import { LOCAL } from "./failures.ts";
import { Upload } from "./upload.ts";
import { atEndOfTurn } from "./turn.ts";
import type { Leaving } from "./turn.ts";
import type { Dialler } from "./upstream-dial.ts";

/** An idle connection is given up after this; a shorter `keep-alive: timeout` of the server wins, a longer one counts up to the second. */
const IDLE_MS = 30_000;
const IDLE_MAX_MS = 120_000;
/** A connection is given up this long before the server would close it, so that no request meets the closing. */
const IDLE_MARGIN_MS = 2_000;

export interface UpstreamLimits {
  readonly connectTimeoutMs: number;
  readonly headTimeoutMs: number;
  readonly dataTimeoutMs: number;
  readonly maxHeaderBytes: number;
}

/** What a connection needs to know of its pool. */
export interface UpstreamOwner {
  readonly limits: UpstreamLimits;
  readonly sweepMs: number;
  /** The connection is gone. */
  closed(connection: UpstreamConnection): void;
}

/** Who asked on a connection. */
export interface Asker {
  onHead(status: number, headers: Headers): void;
  /** False: no more until `resume`. */
  onPiece(piece: Buffer): boolean;
  /** The connection may be given back when `reusable`. */
  onComplete(reusable: boolean): void;
  /** No (whole) answer; the error, or a code of `failures.ts`. */
  onBroken(error: unknown): void;
}

/** One connection to an upstream, one request at a time on it. */
export class UpstreamConnection implements AnswerReaderSink, Leaving {
  readonly #owner: UpstreamOwner;
  readonly #socket: Socket;
  #stands = false;
  #asker: Asker | undefined;
  /** A request that has not left yet. */
  #unsent:
    | { readonly head: string; readonly body: Buffer | string; readonly bodyBytes: number; readonly upload: BodySource | undefined }
    | undefined;
  /** A body that is still being sent. */
  #upload: Upload | undefined;
  #reader: AnswerReader | undefined;
  #answering = false;
  /** The upstream said its last word while its answer was held back. */
  #ended = false;
  #idleMs = IDLE_MS;
  /** Since when nothing has happened, as the sweep noted it; undefined: something has since. */
  #quietSince: number | undefined;

  constructor(owner: UpstreamOwner, dialler: Dialler) {
    this.#owner = owner;
    this.#socket = dialler.dial();
    this.#socket
      .on(dialler.ready, () => {
        this.#stands = true;
        this.#quietSince = undefined;
      })
      .on("data", (bytes: Buffer) => this.#data(bytes))
      .on("end", () => this.#end())
      .on("error", (error) => this.#broken(error))
      .on("close", () => {
        this.#broken(undefined);
        owner.closed(this);
      });
  }

  /** Can it take a request? */
  get usable(): boolean {
    return this.#asker === undefined && this.#socket.writable && this.#socket.readable;
  }

  /** Sends one request; what becomes of it is told to the asker. `head` is Latin-1. */
  send(asker: Asker, isHead: boolean, head: string, body: Buffer | string, bodyBytes: number, upload?: BodySource): void {
    this.#asker = asker;
    this.#reader = new AnswerReader(this, isHead, this.#owner.limits.maxHeaderBytes);
    this.#answering = false;
    this.#quietSince = undefined;
    this.#unsent = { head, body, bodyBytes, upload };
    atEndOfTurn(this);
  }

  endOfTurn(): void {
    const unsent = this.#unsent;
    this.#unsent = undefined;
    if (!unsent || this.#socket.destroyed) return;
    if (unsent.upload) this.#upload = new Upload(this.#socket, unsent.head, unsent.upload);
    else writeAround(this.#socket, unsent.head, unsent.body, unsent.bodyBytes, "");
  }

  /** The asker has room again. */
  resume(): void {
    const reader = this.#reader;
    if (!reader?.blocked) return;
    const fault = reader.resume();
    if (fault) return this.#faulty(fault);
    if (reader.blocked) return;
    this.#quietSince = undefined;
    // With its last piece taken the answer is over: whoever asks next on this connection must be able to hear.
    if (this.#ended && reader === this.#reader) this.#end();
    else this.#socket.resume();
  }

  /** Ends the connection at once and tells nobody. */
  destroy(): void {
    this.#asker = undefined;
    this.#unsent = undefined;
    this.#upload?.stop();
    this.#upload = undefined;
    this.#reader?.stop();
    this.#reader = undefined;
    this.#socket.destroy();
  }

  /** Called every `sweepMs`: one timer for all connections instead of one or two for each request. */
  sweep(now: number): void {
    // Whoever waits for us, or for our client, is not silent.
    if (this.#reader?.blocked || (this.#upload && this.#upload.moves())) this.#quietSince = undefined;
    else if (this.#quietSince === undefined) this.#quietSince = now;
    else this.#checkQuiet(now - this.#quietSince);
  }

  onHead(status: number, headers: Headers): void {
    this.#answering = true;
    this.#idleMs = idleMs(headers["keep-alive"]);
    this.#asker?.onHead(status, headers);
  }

  onPiece(piece: Buffer): boolean {
    return this.#asker?.onPiece(piece) ?? true;
  }

  onComplete(reusable: boolean): void {
    const asker = this.#asker;
    const sent = this.#upload?.done ?? true;
    this.#upload?.stop();
    this.#upload = undefined;
    this.#asker = undefined;
    this.#reader = undefined;
    this.#quietSince = undefined;
    // An answer that came before the request was written may leave half a request on the connection.
    asker?.onComplete(reusable && sent && !this.#ended && this.#idleMs > 0 && this.#socket.writableLength === 0);
  }

  #data(bytes: Buffer): void {
    this.#quietSince = undefined;
    const reader = this.#reader;
    // Nothing was asked: whatever this is, it must not be taken for the next answer.
    if (!reader) return this.destroy();
    if (this.#unsent) return this.#broken(undefined);
    const fault = reader.read(bytes);
    if (fault) this.#faulty(fault);
    else if (reader.blocked) this.#socket.pause();
  }

  #end(): void {
    this.#ended = true;
    if (this.#reader?.blocked || this.#reader?.ends()) return;
    this.#broken(undefined);
  }

  #faulty(fault: Fault): void {
    this.#broken(FAULTS[fault]);
  }

  #broken(error: unknown): void {
    const asker = this.#asker;
    this.destroy();
    asker?.onBroken(error);
  }

  #checkQuiet(quietMs: number): void {
    const { limits, sweepMs } = this.#owner;
    // Idle ones go a little early rather than late: the upstream is about to close them as well.
    if (!this.#asker) {
      if (quietMs + sweepMs >= this.#idleMs) this.destroy();
    } else if (!this.#stands) {
      if (quietMs >= limits.connectTimeoutMs) this.#broken(LOCAL.connectTimeout);
    } else if (!this.#answering) {
      if (quietMs >= limits.headTimeoutMs) this.#broken(LOCAL.headTimeout);
    } else if (quietMs >= limits.dataTimeoutMs) this.#broken(LOCAL.dataTimeout);
  }
}

const FAULTS: Readonly<Record<Fault, unknown>> = {
  not_http: LOCAL.notHttp,
  headers_too_large: LOCAL.headersTooLarge,
  // Nobody asked for another protocol: as good as hanging up.
  upgraded: undefined,
};

/** How long this connection may lie idle, in milliseconds; 0 or less: not at all. */
function idleMs(keepAlive: string | undefined): number {
  const seconds = keepAlive === undefined ? undefined : /timeout=(\d{1,9})/i.exec(keepAlive)?.[1];
  return seconds === undefined ? IDLE_MS : Math.min(Number(seconds) * 1000 - IDLE_MARGIN_MS, IDLE_MAX_MS);
}

import { constants } from "node:http2";
import type { ServerHttp2Stream } from "node:http2";
import type { Clock } from "../canon/index.ts";
import { fieldName, isFieldValue, isFraming } from "./fields.ts";
import type { FrontOut, FrontRequest } from "./types.ts";

/** A client that takes nothing for this long is cut off: its answer would be kept for ever. */
const STALLED_MS = 120_000;
/** How much longer, and how much more, of a body is taken and forgotten when its answer is out. */
const LINGER_MS = 2_000;
const LINGER_BYTES = 1024 * 1024;

/** The answer to one request of an HTTP/2 connection; how much may leave, and when, is the protocol's affair. */
export class Http2Answer implements FrontOut {
  readonly #stream: ServerHttp2Stream;
  readonly #request: FrontRequest;
  readonly #clock: Clock;
  #state: "waiting" | "streaming" | "ended" = "waiting";
  #bodiless = false;
  #drain: (() => void) | undefined;
  #stopStall: (() => void) | undefined;

  constructor(stream: ServerHttp2Stream, request: FrontRequest, clock: Clock) {
    this.#stream = stream;
    this.#request = request;
    this.#clock = clock;
    stream.on("drain", () => this.#drained());
    stream.on("close", () => this.#stopStall?.());
    stream.on("finish", () => this.#skipBody());
  }

  get closed(): boolean {
    return this.#state === "ended" || this.#gone;
  }

  get #gone(): boolean {
    return this.#stream.destroyed || this.#stream.closed || this.#stream.aborted;
  }

  head(status: number, headers: Readonly<Record<string, string>>): void {
    if (this.closed || this.#state !== "waiting") return;
    this.#state = "streaming";
    this.#bodiless = this.#request.method === "HEAD" || status === 204 || status === 304;
    this.#stream.respond({ ":status": status, ...sendable(headers) }, { endStream: false });
  }

  write(piece: Buffer | string): boolean {
    if (this.closed || this.#state !== "streaming" || this.#bodiless || piece.length === 0) return true;
    return this.#stream.write(piece);
  }

  end(): void {
    if (this.#state !== "streaming") return;
    this.#state = "ended";
    this.#stopStall?.();
    if (!this.#gone) this.#stream.end();
  }

  cut(): void {
    if (this.#state === "streaming" && !this.#gone) this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  whole(status: number, headers: Readonly<Record<string, string>>, body: Buffer | string): void {
    if (this.closed || this.#state !== "waiting") return;
    this.#state = "ended";
    const lengthless = status === 204 || status === 304;
    const length = lengthless ? {} : { "content-length": String(Buffer.byteLength(body)) };
    const bodiless = lengthless || this.#request.method === "HEAD" || body.length === 0;
    this.#stream.respond({ ":status": status, ...sendable(headers), ...length });
    this.#stream.end(bodiless ? undefined : body);
  }

  onDrain(callback: () => void): void {
    this.#drain = callback;
    if (this.closed) return;
    this.#stopStall ??= this.#clock.after(STALLED_MS, () => this.#stream.close(constants.NGHTTP2_CANCEL));
    if (!this.#stream.writableNeedDrain) setImmediate(() => this.#drained());
  }

  onLeave(callback: () => void): void {
    this.#stream.on("close", () => {
      if (this.#state === "ended") return;
      this.#state = "ended";
      callback();
    });
  }

  /** What is left of a body that nobody wants need not be sent (RFC 9113, section 8.1); a little of it is on its way already. */
  #skipBody(): void {
    const stream = this.#stream;
    if (stream.readableEnded || stream.endAfterHeaders || stream.destroyed) return;
    let bytes = 0;
    const enough = (): void => stream.close(constants.NGHTTP2_NO_ERROR);
    const stop = this.#clock.after(LINGER_MS, enough);
    stream.on("close", stop);
    stream.on("data", (piece: Buffer) => {
      bytes += piece.length;
      if (bytes > LINGER_BYTES) enough();
    });
    stream.resume();
  }

  #drained(): void {
    const drain = this.#drain;
    if (!drain || this.closed) return;
    this.#drain = undefined;
    this.#stopStall?.();
    this.#stopStall = undefined;
    drain();
  }
}

/** Without the names and values that cannot be headers, and those that govern a connection. */
function sendable(headers: Readonly<Record<string, string>>): Record<string, string> {
  const sent: Record<string, string> = {};
  for (const name in headers) {
    const value = headers[name];
    const lower = fieldName(name);
    if (value !== undefined && lower !== undefined && isFieldValue(value) && !isFraming(name)) sent[lower] = value;
  }
  return sent;
}

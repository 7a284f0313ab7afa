import type { ServerHttp2Stream } from "node:http2";
import type { Clock, Headers } from "../canon/index.ts";
import { ALREADY_READ, CUT, EMPTY, tooLarge, tooSlow } from "./body.ts";
import { contentLength } from "./fields.ts";
import type { BodyOutcome, FrontRequest } from "./types.ts";

/** One request of an HTTP/2 connection. */
export class Http2Request implements FrontRequest {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: Headers;
  readonly peer: string;
  readonly #stream: ServerHttp2Stream;
  readonly #clock: Clock;
  #asked = false;

  constructor(
    stream: ServerHttp2Stream,
    head: { readonly method: string; readonly target: string; readonly headers: Headers },
    peer: string,
    clock: Clock,
  ) {
    this.#stream = stream;
    this.#clock = clock;
    this.method = head.method;
    const mark = head.target.indexOf("?");
    this.path = mark < 0 ? head.target : head.target.slice(0, mark);
    this.query = mark < 0 ? "" : head.target.slice(mark + 1);
    this.headers = head.headers;
    this.peer = peer;
  }

  readBody(limits: { readonly maxBytes: number; readonly timeoutMs: number }, done: (outcome: BodyOutcome) => void): void {
    if (this.#asked) return done(ALREADY_READ);
    this.#asked = true;
    const stream = this.#stream;
    if (stream.endAfterHeaders) return done({ ok: true, bytes: EMPTY });
    const declared = contentLength(this.headers["content-length"] ?? "0");
    if (declared === undefined || declared > limits.maxBytes) return done(tooLarge(limits.maxBytes));
    if (this.headers["expect"]?.toLowerCase() === "100-continue" && !stream.headersSent) stream.additionalHeaders({ ":status": 100 });
    const pieces: Buffer[] = [];
    let bytes = 0;
    let settled = false;
    const settle = (outcome: BodyOutcome): void => {
      if (settled) return;
      settled = true;
      stop();
      if (!outcome.ok) stream.off("data", take).pause();
      done(outcome);
    };
    const take = (piece: Buffer): void => {
      bytes += piece.length;
      if (bytes > limits.maxBytes) settle(tooLarge(limits.maxBytes));
      else pieces.push(piece);
    };
    const stop = this.#clock.after(limits.timeoutMs, () => settle(tooSlow(limits.timeoutMs)));
    stream.on("data", take);
    // A stream that was taken back ends as well.
    stream.on("end", () => settle(stream.aborted ? CUT : { ok: true, bytes: Buffer.concat(pieces, bytes) }));
    stream.on("aborted", () => settle(CUT));
    stream.on("close", () => settle(CUT));
  }
}

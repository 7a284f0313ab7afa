import type { ServerHttp2Stream } from "node:http2";
import type { BodyFlow, BodySink, Clock, Headers } from "../canon/index.ts";
import { ALREADY_READ, CUT, EMPTY, tooLarge, tooSlow } from "./body.ts";
import { contentLength } from "./fields.ts";
import { Flow, type FlowLimits } from "./body-flow.ts";
import type { BodyOutcome, StreamedRequest } from "./types.ts";

/** One request of an HTTP/2 connection. */
export class Http2Request implements StreamedRequest {
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

  get declared(): number | undefined {
    const stated = this.headers["content-length"];
    return this.#stream.endAfterHeaders ? 0 : stated === undefined ? undefined : contentLength(stated);
  }

  streamBody(limits: FlowLimits, sink: BodySink): BodyFlow {
    const stream = this.#stream;
    const piece = (bytes: Buffer): void => flow.piece(bytes);
    const tap = {
      pause: () => void stream.pause(),
      resume: () => void stream.resume(),
      abandon: () => void stream.off("data", piece).pause(),
    };
    const flow = new Flow(limits, sink, tap, this.#clock);
    const asked = this.#asked;
    this.#asked = true;
    if (asked) flow.fail(ALREADY_READ.problem);
    else if (stream.endAfterHeaders) flow.end();
    else if ((this.declared ?? 0) > limits.maxBytes) flow.fail(tooLarge(limits.maxBytes).problem);
    else {
      if (this.headers["expect"]?.toLowerCase() === "100-continue" && !stream.headersSent) stream.additionalHeaders({ ":status": 100 });
      // A stream that was taken back ends as well.
      stream.on("end", () => (stream.aborted ? flow.fail(CUT.problem) : flow.end()));
      stream.on("aborted", () => flow.fail(CUT.problem));
      stream.on("close", () => flow.fail(CUT.problem));
      stream.on("data", piece);
    }
    return flow;
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

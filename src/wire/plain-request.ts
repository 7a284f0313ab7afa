import type { BodyFlow, BodySink, Clock, Headers } from "../canon/index.ts";
import { ALREADY_READ, CUT, EMPTY, tooLarge, tooSlow } from "./body.ts";
import type { BodyState, Incoming } from "./body.ts";
import { Flow, type FlowLimits } from "./body-flow.ts";
import type { PlainHead } from "./request-head.ts";
import type { BodyOutcome } from "./types.ts";

/** What may arrive of a body before the handler has asked for it; then the connection waits. */
const AHEAD_BYTES = 64 * 1024;

/** The connection below: may it read on? */
export interface Source {
  pause(): void;
  resume(): void;
}

/** One request on a plain connection, whose body is the next so many bytes. */
export class PlainRequest implements Incoming {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: Headers;
  readonly peer: string;
  readonly declared: number;
  readonly awaitsContinue = false;
  body: BodyState;
  readonly #source: Source;
  readonly #clock: Clock;
  #pieces: Buffer[] = [];
  #missing: number;
  #done: ((outcome: BodyOutcome) => void) | undefined;
  #stop: (() => void) | undefined;
  #flow: Flow | undefined;
  /** While the body is thrown away: what is still tolerated of it. */
  #tolerated = 0;
  #discarded: (() => void) | undefined;

  constructor(head: PlainHead, peer: string, source: Source, clock: Clock) {
    this.method = head.method;
    this.path = head.path;
    this.query = head.query;
    this.headers = head.headers;
    this.peer = peer;
    this.declared = head.length;
    this.body = head.length === 0 ? "none" : "unread";
    this.#source = source;
    this.#clock = clock;
    this.#missing = head.length;
  }

  /** Bytes of the body that have not arrived. */
  get missing(): number {
    return this.#missing;
  }

  readBody(limits: { readonly maxBytes: number; readonly timeoutMs: number }, done: (outcome: BodyOutcome) => void): void {
    if (this.body === "none") return done({ ok: true, bytes: EMPTY });
    if (this.body !== "unread") return done(ALREADY_READ);
    if (this.declared > limits.maxBytes) {
      this.body = "abandoned";
      return done(tooLarge(limits.maxBytes));
    }
    this.body = "reading";
    this.#done = done;
    if (this.#missing === 0) return this.#settle(this.#whole());
    this.#source.resume();
    this.#stop = this.#clock.after(limits.timeoutMs, () => this.#settle(tooSlow(limits.timeoutMs)));
  }

  streamBody(limits: FlowLimits, sink: BodySink): BodyFlow {
    const source = this.#source;
    const abandon = (): void => {
      this.body = "abandoned";
      // What still comes is skipped as soon as the answer is out.
      source.pause();
    };
    const flow = new Flow(limits, sink, { pause: () => source.pause(), resume: () => source.resume(), abandon }, this.#clock);
    const { body } = this;
    if (body === "none") flow.end();
    else if (body !== "unread") flow.fail(ALREADY_READ.problem);
    else if (this.declared > limits.maxBytes) flow.fail(tooLarge(limits.maxBytes).problem);
    else this.#stream(flow);
    return flow;
  }

  discard(maxBytes: number, ms: number, done: () => void): void {
    if (this.#missing === 0) return done();
    this.#flow = undefined;
    this.#tolerated = maxBytes;
    this.#discarded = done;
    this.#stop = this.#clock.after(ms, () => this.#finishDiscarding());
    this.skip();
  }

  /** Nobody wants the rest of the body. */
  skip(): void {
    this.#pieces = [];
    if (this.#missing === 0) return;
    this.body = "abandoned";
    this.#source.resume();
  }

  /** More bytes came; what lies beyond the body is given back. */
  feed(bytes: Buffer): Buffer {
    const mine = Math.min(bytes.length, this.#missing);
    if (mine === 0) return bytes;
    this.#missing -= mine;
    if (this.body === "abandoned") this.#tolerate(mine);
    else this.#keep(mine === bytes.length ? bytes : bytes.subarray(0, mine));
    return mine === bytes.length ? EMPTY : bytes.subarray(mine);
  }

  /** The connection ended. */
  cut(): void {
    if (this.#missing > 0) {
      this.#settle(CUT);
      this.#flow?.fail(CUT.problem);
    }
    this.#finishDiscarding();
  }

  #stream(flow: Flow): void {
    this.body = "reading";
    this.#flow = flow;
    const before = this.#pieces;
    this.#pieces = [];
    for (const piece of before) flow.piece(piece);
    if (this.#missing === 0) this.#streamed(flow);
    else this.#source.resume();
  }

  #streamed(flow: Flow): void {
    this.#flow = undefined;
    if (!flow.over) this.body = "read";
    flow.end();
  }

  #keep(piece: Buffer): void {
    const flow = this.#flow;
    if (flow) {
      flow.piece(piece);
      if (this.#missing === 0) this.#streamed(flow);
      return;
    }
    this.#pieces.push(piece);
    if (this.body === "unread") {
      if (this.declared - this.#missing > AHEAD_BYTES) this.#source.pause();
    } else if (this.#missing === 0) this.#settle(this.#whole());
  }

  #whole(): BodyOutcome {
    const [only] = this.#pieces;
    const bytes = this.#pieces.length === 1 && only ? only : Buffer.concat(this.#pieces, this.declared);
    this.#pieces = [];
    return { ok: true, bytes };
  }

  #settle(outcome: BodyOutcome): void {
    const done = this.#done;
    if (!done) return;
    this.#done = undefined;
    this.#stop?.();
    this.body = outcome.ok ? "read" : "abandoned";
    if (!outcome.ok) this.#pieces = [];
    done(outcome);
  }

  #tolerate(bytes: number): void {
    this.#tolerated -= bytes;
    if (this.#missing === 0 || this.#tolerated < 0) this.#finishDiscarding();
  }

  #finishDiscarding(): void {
    const discarded = this.#discarded;
    if (!discarded) return;
    this.#discarded = undefined;
    this.#stop?.();
    discarded();
  }
}

import type { IncomingMessage } from "node:http";
import type { BodyFlow, BodySink, Clock, Headers } from "../canon/index.ts";
import { ALREADY_READ, CUT, EMPTY, tooLarge, tooSlow } from "./body.ts";
import type { BodyState, Incoming } from "./body.ts";
import { Flow, type FlowLimits } from "./body-flow.ts";
import type { BodyOutcome } from "./types.ts";

/** One request on a connection that was handed to `node:http`. */
export class Inbound implements Incoming {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: Headers;
  readonly peer: string;
  readonly declared: number | undefined;
  body: BodyState;
  readonly #message: IncomingMessage;
  readonly #clock: Clock;
  #sendContinue: (() => void) | undefined;

  /** `sendContinue` where the client waits for a word before it sends the body. */
  constructor(message: IncomingMessage, headers: Headers, peer: string, clock: Clock, sendContinue?: () => void) {
    this.#message = message;
    this.#clock = clock;
    this.#sendContinue = sendContinue;
    this.method = message.method ?? "GET";
    const target = originForm(message.url ?? "/");
    const mark = target.indexOf("?");
    this.path = mark < 0 ? target : target.slice(0, mark);
    this.query = mark < 0 ? "" : target.slice(mark + 1);
    this.headers = headers;
    this.peer = peer;
    this.declared = headers["transfer-encoding"] === undefined ? Number(headers["content-length"] ?? 0) : undefined;
    this.body = this.declared === 0 ? "none" : "unread";
  }

  get awaitsContinue(): boolean {
    return this.#sendContinue !== undefined;
  }

  readBody(limits: { readonly maxBytes: number; readonly timeoutMs: number }, done: (outcome: BodyOutcome) => void): void {
    if (this.body === "none") return done({ ok: true, bytes: EMPTY });
    if (this.body !== "unread") return done(ALREADY_READ);
    if (this.declared !== undefined && this.declared > limits.maxBytes) {
      this.body = "abandoned";
      return done(tooLarge(limits.maxBytes));
    }
    this.body = "reading";
    this.#sendContinue?.();
    this.#sendContinue = undefined;
    this.#collect(limits, done);
  }

  streamBody(limits: FlowLimits, sink: BodySink): BodyFlow {
    const message = this.#message;
    const piece = (bytes: Buffer): void => flow.piece(bytes);
    const abandon = (): void => {
      this.body = "abandoned";
      message.off("data", piece).pause();
    };
    const flow = new Flow(limits, sink, { pause: () => message.pause(), resume: () => message.resume(), abandon }, this.#clock);
    if (this.body === "none") flow.end();
    else if (this.body !== "unread") flow.fail(ALREADY_READ.problem);
    else if (this.declared !== undefined && this.declared > limits.maxBytes) flow.fail(tooLarge(limits.maxBytes).problem);
    else {
      this.body = "reading";
      this.#sendContinue?.();
      this.#sendContinue = undefined;
      message.on("end", () => {
        if (!flow.over) this.body = "read";
        flow.end();
      });
      // The connection broke; `close` would come as well but later.
      message.on("error", () => flow.fail(CUT.problem));
      message.on("data", piece);
    }
    return flow;
  }

  discard(maxBytes: number, ms: number, done: () => void): void {
    const message = this.#message;
    let bytes = 0;
    const finish = (): void => {
      stop();
      message.removeListener("data", count).removeListener("end", finish).removeListener("close", finish);
      done();
    };
    const count = (piece: Buffer): void => {
      bytes += piece.length;
      if (bytes > maxBytes) finish();
    };
    const stop = this.#clock.after(ms, finish);
    message.on("data", count).on("end", finish).on("close", finish).on("error", ignore);
    message.resume();
  }

  #collect(limits: { readonly maxBytes: number; readonly timeoutMs: number }, done: (outcome: BodyOutcome) => void): void {
    const message = this.#message;
    const pieces: Buffer[] = [];
    let bytes = 0;
    const settle = (outcome: BodyOutcome): void => {
      if (this.body !== "reading") return;
      this.body = outcome.ok ? "read" : "abandoned";
      stop();
      if (!outcome.ok) message.removeAllListeners("data").resume();
      done(outcome);
    };
    const stop = this.#clock.after(limits.timeoutMs, () => settle(tooSlow(limits.timeoutMs)));
    message.on("data", (piece: Buffer) => {
      bytes += piece.length;
      if (bytes > limits.maxBytes) settle(tooLarge(limits.maxBytes));
      else pieces.push(piece);
    });
    message.on("end", () => {
      if (this.declared !== undefined && bytes !== this.declared) settle(CUT);
      else settle({ ok: true, bytes: Buffer.concat(pieces, bytes) });
    });
    // The connection broke; `close` would come as well but later.
    message.on("error", () => settle(CUT));
  }
}

function ignore(): void {
  // The answer is out; what the client does with its connection no longer matters.
}

/** `http://host/path` is a legal request target (RFC 9112, section 3.2.2); everybody else wants the path. */
function originForm(target: string): string {
  if (target.startsWith("/")) return target;
  return target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?]*/i, "") || "/";
}

/**
 * Node has made the record already, to look for `expect`, with every repeated header joined (`joinDuplicateHeaders`): a hidden second
 * value is a risk. Only `set-cookie`, which no request should have, comes as a list.
 */
export function headersOf(message: IncomingMessage): Headers {
  const { headers } = message;
  if (headers["set-cookie"] === undefined) return headers as Headers;
  return { ...(headers as Headers), "set-cookie": headers["set-cookie"].join(", ") };
}

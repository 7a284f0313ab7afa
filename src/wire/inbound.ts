import type { IncomingMessage } from "node:http";
import type { Clock, Headers, Problem } from "../canon/index.ts";
import type { BodyOutcome, FrontRequest } from "./types.ts";

const EMPTY = Buffer.alloc(0);

/** Seen by the answer's side, which must not leave a half-read body on a connection that is to be used again. */
export type BodyState = "none" | "unread" | "reading" | "read" | "abandoned";

/** One request from a client. */
export class Inbound implements FrontRequest {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: Headers;
  readonly peer: string;
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
    const length = headers["content-length"];
    const bodiless = headers["transfer-encoding"] === undefined && (length === undefined || length === "0");
    this.body = bodiless ? "none" : "unread";
  }

  /** Does the client hold its body back until it is told to go on? */
  get awaitsContinue(): boolean {
    return this.#sendContinue !== undefined;
  }

  readBody(limits: { readonly maxBytes: number; readonly timeoutMs: number }, done: (outcome: BodyOutcome) => void): void {
    if (this.body === "none") return done({ ok: true, bytes: EMPTY });
    if (this.body !== "unread") return done({ ok: false, problem: ALREADY_READ });
    const declared = Number(this.headers["content-length"] ?? 0);
    if (declared > limits.maxBytes) {
      this.body = "abandoned";
      return done({ ok: false, problem: tooLarge(limits.maxBytes) });
    }
    this.body = "reading";
    this.#sendContinue?.();
    this.#sendContinue = undefined;
    this.#collect(declared, limits, done);
  }

  /** Reads on and forgets; calls back when the body is over, too long, or `ms` have passed. */
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

  #collect(
    declared: number,
    limits: { readonly maxBytes: number; readonly timeoutMs: number },
    done: (outcome: BodyOutcome) => void,
  ): void {
    const message = this.#message;
    let first: Buffer | undefined;
    let rest: Buffer[] | undefined;
    let bytes = 0;
    const settle = (outcome: BodyOutcome): void => {
      if (this.body !== "reading") return;
      this.body = outcome.ok ? "read" : "abandoned";
      stop();
      if (!outcome.ok) message.removeAllListeners("data").resume();
      done(outcome);
    };
    const stop = this.#clock.after(limits.timeoutMs, () => settle({ ok: false, problem: tooSlow(limits.timeoutMs) }));
    message.on("data", (piece: Buffer) => {
      bytes += piece.length;
      if (bytes > limits.maxBytes) settle({ ok: false, problem: tooLarge(limits.maxBytes) });
      else if (!first) first = piece;
      else (rest ??= [first]).push(piece);
    });
    message.on("end", () => {
      if (declared > 0 && bytes !== declared) settle({ ok: false, problem: CUT });
      else settle({ ok: true, bytes: rest ? Buffer.concat(rest, bytes) : (first ?? EMPTY) });
    });
    // The connection broke; `close` would come as well but later.
    message.on("error", () => settle({ ok: false, problem: CUT }));
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

const ALREADY_READ: Problem = { kind: "internal", message: "The body was asked for twice." };
const CUT: Problem = { kind: "cancelled", message: "The client closed the connection before its request was complete." };

function tooLarge(maxBytes: number): Problem {
  return { kind: "too_large", message: `The body is larger than the limit of ${maxBytes} bytes.` };
}

function tooSlow(timeoutMs: number): Problem {
  return {
    kind: "invalid_request",
    status: 408,
    code: "body_timeout",
    message: `The body did not arrive within ${timeoutMs / 1000} seconds.`,
  };
}

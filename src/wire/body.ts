import type { Problem } from "../canon/index.ts";
import type { BodyOutcome, StreamedRequest } from "./types.ts";

export const EMPTY = Buffer.alloc(0);

/** Seen by the answer's side, which must not leave a half-read body on a connection that is to be used again. */
export type BodyState = "none" | "unread" | "reading" | "read" | "abandoned";

/** A request as the answer's side sees it. */
export interface Incoming extends StreamedRequest {
  readonly body: BodyState;
  /** Does the client hold its body back until it is told to go on? */
  readonly awaitsContinue: boolean;
  /** Reads on and forgets; calls back when the body is over, too long, or `ms` have passed. */
  discard(maxBytes: number, ms: number, done: () => void): void;
}

type Failed = Extract<BodyOutcome, { readonly ok: false }>;

export const ALREADY_READ: Failed = { ok: false, problem: { kind: "internal", message: "The body was asked for twice." } };
export const CUT: Failed = {
  ok: false,
  problem: { kind: "cancelled", message: "The client closed the connection before its request was complete." },
};

export function tooLarge(maxBytes: number): Failed {
  return failed({ kind: "too_large", message: `The body is larger than the limit of ${maxBytes} bytes.` });
}

export function tooSlow(timeoutMs: number): Failed {
  return failed({
    kind: "invalid_request",
    status: 408,
    code: "body_timeout",
    message: `The body did not arrive within ${timeoutMs / 1000} seconds.`,
  });
}

function failed(problem: Problem): Failed {
  return { ok: false, problem };
}

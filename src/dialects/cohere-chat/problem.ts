import {
  PROBLEM_KINDS,
  problemStatus,
  type EncodedProblem,
  type Headers,
  type Json,
  type JsonObject,
  type Problem,
} from "../../canon/index.ts";
import { cleanWords, kindOfStatus, refusedCredentials, scrubbed, sentenceOf } from "../shared-problems.ts";
import { isObject, text } from "../shared-shape.ts";
import { COMMON_LIMITS, waitAsked } from "../shared-waits.ts";
import { ID } from "./shape.ts";

/** The provider's own status for a token that is none. */
const INVALID_TOKEN = 498;
const PAYMENT_REQUIRED = 402;

export function decodeProblem(response: {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Json | undefined;
  readonly text: string;
  readonly provider: string;
  readonly now?: number;
}): Problem {
  const { status, body, provider } = response;
  if (status === 401 || status === 403 || status === INVALID_TOKEN)
    return refusedCredentials(ID, status === INVALID_TOKEN ? 401 : status, provider);
  const kind = kindOfStatus(status);
  const words = isObject(body) ? text(body["message"]) : undefined;
  const retryAfterMs = kind === "rate_limited" || kind === "upstream_unavailable" ? waitAsked(response, COMMON_LIMITS) : undefined;
  return {
    kind,
    message: sentenceOf(kind, provider, status, words === undefined ? undefined : cleanWords(words)),
    ...(kind === "upstream_rejected" && { status: status === PAYMENT_REQUIRED ? 502 : status }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
    ...(status === PAYMENT_REQUIRED && { fault: "credentials" as const }),
    upstream: { status, dialect: ID, provider, ...(body !== undefined && { body: scrubbed(body) }) },
  };
}

/** A failure by which an answer ends, where no status tells its kind. */
export function endedBadly(end: JsonObject, provider: string | undefined): Problem {
  const body: JsonObject = { message: text(end["error"]) ?? "the answer ended with an error" };
  const timedOut = end["finish_reason"] === "TIMEOUT";
  return decodeProblem({ status: timedOut ? 504 : 503, headers: {}, body, text: "", provider: provider ?? "" });
}

/** A provider's refusal in this language goes out as it came; everything else is written in the language's own shape. */
export function encodeProblem(problem: Problem, callId: string): EncodedProblem {
  const { upstream } = problem;
  const passes = problem.kind === "upstream_rejected" && upstream?.dialect === ID && isObject(upstream.body) && upstream.status >= 400;
  return { status: problemStatus(problem), body: passes ? (upstream.body ?? null) : errorBody(problem, callId) };
}

function errorBody(problem: Problem, callId: string): JsonObject {
  return { message: sentence(problem), ...(callId !== "" && { id: callId }) };
}

function sentence(problem: Problem): string {
  const { remedy } = PROBLEM_KINDS[problem.kind];
  return problem.message.includes(remedy) ? problem.message : `${problem.message.trimEnd()} ${remedy}`;
}

/** A stream's last event when it fails. */
export function problemEvent(problem: Problem, callId: string): JsonObject {
  return { type: "message-end", ...(callId !== "" && { id: callId }), delta: { finish_reason: "ERROR", error: sentence(problem) } };
}

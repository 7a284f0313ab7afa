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
import { isObject, object, text } from "../shared-shape.ts";
import { COMMON_LIMITS, waitAsked } from "../shared-waits.ts";
import { ID } from "./shape.ts";

/** The account behind the key is empty. */
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
  if (status === 401 || status === 403) return refusedCredentials(ID, status, provider);
  const kind = kindOfStatus(status);
  const words = wordsIn(body);
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

/** `{ error: "..." }`; a server in front of it may nest the words. */
function wordsIn(body: Json | undefined): string | undefined {
  if (!isObject(body)) return undefined;
  return text(body["error"]) ?? text(object(body["error"])?.["message"]) ?? text(body["message"]);
}

/** An error inside a stream or a good answer, where no status tells its kind. */
export function embeddedProblem(body: JsonObject, provider: string | undefined): Problem {
  return { ...decodeProblem({ status: 502, headers: {}, body, text: "", provider: provider ?? "" }), kind: "upstream_broken" };
}

/** A provider's refusal in this language goes out as it came; everything else is written in the language's own shape. */
export function encodeProblem(problem: Problem, callId: string): EncodedProblem {
  const { upstream } = problem;
  const passes = problem.kind === "upstream_rejected" && upstream?.dialect === ID && isObject(upstream.body) && upstream.status >= 400;
  return { status: problemStatus(problem), body: passes ? (upstream.body ?? null) : errorBody(problem, callId) };
}

/** `{ error, gimbal_call_id }`: the language has no codes. Also what a stream ends with when it fails. */
export function errorBody(problem: Problem, callId: string): JsonObject {
  const { remedy } = PROBLEM_KINDS[problem.kind];
  const error = problem.message.includes(remedy) ? problem.message : `${problem.message.trimEnd()} ${remedy}`;
  return { error, ...(callId !== "" && { gimbal_call_id: callId }) };
}
